"""The project's own application among our layers: middleware orders, authentication, what it cannot take from us."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from langgraph.store.memory import InMemoryStore

from accounts.authentication import authenticated
from accounts.callers import SCOPE_KEY, acting
from config import dialect, http
from config.custom_app import CustomApp
from config.loopback import Transport
from config.project import ProjectError
from tests.projects import forget

APP = """
from contextlib import asynccontextmanager
from langgraph.config import get_store
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Mount, Route, WebSocketRoute
from fastapi import FastAPI

seen = []

class Watching:
    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        if scope["type"] == "http":
            seen.append((scope["path"], "weft.caller" in scope))
            prefix = dict(scope["headers"]).get(b"x-forwarded-prefix")
            if prefix:
                scope["root_path"] = prefix.decode()
        await self.app(scope, receive, send)

async def stored(request):
    return JSONResponse((await get_store().aget(("x",), "whose")).value)

async def own(request):
    '''
    What is mine.
    ---
    responses: {200: {description: Mine.}}
    '''
    return JSONResponse({"own": True, "given": request.state.given})

async def socket(websocket):
    await websocket.accept()
    await websocket.close()

async def body(request):
    return PlainTextResponse(str(len(await request.body())))

async def fail(request):
    raise ZeroDivisionError

async def sorry(request, error):
    return PlainTextResponse("sorry", status_code=501)

@asynccontextmanager
async def lifespan(app):
    seen.append("in")
    yield {"given": 1}
    seen.append("out")

@asynccontextmanager
async def broken_lifespan(app):
    raise ValueError("no database")
    yield

routes = [
    Route("/own", own),
    Route("/stored", stored),
    Route("/body", body, methods=["POST"]),
    Route("/fail", fail),
    Route("/admin/login/", own),
    Route("/ok", own),
    WebSocketRoute("/socket", socket),
]
plain = Starlette(routes=routes, lifespan=lifespan, exception_handlers={ZeroDivisionError: sorry})
watching = Starlette(routes=routes, lifespan=lifespan, middleware=[Middleware(Watching)])
broken = Starlette(routes=routes, lifespan=broken_lifespan)
everything = Starlette(routes=[Mount("/", app=PlainTextResponse("everything"))])
with_handlers = FastAPI()
with_handlers.router.on_startup.append(lambda: None)
nothing = 5
"""
AUTH = """
from langgraph_sdk import Auth
auth = Auth()

@auth.authenticate
async def authenticate(headers: dict) -> dict:
    if b"x-name" not in headers:
        raise Auth.exceptions.HTTPException(status_code=401)
    return {"identity": headers[b"x-name"].decode(), "tenant_id": headers.get(b"x-tenant", b"").decode()}
"""
Running = Callable[..., Any]


async def core(scope: Any, receive: Any, send: Any) -> None:
    """What stands for ours: says what reached it."""
    caller = scope.get(SCOPE_KEY)
    told = {"root_path": scope["root_path"], "caller": caller.user.identity if caller else None}
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": dialect.dumps(told)})


@pytest.fixture
def running(tmp_path: Path, settings) -> Any:
    """`async with running("plain", section...)` gives a client and the application's own record."""

    @asynccontextmanager
    async def start(name: str, core: Any = core, **section: Any) -> AsyncIterator[tuple[httpx.AsyncClient, list[Any]]]:
        document = {
            "graphs": {"g": "./g.py:graph"},
            "auth": {"path": "./auth.py:auth"},
            "http": {"app": f"./own.py:{name}", **section},
        }
        (tmp_path / "own.py").write_text(APP)
        (tmp_path / "auth.py").write_text(AUTH)
        (tmp_path / "langgraph.json").write_text(json.dumps(document))
        settings.LANGGRAPH_CONFIG_FILE = tmp_path / "langgraph.json"
        forget()
        app = CustomApp(core, partial(authenticated, guarded=False), store)
        await app.start()
        assert app.app is not None
        try:
            limited: Any = http.mounted(http.limit_body(app, 1000), "", frozenset())
            async with httpx.AsyncClient(transport=httpx.ASGITransport(limited), base_url="http://test") as client:
                yield client, app.app.routes[0].endpoint.__globals__["seen"]  # type: ignore[attr-defined]
        finally:
            await app.stop()

    return start


async def store() -> InMemoryStore:
    opened = InMemoryStore()
    await opened.aput(("x",), "whose", {"tenant": acting().tenant})
    return opened


async def test_its_lifespan_is_entered_once_and_left(running):
    async with running("plain") as (client, seen):
        assert (await client.get("/own")).json() == {"own": True, "given": 1}
        assert (await client.get("/own")).json() == {"own": True, "given": 1}
        assert seen == ["in"]
    assert seen == ["in", "out"]


async def test_its_exception_handlers_answer(running):
    async with running("plain") as (client, _):
        assert (await client.get("/fail")).status_code == 501


