"""A project in the shape of the usual templates, served as it is: env file, auth, routes, store, TTL, module paths."""

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
import websockets
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient

from tests.conftest import ROOT, LiveServer, live_server

pytestmark = pytest.mark.timeout(180)
ANN, BOB = ({"authorization": f"Bearer {name}"} for name in ("ann", "bob"))


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """The template on a server of its own."""
    folder = tmp_path_factory.mktemp("template")
    project = folder / "project"
    shutil.copytree(ROOT / "tests/template", project, ignore=shutil.ignore_patterns("__pycache__"))
    (project / ".env").write_text("GREETING=Hello\nHTTP_MAX_REQUEST_BODY_BYTES=200000\nLOG_LEVEL=INFO\n")
    with live_server(folder, WEFT_CONFIG=str(project / "langgraph.json"), REDIS_CLUSTER="true") as running:
        yield running


@pytest.fixture
async def ann(template: LiveServer) -> AsyncIterator[LangGraphClient]:
    async with get_client(url=template.url, headers=ANN, timeout=60) as client:
        yield client


@pytest.fixture
async def web(template: LiveServer) -> AsyncIterator[httpx.AsyncClient]:
    """Plain HTTP, as nobody."""
    async with httpx.AsyncClient(base_url=template.url, timeout=30) as client:
        yield client


# --- the sections -----------------------------------------------------------------------------------------------------


async def test_graphs_by_file_and_by_module_are_served(ann):
    found = await ann.assistants.search()
    assert {(one["graph_id"], one["name"]) for one in found} == {("agent", "New Graph"), ("helper", "helper")}


async def test_the_env_file_reaches_graphs_and_settings(template, ann, web):
    assert (await ann.runs.wait(None, "agent", input={"text": "you"}))["greeting"] == "Hello you"
    answer = await web.post("/threads/search", content=b"{" + b" " * 200_000 + b"}", headers=ANN)
    assert answer.status_code == 413


async def test_threads_get_the_ttl_of_the_checkpointer(ann):
    thread = await ann.threads.create()
    found = await ann.http.get(f"/threads/{thread['thread_id']}?include=ttl")
    assert found["ttl"]["ttl_minutes"] == 43200


async def test_listed_headers_reach_the_graph_and_no_other(template):
    headers = {**ANN, "x-team": "looms", "x-other": "no"}
    async with get_client(url=template.url, headers=headers) as client:
        answer: Any = await client.runs.wait(None, "agent", input={"text": "x"})
        assert answer["team"] == "looms"


async def test_cors_of_the_project_replaces_the_default(web):
    asks = {"access-control-request-method": "GET"}
    allowed = await web.options("/threads", headers={**asks, "origin": "https://app.example"})
    refused = await web.options("/threads", headers={**asks, "origin": "https://other.example"})
    assert (allowed.status_code, refused.status_code) == (200, 400)
    assert refused.text == "Disallowed CORS origin"
    assert "PUT" not in allowed.headers["access-control-allow-methods"]


async def test_what_has_no_effect_is_said_once(template):
    lines = [line for line in template.log.read_text().splitlines() if "REDIS_CLUSTER has no effect" in line]
    assert len(lines) == 1


# --- routes of the project --------------------------------------------------------------------------------------------


async def test_custom_routes_are_open_and_the_api_is_not(web):
    answer = await web.get("/custom/hello")
    assert (answer.status_code, answer.json()) == (200, {"opened": "yes", "given": "state"})
    assert (await web.get("/custom/slash/")).json() == "with a slash"
    assert (await web.post("/threads/search", json={})).status_code == 401
    assert (await web.get("/nowhere")).status_code == 401
    assert (await web.get("/nowhere", headers=ANN)).status_code == 404


async def test_a_custom_route_comes_before_the_api_but_not_before_ok_and_docs(web):
    assert (await web.get("/info")).json() == {"mine": True}
    assert (await web.post("/assistants/count", json={})).json() == "mine"
    assert (await web.get("/ok")).json()["ok"] is True
    assert "Weft" in (await web.get("/openapi.json")).json()["info"]["title"]


