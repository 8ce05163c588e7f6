"""The event log: append, read, follow. One ordered, replayable Redis stream a thread; knows nothing of runs but ids.

Ids are Redis's own `ms-seq`, strictly increasing within a stream whatever the clock does.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from redis.exceptions import RedisError

from events import bell
from events.connection import client, script

logger = logging.getLogger(__name__)

BEGINNING = "0-0"
NEVER = f"{2**63}-0"  # behind every id there will be
END = "__end__"  # the event of the part that closes a run; never shown to clients
PAGE = 1000  # parts read at once
# One script appends a batch, refreshes the expiry and rings: one round trip however many parts.
APPEND = """
local last
for i = 6, #ARGV, 2 do
    last = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'r', ARGV[3], 'e', ARGV[i], 'd', ARGV[i + 1])
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.call('PUBLISH', ARGV[4], ARGV[5])
return last
"""


@dataclass(frozen=True, slots=True)
class Part:
    """One event of a run: the wire's event name and its JSON data. `id` is empty until it is in the log."""

    run_id: str
    event: str
    data: bytes
    id: str = ""


async def append(stream: str, run_id: str, parts: Sequence[Part], *, last: bool = False) -> str:
    """Write the parts of one run in order, then ring; returns the id of the last. `parts` must not be empty.

    `last` says the run is over: the log is kept RESUMABLE_STREAM_TTL_SECONDS from now, else as long as a run may
    take. Raises RedisError.
    """
    seconds = settings.RESUMABLE_STREAM_TTL_SECONDS + (0 if last else settings.BG_JOB_TIMEOUT_SECS)
    limits = (settings.EVENT_LOG_MAX_LENGTH, int(seconds * 1000))
    arguments: list[str | bytes | int] = [*limits, run_id, bell.redis_channel(), bell.published(stream)]
    for part in parts:
        arguments += (part.event, part.data)
    written: bytes = await script(APPEND)(keys=[_key(stream)], args=arguments)
    return written.decode()


async def read(stream: str, after: str, limit: int = PAGE) -> list[Part]:
    """The parts behind the id `after`, oldest first, at most `limit`. Raises RedisError."""
    rows: Any = await client().xrange(_key(stream), min=f"({after}", count=limit)
    return [Part(f[b"r"].decode(), f[b"e"].decode(), f[b"d"], row.decode()) for row, f in rows]


async def tail(stream: str) -> str:
    """The id of the newest part; BEGINNING when there is none. Raises RedisError."""
    rows: Any = await client().xrevrange(_key(stream), count=1)
    return str(rows[0][0].decode()) if rows else BEGINNING


async def follow(stream: str, after: str, idle: float) -> AsyncIterator[list[Part]]:
    """The parts behind `after` as they come, for ever; an empty list whenever `idle` seconds pass without one.

    Without Redis it yields empty lists, so that whoever follows can look at the rows instead.
    """
    async with bell.listening(stream) as rung:
        while True:
            rung.clear()
            try:
                parts = await read(stream, after)
            except RedisError:
                logger.warning("The event log cannot be read", exc_info=True)
                await asyncio.sleep(min(idle, 1.0))
                yield []
                continue
            if parts:
                after = parts[-1].id
                yield parts
            elif not await _rang(rung, idle):
                yield []


async def delete(stream: str) -> None:
    """Forget the stream. Raises RedisError."""
    await client().delete(_key(stream))


async def _rang(rung: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await rung.wait()
    except TimeoutError:
        return False
    return True


def _key(stream: str) -> str:
    return f"{settings.REDIS_KEY_PREFIX}events:{stream}"
