"""The server below a prefix, with parts of it switched off in langgraph.json."""

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
import websockets
from langgraph_sdk import get_client

from tests.conftest import ROOT, LiveServer, live_server

pytestmark = pytest.mark.timeout(180)
PREFIX = "/agents/v1"
OFF = ("store", "mcp", "a2a", "webhooks", "assistants")


@pytest.fixture(scope="module")
def mounted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    folder = tmp_path_factory.mktemp("mounted")
    http = {"mount_prefix": f"{PREFIX}/", **{f"disable_{name}": True for name in OFF}, "disable_event_streaming": True}
    document = {"graphs": {"echo": str(ROOT / "tests/graphs/small.py") + ":echo"}, "http": http}
    (folder / "langgraph.json").write_text(json.dumps(document))
    with live_server(folder, WEFT_CONFIG=str(folder / "langgraph.json"), ALLOW_PRIVATE_NETWORK="false") as running:
        yield running


@pytest.fixture
async def web(mounted: LiveServer) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=mounted.url, timeout=30) as client:
        yield client


async def test_the_sdk_works_below_the_prefix(mounted):
    async with get_client(url=f"{mounted.url}{PREFIX}", timeout=30) as client:
        thread = await client.threads.create()
        parts = [part.event async for part in client.runs.stream(thread["thread_id"], "echo", input={"messages": []})]
        assert parts[0] == "metadata"
        assert "error" not in parts
        run = await client.runs.create(thread["thread_id"], "echo", input={"messages": []})
        await client.runs.join(thread["thread_id"], run["run_id"])
        assert len(await client.threads.get_history(thread["thread_id"])) >= 2
        for number in range(3):
            await client.threads.create(metadata={"page": number})
        assert len(await client.threads.search(limit=2)) == 2


async def test_locations_are_told_without_the_prefix_as_clients_add_it(web):
    thread = (await web.post(f"{PREFIX}/threads", json={})).json()
    path = f"{PREFIX}/threads/{thread['thread_id']}/runs"
    answer = await web.post(path, json={"assistant_id": "echo", "input": {"messages": []}})
    location = answer.headers["content-location"]
    assert location == f"/threads/{thread['thread_id']}/runs/{answer.json()['run_id']}"
    assert (await web.get(f"{PREFIX}{location}")).status_code == 200


async def test_only_the_root_ok_and_metrics_are_also_outside_the_prefix(web):
    for path in ("/", "/ok", f"{PREFIX}/", f"{PREFIX}/ok"):
        assert (await web.get(path)).json()["ok"] is True, path
    for path in ("/threads/search", "/agents/threads/search", f"{PREFIX}x/threads/search"):
        assert (await web.post(path, json={})).status_code == 404, path
    assert (await web.get("/info")).status_code == 404
    assert (await web.get(f"{PREFIX}/info")).status_code == 200
    bare = await web.get(PREFIX)
    assert (bare.status_code, bare.headers["location"]) == (307, f"{PREFIX}/")


async def test_a_slash_at_the_end_stays_below_the_prefix(web):
    answer = await web.get(f"{PREFIX}/info/")
    assert answer.status_code == 307
    assert answer.headers["location"].endswith(f"{PREFIX}/info")


async def test_the_admin_and_its_files_are_below_the_prefix(web):
    page = await web.get(f"{PREFIX}/admin/", follow_redirects=True)
    assert page.url.path == f"{PREFIX}/admin/login/"
    assert f'"{PREFIX}/static/' in page.text
    assert '"/static/' not in page.text


async def test_the_document_names_the_prefix_and_only_what_is_served(web):
    document = (await web.get(f"{PREFIX}/openapi.json")).json()
    assert document["servers"] == [{"url": PREFIX}]
    paths = set(document["paths"])
    assert not {path for path in paths if path.startswith(("/store", "/mcp", "/a2a", "/webhooks", "/assistants"))}
    assert not {path for path in paths if path.endswith(("/stream/events", "/commands"))}
    assert "/threads/{thread_id}/runs/stream" in paths
    bodies = [schema for name, schema in document["components"]["schemas"].items() if "Run" in name or "Cron" in name]
    assert not [schema for schema in bodies if "webhook" in schema.get("properties", {})]
    assert {"Store", "MCP", "Webhooks", "Assistants"}.isdisjoint(tag["name"] for tag in document["tags"])


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/store/items?namespace=a&key=b"),
        ("POST", "/assistants/search"),
        ("POST", "/mcp"),
        ("POST", "/a2a/echo"),
        ("GET", "/.well-known/agent-card.json"),
        ("GET", "/webhooks/endpoints"),
        ("POST", "/threads/00000000-0000-0000-0000-000000000000/commands"),
    ],
)
async def test_what_is_switched_off_is_not_there(web, method, path):
    assert (await web.request(method, f"{PREFIX}{path}", json={})).status_code == 404


async def test_event_streaming_that_is_switched_off_has_no_websocket(mounted):
    path = f"{PREFIX}/threads/00000000-0000-0000-0000-000000000000/stream/events"
    with pytest.raises(websockets.InvalidStatus, match="403"):
        await websockets.connect(f"{mounted.url.replace('http', 'ws')}{path}").__aenter__()


async def test_a_webhook_is_accepted_and_not_sent(web, mounted):
    body = {"assistant_id": "echo", "input": {"messages": []}, "webhook": "http://127.0.0.1:9/hook"}
    assert (await web.post(f"{PREFIX}/runs/wait", json=body)).status_code == 200


async def test_private_networks_stay_closed_unless_asked_for(web):
    headers = {
        "origin": "https://studio.example",
        "access-control-request-method": "GET",
        "access-control-request-private-network": "true",
    }
    answer = await web.options(f"{PREFIX}/info", headers=headers)
    assert "access-control-allow-private-network" not in answer.headers


@pytest.mark.parametrize("switches", [("meta",), ("runs", "threads")])
def test_each_switch_takes_its_routes_away(switches):
    """In a process of its own, as URLs are put together once."""
    gone = {
        "meta": ["/", "/info", "/docs", "/openapi.json", "/metrics"],
        "runs": ["/runs", "/runs/crons", "/threads/{id}/runs", "/threads/{id}/commands", "/threads/{id}/stream/events"],
        "threads": ["/threads", "/threads/{id}", "/threads/{id}/state"],
    }
    paths = [path.format(id="00000000-0000-0000-0000-000000000000") for name in switches for path in gone[name]]
    kept = ["/ok", "/assistants/search", "/store/items", "/admin/"]
    answer = resolved(paths + kept, {f"disable_{name}": True for name in switches})
    assert answer == dict.fromkeys(paths, False) | dict.fromkeys(kept, True)


def resolved(paths: list[str], http: dict[str, bool]) -> dict[str, bool]:
    code = (
        "import json, sys, django; django.setup()\n"
        "from django.urls import Resolver404, resolve\n"
        "def known(path):\n"
        "    try: resolve(path)\n"
        "    except Resolver404: return False\n"
        "    return True\n"
        "print(json.dumps({path: known(path) for path in json.loads(sys.argv[1])}))\n"
    )
    environment = {**os.environ, "LANGGRAPH_HTTP": json.dumps(http), "DJANGO_SETTINGS_MODULE": "config.settings"}
    answer = subprocess.run(
        [sys.executable, "-c", code, json.dumps(paths)], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert answer.returncode == 0, answer.stderr
    found: dict[str, bool] = json.loads(answer.stdout.splitlines()[-1])
    return found
