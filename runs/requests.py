"""What async views have in common."""

import functools
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec

from django.http import HttpRequest, HttpResponseBase

from config.errors import error_response

P = ParamSpec("P")
AsyncView = Callable[P, Coroutine[Any, Any, HttpResponseBase]]


def endpoint(method: str) -> Callable[[AsyncView[P]], AsyncView[P]]:
    """An async view that answers one method, which it names as its `method`; any other gets 405 with `Allow`."""

    def decorate(view: AsyncView[P]) -> AsyncView[P]:
        @functools.wraps(view)
        async def answer(*args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
            request = args[0]
            if isinstance(request, HttpRequest) and request.method != method:
                return error_response(405, "Method Not Allowed", {"Allow": method})
            return await view(*args, **kwargs)

        answer.method = method  # type: ignore[attr-defined]
        return answer

    return decorate
