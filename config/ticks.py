"""Celery beat with the schedule in the database, its ticks executed in the beat process itself.

A tick must not depend on Redis or on a free worker: it is what finds the runs those two have lost. Ticks take
milliseconds, and what they do is claimed in the database, so any number of beats may run.
"""

import logging
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.db import connection
from django_celery_beat.schedulers import DatabaseScheduler

from config import outage
from config.database import conninfo

logger = logging.getLogger(__name__)


class TickScheduler(DatabaseScheduler):  # type: ignore[misc]
    """Runs each due entry in one of two threads; an entry still running is not started again."""

    # Celery's asks for one before each entry, and waits until Redis is there to make it.
    producer = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.threads = ThreadPoolExecutor(2, thread_name_prefix="tick")
        self.running: set[str] = set()
        outage.watch(conninfo())

    def apply_async(self, entry: Any, producer: Any = None, advance: bool = True, **kwargs: Any) -> None:
        """Start the entry's task here instead of sending it to a worker."""
        entry = self.reserve(entry) if advance else entry
        if entry.name not in self.running:
            self.running.add(entry.name)
            self.threads.submit(self._run, entry.name, entry.task, entry.args, entry.kwargs)

    def _run(self, name: str, task: str, args: list[Any], kwargs: dict[str, Any]) -> None:
        try:
            self.app.tasks[task](*args, **kwargs)
        except Exception:
            logger.exception("The tick %s failed", name)
        finally:
            self.running.discard(name)
            connection.close()


class Interval:
    """Lets a tick do its work only once in a while. Each beat counts for itself; what is done twice does no harm."""

    def __init__(self) -> None:
        self.begun: float | None = None

    def is_over(self, seconds: float) -> bool:
        """Whether it is the first time, or so many seconds have passed; then the next interval begins."""
        now = time.monotonic()
        over = self.begun is None or now - self.begun >= seconds
        if over:
            self.begun = now
        return over
