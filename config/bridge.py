"""An ASGI application that turns on another loop than its server's. Only carries messages; knows no application."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from config.http import ASGIApp, Message, Receive, Scope, Send

T = TypeVar("T")


def on_loop(app: ASGIApp, loop: Callable[[], asyncio.AbstractEventLoop]) -> ASGIApp:
    """`app`, executed on the loop; what it receives and sends goes through the caller's loop, one message at a time.

    Contextvars go along. A caller that is cancelled cancels `app`.
    """

    async def crossing(scope: Scope, receive: Receive, send: Send) -> None:
        here, there = asyncio.get_running_loop(), loop()
        if here is there:
            return await app(scope, receive, send)

        async def received() -> Message:
            return await _across(receive(), here)

        async def sent(message: Message) -> None:
            await _across(send(message), here)

        return await _across(app(scope, received, sent), there)

    return crossing


async def _across(work: Awaitable[T], loop: asyncio.AbstractEventLoop) -> T:
    async def awaited() -> T:
        return await work

    coroutine: Any = awaited()
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, loop))
