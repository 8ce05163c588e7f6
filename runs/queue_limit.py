"""How many runs there may be: beyond MAX_PENDING_RUNS, MAX_PENDING_RUNS_PER_THREAD of one thread, or what a tenant may
have in flight, a request that creates some is refused, and creates none.

The first is kept to within what other processes create in a second: each counts at most once a second, and its own
always. The others are exact: the runs of a thread, and of a tenant with a limit, are created one after the other.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction

from accounts.limits import limits_of
from config.errors import ApiError
from config.once import once
from runs.models import Run, RunQuerySet, RunStatus

COUNT_SECONDS = 1.0


class QueueFull(ApiError):
    """More runs would wait than MAX_PENDING_RUNS. Which is no fault of the request: it may be sent again."""

    status_code = 429
    default_detail = "Too many runs are waiting for a worker. Try again later."
    headers = {"Retry-After": "5"}


class ThreadQueueFull(QueueFull):
    """More runs of a thread would wait than MAX_PENDING_RUNS_PER_THREAD."""

    default_detail = "Too many runs of this thread are waiting. Try again later."


class TenantFull(QueueFull):
    """More runs of a tenant would be in flight than its limit allows."""

    default_detail = "Too many runs of this tenant are pending or running. Try again later."


class Queue:
    """What this process knows of the pending runs, delayed ones included."""

    def __init__(self) -> None:
        self.waiting = 0
        self.counted = float("-inf")
        self.lock = threading.Lock()

    def admit(self, more: int, limit: int) -> None:
        """Let so many more runs in. Raises QueueFull when not all of them have a place."""
        with self.lock:
            if time.monotonic() - self.counted > COUNT_SECONDS:
                self.waiting = _waiting(Run.objects.all(), limit + 1)
                self.counted = time.monotonic()
            if self.waiting + more > limit:
                raise QueueFull
            self.waiting += more


@once
def queue() -> Queue:
    """This process's."""
    return Queue()


def admit(more: int) -> None:
    """Raises QueueFull when there is a limit and no place for so many more runs."""
    if settings.MAX_PENDING_RUNS:
        queue().admit(more, settings.MAX_PENDING_RUNS)


def admit_to_thread(thread_id: UUID) -> None:
    """Raises ThreadQueueFull when there is a limit and no place for one more. Call it with the thread's row locked."""
    limit = settings.MAX_PENDING_RUNS_PER_THREAD
    if limit and _waiting(Run.objects.filter(thread_id=thread_id), limit) >= limit:
        raise ThreadQueueFull


@contextmanager
def room_for(tenant: str, more: int) -> Iterator[None]:
    """Create so many runs of the tenant inside the block. Raises TenantFull when there is a limit and no place for all.

    Where there is one, the block is a transaction, and whoever else creates runs of the tenant waits for its end. It is
    locked before threads are.
    """
    limit = limits_of(tenant).runs_in_flight
    if limit is None:
        yield
        return
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('runs of ' || %s, 0))", [tenant])
        found = Run.objects.filter(tenant=tenant).exclude(tenant="").in_flight().order_by()
        if found[: limit + 1].count() + more > limit:
            raise TenantFull
        yield


def _waiting(runs: RunQuerySet, most: int) -> int:
    """How many of them wait, counted along an index no further than `most`."""
    return runs.filter(status=RunStatus.PENDING).order_by()[:most].count()
