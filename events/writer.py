"""Writes one run's parts to the log without making the run wait: what is produced while a batch is on its way, or
within five milliseconds, goes out together. Bounded; says what happens when it is full.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable
from contextlib import suppress

from django.conf import settings
from redis.exceptions import RedisError

from config import dialect
from config.loop import at_home
from events.log import GAP, UNWRITTEN, Part, Superseded, Turn, append

logger = logging.getLogger(__name__)

FULL_PARTS = 10_000
FULL_BYTES = 16 * 1024 * 1024
BATCH = 500  # parts a Redis call; a larger one would hold Redis up for everybody else
LINGER_SECONDS = 0.005  # long enough for a small graph's whole output to share a round trip, too short to be seen
GIVE_UP_SECONDS = 60.0  # without Redis, while the run goes on
END_SECONDS = 5.0  # without Redis, when the run has ended and only its last parts are missing

TOO_LARGE = "StreamChunkTooLarge"  # the `error` of the part that stands for one that was too large

# Since when Redis has answered no writer of this process, on time.monotonic's scale. What one has waited for in vain
# the next need not find out again: it tries once and goes on.
_silent_since = math.inf


class LogWriter:
    """The outgoing parts of one run. When it is full `put` waits, so the graph runs no faster than Redis takes it.

    Without Redis for 60 s, or for 5 s at its end, all further parts are dropped and the run goes on: its state is in
    PostgreSQL. A GAP in the log says so, and whoever follows is told from there. A part that is too large becomes an
    error event. Parts of an attempt that is no longer the live one are dropped, too: `holds` says what this process
    knows of that, the log knows the rest.
    """

    def __init__(self, stream: str, run_id: str, attempt: int, holds: Callable[[], bool]) -> None:
        self.stream = stream
        self.run_id = run_id
        self.attempt = attempt
        self.holds = holds
        self.batches = 0
        self.waiting: list[Part] = []
        self.size = 0
        self.timer: asyncio.TimerHandle | None = None
        self.flushing: asyncio.Task[None] | None = None
        self.lost = False  # no more is written
        self.gave_up = False  # because Redis did not answer
        self.patience = GIVE_UP_SECONDS

    async def put(self, event: str, data: bytes) -> None:
        """Add a part; waits only while the buffer is full."""
        if self.lost:
            return
        if len(data) > settings.MAX_STREAM_CHUNK_SIZE_BYTES:
            event, data = "error", dialect.dumps(_too_large(event, len(data)))
        self.waiting.append(Part(self.run_id, event, data))
        self.size += len(data)
        if self.flushing is None and self.timer is None:
            self.timer = asyncio.get_running_loop().call_later(LINGER_SECONDS, self._start)
        if len(self.waiting) >= FULL_PARTS or self.size >= FULL_BYTES:
            await self.drained()

    async def finish(self) -> None:
        """`drained`, for a run whose status waits for it."""
        self.patience = END_SECONDS
        await self.drained()

    async def drained(self) -> None:
        """Wait until everything put so far is in the log (or given up)."""
        if self.timer is not None:
            self._start()
        if self.flushing is not None:
            await asyncio.shield(self.flushing)
        if self.gave_up and self.holds():
            with suppress(RedisError, Superseded):
                turn = Turn(self.attempt, self.batches + 1)
                await at_home(append(self.stream, self.run_id, [Part(self.run_id, GAP, UNWRITTEN)], turn=turn))

    def _start(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        self.flushing = asyncio.create_task(self._flush())

    async def _flush(self) -> None:
        try:
            while self.waiting:
                batch, self.waiting = self.waiting[:BATCH], self.waiting[BATCH:]
                self.size -= sum(len(part.data) for part in batch)
                await self._append(batch)
        finally:
            self.flushing = None

    async def _append(self, batch: list[Part]) -> None:
        global _silent_since
        self.batches += 1
        turn = Turn(self.attempt, self.batches)
        pause = 0.05
        while not self.lost and self.holds():
            try:
                await at_home(append(self.stream, self.run_id, batch, turn=turn))
                _silent_since = math.inf
                return
            except Superseded:
                break
            except RedisError as error:
                _silent_since = min(_silent_since, time.monotonic())
                if time.monotonic() - _silent_since > self.patience:
                    logger.error("Parts of run %s are lost, the event log did not answer: %s", self.run_id, error)
                    self.gave_up = True
                    break
                await asyncio.sleep(pause)
                pause = min(pause * 2, 2.0)
        self.lost = True
        self.waiting.clear()


def _too_large(event: str, size: int) -> dict[str, str]:
    limit = settings.MAX_STREAM_CHUNK_SIZE_BYTES
    message = f"An event ({event}) of {size} bytes is larger than MAX_STREAM_CHUNK_SIZE_BYTES ({limit})."
    return {"error": TOO_LARGE, "message": message}
