"""Whole threads' rows in langgraph's checkpoint tables: delete, copy, on Django's connection.

Part of the caller's transaction, so that a thread and its checkpoints come and go together.
"""

from collections.abc import Iterable
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
