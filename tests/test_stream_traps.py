"""Ways to break a real client that no other module tries: contract/streaming.md 15, listed in docs/conformance.md."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import websockets
from langgraph_sdk.client import LangGraphClient
from websockets.typing import Origin

from tests.conftest import LiveServer
from tests.test_event_streaming import ALL, ends, events, new_id, root_status, shape, socket, start
from tests.wire import HEARTBEAT, blocks_of, new_thread, stream, values_of

PATIENCE = 30.0
BEAT_SECONDS = 5.0
AT_ONCE = 1.0  # seconds: no run, no event and no heartbeat was waited for
LARGE = 2 * 1024 * 1024


@pytest.fixture
async def http(server: LiveServer) -> AsyncIterator[httpx.AsyncClient]:
    """A plain client."""
    async with httpx.AsyncClient(base_url=server.url, timeout=PATIENCE) as client:
        yield client


# --- 6 buffering ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/threads/{}/stream/events", {"channels": ["values"]}),
        ("GET", "/threads/{}/stream", None),
    ],
)
async def test_the_head_comes_at_once_though_there_is_nothing_to_tell(
    http: httpx.AsyncClient, method: str, path: str, body: Any
) -> None:
    await http.get("/ok")
    asked = time.monotonic()
    async with http.stream(
        method, path.format(new_id()), json=body, headers={"Accept-Encoding": "gzip, br, zstd"}
    ) as response:
        assert time.monotonic() - asked < AT_ONCE
        assert response.status_code == 200 and "content-encoding" not in response.headers
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert (response.headers["cache-control"], response.headers["x-accel-buffering"]) == ("no-store", "no")


# --- 7 heartbeats -----------------------------------------------------------------------------------------------------


async def test_a_stream_that_always_has_something_to_say_beats_too(http: httpx.AsyncClient) -> None:
    body = {"assistant_id": "ticker", "input": {"ticks": 108, "pause": 0.1}, "stream_mode": "custom"}
    beats, opened = [], time.monotonic()
    raw = b""
    async with http.stream("POST", "/runs/stream", json=body) as response:
        async for chunk in response.aiter_raw():
            raw += chunk
            beats += [time.monotonic() - opened] * chunk.count(HEARTBEAT)
    assert [round(at / BEAT_SECONDS) for at in beats] == [1, 2], beats
    assert all(abs(at - BEAT_SECONDS * number) < 1 for number, at in enumerate(beats, 1)), beats
    assert blocks_of(raw).count(HEARTBEAT) == 2


# --- 9 streams that stay open -----------------------------------------------------------------------------------------


async def test_an_event_stream_outlives_the_runs_it_shows(http: httpx.AsyncClient) -> None:
    thread_id, raw = new_id(), b""
    path = f"/threads/{thread_id}/stream/events"
    async with (
        asyncio.timeout(PATIENCE),
        http.stream("POST", path, json={"channels": ["lifecycle"]}) as response,
    ):
        arriving = response.aiter_raw()
        for number in (1, 2):
            await start(http, thread_id, "echo", {"text": "a"})
            while raw.count(b'"event":"completed"') < number:
                raw += await anext(arriving)
        # Idle for a beat, it is still there.
        while not raw.endswith(HEARTBEAT + b"\r\n\r\n"):
            raw += await anext(arriving)
    assert raw.count(b'"event":"running"') == 2


# --- 10 order ---------------------------------------------------------------------------------------------------------


async def test_state_and_status_are_there_when_the_end_is_told(http: httpx.AsyncClient, sdk: LangGraphClient) -> None:
    thread_id = new_id()
    for number in range(1, 11):
        run_id = await start(http, thread_id, "echo", {"text": str(number)})
        found = await events(http, thread_id, ends(number))
        waiting, state = (await sdk.threads.get_state(thread_id))["next"], await values_of(sdk, thread_id)
        assert (await sdk.runs.get(thread_id, run_id))["status"] == "success"
        own = [e for e in found if run_id in e["event_id"] and root_status(e)]
        assert [root_status(e) for e in own] == ["running", "completed"]
        last = [e for e in found if e["method"] == "values"][-1]
        assert (last["params"]["data"]["log"], []) == (state["log"], waiting)
        assert found[-2] == last


async def test_a_question_is_told_before_the_run_is_interrupted_and_is_not_in_its_values(
    http: httpx.AsyncClient,
) -> None:
    thread_id = new_id()
    await start(http, thread_id, "parent", {"stop": True})
    found = await events(http, thread_id, lambda e: shape(e)[-1:] == ["values"] and ends()(e))
    said = shape(found)
    assert said.index("input.requested") + 1 == said.index("lifecycle:interrupted")
    assert not [e for e in found if e["method"] == "values" and "__interrupt__" in e["params"]["data"]]


# --- 12 locations -----------------------------------------------------------------------------------------------------


async def test_locations_are_paths_whatever_name_the_server_is_called_by(http: httpx.AsyncClient) -> None:
    called = {"Host": "agents.example.com", "X-Forwarded-Proto": "https", "X-Forwarded-Prefix": "/agents"}
    for path, body in (("/runs/stream", {"assistant_id": "echo"}), ("/runs/wait", {"assistant_id": "echo"})):
        async with http.stream("POST", path, json={**body, "input": {"text": "a"}}, headers=called) as response:
            assert response.status_code == 200
            for name in ("location", "content-location"):
                assert response.headers[name].startswith(("/runs/", "/threads/"))
            await response.aread()


# --- 13 fields of newer clients ---------------------------------------------------------------------------------------


async def test_fields_of_newer_clients_are_taken(
    server: LiveServer, http: httpx.AsyncClient, sdk: LangGraphClient
) -> None:
    newer = {"strict_resume": True, "namespace": ["a"], "brand_new": {"x": 1}}
    body = {"assistant_id": "echo", "input": {"text": "a"}, **newer}
    assert (await stream(http, f"/threads/{await new_thread(sdk)}/runs/stream", body)).names[-1] == "values"
    thread_id = new_id()
    for number, name in enumerate(("multitaskStrategy", "multitask_strategy", "strict_resume"), 1):
        await start(http, thread_id, "echo", {"text": "a"}, **{name: "enqueue"})
        await events(http, thread_id, ends(number), brand_new=1)
    async with socket(server, thread_id) as client:
        answer = await client.command("subscription.subscribe", channels=["lifecycle"], since=2**50, brand_new=1)
        assert answer["result"]["replayed_events"] == 6


# --- 15 sockets -------------------------------------------------------------------------------------------------------


async def test_a_socket_answers_pings_while_its_commands_are_carried_out(server: LiveServer) -> None:
    async with socket(server, new_id()) as client:
        await client.command("subscription.subscribe", channels=["lifecycle"])
        for _ in range(20):
            client.id += 1
            command = f'{{"id":{client.id},"method":"run.start","params":{{"assistant_id":"echo","input":{{}}}}}}'
            await client.connection.send(command)
        asked = time.monotonic()
        async with asyncio.timeout(PATIENCE):
            await (await client.connection.ping())
        assert time.monotonic() - asked < AT_ONCE
        answered = [(await client.answer())["id"] for _ in range(20)]
        assert answered == sorted(answered)
        await client.until(ends(20))


async def test_a_socket_is_opened_from_any_origin(server: LiveServer) -> None:
    url = f"{server.url.replace('http', 'ws', 1)}/threads/{new_id()}/stream/events"
    for origin in ("https://elsewhere.example.com", "null"):
        async with websockets.connect(url, origin=Origin(origin)) as connection:
            await connection.send('{"id":1,"method":"subscription.subscribe","params":{"channels":["values"]}}')
            assert '"type":"success"' in str(await connection.recv())


async def test_a_subscription_is_answered_behind_its_replay_and_outlives_runs(
    server: LiveServer, http: httpx.AsyncClient
) -> None:
    thread_id = new_id()
    await start(http, thread_id, "echo", {"text": "a"})
    before = await events(http, thread_id, ends())
    async with socket(server, thread_id) as client:
        await client.command("subscription.subscribe", channels=ALL)
        assert client.events == before
        for number in (2, 3):
            await start(http, thread_id, "echo", {"text": "b"})
            await client.until(ends(number, "completed"))
        assert client.events == await events(http, thread_id, ends(3))


async def test_a_state_of_two_megabytes_reaches_the_sdk(sdk: LangGraphClient) -> None:
    text = "x" * LARGE
    thread: Any
    async with asyncio.timeout(PATIENCE), sdk.threads.stream(assistant_id="echo", transport="sse") as thread:
        await thread.run.start(input={"text": text})
        assert (await thread.output)["log"] == [text]


@pytest.mark.parametrize("transport", ["sse", "websocket"])
async def test_the_sdk_widens_its_filter_while_a_message_is_told(sdk: LangGraphClient, transport: Any) -> None:
    words: list[str] = []
    thread: Any
    async with asyncio.timeout(PATIENCE), sdk.threads.stream(assistant_id="hesitant", transport=transport) as thread:

        async def hear(message: Any) -> None:
            async for word in message.text:
                words.append(word)

        async def listen() -> None:
            await asyncio.gather(*[asyncio.create_task(hear(message)) async for message in thread.messages])

        await thread.run.start(input={"messages": [{"role": "user", "content": "hi"}]})
        listening = asyncio.create_task(listen())
        while not words:
            await asyncio.sleep(0.02)
        watching = asyncio.create_task(_last(thread.values))  # the shared stream is opened anew, wider
        await asyncio.sleep(0.5)
        await sdk.store.put_item(["go on", thread.thread_id], "hi", {"now": True})
        values = await watching
        await listening
    assert len(words) > 10
    assert "".join(words) == values["messages"][-1]["content"][0]["text"]


async def _last(projection: Any) -> Any:
    return [value async for value in projection][-1]
