"""The project's own Auth object: imported, checked, asked. Its code runs on the graph loop or in a thread.

Knows nothing of rows. Source: contract/platform.md 6.3 to 6.6.
"""

import asyncio
import functools
import inspect
import logging
from collections.abc import Coroutine, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from langgraph_sdk import Auth
from starlette.authentication import AuthenticationError
from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.requests import Request

from accounts.callers import Caller, StudioUser, User
from accounts.dependencies import Resolve, dependencies_of, resolver_of
from accounts.refusals import Forbidden, Refused, ServerFailed
from config import loop
from config.loading import find
from config.project import ProjectError, project

logger = logging.getLogger(__name__)
AsgiScope = MutableMapping[str, Any]
HANDLER_SECONDS = 30.0
STUDIO_DOMAIN = "langchain.com"
LOOPBACK = ("localhost", "127.0.0.1", "::1")
HTTP_ERRORS = (Auth.exceptions.HTTPException, HTTPException)
PARAMETERS = frozenset(
    {
        "request",
        "path",
        "method",
        "path_params",
        "query_params",
        "headers",
        "authorization",
        "scope",
        "scopes",
        "user",
        "body",  # known, yet never supplied: authentication comes before the body
    }
)


@dataclass(frozen=True)
class CustomAuth:
    """The Auth object, and which parameters its authenticate handler takes."""

    auth: Auth
    parameters: tuple[str, ...]
    studio: bool  # whether developers at Studio get in by a header; never outside of development
    resolve: Resolve | None = None  # of its FastAPI dependencies, if it has any

    def handler_of(self, resource: str, action: str) -> Any:
        """The one handler that decides, the most particular there is; None when nobody does."""
        for pair in ((resource, action), (resource, "*"), ("*", action), ("*", "*")):
            if found := self.auth._handlers.get(pair):
                return found[-1]
        return self.auth._global_handlers[-1] if self.auth._global_handlers else None

    @property
    def has_handlers(self) -> bool:
        """Whether the object decides about resources at all."""
        return bool(self.auth._handlers or self.auth._global_handlers)


@functools.cache
def custom_auth() -> CustomAuth | None:
    """The project's, None when it has none. Raises ProjectError, or whatever its module raises."""
    section = project().auth
    path = section.get("path")
    if not path:
        return None
    if not isinstance(path, str):
        raise ProjectError("auth.path must be a string such as ./auth.py:auth.")
    found = find(path, "auth")
    if not isinstance(found, Auth):
        raise ProjectError(f"auth.path: {path} is a {type(found).__name__}, not a langgraph_sdk.Auth.")
    if found._authenticate_handler is None:
        raise ProjectError(f"auth.path: {path} has no @auth.authenticate handler.")
    studio = settings.STUDIO_WITHOUT_CREDENTIALS and not section.get("disable_studio_auth", False)
    return custom_from(path, found, studio=studio)


def custom_from(path: str, auth: Auth, *, studio: bool = False) -> CustomAuth:
    """What is known of the object before its first request. Raises ProjectError."""
    handler = auth._authenticate_handler
    dependencies = dependencies_of(handler) if handler else []
    resolve = resolver_of(dependencies) if dependencies else None
    names = _parameters(path, handler, {parameter.name for parameter in dependencies})
    return CustomAuth(auth, names, studio, resolve)


def _parameters(path: str, handler: Any, resolved: set[str]) -> tuple[str, ...]:
    wanted = [one for one in inspect.signature(handler).parameters.values() if one.name not in resolved]
    for parameter in wanted:
        if parameter.name not in PARAMETERS and parameter.default is parameter.empty:
            raise ProjectError(f"auth.path: the authenticate handler of {path} asks for '{parameter.name}'.")
    return tuple(parameter.name for parameter in wanted if parameter.name in PARAMETERS)


async def caller_by(custom: CustomAuth, scope: AsgiScope) -> Caller:
    """Who asks, by the authenticate handler. Raises Refused."""
    headers = dict(scope["headers"])
    if custom.studio and headers.get(b"x-auth-scheme") == b"langsmith" and is_studio(headers.get(b"origin", b"")):
        return Caller(StudioUser())
    try:
        user = user_of(await _authenticated(custom, scope, headers))
    except HTTP_ERRORS as error:
        if error.status_code not in (401, 403):
            raise _failed(error) from error
        raise Refused(error.status_code, error.detail) from None
    except AuthenticationError as error:
        raise Refused(403, str(error)) from None
    except ValueError as error:
        raise Refused(400, str(error)) from None
    except Refused:
        raise
    except Exception as error:
        raise _failed(error) from error
    return Caller(user, tenant=str(user.get("tenant_id") or ""))


