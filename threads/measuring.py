"""What threads take in langgraph's checkpoint tables, in bytes. Told without reading the values themselves, which lie
elsewhere when they are large; changes nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection

# What a prune leaves is what the latest checkpoint of each namespace needs.
PRUNABLE = """
WITH head AS (
    SELECT DISTINCT ON (checkpoint_ns) checkpoint_ns, checkpoint_id, checkpoint -> 'channel_versions' AS versions
      FROM checkpoints WHERE thread_id = %(thread)s ORDER BY checkpoint_ns, checkpoint_id DESC)
SELECT (SELECT coalesce(sum(pg_column_size(checkpoint) + pg_column_size(metadata)), 0) FROM checkpoints
         WHERE thread_id = %(thread)s AND (checkpoint_ns, checkpoint_id) NOT IN
               (SELECT checkpoint_ns, checkpoint_id FROM head))
     + (SELECT coalesce(sum(octet_length(blob)), 0) FROM checkpoint_blobs
         WHERE thread_id = %(thread)s AND (checkpoint_ns, channel, version) NOT IN
               (SELECT checkpoint_ns, key, value FROM head, jsonb_each_text(versions)))
     + (SELECT coalesce(sum(octet_length(blob)), 0) FROM checkpoint_writes
         WHERE thread_id = %(thread)s AND (checkpoint_ns, checkpoint_id) NOT IN
               (SELECT checkpoint_ns, checkpoint_id FROM head))
"""
CHANNELS = """
SELECT channel, sum(versions)::bigint, sum(kept)::bigint, sum(writes)::bigint, sum(written)::bigint
  FROM (SELECT channel, count(DISTINCT version) AS versions, coalesce(sum(octet_length(blob)), 0) AS kept,
               0 AS writes, 0 AS written
          FROM checkpoint_blobs WHERE thread_id = %(thread)s GROUP BY channel
        UNION ALL
        SELECT channel, 0, 0, count(*), coalesce(sum(octet_length(blob)), 0)
          FROM checkpoint_writes WHERE thread_id = %(thread)s GROUP BY channel) AS part
 GROUP BY channel ORDER BY sum(kept + written) DESC, channel LIMIT %(most)s
"""
SIZED = {
    "checkpoints": "pg_column_size(checkpoint) + pg_column_size(metadata)",
    "checkpoint_blobs": "octet_length(blob)",
    "checkpoint_writes": "octet_length(blob)",
}
# The share of each table that so many pages are, in percent.
SHARES = "SELECT " + ", ".join(
    f"least(100, 100.0 * %(pages)s * current_setting('block_size')::int / greatest(pg_relation_size('{table}'), 1))"
    for table in SIZED
)
_SAMPLES = " UNION ALL ".join(
    f"SELECT thread_id, ({size}) / %(share_{table})s::float8 AS bytes"  # noqa: S608 - our own text
    f" FROM {table} TABLESAMPLE SYSTEM (%(share_{table})s)"
    for table, size in SIZED.items()
)
SAMPLED = f"SELECT thread_id FROM ({_SAMPLES}) AS seen GROUP BY 1 ORDER BY sum(bytes) DESC LIMIT %(most)s"  # noqa: S608
_SIZES = " UNION ALL ".join(
    f"SELECT thread_id, sum({size}) AS bytes, {'count(*)' if table == 'checkpoints' else 0} AS checkpoints"  # noqa: S608
    f" FROM {table} WHERE thread_id = ANY(%(threads)s) GROUP BY thread_id"
    for table, size in SIZED.items()
)
SIZES = f"SELECT thread_id, sum(bytes), sum(checkpoints) FROM ({_SIZES}) AS part GROUP BY thread_id"  # noqa: S608


@dataclass(frozen=True)
class Channel:
    """What one channel of a thread takes: its values in all their versions, and what graph tasks wrote to it. Bytes."""

    name: str
    versions: int
    kept: int
    writes: int
    written: int


def storage(thread_id: UUID) -> dict[str, Any]:
    """Bytes and counts of a thread's checkpoints, channel values and pending writes (contract/core.md 4.12)."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*), coalesce(sum(pg_column_size(checkpoint) + pg_column_size(metadata)), 0)"
            " FROM checkpoints WHERE thread_id = %s",
            [str(thread_id)],
        )
        checkpoints = _counted(cursor.fetchone())
        cursor.execute(
            "SELECT channel, count(DISTINCT version), coalesce(sum(octet_length(blob)), 0) FROM checkpoint_blobs"
            " WHERE thread_id = %s GROUP BY channel ORDER BY channel",
            [str(thread_id)],
        )
        channels = {name: {"versions": count, "bytes": int(size)} for name, count, size in cursor.fetchall()}
        cursor.execute(
            "SELECT count(*), coalesce(sum(octet_length(blob)), 0) FROM checkpoint_writes WHERE thread_id = %s",
            [str(thread_id)],
        )
        writes = _counted(cursor.fetchone())
    values = {
        "count": sum(channel["versions"] for channel in channels.values()),
        "bytes": sum(channel["bytes"] for channel in channels.values()),
        "by_channel": channels,
    }
    total = checkpoints["bytes"] + values["bytes"] + writes["bytes"]
    return {
        "thread_id": str(thread_id),
        "total_bytes": total,
        "checkpoints": checkpoints,
        "channel_values": values,
        "pending_writes": writes,
    }


def channels(thread_id: UUID, most: int) -> list[Channel]:
    """The channels that take most, the largest first."""
    return [Channel(*row) for row in _rows(CHANNELS, thread=str(thread_id), most=most)]


def prunable(thread_id: UUID) -> int:
    """About how many bytes go when all but the latest checkpoint are forgotten."""
    return int(_rows(PRUNABLE, thread=str(thread_id))[0][0])


def sampled(pages: int, most: int) -> list[UUID]:
    """Threads that seem to be the largest, from `pages` pages of each table that are chosen anew each time.

    Exact where the tables have no more; in larger ones a thread of few rows may be missed, and is not for ever.
    """
    (shares,) = _rows(SHARES, pages=pages)
    by_table = {f"share_{table}": share for table, share in zip(SIZED, shares, strict=True)}
    return [UUID(thread_id) for (thread_id,) in _rows(SAMPLED, most=most, **by_table)]


def sizes(thread_ids: Sequence[UUID]) -> dict[UUID, tuple[int, int]]:
    """Bytes and number of checkpoints of each of the threads that has any."""
    found = _rows(SIZES, threads=[str(thread_id) for thread_id in thread_ids])
    return {UUID(thread_id): (int(size or 0), int(count)) for thread_id, size, count in found}


def _counted(row: tuple[int, Any]) -> dict[str, int]:
    return {"count": row[0], "bytes": int(row[1])}


def _rows(statement: str, **arguments: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, arguments)
        return list(cursor.fetchall())
