"""Asks PostgreSQL about all runs and threads that are followed in this process: one query a look, however many viewers.

What the event log cannot say is found here: a run whose end was not written there, a row that is gone.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import Context
from uuid import UUID
from weakref import WeakKeyDictionary

from django.db import DatabaseError

from config.database import in_thread
from events import bell
from runs.models import Run
from threads.models import Thread

logger = logging.getLogger(__name__)
LOOK_SECONDS = 2.0
# The status is visible a moment before the log says so; only what is still unsaid at the second look was lost.
LOOKS = 2

Alive = Callable[[list[UUID]], set[UUID]]


class Watch:
    """What is known of one row: `over` when it is gone, or its run has ended."""

    def __init__(self, *, known: bool) -> None:
        self.known = known  # a thread may be followed before there is one
        self.missed = 0

    @property
    def over(self) -> bool:
        """Nothing more will come."""
        return self.missed >= LOOKS

    def see(self, *, alive: bool) -> None:
        """Take in one look."""
        self.known = self.known or alive
        self.missed = 0 if alive or not self.known else self.missed + 1


class Watches:
    """What one follower of a stream watches at present: rows that are known to be there."""

    def __init__(self, lookout: "Lookout", stream: str) -> None:
        self.lookout, self.stream = lookout, stream
        self.watched: dict[str, tuple[Watch, ExitStack]] = {}

    def keep(self, row_ids: Collection[str]) -> None:
        """Watch these from now on, and no others."""
        for row_id in self.watched.keys() - set(row_ids):
            self.watched.pop(row_id)[1].close()
        for row_id in set(row_ids) - self.watched.keys():
            stack = ExitStack()
            watch = stack.enter_context(self.lookout.watching(UUID(row_id), self.stream, known=True))
            self.watched[row_id] = (watch, stack)

    def over(self) -> list[str]:
        """Those that are over."""
        return [row_id for row_id, (watch, _) in self.watched.items() if watch.over]


class Lookout:
    """The watches of one loop over one kind of row; looks only while there are any."""

    def __init__(self, alive: Alive) -> None:
        self.alive = alive
        self.watches: defaultdict[UUID, set[Watch]] = defaultdict(set)
        self.streams: dict[UUID, str] = {}
        self.task: asyncio.Task[None] | None = None

    @contextmanager
    def watching(self, row_id: UUID, stream: str, *, known: bool) -> Iterator[Watch]:
        """A watch while the block lasts; the stream's followers are nudged when it is over."""
        watch = Watch(known=known)
        self.watches[row_id].add(watch)
        self.streams[row_id] = stream
        if self.task is None:
            # It looks for all that watch, so it works and logs for nobody.
            self.task = asyncio.create_task(self._look_while_watched(), context=Context())
        try:
            yield watch
        finally:
            self.watches[row_id].discard(watch)
            if not self.watches[row_id]:
                del self.watches[row_id], self.streams[row_id]

    @contextmanager
    def watching_some(self, stream: str) -> Iterator["Watches"]:
        """Watches that come and go while the block lasts."""
        watches = Watches(self, stream)
        try:
            yield watches
        finally:
            watches.keep(())

    async def _look_while_watched(self) -> None:
        try:
            while self.watches:
                await asyncio.sleep(LOOK_SECONDS)
                if self.watches:
                    await self._look()
        finally:
            self.task = None

    async def _look(self) -> None:
        asked = list(self.watches)
        try:
            alive = await in_thread(self.alive, asked)
        except DatabaseError:
            logger.warning("What is followed cannot be looked at", exc_info=True)
            return
        for row_id in asked:
            for watch in self.watches.get(row_id, ()):
                watch.see(alive=row_id in alive)
                if watch.over:
                    bell.nudge(self.streams[row_id])


def _runs_in_flight(run_ids: list[UUID]) -> set[UUID]:
    return set(Run.objects.filter(run_id__in=run_ids).in_flight().values_list("run_id", flat=True))


def _threads_there(thread_ids: list[UUID]) -> set[UUID]:
    return set(Thread.objects.filter(thread_id__in=thread_ids).values_list("thread_id", flat=True))


_runs: WeakKeyDictionary[asyncio.AbstractEventLoop, Lookout] = WeakKeyDictionary()
_threads: WeakKeyDictionary[asyncio.AbstractEventLoop, Lookout] = WeakKeyDictionary()


def runs() -> Lookout:
    """The running loop's lookout over runs in flight."""
    return _runs.setdefault(asyncio.get_running_loop(), Lookout(_runs_in_flight))


def threads() -> Lookout:
    """The running loop's lookout over threads."""
    return _threads.setdefault(asyncio.get_running_loop(), Lookout(_threads_there))
