"""Two people and two tenants on one server, through the official SDK and by the bytes: what is whose, everywhere."""

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import websockets
from django.db import connection
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import APIStatusError

from tests.conftest import LiveServer
from tests.people import ALICE, BOB, CAROL, DAVE, NOTHING, asked, client_of, headers_of
from tests.wire import until_settled

HELLO = {"text": "hello"}
NEVER = "0 0 1 1 *"


@asynccontextmanager
async def sdk_of(server: LiveServer, token: str) -> AsyncIterator[LangGraphClient]:
    async with get_client(url=server.url, headers=headers_of(token), api_key=None, timeout=30) as client:
        yield client


@pytest.fixture
async def alice(owned: LiveServer) -> AsyncIterator[LangGraphClient]:
    async with sdk_of(owned, ALICE) as client:
        yield client


@pytest.fixture
async def bob(owned: LiveServer) -> AsyncIterator[LangGraphClient]:
    async with sdk_of(owned, BOB) as client:
        yield client


async def refused(call: Any, status: int) -> None:
    with pytest.raises((APIStatusError, httpx.HTTPStatusError)) as error:
        await call
    assert error.value.response.status_code == status


def socket_of(server: LiveServer, token: str | None, thread_id: str) -> Any:
    url = f"{server.url.replace('http', 'ws', 1)}/threads/{thread_id}/stream/events"
    return websockets.connect(url, additional_headers=headers_of(token))


async def code_of(server: LiveServer, token: str | None, thread_id: str) -> int:
    """By which code the server hangs up."""
    async with socket_of(server, token, thread_id) as socket:
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await asyncio.wait_for(socket.recv(), 10)
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code


# --- REST and streams -------------------------------------------------------------------------------------------------


async def test_a_conversation_is_its_owners_alone(alice: LangGraphClient, bob: LangGraphClient) -> None:
    thread = await alice.threads.create(metadata={"topic": "x"})
    thread_id = thread["thread_id"]
    parts = [part.event async for part in alice.runs.stream(thread_id, "echo", input=HELLO)]
    assert parts == ["metadata", "values", "values"]
    (run,) = await alice.runs.list(thread_id)
    await refused(bob.threads.get(thread_id), 404)
    await refused(bob.threads.get_state(thread_id), 404)
    await refused(bob.threads.get_history(thread_id), 404)
    await refused(bob.threads.update_state(thread_id, {"text": "mine"}), 404)
    await refused(bob.threads.update(thread_id, metadata={"owner": "bob"}), 404)
    await refused(bob.runs.get(thread_id, run["run_id"]), 404)
    await refused(bob.runs.join(thread_id, run["run_id"]), 404)
    await refused(bob.runs.wait(thread_id, "echo", input=HELLO), 404)
    await refused(bob.runs.cancel(thread_id, run["run_id"]), 404)
    assert [part.event async for part in bob.runs.join_stream(thread_id, run["run_id"])] == ["error"]
    assert await bob.threads.search(ids=[thread_id]) == []
    assert [row["thread_id"] for row in await alice.threads.search(metadata={"topic": "x"}, ids=[thread_id])] == [
        thread_id
    ]


async def test_assistants_are_their_owners_alone(alice: LangGraphClient, bob: LangGraphClient) -> None:
    mine = await alice.assistants.create("echo", name="Mine")
    await refused(bob.assistants.get(mine["assistant_id"]), 404)
    await refused(bob.assistants.update(mine["assistant_id"], name="Yours"), 404)
    await refused(bob.assistants.delete(mine["assistant_id"]), 404)
    names = {row["name"] for row in await bob.assistants.search(limit=100)}
    assert "Mine" not in names and "echo" in names
    await alice.assistants.delete(mine["assistant_id"])


