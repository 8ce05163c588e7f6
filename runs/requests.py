"""What the views of runs read off a request beside its body."""

import functools
import uuid
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec

from django.http import HttpRequest, HttpResponseBase
from rest_framework.request import Request

from config.errors import error_response
from config.headers import configurable_headers
from runs.assembly import Caller

P = ParamSpec("P")
AsyncView = Callable[P, Coroutine[Any, Any, HttpResponseBase]]


def caller_of(request: HttpRequest | Request) -> Caller:
    """Who asks; a request without an id gets one, as if the client had sent it (contract/core.md 1.8, 1.9)."""
    request_id = request.headers.get("x-request-id") or str(uuid.uuid4())
    return Caller(request_id, configurable_headers({**request.headers, "x-request-id": request_id}))


def endpoint(method: str) -> Callable[[AsyncView[P]], AsyncView[P]]:
    """An async view that answers one method; any other gets 405 with `Allow`."""

    def decorate(view: AsyncView[P]) -> AsyncView[P]:
        @functools.wraps(view)
        async def answer(*args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
            request = args[0]
            if isinstance(request, HttpRequest) and request.method != method:
                return error_response(405, "Method Not Allowed", {"Allow": method})
            return await view(*args, **kwargs)

        return answer

    return decorate
