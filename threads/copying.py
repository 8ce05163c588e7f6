"""A thread copied with its checkpoints, without its runs: the one verb of the API and of the console."""

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from assistants.graphs import NotAGraph, load_all
from config import loop
from threads import checkpoint_rows, state
from threads.expiry import default_expiry
from threads.models import Thread
from threads.own_checkpointer import copy_own, is_own


def copy_thread(
    lock: Callable[[], Thread],
    config_of: Callable[[Thread], Mapping[str, Any]],
    *,
    copied: UUID,
    metadata: Mapping[str, Any] | None = None,
) -> Thread:
    """Make the thread `copied`, with `metadata` added to the source's. Raises what `lock` does.

    `lock` returns the source, locked: so nobody deletes its checkpoints while they are copied.
    """
    with transaction.atomic():
        source, now = lock(), timezone.now()
        copy = Thread(
            thread_id=copied,
            tenant=source.tenant,
            metadata={**source.metadata, **(metadata or {})},
            values=source.values,
            interrupts=source.interrupts,
            created_at=now,
            updated_at=now,
            **default_expiry(),
        )
        copy.save(force_insert=True)
        if is_own():
            loop.run(copy_own(source.thread_id, copy.thread_id))
        else:
            checkpoint_rows.copy_checkpoints(source.thread_id, copy.thread_id)
        _settle(copy, source, config_of(source))
    return copy


def _settle(copy: Thread, source: Thread, config: Mapping[str, Any]) -> None:
    """Status, values and interrupts from the source's head checkpoint, where its graph can be had.

    The source's, because nobody but this transaction sees the copy's yet.
    """
    graph_id = copy.graph_id
    if graph_id is None or graph_id not in load_all():
        return
    try:
        head = loop.run(state.refreshed_head(source.thread_id, graph_id, config, tenant=source.tenant))
    except NotAGraph:
        return
    if head.exists:
        copy.settle(head, graph_id=graph_id, busy=False)
