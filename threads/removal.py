"""Threads, or all but their latest checkpoints, deleted. Who may ask is the caller's business."""

from collections.abc import Iterable
from contextlib import suppress
from uuid import UUID

from django.db import transaction
from redis.exceptions import RedisError

from accounts.authorizer import EVERYTHING, Scope
from config import loop
from config.errors import Invalid
from events import log
from threads.checkpoint_rows import delete_checkpoints
from threads.checkpointer import saver
from threads.models import Thread, ThreadStatus
from threads.own_checkpointer import delete_own_of_threads, is_own


def delete_threads(thread_ids: Iterable[UUID], scope: Scope = EVERYTHING) -> int:
    """Delete those of the threads the scope shows, with everything on them; returns how many there were.

    Workers notice that their run is gone.
    """
    wanted = Thread.objects.within(scope).filter(thread_id__in=list(thread_ids))
    with transaction.atomic():
        ids = list(wanted.select_for_update().order_by("pk").values_list("pk", flat=True))
        Thread.objects.filter(thread_id__in=ids).delete()
        delete_checkpoints(ids)
        if is_own():
            transaction.on_commit(lambda: loop.run(delete_own_of_threads(ids)), robust=True)
        transaction.on_commit(lambda: loop.start(_forget_events(ids)))
    return len(ids)


async def _forget_events(thread_ids: list[UUID]) -> None:
    """A thread created later under the same id must not replay them."""
    with suppress(RedisError):
        for thread_id in thread_ids:
            await log.delete(str(thread_id))


def prune_to_latest(thread_ids: Iterable[UUID]) -> int:
    """Forget all but the latest checkpoints of those that are not busy; returns how many there were.

    Raises Invalid for a thread whose channels need their history; nothing is forgotten then.
    """
    with transaction.atomic():
        # Locked, so that no run begins meanwhile; one in flight may be rolled back to any of them.
        resting = Thread.objects.select_for_update().filter(thread_id__in=list(thread_ids))
        found = list(resting.exclude(status=ThreadStatus.BUSY).order_by("pk").values_list("thread_id", flat=True))
        try:
            loop.run(keep_latest(found))
        except NotImplementedError as error:
            raise Invalid(str(error)) from None
    return len(found)


async def keep_latest(thread_ids: list[UUID]) -> None:
    """Forget all but each thread's latest checkpoint. Runs on the graph loop.

    Raises NotImplementedError for a thread whose channels need their history.
    """
    await (await saver()).aprune([str(thread_id) for thread_id in thread_ids], strategy="keep_latest")
