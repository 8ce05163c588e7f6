"""How many runs may wait: beyond MAX_PENDING_RUNS a request that creates some is refused, and creates none.

Kept to within what other processes create in a second: each counts at most once a second, and its own always.
"""

import threading
import time
from functools import cache

from django.conf import settings

from config.errors import ApiError
from runs.models import Run, RunStatus

COUNT_SECONDS = 1.0


class QueueFull(ApiError):
    """More runs would wait than MAX_PENDING_RUNS. Which is no fault of the request: it may be sent again."""

    status_code = 429
    default_detail = "Too many runs are waiting for a worker. Try again later."
    headers = {"Retry-After": "5"}


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
                # Never more than the limit is counted, along the index of pending runs.
                self.waiting = Run.objects.filter(status=RunStatus.PENDING).order_by()[: limit + 1].count()
                self.counted = time.monotonic()
            if self.waiting + more > limit:
                raise QueueFull
            self.waiting += more


@cache
def queue() -> Queue:
    """This process's."""
    return Queue()


def admit(more: int) -> None:
    """Raises QueueFull when there is a limit and no place for so many more runs."""
    if settings.MAX_PENDING_RUNS:
        queue().admit(more, settings.MAX_PENDING_RUNS)