async def test_deleting_an_assistant_leaves_what_others_run_with_it(owned: LiveServer) -> None:
    """Who deletes it ends its own runs; those of others are not theirs to end."""
    with client_of(owned, ALICE) as alice, client_of(owned, BOB) as bob:
        made = alice.post("/assistants", json={"graph_id": "echo"}).json()["assistant_id"]
        waiting = {"assistant_id": made, "after_seconds": 3600, "on_completion": "keep"}
        mine = alice.post("/runs", json=waiting).json()
        theirs = bob.post("/runs", json={**waiting, "assistant_id": "echo"}).json()
        assert alice.delete(f"/assistants/{made}", params={"delete_threads": "true"}).status_code == 204
        assert alice.get(f"/threads/{mine['thread_id']}").status_code == 404
        assert bob.get(f"/threads/{theirs['thread_id']}").status_code == 200


async def test_a_client_may_not_end_anothers_run_by_leaving(owned: LiveServer) -> None:
    with client_of(owned, ALICE) as alice, client_of(owned, "alice/no") as reader:
        thread_id = alice.post("/threads", json={}).json()["thread_id"]
        waiting = alice.post(f"/threads/{thread_id}/runs", json={"assistant_id": "echo", "after_seconds": 3600}).json()
        path = f"/threads/{thread_id}/runs/{waiting['run_id']}/stream"
        assert reader.get(path, params={"cancel_on_disconnect": "1"}).status_code == 403


async def test_who_waits_for_a_thread_of_another_is_told_nothing(owned: LiveServer) -> None:
    """Bob listens to an id nobody has; then alice makes a thread of it."""
    thread_id = str(uuid.uuid4())
    said: list[bytes] = []

    async def listen(path: str, method: str, body: Any) -> None:
        async with (
            httpx.AsyncClient(base_url=owned.url, headers=headers_of(BOB), timeout=30) as client,
            client.stream(method, path, json=body) as answer,
        ):
            assert answer.status_code == 200
            async for part in answer.aiter_raw():
                said.append(part)

    listeners = [
        asyncio.create_task(listen(f"/threads/{thread_id}/stream", "GET", None)),
        asyncio.create_task(listen(f"/threads/{thread_id}/stream/events", "POST", {"channels": ["values"]})),
    ]
    async with socket_of(owned, BOB, thread_id) as socket:
        await socket.send(json.dumps({"id": 1, "method": "subscription.subscribe", "params": {"channels": ["values"]}}))
        assert json.loads(await socket.recv())["type"] == "success"
        async with sdk_of(owned, ALICE) as alice:
            await alice.threads.create(thread_id=thread_id)
            await alice.runs.wait(thread_id, "echo", input={"text": "for alice"})
        with pytest.raises(websockets.ConnectionClosed) as closed:
            while True:
                assert "alice" not in str(await asyncio.wait_for(socket.recv(), 10))
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 4404
    await asyncio.wait_for(asyncio.gather(*listeners), 20)
    assert b"alice" not in b"".join(said)


# --- WebSocket --------------------------------------------------------------------------------------------------------


async def test_a_socket_is_opened_by_who_may_read_the_thread(owned: LiveServer, alice: LangGraphClient) -> None:
    thread_id = (await alice.threads.create())["thread_id"]
    assert await code_of(owned, None, thread_id) == 4401
    assert await code_of(owned, NOTHING, thread_id) == 4403
    assert await code_of(owned, BOB, thread_id) == 4404
    assert await code_of(owned, CAROL, thread_id) == 4404
    async with socket_of(owned, ALICE, thread_id) as socket:
        await socket.send(json.dumps({"id": 1, "method": "subscription.subscribe", "params": {"channels": ["values"]}}))
        assert json.loads(await socket.recv())["type"] == "success"
        start = {"id": 2, "method": "run.start", "params": {"assistant_id": "who", "input": {"told": {}}}}
        await socket.send(json.dumps(start))
        while "alice@example.com" not in (text := str(await asyncio.wait_for(socket.recv(), 20))):
            assert '"error"' not in text


