"""/admin/live: one WebSocket a page, over which browsers subscribe to topics. Who is signed in may, by role.

Frames from the server are JSON lists of `{"topic", "n", "keep", "value"}` or `{"topic", "error"}`; an empty one is a
sign of life. Frames from the browser are `{"subscribe": [names], "unsubscribe": [names]}`. Changes nothing.
"""

import asyncio
import logging
import time
from contextlib import suppress
from importlib import import_module
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import urlsplit

from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.contrib.auth import get_user
from django.db import DatabaseError
from django.http import parse_cookie

from config import dialect
from config.database import in_thread
from console import live, topics
from console.roles import Role, role_of

logger = logging.getLogger(__name__)
PAUSE_SECONDS = 0.2  # between two frames to one browser
BEAT_SECONDS = 10.0
CHECK_SECONDS = 30.0  # how often it is asked whether the person is still signed in
SEND_SECONDS = 10.0  # how long a browser may take to take a frame
CLOSE_SECONDS = 1.0
MOST_TOPICS = 20  # of one browser
MOST_WAITING = 1000  # frames one browser may have to take
LONGEST_NAME = 200
SIGNED_OUT = (4401, "signed out")
TOO_SLOW = (1013, "the browser does not take what is sent")
BAD_FRAME = (1003, "not a frame of this protocol")


class Live(AsyncWebsocketConsumer):  # type: ignore[misc]
    """One page in one browser."""

    channel_layer_alias = "none"
    sending: asyncio.Task[None] | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve the page until it leaves or is cut off."""
        self.serving, self.cut = asyncio.current_task(), False
        self.role = Role.NONE
        self.names: dict[str, None] = {}
        self.waiting: dict[str, list[str]] = {}
        self.count, self.overrun = 0, False
        self.news = asyncio.Event()
        try:
            await super().__call__(scope, receive, send)
        except asyncio.CancelledError:
            if not self.cut:
                raise
        finally:
            for name in self.names:
                live.hub().leave(name, self)
            if self.sending:
                self.sending.cancel()

    async def dispatch(self, message: dict[str, Any]) -> None:
        """Pass a message on, without Channels' care for database connections: `in_thread` gives them back."""
        await getattr(self, message["type"].replace(".", "_"))(message)

    async def connect(self) -> None:
        """Accept pages of our own that somebody with a role looks at; refuse others before the handshake is done."""
        headers = dict(self.scope["headers"])
        if not is_same_origin(headers):
            await self.close()
            return
        self.session_key = session_key(headers)
        self.role = await self._current_role()
        if self.role == Role.NONE:
            await self.close()
            return
        await self.accept()
        self.sending = asyncio.create_task(self._send_while_signed_in())

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Subscribe and unsubscribe."""
        try:
            given = dialect.loads(text_data or "")
            wanted, unwanted = (_names(given, verb) for verb in ("subscribe", "unsubscribe"))
        except ValueError:
            await self.close(*BAD_FRAME)
            return
        for name in unwanted:
            if name in self.names:
                del self.names[name]
                live.hub().leave(name, self)
        for name in wanted:
            if refusal := self._subscribe(name):
                self.offer(name, live.failure(name, refusal), replaces=True)

    async def disconnect(self, code: int) -> None:
        """The page has left."""

    def _subscribe(self, name: str) -> str:
        """Subscribe; returns why not."""
        topic = topics.find(name)
        if name in self.names:
            return ""
        if topic is None:
            return "There is no such topic"
        if self.role < topic.needs:
            return f"This needs the role {topic.needs}"
        if len(self.names) >= MOST_TOPICS:
            return f"A page has {MOST_TOPICS} topics at most"
        self.names[name] = None
        live.hub().join(name, topic, self)
        return ""

    # --- sending ------------------------------------------------------------------------------------------------------

    def offer(self, topic: str, frame: str, *, replaces: bool) -> None:
        """Keep a frame until it is sent; a browser for which MOST_WAITING are kept already is cut off."""
        if replaces:
            self.count -= len(self.waiting.pop(topic, ()))
        if self.count >= MOST_WAITING:
            self.overrun = True
            self.news.set()
            return
        self.waiting.setdefault(topic, []).append(frame)
        self.count += 1
        self.news.set()

    async def _send_while_signed_in(self) -> None:
        checked = time.monotonic()
        try:
            while not self.overrun:
                await self._send_news()
                if time.monotonic() - checked > CHECK_SECONDS:
                    checked = time.monotonic()
                    if await self._current_role() < self.role:
                        return await self._cut_off(*SIGNED_OUT)
                await asyncio.sleep(PAUSE_SECONDS)
            await self._cut_off(*TOO_SLOW)
        except TimeoutError:
            await self._cut_off(*TOO_SLOW)
        except Exception:
            logger.exception("A page's topics cannot be sent")
            await self._cut_off(1011, "")

    async def _send_news(self) -> None:
        """Wait for something to tell and tell it, or give a sign of life. Raises TimeoutError when it is not taken."""
        with suppress(TimeoutError):
            async with asyncio.timeout(BEAT_SECONDS):
                await self.news.wait()
        if self.overrun:
            return
        self.news.clear()
        frames = [frame for waiting in self.waiting.values() for frame in waiting]
        self.waiting.clear()
        self.count = 0
        async with asyncio.timeout(SEND_SECONDS):
            await self.send(text_data=f"[{','.join(frames)}]")

    async def _cut_off(self, code: int, reason: str) -> None:
        """Close, if the browser still takes that, and stop serving it."""
        with suppress(Exception):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self.close(code, reason)
        self.cut = True
        if self.serving is not None:
            self.serving.cancel()

    async def _current_role(self) -> Role:
        """What the person is now; as before while the database cannot be asked."""
        try:
            return await in_thread(role_of_session, self.session_key)
        except DatabaseError:
            return self.role


def role_of_session(key: str) -> Role:
    """The role of whoever is signed in with the session's key."""
    session = import_module(settings.SESSION_ENGINE).SessionStore(key)
    return role_of(get_user(cast(Any, SimpleNamespace(session=session))))


def session_key(headers: dict[bytes, bytes]) -> str:
    """The session's key from the handshake's cookie, empty if there is none."""
    return parse_cookie(headers.get(b"cookie", b"").decode("latin-1")).get(settings.SESSION_COOKIE_NAME, "")


def is_same_origin(headers: dict[bytes, bytes]) -> bool:
    """Whether the page that connects is of this server, or of one in CSRF_TRUSTED_ORIGINS. Browsers always say."""
    origin = headers.get(b"origin", b"").decode("latin-1").lower()
    host = headers.get(b"host", b"").decode("latin-1").lower()
    return bool(origin) and (urlsplit(origin).netloc == host or origin in settings.CSRF_TRUSTED_ORIGINS)


def _names(given: Any, verb: str) -> list[str]:
    """The topics a frame names after a verb. Raises ValueError when it is not a frame of ours."""
    names = given.get(verb, []) if isinstance(given, dict) else None
    if not isinstance(names, list) or not all(isinstance(name, str) and len(name) <= LONGEST_NAME for name in names):
        raise ValueError("not a frame of this protocol")
    return names
