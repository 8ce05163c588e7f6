"""The wake-up beside the event log: says that a stream grew, never what was written.

A ring may be lost, so whoever waits also looks again after a while. One Channels subscription a process and loop
serves every listener.
"""

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakKeyDictionary

from channels.layers import get_channel_layer

logger = logging.getLogger(__name__)
RETRY_SECONDS = 1.0


class Switchboard:
    """Who in this loop listens to which stream."""

    def __init__(self) -> None:
        self.layer = get_channel_layer()
        self.listeners: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self.channel: asyncio.Future[str] | None = None
        self.receiver: asyncio.Task[None] | None = None

    async def join(self, stream: str, rung: asyncio.Event) -> None:
        """Wake `rung` at every ring for `stream`. Without Redis nothing does, and its owner looks again by itself."""
        self.listeners[stream].add(rung)
        with contextlib.suppress(OSError, ConnectionError):
            await self.layer.group_add(group(stream), await self._channel())

    async def leave(self, stream: str, rung: asyncio.Event) -> None:
        """Stop waking `rung`."""
        self.listeners[stream].discard(rung)
        if not self.listeners[stream]:
            del self.listeners[stream]
            with contextlib.suppress(OSError, ConnectionError):
                await self.layer.group_discard(group(stream), await self._channel())

    async def _channel(self) -> str:
        if self.channel is None:
            self.channel = asyncio.ensure_future(self.layer.new_channel())
            self.channel.add_done_callback(self._opened)
        return await asyncio.shield(self.channel)

    def _opened(self, channel: "asyncio.Future[str]") -> None:
        if channel.cancelled() or channel.exception():
            self.channel = None
        else:
            self.receiver = asyncio.ensure_future(self._receive(channel.result()))

    async def _receive(self, channel: str) -> None:
        while True:
            try:
                message = await self.layer.receive(channel)
            except (OSError, ConnectionError):
                logger.warning("The Channels layer did not answer", exc_info=True)
                await asyncio.sleep(RETRY_SECONDS)
                continue
            for rung in self.listeners.get(message["stream"], ()):
                rung.set()


_switchboards: WeakKeyDictionary[asyncio.AbstractEventLoop, Switchboard] = WeakKeyDictionary()


def group(stream: str) -> str:
    """The Channels group that rings for a stream."""
    return f"stream.{stream}"


@asynccontextmanager
async def listening(stream: str) -> AsyncIterator[asyncio.Event]:
    """An event that is set whenever the stream may have grown."""
    switchboard = _switchboards.setdefault(asyncio.get_running_loop(), Switchboard())
    rung = asyncio.Event()
    await switchboard.join(stream, rung)
    try:
        yield rung
    finally:
        await switchboard.leave(stream, rung)


async def ring(stream: str) -> None:
    """Wake everybody who listens to the stream, in any process."""
    layer = get_channel_layer()
    await layer.group_send(group(stream), {"type": "stream.grew", "stream": stream})
