"""The wake-up beside the event log: says that a stream grew, never what was written.

A ring may be lost, so whoever waits also looks again after a while. A process and loop has one Channels subscription
for all its listeners: joining and leaving cost no round trip, which a short run would notice.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Any
from weakref import WeakKeyDictionary

from channels.layers import get_channel_layer
from django.conf import settings

logger = logging.getLogger(__name__)
GROUP = "bells"
RETRY_SECONDS = 1.0


class Switchboard:
    """Who in this loop listens to which stream."""

    def __init__(self) -> None:
        self.listeners: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self.ready = asyncio.Event()
        self.receiver = asyncio.ensure_future(self._receive_for_ever())

    def join(self, stream: str, rung: asyncio.Event) -> None:
        """Wake `rung` at every ring for `stream`. Without Redis nothing does, and its owner looks again by itself."""
        self.listeners[stream].add(rung)

    def leave(self, stream: str, rung: asyncio.Event) -> None:
        """Stop waking `rung`."""
        self.listeners[stream].discard(rung)
        if not self.listeners[stream]:
            del self.listeners[stream]

    async def _receive_for_ever(self) -> None:
        while True:
            try:
                await self._receive()
            except (OSError, ConnectionError):
                logger.warning("The Channels layer did not answer", exc_info=True)
            except Exception:
                logger.exception("The bell cannot be heard")
            await asyncio.sleep(RETRY_SECONDS)

    async def _receive(self) -> None:
        layer: Any = get_channel_layer()
        channel = await layer.new_channel()
        await layer.group_add(GROUP, channel)
        self.ready.set()
        while True:
            message = await layer.receive(channel)
            for rung in self.listeners.get(message["stream"], ()):
                rung.set()


_switchboards: WeakKeyDictionary[asyncio.AbstractEventLoop, Switchboard] = WeakKeyDictionary()


@asynccontextmanager
async def listening(stream: str) -> AsyncIterator[asyncio.Event]:
    """An event that is set whenever the stream may have grown."""
    loop = asyncio.get_running_loop()
    if loop not in _switchboards:
        _switchboards[loop] = Switchboard()
    switchboard, rung = _switchboards[loop], asyncio.Event()
    if not switchboard.ready.is_set():
        # The first listener of the process: what is rung before the subscription stands would go unheard.
        await asyncio.wait([asyncio.ensure_future(switchboard.ready.wait())], timeout=RETRY_SECONDS)
    switchboard.join(stream, rung)
    try:
        yield rung
    finally:
        switchboard.leave(stream, rung)


async def ring(stream: str) -> None:
    """Wake everybody who listens to the stream, in any process."""
    layer: Any = get_channel_layer()
    await layer.group_send(GROUP, message(stream))


def message(stream: str) -> dict[str, str]:
    """What a ring says."""
    return {"type": "stream.grew", "stream": stream}


def published(stream: str) -> bytes:
    """A ring as the Channels layer puts it on the wire, for scripts that append and ring in one round trip."""
    layer: Any = get_channel_layer()
    wire: bytes = layer.serialize(message(stream))
    return wire


@cache
def redis_channel() -> str:
    """The Redis channel behind the layer's group."""
    return f"{settings.CHANNEL_PREFIX}__group__{GROUP}"