def is_studio(origin: bytes) -> bool:
    """Whether a page of the origin may be Studio; without one it is no page. Any other a developer visits is not."""
    host = urlsplit(origin.decode("latin-1")).hostname or ""
    return not origin or host in LOOPBACK or host == STUDIO_DOMAIN or host.endswith(f".{STUDIO_DOMAIN}")


def _failed(error: Exception) -> Refused:
    logger.error("The authenticate handler failed", exc_info=error)
    return Refused(500, "")


async def _authenticated(custom: CustomAuth, scope: AsgiScope, headers: dict[bytes, bytes]) -> Any:
    handler: Any = custom.auth._authenticate_handler
    arguments = _arguments(custom.parameters, scope, headers)
    if custom.resolve:
        run = functools.partial(_called, handler, arguments)
        return await loop.at_home(_in_time(custom.resolve(scope, run)))
    if inspect.iscoroutinefunction(handler):
        return await loop.at_home(_in_time(handler(**arguments)))
    return await _in_time(asyncio.to_thread(handler, **arguments))


async def _in_time(work: Coroutine[Any, Any, Any]) -> Any:
    """What a handler returns. Raises TimeoutError when it takes too long: requests and the beat wait for it."""
    async with asyncio.timeout(HANDLER_SECONDS):
        return await work


async def _called(handler: Any, arguments: dict[str, Any], values: dict[str, Any]) -> Any:
    if inspect.iscoroutinefunction(handler):
        return await handler(**arguments, **values)
    return await asyncio.to_thread(handler, **arguments, **values)


def _arguments(names: tuple[str, ...], scope: AsgiScope, headers: dict[bytes, bytes]) -> dict[str, Any]:
    """The handler's parameters, by name. Raises Refused for a request on a WebSocket, which has none."""
    given: dict[str, Any] = {
        "path": scope["path"],
        "method": scope.get("method", "GET"),
        "path_params": {},
        "query_params": QueryParams(scope.get("query_string", b"")),
        "headers": headers,
        "authorization": headers[b"authorization"].decode("latin-1") if b"authorization" in headers else None,
        "scope": scope,
        "scopes": [],
        "user": None,
    }
    if "request" in names:
        if scope["type"] != "http":
            raise Refused(403, "A WebSocket has no request: the authenticate handler must not ask for one.")
        given["request"] = Request(scope)
    return {name: given[name] for name in names if name in given}


def user_of(result: Any) -> User:
    """The user an authenticate handler returned in any of its forms. Raises ValueError."""
    permissions: Any = None
    if isinstance(result, tuple) and len(result) == 2:
        permissions, result = result
    if isinstance(result, str):
        fields: dict[str, Any] = {"identity": result}
    elif isinstance(result, Mapping):
        fields = dict(result)
    else:
        fields = _fields_of(result)
    if fields.get("identity") is None:
        raise ValueError("The authenticate handler must return a user with an 'identity' property.")
    if permissions is not None:
        fields["permissions"] = list(permissions)
    return User(fields)


def _fields_of(user: Any) -> dict[str, Any]:
    """An object's public fields, and those it computes that every user has."""
    fields = dict(user.model_dump()) if hasattr(user, "model_dump") else dict(getattr(user, "__dict__", {}))
    fields = {name: value for name, value in fields.items() if not name.startswith("_")}
    for name in ("identity", "display_name", "is_authenticated", "permissions"):
        if hasattr(user, name):
            fields[name] = getattr(user, name)
    return fields


# --- resources ------------------------------------------------------------------------------------------------------


def decide(custom: CustomAuth, caller: Caller, resource: str, action: str, value: Any) -> Mapping[str, Any] | None:
    """What the one handler says: the filter it returned, or None. `value` is its to change.

    Call it from a thread. Raises Forbidden, ServerFailed and whatever HTTP error the handler raises.
    """
    handler = custom.handler_of(resource, action)
    if handler is None:
        return None
    about: dict[str, Any] = {"resource": resource, "action": action, "permissions": caller.user.permissions}
    context = Auth.types.AuthContext(user=caller.user, **about)
    try:
        result = loop.run(_in_time(handler(ctx=context, value=value)))
    except HTTP_ERRORS as error:
        raise Refused(error.status_code, error.detail, dict(error.headers or {})) from None
    except AssertionError as error:
        raise Forbidden(str(error) or None) from None
    if result is None or result is True:
        return None
    if result is False:
        raise Forbidden
    if isinstance(result, Mapping):
        return result
    name = type(result).__name__
    raise ServerFailed(f"The handler of {resource}.{action} returned a {name}, not a bool, a filter or None.")