async def test_a_command_asks_again(owned: LiveServer, alice: LangGraphClient, bob: LangGraphClient) -> None:
    """Bob's socket is open for an id nobody has; it does not get him a run on what alice makes of it."""
    thread_id = str(uuid.uuid4())
    async with socket_of(owned, BOB, thread_id) as socket:
        await alice.threads.create(thread_id=thread_id)
        start = {"id": 2, "method": "run.start", "params": {"assistant_id": "echo", "input": HELLO}}
        await socket.send(json.dumps(start))
        answer = json.loads(await asyncio.wait_for(socket.recv(), 10))
    assert answer["type"] == "error" and "not found" in answer["message"]
    assert await alice.runs.list(thread_id) == []


# --- MCP --------------------------------------------------------------------------------------------------------------


async def test_tools_are_the_assistants_one_may_read(owned: LiveServer, alice: LangGraphClient) -> None:
    name = f"tool_{uuid.uuid4().hex[:8]}"
    await alice.assistants.create("who", name=name)
    accept = {"Accept": "application/json"}
    listing = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    call = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": name, "arguments": {"told": {}}}}
    answers = {}
    for token in (ALICE, BOB, CAROL):
        with client_of(owned, token) as client:
            tools = client.post("/mcp", json=listing, headers=accept).json()["result"]["tools"]
            answers[token] = (
                {tool["name"] for tool in tools},
                client.post("/mcp", json=call, headers=accept).json(),
            )
    assert name in answers[ALICE][0] and "alice@example.com" in str(answers[ALICE][1])
    for token in (BOB, CAROL):
        assert name not in answers[token][0] and "echo" in answers[token][0]
        assert answers[token][1]["error"]["code"] == -32602


# --- crons ------------------------------------------------------------------------------------------------------------


async def test_crons_are_their_owners_alone(alice: LangGraphClient, bob: LangGraphClient) -> None:
    thread_id = (await alice.threads.create())["thread_id"]
    await alice.crons.create("echo", schedule=NEVER)
    await refused(bob.crons.create_for_thread(thread_id, "echo", schedule=NEVER), 404)
    mine: Any = (await alice.crons.search(limit=1))[0]
    assert mine["user_id"] == "alice"
    assert mine["cron_id"] not in {cron["cron_id"] for cron in await bob.crons.search(limit=100)}
    await refused(bob.crons.update(mine["cron_id"], enabled=False), 404)
    await refused(bob.crons.delete(mine["cron_id"]), 404)
    assert await bob.crons.count(metadata={"owner": "alice"}) == 0


async def test_a_cron_fires_as_its_creator_without_permissions(owned: LiveServer) -> None:
    """Permissions are those of a session; the handler that creates runs is asked at each firing."""
    with client_of(owned, "alice/reader") as alice:
        body = {"assistant_id": "who", "schedule": NEVER, "input": {"told": {}}, "on_run_completed": "keep"}
        cron = alice.post("/runs/crons", json=body).json()
        with asked(owned) as lines:
            run = alice.post(f"/runs/crons/{cron['cron_id']}/run").json()
        assert ("threads", "create_run") in {(line["resource"], line["action"]) for line in lines}
        async with sdk_of(owned, ALICE) as sdk:
            thread = await until_settled(sdk, run["thread_id"])
    told = thread["values"]["told"]
    assert (told["identity"], told["permissions"], told["email"]) == ("alice", [], None)


async def test_beat_asks_the_handler_too(owned: LiveServer) -> None:
    found: list[Any] = []
    with client_of(owned, DAVE) as dave:
        cron = dave.post("/runs/crons", json={"assistant_id": "echo", "schedule": "* * * * * *"}).json()
        deadline = time.monotonic() + 20
        while not found and time.monotonic() < deadline:
            with asked(owned) as lines:
                await asyncio.sleep(0.5)
            found = [line for line in lines if line["action"] == "create_run" and line["user"] == "dave"]
        dave.delete(f"/runs/crons/{cron['cron_id']}")
    assert found and found[0]["value"]["assistant_id"] == cron["assistant_id"]


