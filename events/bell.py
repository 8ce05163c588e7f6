"""The wake-up beside the event log: says that a stream grew or is gone, never what was written.

A ring may be lost, so one look a process asks Redis now and then about everything that is followed here. A process and
loop has one Channels subscription for all its listeners: joining and leaving cost no round trip, which a short run
would notice.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, contextmanager
from contextvars import Context
from functools import cache
from typing import Any
from weakref import WeakKeyDictionary

from channels.layers import get_channel_layer
from django.conf import settings

logger = logging.getLogger(__name__)
GROUP = "bells"
GREW, GONE = "stream.grew", "stream.gone"
RETRY_SECONDS = 1.0
LOOK_SECONDS = 2.0
# Says which of the (stream, position) pairs have something behind the position.
Look = Callable[[Sequence[tuple[str, str]]], Awaitable[Sequence[bool]]]


class Listener(asyncio.Event):
    """Set when there is something to do: the stream grew, it is gone, or somebody nudged."""

    def __init__(self, after: str | None = None) -> None:
        super().__init__()
        self.after = after  # how far a follower has read; None for those who read no log
        self.grew = True
        self.gone = False
        self.nudged = False

    def ring(self, kind: str = GREW) -> None:
        """The stream grew or is gone."""
        self.grew = True
        self.gone = self.gone or kind == GONE
        self.set()

    def nudge(self) -> None:
        """Something else is to be looked at."""
        self.nudged = True
        self.set()


class Switchboard:
    """Who in this loop listens to which stream."""

    def __init__(self) -> None:
        self.listeners: defaultdict[str, set[Listener]] = defaultdict(set)
        self.ready = asyncio.Event()
        # Both outlive whoever happens to start them, so they work and log for nobody.
        self.receiver = asyncio.create_task(self._receive_for_ever(), context=Context())
        self.looker: asyncio.Task[None] | None = None

    @contextmanager
    def joined(self, stream: str, listener: Listener) -> Any:
        """Ring the listener at every ring for `stream` while the block lasts."""
        self.listeners[stream].add(listener)
        try:
            yield listener
        finally:
            self.listeners[stream].discard(listener)
            if not self.listeners[stream]:
                del self.listeners[stream]

    def look_for_ever(self, look: Look) -> None:
        """Find what was not rung for, from now on."""
        if self.looker is None:
            self.looker = asyncio.create_task(self._look_for_ever(look), context=Context())

    async def _look_for_ever(self, look: Look) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            waiting = [
                (stream, listener)
                for stream, listeners in self.listeners.items()
                for listener in listeners
                if listener.after is not None and not listener.grew
            ]
            try:
                news = await look([(stream, listener.after or "") for stream, listener in waiting])
            except (OSError, ConnectionError):
                continue
            except Exception:
                logger.exception("What grew unheard cannot be found")
                continue
            for (_, listener), grew in zip(waiting, news, strict=True):
                if grew:
                    listener.ring()

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
            for listener in self.listeners.get(message["stream"], ()):
                listener.ring(message["type"])


_switchboards: WeakKeyDictionary[asyncio.AbstractEventLoop, Switchboard] = WeakKeyDictionary()


def switchboard() -> Switchboard:
    """The running loop's."""
    loop = asyncio.get_running_loop()
    if loop not in _switchboards:
        _switchboards[loop] = Switchboard()
    return _switchboards[loop]


@asynccontextmanager
async def listening(stream: str, after: str | None = None) -> AsyncIterator[Listener]:
    """An event that is set whenever the stream may have grown. Without Redis nothing sets it."""
    board = switchboard()
    if not board.ready.is_set():
        # The first listener of the process: what is rung before the subscription stands would go unheard.
        await asyncio.wait([asyncio.ensure_future(board.ready.wait())], timeout=RETRY_SECONDS)
    with board.joined(stream, Listener(after)) as listener:
        yield listener


def nudge(stream: str) -> None:
    """Wake whoever in this loop follows the stream, to look at something else than the log."""
    for listener in switchboard().listeners.get(stream, ()):
        listener.nudge()


async def ring(stream: str) -> None:
    """Wake everybody who listens to the stream, in any process."""
    layer: Any = get_channel_layer()
    await layer.group_send(GROUP, message(stream))


def message(stream: str, kind: str = GREW) -> dict[str, str]:
    """What a ring says."""
    return {"type": kind, "stream": stream}


def published(stream: str, kind: str = GREW) -> bytes:
    """A ring as the Channels layer puts it on the wire, for scripts that append and ring in one round trip."""
    layer: Any = get_channel_layer()
    wire: bytes = layer.serialize(message(stream, kind))
    return wire


@cache
def redis_channel() -> str:
    """The Redis channel behind the layer's group."""
    return f"{settings.CHANNEL_PREFIX}__group__{GROUP}"
