"""The event log: append, read, follow. One ordered, replayable Redis stream a thread; knows nothing of runs but ids.

Ids are Redis's own `ms-seq`, strictly increasing within a stream whatever the clock does.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.conf import settings
from redis.exceptions import RedisError

from events import bell
from events.connection import client, script

logger = logging.getLogger(__name__)

BEGINNING = "0-0"
NEVER = f"{2**63}-0"  # behind every id there will be
END = "__end__"  # the event of the part that closes a run; never shown to clients
PAGE = 1000  # parts read at once
# One script appends a batch, refreshes the expiry and rings: one round trip however many parts. It remembers who wrote
# what: a batch that is sent again because its answer got lost is not written twice, and what an old attempt sends when
# a later one writes already, or the run is over, is not written at all.
APPEND = """
local attempt, batch = tonumber(ARGV[6]), tonumber(ARGV[7])
local known = attempt > 0 and redis.call('GET', KEYS[2])
if known then
    local by, number, id = string.match(known, '(%d+) (%d+) (.+)')
    if tonumber(by) > attempt then return false end
    if tonumber(by) == attempt and tonumber(number) >= batch then return id end
end
local last
for i = 8, #ARGV, 2 do
    last = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'r', ARGV[3], 'e', ARGV[i], 'd', ARGV[i + 1])
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
if attempt > 0 then
    redis.call('SET', KEYS[2], string.format('%.0f %.0f %s', attempt, batch, last), 'PX', ARGV[2])
end
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


class Turn(NamedTuple):
    """Which attempt of a run writes, and the how many-th of its batches, from 1. Attempt 0 writes whenever it likes."""

    attempt: int
    batch: int


ANY_TURN = Turn(0, 0)
LAST_TURN = Turn(2**53, 1)  # nothing of the run comes behind it


class Superseded(Exception):
    """A later attempt of the run writes its parts by now, or the run is over: nothing was written."""


async def append(stream: str, run_id: str, parts: Sequence[Part], *, turn: Turn = ANY_TURN, last: bool = False) -> str:
    """Write the parts of one run in order, then ring; returns the id of the last. `parts` must not be empty.

    The same turn again writes nothing more. `last` says the run is over: the log is kept RESUMABLE_STREAM_TTL_SECONDS
    from now, else as long as a run may take. Raises RedisError and Superseded.
    """
    seconds = settings.RESUMABLE_STREAM_TTL_SECONDS + (0 if last else settings.BG_JOB_TIMEOUT_SECS)
    limits = (settings.EVENT_LOG_MAX_LENGTH, int(seconds * 1000))
    arguments: list[str | bytes | int] = [*limits, run_id, bell.redis_channel(), bell.published(stream), *turn]
    for part in parts:
        arguments += (part.event, part.data)
    keys = [_key(stream), f"{_key(stream)}:{run_id}"]
    written: bytes | None = await script(APPEND)(keys=keys, args=arguments)
    if written is None:
        raise Superseded
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
