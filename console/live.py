"""Tells topics to the browsers that look at them: one source a topic and process, however many browsers.

A topic's source is an async iterator of values. Of a topic that keeps one value a slow browser gets the latest only; of
one that keeps more it gets each, and is cut off when too many wait for it. Knows no topic by name; console/topics.py
does.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from config import dialect
from config.database import in_thread
from console.roles import Role

logger = logging.getLogger(__name__)
LOOK_SECONDS = 0.15
SHARE_OF_TIME = 0.1  # the most of its time a polled source spends looking
RETRY_SECONDS = 2.0

Source = Callable[[str], AsyncIterator[Any]]


@dataclass(frozen=True)
class Topic:
    """What may be subscribed to. `source(key)` gets what stands behind the colon of a name such as `run:<id>`.

    `keep` is how many of the last values a newcomer is told.
    """

    source: Source
    needs: Role = Role.VIEWER
    keep: int = 1


class Viewer(Protocol):
    """A browser, seen from here."""

    def offer(self, topic: str, frame: str, *, replaces: bool) -> None:
        """Take a frame to send; it may replace one of the same topic that is not sent yet."""


def polled(look: Callable[[str], Any], seconds: float = LOOK_SECONDS) -> Source:
    """A source that calls `look(key)` in a thread again and again; it may use the ORM. A slow look is repeated less."""

    async def source(key: str) -> AsyncIterator[Any]:
        while True:
            begun = time.monotonic()
            yield await in_thread(look, key)
            await asyncio.sleep(max(seconds, (time.monotonic() - begun) / SHARE_OF_TIME))

    return source


class Broadcast:
    """One topic with a key: its source runs while somebody looks."""

    def __init__(self, name: str, topic: Topic) -> None:
        self.name, self.topic = name, topic
        self.viewers: set[Viewer] = set()
        self.recent: deque[str] = deque(maxlen=topic.keep)
        self.last, self.count = "", 0
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        key = self.name.partition(":")[2]
        while True:
            try:
                async for value in self.topic.source(key):
                    self._tell(dialect.dumps_text(value))
                return
            except Exception:
                logger.warning("The live topic %s has no values at present", self.name, exc_info=True)
                self._say_failed()
                await asyncio.sleep(RETRY_SECONDS)

    def _tell(self, text: str) -> None:
        """Tell all viewers; what has not changed is not told again."""
        only_latest = self.topic.keep == 1
        if only_latest and text == self.last:
            return
        self.last, self.count = text, self.count + 1
        frame = f'{{"topic":{dialect.dumps_text(self.name)},"n":{self.count},"keep":{self.topic.keep},"value":{text}}}'
        self.recent.append(frame)
        for viewer in list(self.viewers):
            viewer.offer(self.name, frame, replaces=only_latest)

    def _say_failed(self) -> None:
        self.last = ""  # the next value is told even if it is the same
        frame = failure(self.name, "The server cannot look at present")
        for viewer in list(self.viewers):
            viewer.offer(self.name, frame, replaces=True)


class Hub:
    """The broadcasts of one event loop."""

    def __init__(self) -> None:
        self.broadcasts: dict[str, Broadcast] = {}

    def join(self, name: str, topic: Topic, viewer: Viewer) -> None:
        """Tell the viewer of the topic from now on, beginning with what it keeps."""
        broadcast = self.broadcasts.get(name)
        if broadcast is None:
            broadcast = self.broadcasts[name] = Broadcast(name, topic)
        broadcast.viewers.add(viewer)
        for frame in broadcast.recent:
            viewer.offer(name, frame, replaces=topic.keep == 1)

    def leave(self, name: str, viewer: Viewer) -> None:
        """Tell it no more; the last one to leave stops the source."""
        broadcast = self.broadcasts.get(name)
        if broadcast is None:
            return
        broadcast.viewers.discard(viewer)
        if not broadcast.viewers:
            broadcast.task.cancel()
            del self.broadcasts[name]


def failure(name: str, reason: str) -> str:
    """The frame that says why a topic tells nothing."""
    return dialect.dumps_text({"topic": name, "error": reason})


_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = WeakKeyDictionary()


def hub() -> Hub:
    """The running loop's."""
    return _hubs.setdefault(asyncio.get_running_loop(), Hub())
