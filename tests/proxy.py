"""A loopback port in front of a server that lets bytes pass, holds them, swallows them or resets connections.

Runs on a loop and thread of its own, so that synchronous and asynchronous tests use it alike.
"""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self
from urllib.parse import urlsplit

from psycopg.conninfo import conninfo_to_dict, make_conninfo

CHUNK = 65536
ANSWER_SECONDS = 10.0
LINGER_NOT = struct.pack("ii", 1, 0)  # close() sends a reset instead of the orderly end


class Mode(StrEnum):
    """What happens to bytes, in both directions, and to new connections."""

    PASS = "pass"  # they arrive, `delay` seconds late
    HALF_OPEN = "half_open"  # nothing moves and nothing closes; once it passes again all goes on where it stopped
    BLACKHOLE = "blackhole"  # taken and lost; connections it saw stay dead for ever, as if the peer had lost its power
    RESET = "reset"  # connections are reset, new ones as soon as they are accepted


@dataclass(eq=False)
class Link:
    """One client's connection. A dead one swallows for the rest of its life."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter | None = None
    dead: bool = False


@dataclass
class Proxy:
    """Use it as a context. `target` is `(host, port)` or a path of a Unix socket; `port` is where clients go."""

    target: tuple[str, int] | str
    delay: float = 0.0  # seconds each chunk is late, may be changed at any time
    port: int = 0
    accepted: int = 0  # connections so far
    mode: Mode = Mode.PASS
    links: set[Link] = field(default_factory=set)
    tasks: set["asyncio.Task[Any]"] = field(default_factory=set)

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self._call(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(ANSWER_SECONDS)
        self._loop.close()

    def set(self, mode: Mode) -> None:
        """Change the mode, for the connections there are and for new ones."""
        self._call(self._set(mode))

    @contextlib.contextmanager
    def being(self, mode: Mode) -> Iterator[None]:
        """In a mode while the block lasts, then passing again."""
        self.set(mode)
        try:
            yield
        finally:
            self.set(Mode.PASS)

    def reset_all(self) -> None:
        """Reset the connections there are; new ones are served as the mode says."""
        self._call(self._reset_all())

    # --- on the proxy's loop ------------------------------------------------------------------------------------

    def _call(self, coroutine: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(ANSWER_SECONDS)

    async def _listen(self) -> None:
        self._moves = asyncio.Event()
        self._moves.set()
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        self._server.close()
        await self._reset_all()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def _set(self, mode: Mode) -> None:
        self.mode = mode
        if mode is Mode.HALF_OPEN:
            self._moves.clear()
        else:
            self._moves.set()
        if mode is Mode.BLACKHOLE:
            for link in self.links:
                link.dead = True
        elif mode is Mode.RESET:
            await self._reset_all()

    async def _reset_all(self) -> None:
        for link in list(self.links):
            _reset(link)
        await asyncio.sleep(0)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        link = Link(writer, dead=self.mode is Mode.BLACKHOLE)
        self.links.add(link)
        try:
            await self._moves.wait()
            await (self._pump(link, reader, writer) if link.dead else self._serve(link, reader))
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self.links.discard(link)
            for end in (link.client, link.server):
                if end is not None:
                    end.close()

    async def _serve(self, link: Link, reader: asyncio.StreamReader) -> None:
        if self.mode is Mode.RESET:
            _reset(link)
            return
        if isinstance(self.target, str):
            answers, link.server = await asyncio.open_unix_connection(self.target)
        else:
            answers, link.server = await asyncio.open_connection(*self.target)
        asked = asyncio.ensure_future(self._pump(link, reader, link.server))
        answered = asyncio.ensure_future(self._pump(link, answers, link.client))
        try:
            await asyncio.wait((asked, answered), return_when=asyncio.FIRST_COMPLETED)
            if link.dead:
                # A peer without power says no goodbye either: only the client can end this.
                await asked
        finally:
            asked.cancel()
            answered.cancel()
            await asyncio.gather(asked, answered, return_exceptions=True)

    async def _pump(self, link: Link, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(CHUNK):
            await self._moves.wait()
            if not link.dead:
                await asyncio.sleep(self.delay)
                sink.write(data)
                await sink.drain()
        await self._moves.wait()


def _reset(link: Link) -> None:
    for writer in (link.client, link.server):
        if writer is None or writer.is_closing():
            continue
        own = writer.get_extra_info("socket")
        if own is not None and own.family != socket.AF_UNIX:
            with contextlib.suppress(OSError):  # the other end was quicker
                own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
        writer.transport.abort()


@contextlib.contextmanager
def before_redis(uri: str) -> Iterator[tuple[Proxy, str]]:
    """A proxy before the Redis at `uri` (redis:// or unix://), and the address its clients use."""
    parts = urlsplit(uri)
    unix = parts.scheme == "unix"
    with Proxy(parts.path if unix else (parts.hostname or "127.0.0.1", parts.port or 6379)) as proxy:
        yield proxy, f"redis://127.0.0.1:{proxy.port}{'/0' if unix else parts.path}"


@contextlib.contextmanager
def before_postgres(uri: str) -> Iterator[tuple[Proxy, str]]:
    """A proxy before the PostgreSQL at `uri`, and the address its clients use."""
    parts = conninfo_to_dict(uri)
    host, port = str(parts.get("host") or "127.0.0.1"), int(parts.get("port") or 5432)
    target = f"{host}/.s.PGSQL.{port}" if host.startswith("/") else (host, port)
    with Proxy(target) as proxy:
        yield proxy, make_conninfo(uri, host="127.0.0.1", port=proxy.port, sslmode="disable")
