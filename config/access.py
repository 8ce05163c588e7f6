"""One line a request, and what its other lines carry: an id, its route, the ids in its path. Owns no answer."""

import logging
import re
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from django.urls import ResolverMatch

from config import logs, metrics, tracing
from config.headers import logged
from config.http import ASGIApp, Message, Receive, Scope, Send

logger = logging.getLogger("weft.access")
KEY = "weft.seen"  # in the scope
REQUEST_ID = b"x-request-id"
UNSEEN = frozenset({"/ok", "/metrics"})  # asked all the time by those who look whether we are alive
UNCOUNTED = frozenset({*UNSEEN, "/info", "/docs", "/openapi.json"})
NO_ROUTE = "/{path}"  # where no route fits
AN_ID = re.compile(r"[0-9a-fA-F-]{32,36}")  # anything else is a client's text
GONE = 499  # the client left before it was answered


@dataclass(slots=True)
class Seen:
    """What is known of a request. `route` is the template; `ids` are those in the path."""

    method: str
    route: str = NO_ROUTE
    ids: dict[str, str] = field(default_factory=dict)
    status: int = GONE
    milliseconds: float = 0.0


def observed(app: ASGIApp) -> ASGIApp:
    """`app`, its requests with an id each and told of when they are over."""

    async def observing(scope: Scope, receive: Receive, send: Send) -> None:
        request_id = _request_id(scope)
        logs.bind(request_id=request_id)
        if scope["type"] != "http":
            return await app(scope, receive, send)
        seen = scope[KEY] = Seen(scope["method"])
        started = time.perf_counter()

        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                seen.status = message["status"]
            await send(message)

        with _span(scope, seen):
            try:
                await app(scope, receive, noting)
            except Exception:
                seen.status = 500
                raise
            finally:
                seen.milliseconds = (time.perf_counter() - started) * 1000
                _tell(scope, seen)
        return None

    return observing


def note_route(scope: Scope, match: ResolverMatch) -> None:
    """Say which route a request takes; lines logged from here on carry the ids in its path."""
    ids = {name: text for name, text in match.kwargs.items() if name.endswith("_id") and AN_ID.fullmatch(str(text))}
    if ids:
        logs.bind(**ids)
    if seen := scope.get(KEY):
        seen.route, seen.ids = template_of(match.route), ids


@lru_cache(1024)
def template_of(route: str) -> str:
    """Django's `threads/<str:thread_id>` as `/threads/{thread_id}`."""
    return "/" + re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", route)


def _request_id(scope: Scope) -> str:
    """The id the client sent; else a new one, put where the client would have (contract/core.md 1.8)."""
    for name, value in scope["headers"]:
        if name == REQUEST_ID:
            return bytes(value).decode("latin-1")
    made = str(uuid.uuid4())
    scope["headers"] = [*scope["headers"], (REQUEST_ID, made.encode())]
    return made


@contextmanager
def _span(scope: Scope, seen: Seen) -> Iterator[None]:
    """The request's span, where traces are asked for."""
    if tracing.otel is None or scope["path"] in UNCOUNTED:
        yield
        return
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    with tracing.request_span(seen.method, headers) as span:
        try:
            yield
        finally:
            facts = {"http.route": seen.route, "http.response.status_code": seen.status}
            tracing.close(span, f"{seen.method} {seen.route}", facts, failed=seen.status >= 500)


def _tell(scope: Scope, seen: Seen) -> None:
    if seen.route not in UNCOUNTED:
        labels = (seen.method, seen.route, str(seen.status))
        metrics.REQUESTS.labels(*labels).inc()
        metrics.LATENCY.labels(*labels).observe(seen.milliseconds)
    if seen.route in UNSEEN or not logger.isEnabledFor(logging.INFO):
        return
    facts: dict[str, Any] = {"method": seen.method, "route": seen.route, "status": seen.status, **seen.ids}
    facts["milliseconds"] = round(seen.milliseconds, 1)
    if headers := logged({name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}):
        facts["headers"] = headers
    logger.info("%s %s", seen.method, seen.route, extra=facts)
