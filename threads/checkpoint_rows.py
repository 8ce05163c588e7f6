"""Whole threads' rows in langgraph's checkpoint tables: delete, copy, measure, on Django's connection.

Part of the caller's transaction, so that a thread and its checkpoints come and go together.
"""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.db import connection

TABLES = ("checkpoints", "checkpoint_blobs", "checkpoint_writes", "threads_formerwrite")
COPY = (
    "INSERT INTO checkpoints"
    " (thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, checkpoint, metadata)"
    " SELECT %(target)s, checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, checkpoint,"
    " jsonb_set(metadata, '{thread_id}', to_jsonb(%(target)s::text)) FROM checkpoints WHERE thread_id = %(source)s",
    "INSERT INTO checkpoint_blobs (thread_id, checkpoint_ns, channel, version, type, blob)"
    " SELECT %(target)s, checkpoint_ns, channel, version, type, blob"
    " FROM checkpoint_blobs WHERE thread_id = %(source)s",
    "INSERT INTO checkpoint_writes"
    " (thread_id, checkpoint_ns, checkpoint_id, task_id, idx, channel, type, blob, task_path)"
    " SELECT %(target)s, checkpoint_ns, checkpoint_id, task_id, idx, channel, type, blob, task_path"
    " FROM checkpoint_writes WHERE thread_id = %(source)s",
)


def delete_checkpoints(thread_ids: Iterable[UUID]) -> None:
    """Delete everything the threads' checkpoints consist of, on Django's connection."""
    ids = [str(thread_id) for thread_id in thread_ids]
    with connection.cursor() as cursor:
        for table in TABLES:
            cursor.execute(f"DELETE FROM {table} WHERE thread_id = ANY(%s)", [ids])  # noqa: S608 - our own names


def copy_checkpoints(source: UUID, target: UUID) -> None:
    """Give the target thread all checkpoints of the source under their ids, on Django's connection."""
    with connection.cursor() as cursor:
        for statement in COPY:
            cursor.execute(statement, {"source": str(source), "target": str(target)})


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


def _counted(row: tuple[int, Any]) -> dict[str, int]:
    return {"count": row[0], "bytes": int(row[1])}
