"""Redis clients, one a loop. Owns connections only."""

import asyncio
from typing import Any
from weakref import WeakKeyDictionary

from django.conf import settings
from redis.asyncio import Redis
from redis.commands.core import AsyncScript

_clients: WeakKeyDictionary[asyncio.AbstractEventLoop, Redis] = WeakKeyDictionary()
_scripts: WeakKeyDictionary[Redis, dict[str, AsyncScript]] = WeakKeyDictionary()


def client() -> Redis:
    """The running loop's client; its connections are pooled and give up after 5 s of silence."""
    loop = asyncio.get_running_loop()
    if loop not in _clients:
        _clients[loop] = Redis.from_url(settings.REDIS_URI, **_options())
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
    common = {"socket_connect_timeout": 5, "socket_timeout": 5, "health_check_interval": 15}
    return common if settings.REDIS_URI.startswith("unix:") else {**common, "socket_keepalive": True}
