"""The project's own Starlette or FastAPI application (`http.app`): started, and put before our routes.

It has a loop of its own, so that what blocks in it blocks nobody's stream; the log says when it does. Knows no route
of ours but by asking Django's. Source: contract/platform.md 1, 6.2 and 8.5; docs/decisions/0025.
"""

import asyncio
import functools
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from django.conf import settings
from django.urls import Resolver404, resolve
from langchain_core.runnables.config import var_child_runnable_config
from langgraph._internal._constants import CONF, CONFIG_KEY_RUNTIME
from langgraph.runtime import Runtime
from starlette.applications import Starlette
from starlette.routing import BaseRoute, Match

from config import access, loop
from config.bridge import on_loop
from config.http import ASGIApp, Receive, Scope, Send, local_path
from config.loading import find
from config.project import ProjectError, project
from config.stalls import watch

FIXED = frozenset({"/ok", "/metrics", "/docs", "/openapi.json"})
ENTRY = "weft.root_path"  # in the scope: what it was before the application's own code could change it
ORDERS = ("middleware_first", "auth_first")


@functools.cache
def load() -> Starlette | None:
    """The application `http.app` names, None without one. Raises ProjectError, or whatever its module raises."""
    section = project().http
    path, order = section.get("app"), section.get("middleware_order", ORDERS[0])
    if order not in ORDERS:
        raise ProjectError(f"http.middleware_order must be {' or '.join(ORDERS)}, not {order!r}.")
    if path is None:
        return None
    if not isinstance(path, str) or ":" not in path:
        raise ProjectError("http.app must be ./file.py:name or package.module:name.")
    app = find(path, "app")
    if not isinstance(app, Starlette):
        raise ProjectError(f"http.app: {path} is a {type(app).__name__}, not a Starlette or FastAPI application.")
    if getattr(app.router, "on_startup", None) or getattr(app.router, "on_shutdown", None):
        raise ProjectError(
            f"http.app: {path} has startup or shutdown handlers, which are not called: use its lifespan."
        )
    return app


class CustomApp:
    """The application among our layers: `core` is ours, and serves everything while no application is started.

    `authenticated` lets only known callers through; `open_store` gives what `get_store()` finds in its routes.
    """

    def __init__(
        self, core: ASGIApp, authenticated: Callable[[ASGIApp], ASGIApp], open_store: Callable[[], Awaitable[Any]]
    ) -> None:
        self.core = core
        self.authenticated = authenticated
        self.open_store = open_store
        self.app: Starlette | None = None
        self._outer: ASGIApp = core
        self._leaving: asyncio.Event | None = None
        self._left: Future[None] | None = None
        self.state: Mapping[str, Any] = {}  # what its lifespan yields

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request or a WebSocket."""
        scope[ENTRY] = scope.get("root_path", "")
        if self.app is None or not (self.app.user_middleware or self.is_custom(scope)):
            return await self.core(scope, receive, send)
        return await self._outer(scope, receive, send)

    async def start(self) -> None:
        """Load the application and enter its lifespan on its loop. Raises what either raises."""
        app = load()
        if app is None:
            return
        self._compose(app, asyncio.get_running_loop())
        started: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._left = asyncio.run_coroutine_threadsafe(
            self._live(app, started, asyncio.get_running_loop()), loop.app_loop()
        )
        self.state = await started
        watch(loop.app_loop(), "The application of http.app")
        self.app = app

    async def stop(self) -> None:
        """Leave its lifespan. Raises what that raises."""
        if self._left is not None and self._leaving is not None:
            loop.app_loop().call_soon_threadsafe(self._leaving.set)
            await asyncio.wrap_future(self._left)

    def is_custom(self, scope: Scope) -> bool:
        """Whether the application answers: it has the route, and it is none of those that cannot be replaced."""
        path = local_path(scope)
        if self.app is None or _is_ours_alone(path):
            return False
        route, match = _best(self.app.routes, scope)
        custom = match is Match.FULL or (match is Match.PARTIAL and not _is_known(path))
        if custom and (seen := scope.get(access.KEY)):
            seen.route = getattr(route, "path", access.NO_ROUTE)
        return custom

    # --- how a request goes through it -----------------------------------------------------------------------------

    def _compose(self, app: Starlette, home: asyncio.AbstractEventLoop) -> None:
        """From the outside in: its middleware, and its exception handlers, then its routes or, at home again, ours."""
        section = project().http
        own: ASGIApp = app.router.middleware_stack
        if section.get("enable_custom_route_auth"):
            # With the store once more: only here is it known whose it is.
            own = on_loop(self.authenticated(on_loop(self._with_store(own), loop.app_loop)), lambda: home)
        core = on_loop(_as_it_came(self.core), lambda: home)

        async def dispatch(scope: Scope, receive: Receive, send: Send) -> None:
            await (own if self.is_custom(scope) else core)(scope, receive, send)

        app.router.middleware_stack = dispatch
        there = on_loop(self._with_store(app), loop.app_loop)
        auth_first = section.get("middleware_order") == "auth_first"
        guarded = self.authenticated(there)

        async def outer(scope: Scope, receive: Receive, send: Send) -> None:
            early = auth_first and not self.is_custom(scope) and scope["type"] == "http"
            await (guarded if early else there)(scope, receive, send)

        self._outer = outer

    def _with_store(self, app: ASGIApp) -> ASGIApp:
        """`app`, where `get_store()` finds the store of whoever the request is made for."""

        async def stored(scope: Scope, receive: Receive, send: Send) -> None:
            scope["state"] = dict(self.state)
            config: Any = {CONF: {CONFIG_KEY_RUNTIME: Runtime(store=await self.open_store())}}
            token = var_child_runnable_config.set(config)
            try:
                await app(scope, receive, send)
            finally:
                var_child_runnable_config.reset(token)

        return stored

    async def _live(self, app: Starlette, started: "asyncio.Future[Any]", home: asyncio.AbstractEventLoop) -> None:
        """The application's whole life, in one task, as lifespans need it."""
        self._leaving = asyncio.Event()
        try:
            async with app.router.lifespan_context(app) as state:
                home.call_soon_threadsafe(started.set_result, state or {})
                await self._leaving.wait()
        except Exception as error:
            if not self._leaving.is_set():
                home.call_soon_threadsafe(started.set_exception, error)
                return
            raise


def _as_it_came(core: ASGIApp) -> ASGIApp:
    """`core`, which never sees a root path the application's middleware may have taken from a header."""

    async def restored(scope: Scope, receive: Receive, send: Send) -> None:
        await core({**scope, "root_path": scope[ENTRY]}, receive, send)

    return restored


def _best(routes: Iterable[BaseRoute], scope: Scope) -> tuple[BaseRoute | None, Match]:
    """The route Starlette's router would take, slashes at the end aside."""
    partial: BaseRoute | None = None
    for route in routes:
        match = route.matches(dict(scope))[0]
        if match is Match.FULL:
            return route, match
        partial = partial or (route if match is Match.PARTIAL else None)
    return partial, Match.PARTIAL if partial else Match.NONE


def _is_ours_alone(path: str) -> bool:
    if path.startswith(settings.PAGES_PREFIXES) or (path in FIXED and "meta" not in settings.DISABLED):
        return True
    # Many applications have files of their own under /static: ours are those that are there.
    ours = settings.STATIC_PATH
    return path.startswith(ours) and (Path(settings.STATIC_ROOT) / path.removeprefix(ours)).is_file()


def _is_known(path: str) -> bool:
    try:
        resolve(path)
    except Resolver404:
        return False
    return True
