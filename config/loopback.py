"""How code of the project reaches the server it runs in: `get_client()` without a URL, in graphs and in routes.

The SDK looks for a module that has a server; it finds this one, whatever else is installed. Nothing here says who is
calling: accounts/authentication.py knows requests of our own by their root path, which none from outside can have
(config/http.py). Source: contract/platform.md 6.2 and 13.
"""

import asyncio
import functools
import sys
from collections.abc import AsyncIterator
from contextvars import copy_context
from types import ModuleType
from typing import Any

import httpx
from django.urls import get_resolver
from django.utils.module_loading import import_string
from langchain_core.runnables.config import var_child_runnable_config
from langgraph_sdk.client import configure_loopback_transports

from config.http import Message, Receive, Scope, Send

SERVER = "config.asgi.served"
NAME = "langgraph_api"
MOST_WAITING = 100  # parts of an answer nobody has read yet


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """This process's server, put together at the first request; a worker has all of it but the network."""
    server = _server() if _server.cache_info().currsize else await asyncio.to_thread(_server)
    await server(scope, receive, send)


@functools.cache
def _server() -> Any:
    """Imported off the loop: views and their URLs take a second."""
    found = import_string(SERVER)
    _ = get_resolver().url_patterns
    return found


@functools.cache
def register() -> None:
    """Let clients without a URL, made from now on or before, reach this process. Call it before graphs are imported."""
    package, server, transport = (ModuleType(name) for name in (NAME, f"{NAME}.server", f"{NAME}.asgi_transport"))
    package.server, server.app = server, app  # type: ignore[attr-defined]
    package.asgi_transport, transport.ASGITransport = transport, Transport  # type: ignore[attr-defined]
    sys.modules.update({module.__name__: module for module in (package, server, transport)})
    configure_loopback_transports(app)


class Transport(httpx.AsyncBaseTransport):
    """httpx without a network; unlike httpx's own for ASGI it gives an answer part by part, as streams need it."""

    def __init__(self, app: Any = app, root_path: str = "", **_: Any) -> None:
        self.app = app or globals()["app"]
        self.root_path = root_path

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Returns when the answer has begun. Raises what the server raises before that."""
        exchange = Exchange(request)
        # What the server does is no part of the run or request that asks for it.
        context = copy_context()
        context.run(var_child_runnable_config.set, None)
        serving = self.app(exchange.scope(self.root_path), exchange.receive, exchange.send)
        exchange.task = asyncio.create_task(serving, context=context)
        exchange.task.add_done_callback(exchange.end)
        status, headers = await exchange.begun
        return httpx.Response(status, headers=headers, stream=exchange, request=request)


class Exchange(httpx.AsyncByteStream):
    """One request and its answer."""

    def __init__(self, request: httpx.Request) -> None:
        self.request = request
        self.sent: AsyncIterator[bytes] | None = request.stream.__aiter__()  # type: ignore[union-attr]
        self.begun: asyncio.Future[tuple[int, Any]] = asyncio.get_running_loop().create_future()
        self.parts: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.room = asyncio.Semaphore(MOST_WAITING)
        self.left = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    def scope(self, root_path: str) -> Scope:
        """The request as ASGI has it."""
        url = self.request.url
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": self.request.method,
            "headers": [(name.lower(), value) for name, value in self.request.headers.raw],
            "scheme": url.scheme,
            "path": url.path,
            "raw_path": url.raw_path.split(b"?")[0],
            "query_string": url.query,
            "server": (url.host, url.port),
            "client": ("127.0.0.1", 0),
            "root_path": root_path,
        }

    async def receive(self) -> Message:
        """The body, then nothing until the client leaves."""
        if self.sent is None:
            await self.left.wait()
            return {"type": "http.disconnect"}
        part = await anext(self.sent, None)
        if part is None:
            self.sent = None
        return {"type": "http.request", "body": part or b"", "more_body": part is not None}

    async def send(self, message: Message) -> None:
        """Pass a part of the answer on; waits while the client does not read."""
        if message["type"] == "http.response.start":
            self.begun.set_result((message["status"], message.get("headers", [])))
        elif message["type"] == "http.response.body" and message.get("body"):
            await self.room.acquire()
            self.parts.put_nowait(message["body"])

    def end(self, task: "asyncio.Task[None]") -> None:
        """The server is done, or has failed."""
        failure = None if task.cancelled() else task.exception()
        if not self.begun.done():
            self.begun.set_exception(failure or httpx.RemoteProtocolError("The server did not answer"))
        self.parts.put_nowait(None)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """The parts of the body."""
        while (part := await self.parts.get()) is not None:
            self.room.release()
            yield part
        if self.task and self.task.done() and not self.task.cancelled() and (failure := self.task.exception()):
            raise httpx.ReadError(str(failure)) from failure

    async def aclose(self) -> None:
        """The client has what it wants."""
        self.left.set()
        if self.task:
            self.task.cancel()