async def test_a_cron_whose_creator_lost_the_thread_fires_nothing_and_stays(owned: LiveServer) -> None:
    with client_of(owned, ALICE) as alice:
        thread = alice.post("/threads", json={}).json()["thread_id"]
        every = {"assistant_id": "echo", "schedule": "* * * * * *", "enabled": False}
        cron = alice.post(f"/threads/{thread}/runs/crons", json=every).json()["cron_id"]
        assert alice.patch(f"/threads/{thread}", json={"metadata": {"owner": "bob"}}).status_code == 200
        assert alice.get(f"/threads/{thread}").status_code == 404
        assert alice.patch(f"/runs/crons/{cron}", json={"enabled": True}).status_code == 200
        with asked(owned) as lines:
            await asyncio.sleep(4)
        assert any(line["action"] == "create_run" and line["user"] == "alice" for line in lines)
        assert alice.get(f"/runs/crons/{cron}").status_code == 200
        assert alice.delete(f"/runs/crons/{cron}").status_code == 204
    with client_of(owned, BOB) as bob:
        assert bob.get(f"/threads/{thread}/runs").json() == []


async def test_who_loses_a_thread_loses_its_events(owned: LiveServer) -> None:
    """Within five seconds."""
    with client_of(owned, ALICE) as alice, client_of(owned, BOB) as bob:
        thread = alice.post("/threads", json={}).json()["thread_id"]
        async with socket_of(owned, ALICE, thread) as socket:
            subscribe = {"id": 1, "method": "subscription.subscribe", "params": {"channels": ["values"]}}
            await socket.send(json.dumps(subscribe))
            assert json.loads(await socket.recv())["type"] == "success"
            assert alice.patch(f"/threads/{thread}", json={"metadata": {"owner": "bob"}}).status_code == 200
            await asyncio.sleep(5.5)
            start = {"id": 1, "method": "run.start", "params": {"assistant_id": "echo", "input": {"text": "for bob"}}}
            assert bob.post(f"/threads/{thread}/commands", json=start).json()["type"] == "success"
            with pytest.raises(websockets.ConnectionClosed):
                while True:
                    assert "for bob" not in str(await asyncio.wait_for(socket.recv(), 10))


# --- the store and tenants --------------------------------------------------------------------------------------------


def remember(client: httpx.Client, key: str, label: str) -> Any:
    """What a graph finds after it put an item."""
    given = {"namespace": ["shared"], "key": key, "value": {"text": label}}
    answer = client.post("/runs/wait", json={"assistant_id": "memo", "input": given})
    assert answer.status_code == 200, answer.text
    return answer.json()["found"]


async def test_a_graphs_store_is_its_tenants(owned: LiveServer) -> None:
    """Handlers see no graph's store, tenants part it: carol and dave share what alice does not see."""
    key = str(uuid.uuid4())
    with client_of(owned, CAROL) as carol, client_of(owned, DAVE) as dave, client_of(owned, ALICE) as alice:
        assert remember(carol, key, "acme")["item"]["value"] == {"text": "acme"}
        assert remember(carol, key, "acme")["item"]["namespace"] == ["shared"]
        assert key in remember(dave, str(uuid.uuid4()), "other")["keys"]
        assert key not in remember(alice, str(uuid.uuid4()), "default")["keys"]


async def test_no_namespace_reaches_into_a_tenant(owned: LiveServer) -> None:
    with client_of(owned, CAROL) as carol, client_of(owned, "alice/reader") as alice:
        remember(carol, "k", "acme")
        given = {"namespace": ["@tenant:acme", "shared"], "key": "k", "value": {}}
        answer = alice.post("/runs/wait", json={"assistant_id": "memo", "input": given, "raise_error": False})
        assert answer.json()["__error__"]["error"] == "ReservedLabel"