async def test_another_method_of_a_custom_path_is_ours_where_we_have_the_path(web):
    assert (await web.get("/custom/order")).status_code == 405
    assert (await web.get("/assistants/search")).json() == "mine"
    assert len((await web.post("/assistants/search", json={}, headers=ANN)).json()) == 2


async def test_its_exception_handlers_and_its_validation_answer(web):
    assert (await web.get("/custom/teapot")).status_code == 418
    assert (await web.get("/custom/missing")).json() == {"detail": "No such thing"}
    assert (await web.post("/custom/order", json={"size": "x"})).status_code == 422
    assert (await web.post("/custom/order", json={"size": 3})).json() == 3


async def test_get_store_works_in_its_routes(ann, web):
    await ann.runs.wait(None, "agent", input={"text": "remember me"})
    assert (await web.get("/custom/remembered")).json() == {"text": "remember me"}
    assert (await web.get("/custom/remembered-sync")).json() == {"text": "remember me"}


async def test_its_static_files_are_served_beside_ours(web):
    assert (await web.get("/static/graph.py")).status_code == 200
    assert (await web.get("/admin/login/")).status_code == 200


async def test_its_websocket_is_served(template):
    async with websockets.connect(f"{template.url.replace('http', 'ws')}/custom/echo") as socket:
        await socket.send("hello")
        assert await socket.recv() == "hello"


async def test_its_document_is_part_of_ours(web):
    document = (await web.get("/openapi.json")).json()
    assert document["paths"]["/custom/order"]["post"]["requestBody"]
    assert "Order" in document["components"]["schemas"]
    assert document["paths"]["/info"]["get"]["operationId"] == "info_info_get"
    assert "/threads" in document["paths"]


async def test_a_route_that_blocks_keeps_no_stream_waiting_and_is_told_of(template, web):
    block = asyncio.create_task(web.get("/custom/block?seconds=3"))
    await asyncio.sleep(0.3)
    started = time.monotonic()
    for _ in range(5):
        assert (await web.post("/threads/search", json={}, headers=ANN)).status_code == 200
    assert time.monotonic() - started < 2
    assert (await block).status_code == 200
    log = template.log.read_text()
    assert "The application of http.app has blocked its loop" in log
    assert "webapp.py" in log


# --- the client inside ------------------------------------------------------------------------------------------------


async def test_a_node_reaches_the_server_without_an_address_as_its_runs_user(ann, template):
    thread = await ann.threads.create()
    answer = await ann.runs.wait(thread["thread_id"], "helper", input={"text": "inside"})
    assert answer["answer"] == "Hello inside"
    assert answer["modes"][:1] == ["metadata"]
    assert "values" in answer["modes"]
    async with get_client(url=template.url, headers=BOB) as bob:
        assert await bob.threads.search() == []
    assert len(await ann.threads.search()) == answer["threads"]


async def test_a_custom_route_reaches_the_server_without_an_address(web):
    assert (await web.get("/custom/assistants")).json() == ["agent", "helper"]


@pytest.mark.parametrize("path", ["/noauth/threads/search", "/noauth/noauth/threads/search"])
async def test_nobody_outside_gets_past_authentication_by_the_inner_path(web, path):
    tricks = {"x-forwarded-prefix": "/noauth", "x-script-name": "/noauth", "root_path": "/noauth"}
    assert (await web.post(path, json={}, headers=tricks)).status_code == 401
    assert (await web.post("/threads/search", json={}, headers=tricks)).status_code == 401


async def test_its_lifespan_ends_with_the_server(template):
    """The last test of the module: the server does not come back."""
    template.processes["web"].terminate()
    await asyncio.to_thread(template.processes["web"].wait, 15)
    assert "the template's lifespan is over" in template.log.read_text()
