"""What happens to a request before Django sees it: prefix, size limit, trailing slash, HEAD, CORS, static files.

Plain ASGI layers, because Django would read the whole body before its own middleware could refuse it.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any

from starlette.middleware.cors import CORSMiddleware

from config import dialect

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

EXPOSED_HEADERS = ["x-pagination-total", "x-pagination-next", "content-location"]
METHODS = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY"]


class TooLarge(Exception):
    """The body passed the limit while it was read."""


def cors(app: ASGIApp, origins: list[str], options: dict[str, Any], *, private_network: bool) -> ASGIApp:
    """`app` behind CORS: `options` replaces our defaults as a whole when given (contract/platform.md 2.1, 2.2).

    `private_network` lets public pages reach this server at a private address (2.3).
    """
    if options:
        if "allow_origins" not in options and origins != ["*"]:
            options = {**options, "allow_origins": origins}
        return CORSMiddleware(app, allow_private_network=private_network, **options)
    return CORSMiddleware(
        app,
        allow_origins=origins,
        allow_methods=METHODS,
        allow_headers=["*"],
        allow_credentials="*" not in origins,
        allow_private_network=private_network,
        expose_headers=EXPOSED_HEADERS,
        max_age=600,
    )


def local_path(scope: Scope) -> str:
    """The path below the prefix the server is mounted at."""
    path, prefix = str(scope["path"]), str(scope.get("root_path", ""))
    return path.removeprefix(prefix) if not prefix or path.startswith(f"{prefix}/") else path


def mounted(app: ASGIApp, prefix: str, at_root: frozenset[str]) -> ASGIApp:
    """`app` under the prefix ("" for none); the paths `at_root` are there besides (contract/platform.md 8.5).

    No root path comes from outside: whatever the server below us was started with is replaced.
    """

    async def routed(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if scope["type"] not in ("http", "websocket") or path in at_root:
            return await app({**scope, "root_path": ""}, receive, send)
        if path == prefix and prefix:
            return await _send(send, 307, [(b"location", f"{prefix}/".encode())], b"")
        if not path.startswith(f"{prefix}/"):
            return await _not_here(scope, send)
        return await app({**scope, "root_path": prefix}, receive, send)

    return routed


def limit_body(app: ASGIApp, limit: int) -> ASGIApp:
    """`app`, with 413 for a body above `limit` bytes, counted while it arrives."""

    async def limited(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        if _declared_length(scope) > limit:
            await _too_large(send, limit)
            return
        seen, begun = 0, False

        async def answer(message: Message) -> None:
            nonlocal begun
            if seen <= limit or begun:  # an app that takes the exception for its own failure says 500
                begun = True
                await send(message)

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > limit:
                raise TooLarge
            return message

        with suppress(TooLarge):
            await app(scope, counted, answer)
        if seen > limit and not begun:
            await _too_large(send, limit)

    return limited


def drop_trailing_slash(app: ASGIApp, kept: tuple[str, ...]) -> ASGIApp:
    """`app`, with 307 to the path without its slash, but for paths under the `kept` prefixes."""

    async def redirecting(scope: Scope, receive: Receive, send: Send) -> None:
        # The path as sent: a slash that came as %2F belongs to a segment and stays.
        raw = scope.get("raw_path") or scope.get("path", "").encode()
        path = local_path(scope)
        if scope["type"] != "http" or path == "/" or not raw.endswith(b"/") or path.startswith(kept):
            return await app(scope, receive, send)
        host = next((value for name, value in scope["headers"] if name == b"host"), b"localhost")
        query = b"?" + scope["query_string"] if scope["query_string"] else b""
        location = scope["scheme"].encode() + b"://" + host + raw.rstrip(b"/") + query
        return await _send(send, 307, [(b"location", location)], b"")

    return redirecting


def head_as_get(app: ASGIApp) -> ASGIApp:
    """`app`, with HEAD answered as GET without a body, so that it works wherever GET does."""

    async def headed(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            return await app(scope, receive, send)

        async def without_body(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        return await app({**scope, "method": "GET"}, receive, without_body)

    return headed


async def _not_here(scope: Scope, send: Send) -> None:
    if scope["type"] == "websocket":
        return await send({"type": "websocket.close"})
    body = dialect.dumps({"detail": "Not Found"})
    return await _send(send, 404, [(b"content-type", b"application/json")], body)


def _declared_length(scope: Scope) -> int:
    text = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    return int(text) if text.isdigit() else 0


async def _too_large(send: Send, limit: int) -> None:
    detail = f"Request body exceeds the limit of {limit} bytes (HTTP_MAX_REQUEST_BODY_BYTES)"
    body = dialect.dumps({"detail": detail})
    # The rest of the body is not read, so the connection cannot serve another request.
    await _send(send, 413, [(b"content-type", b"application/json"), (b"connection", b"close")], body)


async def _send(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    headers = [*headers, (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