async def test_tenants_share_default_assistants_and_nothing_else(owned: LiveServer) -> None:
    with client_of(owned, CAROL) as carol, client_of(owned, "erin") as erin:
        default = str(uuid.uuid5(uuid.UUID("6ba7b821-9dad-11d1-80b4-00c04fd430c8"), "echo"))
        assert carol.get(f"/assistants/{default}").status_code == erin.get(f"/assistants/{default}").status_code == 200
        assert carol.patch(f"/assistants/{default}", json={"name": "x"}).status_code == 404
        thread = carol.post("/threads", json={}).json()["thread_id"]
        assert carol.get(f"/threads/{thread}").status_code == 200
        assert erin.get(f"/threads/{thread}").status_code == 404


async def test_an_endpoint_hears_of_its_owners_runs_alone(owned: LiveServer) -> None:
    with client_of(owned, ALICE) as alice, client_of(owned, BOB) as bob, client_of(owned, CAROL) as carol:
        body = {"url": "http://127.0.0.1:9/", "events": ["run.success"]}
        endpoints = {client: client.post("/webhooks/endpoints", json=body).json() for client in (alice, bob, carol)}
        assert endpoints[alice]["metadata"] == {"owner": "alice"}
        await asyncio.sleep(1.1)  # other processes learn of an endpoint within a second
        run = alice.post("/runs", json={"assistant_id": "echo", "input": HELLO}).json()
        deadline = time.monotonic() + 20
        path, wanted = "/webhooks/deliveries/search", {"run_id": run["run_id"]}
        while not (found := alice.post(path, json=wanted).json()) and time.monotonic() < deadline:
            await asyncio.sleep(0.1)
        assert [delivery["endpoint_id"] for delivery in found] == [endpoints[alice]["endpoint_id"]]
        assert bob.post(path, json=wanted).json() == carol.post(path, json=wanted).json() == []
        mine = f"/webhooks/endpoints/{endpoints[bob]['endpoint_id']}"
        assert bob.patch(mine, json={"metadata": {}}).status_code == 404
        assert bob.get(mine).json()["metadata"] == {"owner": "bob"}
        for client, endpoint in endpoints.items():
            assert client.delete(f"/webhooks/endpoints/{endpoint['endpoint_id']}").status_code == 204


async def test_two_callers_may_choose_one_idempotency_key(owned: LiveServer) -> None:
    key = {"Idempotency-Key": str(uuid.uuid4())}
    with client_of(owned, ALICE) as alice, client_of(owned, BOB) as bob:
        first = alice.post("/threads", json={}, headers=key)
        assert alice.post("/threads", json={}, headers=key).json() == first.json()
        other = bob.post("/threads", json={}, headers=key)
        assert other.status_code == 200 and other.json()["thread_id"] != first.json()["thread_id"]
        streamed = {"Idempotency-Key": str(uuid.uuid4())}
        runs = [alice.post("/runs/wait", json={"assistant_id": "echo", "input": HELLO}, headers=streamed) for _ in "12"]
        assert [run.status_code for run in runs] == [200, 200]
        assert runs[0].headers["content-location"] == runs[1].headers["content-location"]


# --- the default tenant's queries -------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_tenants_page_comes_from_its_index(explain: Callable[[str], str]) -> None:
    plan = explain("SELECT * FROM threads_thread WHERE tenant = 'acme' ORDER BY created_at DESC LIMIT 10")
    assert "thread_tenant" in plan


@pytest.fixture
def explain() -> Callable[[str], str]:
    def plan(statement: str) -> str:
        with connection.cursor() as cursor:
            cursor.execute("SET enable_seqscan = off")
            cursor.execute(f"EXPLAIN {statement}")
            return "\n".join(row[0] for row in cursor.fetchall())

    return plan
