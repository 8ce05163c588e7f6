"""The event log: append, read, follow. One ordered, replayable Redis stream a thread; knows nothing of runs but ids.

Ids are `ms-number`: strictly increasing whatever the clock does, and the number counts the log's parts, so that a
reader sees when parts are missing.
"""

import asyncio
import logging
import time
import zlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.conf import settings
from redis.exceptions import RedisError

from config import metrics
from events import bell, scripts
from events.connection import client, script
from events.reading import reader

logger = logging.getLogger(__name__)

BEGINNING = "0-0"
NEVER = f"{2**63}-0"  # behind every id there will be
END = "__end__"  # the event of the part that closes a run; never shown to clients
# The event of a part that says: here parts are missing, of its run, or of any run when it names none. Never shown.
GAP = "__gap__"
TRIMMED = b'"trimmed"'  # the data of a GAP: the log kept later parts only, whoever reads is too slow
RESTARTED = b'"restarted"'  # Redis lost the log, and it began anew
EXPIRED = b'"expired"'  # the log's time was up; who had read to its end has missed nothing
UNWRITTEN = b'"unwritten"'  # Redis was away for too long while they were made
PAGE, FIRST_PAGE = 1000, 50  # parts read at once
PAGE_BYTES = 1024 * 1024  # about what a page may hold, judged by the page before
AWAY_SECONDS = 30.0  # how long whoever reads what is there waits for Redis
LOOKED_AT_ONCE = 500  # streams in one round trip
CHEAP = 1  # zlib's fastest level


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

    The same turn again writes nothing more. `last` says the run is over: once no run writes, the log is kept
    RESUMABLE_STREAM_TTL_SECONDS, before that as long as a run may take. Raises RedisError and Superseded.
    """
    kept = settings.RESUMABLE_STREAM_TTL_SECONDS * 1000
    arguments: list[str | bytes | int] = [
        settings.EVENT_LOG_MAX_LENGTH,
        int(settings.EVENT_LOG_MAX_AGE_SECONDS * 1000),
        kept,
        kept + int(settings.BG_JOB_TIMEOUT_SECS * 1000),
        run_id,
        int(last),
        bell.redis_channel(),
        bell.published(stream),
        *turn,
    ]
    for part in parts:
        arguments += (part.event, *_packed(part.data))
    keys = _keys(stream)
    written: bytes | None = await script(scripts.APPEND)(keys=[*keys, f"{keys[0]}:{run_id}"], args=arguments)
    if written is None:
        raise Superseded
    metrics.APPENDS.inc()
    metrics.PARTS.inc(len(parts))
    return written.decode()


async def read(stream: str, after: str, limit: int = PAGE) -> list[Part]:
    """The parts behind the id `after`, oldest first, at most `limit`; a GAP before them where some are missing.

    Raises RedisError.
    """
    rows = await reader().rows(_keys(stream)[0], after, limit)
    parts = [_part(row, fields) for row, fields in rows]
    missing = _gap(after, parts[0].id) if parts else None
    return [Part("", GAP, missing, after), *parts] if missing else parts


async def newest(stream: str, limit: int) -> list[Part]:
    """The newest parts, oldest first, at most `limit`. Raises RedisError."""
    found: list[Part] = []
    before = "+"
    while len(found) < limit:
        rows: Any = await client().xrevrange(_keys(stream)[0], max=before, count=min(PAGE, limit - len(found)))
        found += [_part(row, fields) for row, fields in rows]
        if len(rows) < PAGE:
            break
        before = f"({found[-1].id}"
    return found[::-1]


async def oldest(stream: str) -> str | None:
    """The id of the oldest part that is kept; None when there is none. Raises RedisError."""
    rows: Any = await client().xrange(_keys(stream)[0], count=1)
    return rows[0][0].decode() if rows else None


def is_trimmed(oldest_id: str) -> bool:
    """Whether there were parts before the oldest one."""
    return ordinal(oldest_id)[1] > 1


async def tail(stream: str) -> str:
    """The id of the newest part; BEGINNING when there is none. Raises RedisError."""
    found: bytes | None = await script(scripts.TAIL)(keys=_keys(stream))
    return found.decode() if found else BEGINNING


async def follow(stream: str, after: str, idle: float) -> AsyncIterator[list[Part]]:
    """The parts behind `after` as they come, until the stream is deleted.

    An empty list every `idle` seconds, when somebody nudges the stream's followers (bell.nudge), and once a second
    while Redis is away, so that whoever follows can look at something else.
    """
    limit = FIRST_PAGE
    async with bell.listening(stream, after) as listener, _viewing(idle, listener):
        bell.switchboard().look_for_ever(_news)
        while True:
            listener.clear()
            if listener.gone:
                return
            if listener.grew:
                listener.grew = False
                try:
                    parts = await read(stream, after, limit)
                except RedisError:
                    logger.warning("The event log cannot be read", exc_info=True)
                    listener.grew = True
                    await asyncio.sleep(min(idle, 1.0))
                    yield []
                    continue
                if parts:
                    after = listener.after = parts[-1].id
                    listener.grew = listener.grew or len(parts) >= limit
                    limit = _next_limit(parts)
                    yield parts
                    continue
            if listener.nudged:
                listener.nudged = False
                yield []
            elif not listener.grew:
                await listener.wait()


async def stored(stream: str, after: str) -> AsyncIterator[list[Part]]:
    """What the log has behind `after`, to its end. An empty list then, and once a second while Redis is away.

    Raises RedisError when it has been away for AWAY_SECONDS.
    """
    limit, away_since = FIRST_PAGE, None
    while True:
        try:
            parts = await read(stream, after, limit)
        except RedisError:
            away_since = away_since or time.monotonic()
            if time.monotonic() - away_since > AWAY_SECONDS:
                raise
            await asyncio.sleep(1.0)
            yield []
            continue
        yield parts
        if not parts:
            return
        after, limit, away_since = parts[-1].id, _next_limit(parts), None


async def delete(stream: str) -> None:
    """Forget the stream and end whoever follows it. Raises RedisError."""
    ring = (bell.redis_channel(), bell.published(stream, bell.GONE))
    await script(scripts.DELETE)(keys=_keys(stream), args=ring)


def ordinal(part_id: str) -> tuple[int, int]:
    """An id as numbers that compare as the log is ordered."""
    milliseconds, _, number = part_id.partition("-")
    return int(milliseconds), int(number or 0)


def _gap(after: str, first: str) -> bytes | None:
    """What kind of gap lies between a reader's position and the part it read first; None when there is none."""
    (then, position), (now, number) = ordinal(after), ordinal(first)
    # No part has the number 0: that position is a beginning, or made up by a client.
    if position == 0 or number == position + 1:
        return None
    if number > position:
        return TRIMMED
    return EXPIRED if now - then > settings.RESUMABLE_STREAM_TTL_SECONDS * 1000 else RESTARTED


