"""What tenants and keys may use: requests a second are kept here, runs and bytes where runs and items are made.

Who has no limit costs nothing. Requests are counted in Redis, those of all processes together; while it is away nobody
is refused.
"""

import asyncio
import logging
import math
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from django.conf import settings
from redis.exceptions import RedisError

from accounts.authentication import is_in_process, refuse
from accounts.callers import SCOPE_KEY, Caller, Rate
from accounts.models import Tenant
from accounts.refusals import Refused
from config.database import in_thread
from config.errors import UNAVAILABLE
from config.http import ASGIApp, Message, Receive, Scope, Send
from events import connection

logger = logging.getLogger(__name__)
READ_SECONDS = 5.0  # so old may what a process knows of the tenants be
REDIS_SECONDS = 1.0  # a request waits no longer for Redis
AWAY_SECONDS = 1.0  # and after that none asks it for so long

# A bucket is the time at which it will be empty, in microseconds: the generic cell rate algorithm. KEYS: buckets. ARGV:
# for each the microseconds a request takes, and how many may come at once. Puts one into each, or into none. Answers
# the microseconds to wait (0: it is in); of the fullest bucket its number, what is left, the microseconds until it is
# empty.
TAKE = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local empty, wait, tightest, least = {}, 0, 1, math.huge
for i = 1, #KEYS do
    local takes, burst = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
    empty[i] = math.max(tonumber(redis.call('GET', KEYS[i]) or now), now) + takes
    local left = burst - (empty[i] - now) / takes
    if left < least then tightest, least = i, left end
    wait = math.max(wait, empty[i] - now - burst * takes)
end
wait = math.ceil(wait)
if wait == 0 then
    for i = 1, #KEYS do
        redis.call('SET', KEYS[i], string.format('%.0f', empty[i]), 'PX', math.ceil((empty[i] - now) / 1000))
    end
end
local refused = wait > 0 and tonumber(ARGV[2 * tightest - 1]) or 0
return {wait, tightest, math.max(math.floor(least), 0), math.ceil(empty[tightest] - refused - now)}
"""


class TooManyRequests(Refused):
    """The caller, or the tenant, has used up its requests for now."""

    def __init__(self, verdict: "Verdict") -> None:
        wait = max(math.ceil(verdict.wait), 1)
        headers = {"Retry-After": str(wait), **verdict.headers()}
        super().__init__(429, f"Too many requests. Try again in {wait} s.", headers)


@dataclass(frozen=True)
class Limits:
    """A tenant's; None is none."""

    runs_in_flight: int | None = None
    store_bytes: int | None = None
    rate: Rate | None = None


@dataclass(frozen=True)
class Verdict:
    """What Redis says of one request. Times in seconds."""

    wait: float
    limit: int
    remaining: int
    reset: float

    def headers(self) -> dict[str, str]:
        """As clients read them."""
        return {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(math.ceil(self.reset)),
        }


NO_LIMITS = Limits()
_away_until = float("-inf")


class Tenants:
    """The limits of all tenants that have some, read again when they are needed and READ_SECONDS old."""

    def __init__(self) -> None:
        self._limits: dict[str, Limits] = {}
        self._read_at = float("-inf")
        self._lock = threading.Lock()

    @property
    def is_fresh(self) -> bool:
        """Whether what is known may be used."""
        return time.monotonic() - self._read_at < READ_SECONDS

    def of(self, slug: str) -> Limits:
        """Those of one tenant; reads rows, so call it from a thread unless it is fresh."""
        if not self.is_fresh:
            with self._lock:
                if not self.is_fresh:
                    self._limits = {tenant.slug: _limits(tenant) for tenant in Tenant.objects.all()}
                    self._read_at = time.monotonic()
        return self._limits.get(slug, NO_LIMITS)


@cache
def tenants() -> Tenants:
    """What this process knows of them."""
    return Tenants()


def limits_of(tenant: str) -> Limits:
    """A tenant's limits, of whom there may be no row. May read rows: call it from a thread."""
    return tenants().of(tenant) if tenant else NO_LIMITS


def _limits(tenant: Tenant) -> Limits:
    return Limits(tenant.runs_in_flight, tenant.store_bytes, Rate.of(tenant.requests_per_second, tenant.burst))


# --- requests a second ------------------------------------------------------------------------------------------------


def limited(app: ASGIApp) -> ASGIApp:
    """`app`, reached by no more requests than their callers may send. Lies below the layer that finds the caller."""

    async def layer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or is_in_process(scope):
            return await app(scope, receive, send)
        try:
            verdict = await admit(scope[SCOPE_KEY])
        except UNAVAILABLE as error:
            logger.warning("A tenant's limits cannot be read: %s", error)
            verdict = None  # whoever the request is for says the same
        except TooManyRequests as refused:
            return await refuse(send, refused)
        return await app(scope, receive, _telling(send, verdict) if verdict else send)

    return layer


async def admit(caller: Caller) -> Verdict | None:
    """Count one request; None when there is no limit, or nobody to count. Raises TooManyRequests."""
    buckets = await _buckets(caller)
    verdict = await _take(buckets) if buckets else None
    if verdict and verdict.wait:
        raise TooManyRequests(verdict)
    return verdict


async def _buckets(caller: Caller) -> list[tuple[str, Rate]]:
    """The names of what is counted, and how much there is."""
    found = []
    if caller.rate:
        found.append((f"key:{caller.user.identity}", caller.rate))
    if caller.tenant:
        known = tenants()
        limits = known.of(caller.tenant) if known.is_fresh else await in_thread(known.of, caller.tenant)
        if limits.rate:
            found.append((f"tenant:{caller.tenant}", limits.rate))
    return found


async def _take(buckets: Sequence[tuple[str, Rate]]) -> Verdict | None:
    global _away_until
    if time.monotonic() < _away_until:
        return None
    names = [f"{settings.REDIS_KEY_PREFIX}rate:{name}" for name, _ in buckets]
    numbers = [number for _, rate in buckets for number in (1e6 / rate.per_second, rate.burst)]
    try:
        async with asyncio.timeout(REDIS_SECONDS):
            wait, tightest, remaining, reset = await connection.script(TAKE)(keys=names, args=numbers)
    except (RedisError, OSError, TimeoutError) as error:
        if time.monotonic() < _away_until:
            return None  # another request has said so
        _away_until = time.monotonic() + AWAY_SECONDS
        logger.warning("Redis does not count requests, so none is refused: %r", error)
        return None
    return Verdict(wait / 1e6, buckets[tightest - 1][1].burst, remaining, reset / 1e6)


def _telling(send: Send, verdict: Verdict) -> Send:
    """`send`, with what is left in the headers of the answer."""
    given = [(name.lower().encode(), value.encode()) for name, value in verdict.headers().items()]

    async def telling(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], *given]}
        await send(message)

    return telling
