"""FastAPI's `Depends` in the parameters of an authenticate handler: FastAPI resolves them, if the project has it.

The handler runs inside, so that what a dependency opened is open as long as the handler runs.
"""

import importlib
import inspect
import sys
import typing
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request

from config import dialect

Run = Callable[[dict[str, Any]], Awaitable[Any]]
Resolve = Callable[[MutableMapping[str, Any], Run], Coroutine[Any, Any, Any]]
REQUEST = "weft_request"  # a parameter of ours; no dependency's
RUN, OUTCOME = "weft.run", "weft.outcome"  # in the scope


def dependencies_of(handler: Callable[..., Any]) -> list[inspect.Parameter]:
    """Its parameters that are dependencies; none while FastAPI is not loaded."""
    fastapi: Any = sys.modules.get("fastapi.params")
    if fastapi is None:
        return []
    hints = _hints(handler)
    found = []
    for parameter in inspect.signature(handler).parameters.values():
        annotation = hints.get(parameter.name, parameter.annotation)
        marks = typing.get_args(annotation)[1:] if typing.get_origin(annotation) is typing.Annotated else ()
        if any(isinstance(mark, fastapi.Depends) for mark in (*marks, parameter.default)):
            found.append(parameter.replace(annotation=annotation, kind=inspect.Parameter.KEYWORD_ONLY))
    return found


def _hints(handler: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(handler, include_extras=True)
    except NameError:
        return {}


def resolver_of(dependencies: list[inspect.Parameter]) -> Resolve:
    """What calls a function with the dependencies' values for the request of an ASGI scope.

    Raises HTTPException where a dependency refuses, and whatever else it or the function raises.
    """
    fastapi = importlib.import_module("fastapi")
    app = fastapi.FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    app.get("/", response_model=None)(_endpoint(dependencies))

    async def resolve(scope: MutableMapping[str, Any], run: Run) -> Any:
        outcome: list[Any] = []
        refusal: dict[str, Any] = {"status": 500, "body": b""}

        async def receive() -> MutableMapping[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: MutableMapping[str, Any]) -> None:
            refusal["status"] = message.get("status", refusal["status"])
            refusal["body"] += message.get("body", b"")

        await app({**_bare(scope), RUN: run, OUTCOME: outcome}, receive, send)
        if outcome:
            return outcome[0]
        raise HTTPException(refusal["status"], _detail(refusal["body"]))

    return resolve


def _endpoint(dependencies: list[inspect.Parameter]) -> Callable[..., Awaitable[None]]:
    async def endpoint(**values: Any) -> None:
        scope = values.pop(REQUEST).scope
        scope[OUTCOME].append(await scope[RUN](values))

    request = inspect.Parameter(REQUEST, inspect.Parameter.KEYWORD_ONLY, annotation=Request)
    endpoint.__signature__ = inspect.Signature([request, *dependencies])  # type: ignore[attr-defined]
    return endpoint


def _bare(scope: MutableMapping[str, Any]) -> dict[str, Any]:
    """The request as FastAPI takes it, a WebSocket's upgrade as well; without its path, which would choose a route."""
    known = {name: scope[name] for name in ("headers", "query_string", "server", "client") if name in scope}
    fixed = {"type": "http", "http_version": "1.1", "method": "GET", "path": "/", "root_path": "", "scheme": "http"}
    return {"query_string": b"", **known, **fixed}


def _detail(body: bytes) -> str | None:
    try:
        return str(dialect.loads(body)["detail"])
    except (ValueError, KeyError, TypeError):
        return None