def _next_limit(parts: Sequence[Part]) -> int:
    """How many parts like these make a page."""
    size = sum(len(part.data) for part in parts) // len(parts) + 1
    return max(1, min(PAGE, PAGE_BYTES // size))


@asynccontextmanager
async def _viewing(seconds: float, listener: bell.Listener) -> AsyncIterator[None]:
    """Count a viewer and nudge it by a timer: a timeout for each wait would cost an idle one most of what it costs."""
    loop = asyncio.get_running_loop()
    timer: asyncio.TimerHandle

    def nudge() -> None:
        nonlocal timer
        listener.nudge()
        timer = loop.call_later(seconds, nudge)

    timer = loop.call_later(seconds, nudge)
    try:
        with metrics.VIEWERS.track_inprogress():
            yield
    finally:
        timer.cancel()


async def _news(positions: Sequence[tuple[str, str]]) -> list[bool]:
    """Which streams have something behind the positions; nothing is known while Redis is away."""
    found: list[bool] = []
    try:
        for start in range(0, len(positions), LOOKED_AT_ONCE):
            page = positions[start : start + LOOKED_AT_ONCE]
            keys = [_keys(stream)[0] for stream, _ in page]
            found += map(bool, await script(scripts.NEWS)(keys=keys, args=[after for _, after in page]))
    except RedisError:
        logger.debug("The event logs cannot be looked at", exc_info=True)
        return [False] * len(positions)
    return found


def _part(row: bytes, fields: dict[bytes, bytes]) -> Part:
    return Part(fields[b"r"].decode(), fields[b"e"].decode(), _unpacked(fields), row.decode())


def _packed(data: bytes) -> tuple[str, bytes]:
    """The field a part's data is stored in, and how: large data is compressed where that makes it smaller."""
    if len(data) >= settings.EVENT_LOG_COMPRESS_BYTES:
        packed = zlib.compress(data, CHEAP)
        if len(packed) < len(data):
            return "z", packed
    return "d", data


def _unpacked(fields: dict[bytes, bytes]) -> bytes:
    packed = fields.get(b"z")
    return fields[b"d"] if packed is None else zlib.decompress(packed)


def _keys(stream: str) -> list[str]:
    return [f"{settings.REDIS_KEY_PREFIX}events:{stream}", f"{settings.REDIS_KEY_PREFIX}head:{stream}"]
