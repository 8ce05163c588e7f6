"""What keeps a worker that has lost its run from writing for it. Knows no database."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from config.loop import at_home


class LeaseLost(Exception):
    """The run belongs to another worker by now, so nothing more may be written for it."""


@dataclass(frozen=True)
class Fence:
    """Whose checkpoints they are, and how long they may be written.

    `holds` says what this process knows of its lease, `live` is the query by which PostgreSQL has the last word.
    """

    run_id: UUID
    attempt: int
    live: str
    holds: Callable[[], bool]


class Fenced:
    """Mixin for a saver of one attempt: knows which writes are under way, and when no more may begin."""

    fence: Fence
    under_way: set["asyncio.Task[Any]"]
    closed: bool

    def put_behind(self, fence: Fence) -> None:
        """Begin: nothing is written but within `writing`."""
        self.fence, self.under_way, self.closed = fence, set(), False

    async def close(self) -> None:
        """Let the writes on their way arrive, then refuse any more.

        A graph that is cancelled leaves writes to tasks that nobody waits for: they would come after its run's end.
        """
        while not self.closed:
            for _ in range(3):  # a write that follows another starts an iteration of the loop later
                await asyncio.sleep(0)
            await at_home(self._let_arrive())

    async def _let_arrive(self) -> None:
        if self.under_way:
            await asyncio.wait(self.under_way)
        else:
            self.closed = True

    @contextmanager
    def writing(self) -> Iterator[None]:
        """One write, on the graph loop. Raises LeaseLost."""
        if self.closed or not self.fence.holds():
            raise LeaseLost
        task = asyncio.current_task()
        if task is None or task in self.under_way:
            yield
            return
        self.under_way.add(task)
        try:
            yield
        finally:
            self.under_way.discard(task)
