"""Redis clients, one a loop. Owns connections only."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from weakref import WeakKeyDictionary

from django.conf import settings
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.commands.core import AsyncScript
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

ANSWER_SECONDS = 5.0


@asynccontextmanager
async def answering() -> AsyncIterator[None]:
    """Bounds the wait for Redis inside the block, redis-py's own retries and queues included. Raises RedisError.

    On uvloop a connection that broke is a RuntimeError where a loop of the standard library says ConnectionResetError.
    """
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            yield
    except TimeoutError as error:
        raise RedisTimeoutError("Redis did not answer") from error
    except RuntimeError as error:
        raise RedisConnectionError(str(error)) from error


class Client(Redis):
    """redis-py, every command of which ends."""

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Raises RedisError for whatever ails the connection, after ANSWER_SECONDS at the latest."""
        async with answering():
            return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]


_clients: WeakKeyDictionary[asyncio.AbstractEventLoop, Redis] = WeakKeyDictionary()
_scripts: WeakKeyDictionary[Redis, dict[str, AsyncScript]] = WeakKeyDictionary()


def client() -> Redis:
    """The running loop's client; its connections are pooled and give up after 5 s of silence.

    Tried again once, for the connection Redis closed while it was idle; the rest is the caller's, who knows how long.
    """
    loop = asyncio.get_running_loop()
    if loop not in _clients:
        _clients[loop] = Client.from_url(settings.REDIS_URI, **_options())
    return _clients[loop]


def script(source: str) -> AsyncScript:
    """The Lua script, ready to be called on the running loop; it is sent to Redis once and named after that."""
    known = _scripts.setdefault(client(), {})
    if source not in known:
        known[source] = client().register_script(source)
    return known[source]


async def close() -> None:
    """Give the running loop's connections back; the next use opens new ones."""
    found = _clients.pop(asyncio.get_running_loop(), None)
    if found is not None:
        await found.aclose()


def _options() -> dict[str, Any]:
    common = {
        "socket_connect_timeout": ANSWER_SECONDS,
        "socket_timeout": ANSWER_SECONDS,
        "health_check_interval": 15,
        "retry": Retry(NoBackoff(), 1),
    }
    return common if settings.REDIS_URI.startswith("unix:") else {**common, "socket_keepalive": True}