async def test_admin_and_ok_cannot_be_taken_over(running, settings):
    async with running("plain") as (client, _):
        assert "root_path" in (await client.get("/admin/login/")).json()
        assert "root_path" in (await client.get("/ok")).json()
        settings.DISABLED = frozenset({"meta"})
        assert (await client.get("/ok")).json()["own"] is True


async def test_its_bodies_are_limited_too(running):
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(30):
            yield b"x" * 100

    async with running("plain") as (client, _):
        assert (await client.post("/body", content=b"x" * 999)).text == "999"
        assert (await client.post("/body", content=b"x" * 1001)).status_code == 413
        assert (await client.post("/body", content=chunks())).status_code == 413


async def test_custom_routes_are_guarded_only_when_the_project_says_so(running):
    async with running("plain") as (client, _):
        assert (await client.get("/own")).status_code == 200
    async with running("plain", enable_custom_route_auth=True) as (client, _):
        assert (await client.get("/own")).status_code == 401
        assert (await client.get("/own", headers={"x-name": "ann"})).status_code == 200


async def test_get_store_finds_the_store_of_the_callers_tenant(running):
    async with running("plain", enable_custom_route_auth=True) as (client, _):
        answers = [
            (await client.get("/stored", headers={"x-name": "ann", "x-tenant": tenant})).json()["tenant"]
            for tenant in ("red", "blue", "")
        ]
    assert answers == ["red", "blue", ""]


@pytest.mark.parametrize(("guard", "opens"), [(False, True), (True, False)])
async def test_websockets_of_the_project_are_guarded_alike(running, guard, opens):
    async with running("plain", enable_custom_route_auth=guard) as (client, _):
        application = client._transport.app
        scope = {"type": "websocket", "path": "/socket", "headers": [], "query_string": b"", "subprotocols": []}
        sent: list[str] = []

        async def receive() -> dict[str, Any]:
            return {"type": "websocket.connect"}

        async def send(message: Any) -> None:
            sent.append(message["type"])

        await application(scope, receive, send)
        assert ("websocket.accept" in sent) is opens
        assert sent[-1] == "websocket.close"


async def test_its_middleware_is_around_ours_and_before_authentication_by_default(running):
    async with running("watching") as (client, seen):
        assert (await client.get("/threads")).status_code == 200
        assert (await client.get("/own")).status_code == 200
        assert seen == ["in", ("/threads", False), ("/own", False)]


async def test_with_auth_first_its_middleware_sees_only_known_callers_but_on_its_own_routes(running):
    async with running("watching", middleware_order="auth_first") as (client, seen):
        assert (await client.get("/threads")).status_code == 401
        assert (await client.get("/threads", headers={"x-name": "ann"})).json()["caller"] == "ann"
        assert (await client.get("/own")).status_code == 200
        assert seen == ["in", ("/threads", True), ("/own", False)]


async def test_a_root_path_its_middleware_takes_from_a_header_does_not_get_past_authentication(running):
    async with running("watching") as (client, _):
        answer = await client.get("/threads", headers={"x-forwarded-prefix": "/noauth"})
        assert answer.json()["root_path"] == ""


async def test_without_middleware_ours_never_touch_its_loop(running):
    loops = []

    async def noting(scope: Any, receive: Any, send: Any) -> None:
        loops.append(asyncio.get_running_loop())
        await core(scope, receive, send)

    for name in ("plain", "watching"):
        async with running(name, core=noting) as (client, _):
            await client.get("/threads")
    # Ours stay at home in both cases: with middleware they come back to it.
    assert loops == [asyncio.get_running_loop()] * 2


@pytest.mark.parametrize(
    ("name", "section", "says"),
    [
        ("nothing", {}, "is a int, not a Starlette or FastAPI application"),
        ("absent", {}, "has no 'absent'"),
        ("with_handlers", {}, "startup or shutdown handlers"),
        ("plain", {"middleware_order": "last"}, "middleware_order must be"),
    ],
)
async def test_an_application_that_cannot_be_served_stops_the_start(running, name, section, says):
    with pytest.raises(ProjectError, match=says):
        async with running(name, **section):
            pass


async def test_a_lifespan_that_fails_stops_the_start(running):
    with pytest.raises(ValueError, match="no database"):
        async with running("broken"):
            pass


async def test_a_stream_passes_its_middleware_part_by_part_and_ends_with_the_client(running):
    go_on, left = asyncio.Event(), asyncio.Event()

    async def streaming(scope: Any, receive: Any, send: Any) -> None:
        try:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"one", "more_body": True})
            await go_on.wait()
            await send({"type": "http.response.body", "body": b"two", "more_body": True})
            await asyncio.sleep(60)
        finally:
            left.set()

    async with running("watching", core=streaming) as (client, _):
        transport = Transport(client._transport.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as reader:
            async with reader.stream("GET", "/threads/stream") as answer:
                parts = answer.aiter_raw()
                assert await anext(parts) == b"one"
                go_on.set()
                assert await anext(parts) == b"two"
            await asyncio.wait_for(left.wait(), 2)
