"""Who sends a request, found out once, before anything reads its body. The open paths are listed here and nowhere else.

Source: contract/platform.md 6.1 and 6.2.
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Protocol

from django.conf import settings

from accounts import custom, keys
from accounts.authorizer import warn_of_uncovered
from accounts.callers import SCOPE_KEY, UNBOUND, Caller, acting, acting_for
from accounts.refusals import Refused
from config import dialect
from config.http import ASGIApp, Message, Receive, Send, local_path
from config.http import Scope as AsgiScope
from config.idempotency import OWNER_KEY, REPLAYED

logger = logging.getLogger(__name__)
OPEN = frozenset({"/", "/ok", "/info", "/metrics", "/docs", "/openapi.json"})
OPEN_TO_GET = ("/ui",)
IN_PROCESS = "/noauth"


class Backend(Protocol):
    """A way to find out who is calling. It raises Refused when it cannot."""

    def __call__(self, scope: AsgiScope, /) -> Awaitable[Caller]:
        """The caller behind an HTTP request or a WebSocket's upgrade."""


def _custom_backend() -> Backend | None:
    auth = custom.custom_auth()
    if auth is None:
        return None
    return lambda scope: custom.caller_by(auth, scope)


# Each gives its backend when it is configured; the first that does decides alone.
BACKENDS: list[Callable[[], Backend | None]] = [_custom_backend, keys.backend]


def backend() -> Backend | None:
    """Who decides on this server; None when nobody has to say who they are."""
    return next((found for configured in BACKENDS if (found := configured())), None)


def check() -> None:
    """What a process does before it serves. Raises ProjectError, or whatever the project's module raises."""
    backend()
    warn_of_uncovered()


async def caller_for(scope: AsgiScope) -> Caller:
    """The caller of an HTTP request or a WebSocket. Raises Refused."""
    if is_in_process(scope):
        return replace(acting(), asked=set())
    decides = backend()
    if decides is None or is_open(scope):
        return UNBOUND
    return await decides(scope)


def is_in_process(scope: AsgiScope) -> bool:
    """Whether our own process asks itself. Only a transport inside it can set this: no client chooses a root path."""
    return bool(scope.get("root_path") == IN_PROCESS)


def is_open(scope: AsgiScope) -> bool:
    """Whether anybody may ask for the path. People's pages and static files have a login, or nothing to hide."""
    if scope["type"] != "http":
        return False
    path = local_path(scope)
    if path in OPEN or path.startswith((*settings.PAGES_PREFIXES, settings.STATIC_PATH)):
        return True
    return scope["method"] == "GET" and path.startswith(OPEN_TO_GET)


def authenticated(app: ASGIApp, *, guarded: bool = True) -> ASGIApp:
    """`app`, reached only by callers who are known, with the caller in the scope; the outermost such layer finds out.

    `guarded` adds the net below it: an answer for which nobody asked the authorizer never leaves.
    """

    async def layer(scope: AsgiScope, receive: Receive, send: Send) -> None:
        try:
            caller = scope.get(SCOPE_KEY) or await caller_for(scope)
        except Refused as refused:
            if scope["type"] == "websocket":
                return await send({"type": "websocket.close"})
            return await refuse(send, refused)
        scope = {**scope, SCOPE_KEY: caller, OWNER_KEY: caller.owner}
        if caller.unbound:
            return await app(scope, receive, send)
        with acting_for(caller):
            return await app(scope, receive, _checked(send, scope, caller) if guarded else send)

    return layer


def _checked(send: Send, scope: AsgiScope, caller: Caller) -> Send:
    """`send`, but for answers of views that forgot to ask."""
    withheld = False

    async def checked(message: Message) -> None:
        nonlocal withheld
        if message["type"] == "http.response.start" and message["status"] < 400 and not _may_leave(message, caller):
            withheld = True
            logger.error("%s %s never asked the authorizer: its answer is withheld", scope["method"], scope["path"])
            await refuse(send, Refused(403, "Forbidden"))
        elif not withheld:
            await send(message)

    return checked


def _may_leave(message: Message, caller: Caller) -> bool:
    """An answer kept for an idempotency key was given to this same caller before."""
    replayed = REPLAYED.lower().encode()
    return bool(caller.asked) or any(name.lower() == replayed for name, _ in message["headers"])


async def refuse(send: Send, refused: Refused) -> None:
    """`{"detail": ...}`, or the bare text that stands for a failure of the handler itself."""
    if refused.status_code == 500:
        kind, body = b"text/plain; charset=utf-8", b"Internal Server Error"
    else:
        kind, body = b"application/json", dialect.dumps({"detail": str(refused.detail) or "unknown error"})
    given = [(name.encode(), value.encode()) for name, value in refused.headers.items()]
    headers: list[Any] = [(b"content-type", kind), (b"content-length", str(len(body)).encode()), *given]
    await send({"type": "http.response.start", "status": refused.status_code, "headers": headers})
    await send({"type": "http.response.body", "body": body})
