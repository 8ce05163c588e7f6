"""The event-streaming protocol when things go wrong: workers die, Redis forgets, viewers are slow, runs are removed."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets
from langgraph.pregel.remote import RemoteGraph
from langgraph.types import Command
from langgraph_sdk.client import LangGraphClient
from redis import Redis

from tests.conftest import LiveServer, live_server
from tests.test_event_streaming import ALL, ends, events, new_id, root_status, shape, socket, start
from tests.webs import another_web
from tests.wire import until

pytestmark = pytest.mark.timeout(180)
PATIENCE = 60.0
LARGEST = 20_000


@pytest.fixture(scope="module")
def failing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server whose leases, runs and events are short."""
    settings = {
        "RUN_LEASE_SECONDS": "3",
        "RUN_LEASE_RENEWAL_SECONDS": "1",
        "RUN_SWEEP_SECONDS": "1",
        "BG_JOB_TIMEOUT_SECS": "20",
        "MAX_STREAM_CHUNK_SIZE_BYTES": str(LARGEST),
    }
    with live_server(tmp_path_factory.mktemp("failing"), **settings) as running:
        yield running


@pytest.fixture
async def plain(failing: LiveServer) -> AsyncIterator[httpx.AsyncClient]:
    """A plain client of it."""
    async with httpx.AsyncClient(base_url=failing.url, timeout=30) as client:
        yield client


def forget(server: LiveServer) -> None:
    """Redis loses all that is the server's."""
    with Redis.from_url(server.environment["REDIS_URI"]) as redis:
        for key in redis.scan_iter(f"{server.environment['REDIS_KEY_PREFIX']}*"):
            redis.delete(key)


async def to_the_end(http: httpx.AsyncClient, thread_id: str, seen: list[Any]) -> list[Any]:
    """The events of a connection that the server ends, put into `seen` as they come."""
    path, body = f"/threads/{thread_id}/stream/events", {"channels": ALL}
    async with asyncio.timeout(PATIENCE), http.stream("POST", path, json=body) as response:
        async for line in response.aiter_lines():
            if line.startswith("data: "):
                seen.append(json.loads(line[6:]))
    return seen


async def until_seen(seen: list[Any], method: str, count: int = 1) -> None:
    async with asyncio.timeout(PATIENCE):
        while sum(event["method"] == method for event in seen) < count:
            await asyncio.sleep(0.05)


# --- workers ----------------------------------------------------------------------------------------------------------


async def test_a_killed_workers_run_is_told_once_and_its_message_whole(
    failing: LiveServer, plain: httpx.AsyncClient
) -> None:
    thread_id, seen = new_id(), list[Any]()
    watching = asyncio.create_task(events(plain, thread_id, ends(), channels=ALL))
    async with socket(failing, thread_id) as client:
        await client.command("subscription.subscribe", channels=ALL)
        await start(plain, thread_id, "reciter", {"tokens": 1000})
        await client.until(lambda found: shape(found).count("messages:content-block-delta") > 5)
        failing.processes["worker"].send_signal(signal.SIGKILL)
        failing.processes["worker"].wait()
        failing.start("worker", "worker")
        seen = await client.until(ends())
    assert [root_status(e) for e in seen if root_status(e)] == ["running", "completed"]
    said = [e["params"]["data"] for e in seen if e["method"] == "messages"]
    begun = [one["id"] for one in said if one["event"] == "message-start"]
    finished = [one for one in said if one["event"] == "message-finish"]
    assert len(begun) == len(finished) == 2
    assert (finished[0]["id"], finished[0]["metadata"]["finish_reason"]) == (begun[0], "abandoned")
    after = said[said.index(finished[0]) :]
    text = "".join(one["delta"]["text"] for one in after if one["event"] == "content-block-delta")
    values = [e["params"]["data"] for e in seen if e["method"] == "values"][-1]
    told = values["messages"][-1]
    assert text == told["content"][0]["text"] == " ".join(f"w{number}" for number in range(1000))
    assert told["id"] == begun[1]
    assert await watching == seen == await events(plain, thread_id, ends())


async def test_a_run_that_takes_too_long_ends_failed(plain: httpx.AsyncClient) -> None:
    thread_id = new_id()
    run_id = await start(plain, thread_id, "sleeper", {"seconds": 120})
    async with asyncio.timeout(PATIENCE):
        found = await events(plain, thread_id, ends(), channels=["lifecycle"])
    assert [root_status(e) for e in found] == ["running", "failed"]
    assert found[-1]["params"]["data"]["error"] == "TimeoutError"
    assert (await plain.get(f"/threads/{thread_id}/runs/{run_id}")).json()["status"] == "timeout"


# --- Redis ------------------------------------------------------------------------------------------------------------


async def test_a_log_lost_under_its_viewers_ends_them_with_the_runs_end(
    failing: LiveServer, plain: httpx.AsyncClient
) -> None:
    thread_id, seen = new_id(), list[Any]()
    await start(plain, thread_id, "slow_job", {"steps": 10, "seconds": 0.5})
    watching = asyncio.create_task(to_the_end(plain, thread_id, seen))
    async with socket(failing, thread_id) as client:
        await client.command("subscription.subscribe", channels=ALL)
        await until_seen(seen, "values", 2)
        forget(failing)
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await client.until(ends(9))
    assert closed.value.rcvd and (closed.value.rcvd.code, closed.value.rcvd.reason) == (1011, "thread stream ended")
    for found in (await watching, client.events):
        assert [root_status(e) for e in found if root_status(e)] == ["running", "completed"]
        counts = [e["params"]["data"].get("count", 0) for e in found if e["method"] == "values"]
        assert counts == sorted(counts) and counts[-1] < 10, "events from behind the gap were shown"
    state = (await plain.get(f"/threads/{thread_id}/state")).json()
    assert state["values"]["count"] == 10
    # Whoever comes again is not sent away again.
    later = await events(plain, thread_id, ends())
    assert shape(later)[-1] == "lifecycle:completed"
    await start(plain, thread_id, "echo", {"text": "a"})
    assert shape(await events(plain, thread_id, ends(2)))[-1] == "lifecycle:completed"


async def test_a_run_whose_end_the_log_lost_is_ended_by_its_row(failing: LiveServer, plain: httpx.AsyncClient) -> None:
    thread_id, seen = new_id(), list[Any]()
    run_id = await start(plain, thread_id, "sleeper", {"seconds": 60})
    watching = asyncio.create_task(events(plain, thread_id, ends(), channels=["lifecycle"]))
    async with socket(failing, thread_id) as client:
        await client.command("subscription.subscribe", channels=["lifecycle"])
        seen = await client.until(lambda found: "lifecycle:running" in shape(found))
        key = f"{failing.environment['REDIS_KEY_PREFIX']}events:{thread_id}:{run_id}"
        with Redis.from_url(failing.environment["REDIS_URI"]) as redis:
            redis.set(key, f"{2**54} 1 0-0")  # as if a later attempt wrote: nothing of this one gets in
        answer = await plain.post(f"/threads/{thread_id}/runs/{run_id}/cancel")
        assert answer.status_code == 202
        seen = await client.until(ends())
    for found in (seen, await watching):
        assert [root_status(e) for e in found] == ["running", "events_lost", "interrupted"]


async def test_an_event_that_is_too_large_is_told(plain: httpx.AsyncClient) -> None:
    thread_id = new_id()
    await start(plain, thread_id, "echo", {"text": "x" * LARGEST})
    found = await events(plain, thread_id, ends())
    statuses = [root_status(e) for e in found if root_status(e)]
    assert statuses[0] == "running" and statuses[-1] == "completed" and set(statuses[1:-1]) == {"events_lost"}
    lost = next(e for e in found if root_status(e) == "events_lost")
    assert f"MAX_STREAM_CHUNK_SIZE_BYTES ({LARGEST})" in lost["params"]["data"]["error"]
    assert lost["params"]["data"]["graph_name"] == "echo"
    assert await events(plain, thread_id, ends()) == found


# --- removed runs -----------------------------------------------------------------------------------------------------


async def test_a_rolled_back_run_leaves_its_beginning_and_end_alone(
    http: httpx.AsyncClient, sdk: LangGraphClient
) -> None:
    thread_id = new_id()
    run_id = await start(http, thread_id, "sleeper", {"seconds": 60})
    live = asyncio.create_task(events(http, thread_id, ends()))
    await events(http, thread_id, lambda found: shape(found).count("values") >= 1)
    await until(sdk, thread_id, run_id, ("running",))
    answer = await http.post(f"/threads/{thread_id}/runs/{run_id}/cancel", params={"action": "rollback"})
    assert answer.status_code == 202
    seen = await live
    assert shape(seen)[-1] == "lifecycle:interrupted" and "values" in shape(seen)
    late = await events(http, thread_id, ends())
    assert shape(late) == ["lifecycle:running", "lifecycle:interrupted"]
    assert all(e in seen for e in late)


# --- many processes ---------------------------------------------------------------------------------------------------


async def test_another_web_process_tells_the_same(server: LiveServer, http: httpx.AsyncClient, tmp_path: Path) -> None:
    thread_id = new_id()
    with another_web(server, tmp_path) as web:
        async with httpx.AsyncClient(base_url=web.url, timeout=30) as other:
            await start(http, thread_id, "parent", {"foo": "a"})
            seen = await events(http, thread_id, ends())
            assert await events(other, thread_id, ends()) == seen
            middle = seen[len(seen) // 2]["seq"]
            assert await events(other, thread_id, ends(), since=middle) == [e for e in seen if e["seq"] > middle]
            live = asyncio.create_task(events(http, thread_id, ends(2)))
            await start(other, thread_id, "parent", {"foo": "b"})
            assert await live == await events(other, thread_id, ends(2))


async def test_without_event_streaming_there_are_no_routes(server: LiveServer, tmp_path: Path) -> None:
    with another_web(server, tmp_path, FF_V2_EVENT_STREAMING="false") as web:
        path = f"/threads/{new_id()}"
        async with httpx.AsyncClient(base_url=web.url, timeout=30) as http:
            for route in ("commands", "stream/events"):
                answer = await http.post(f"{path}/{route}", json={"channels": ["values"]})
                assert (answer.status_code, answer.json()) == (404, {"detail": "Not Found"})
        with pytest.raises(websockets.InvalidStatus) as refused:
            async with websockets.connect(f"{web.url.replace('http', 'ws', 1)}{path}/stream/events"):
                pass
        assert refused.value.response.status_code == 403


async def test_a_stream_with_nothing_to_tell_beats(http: httpx.AsyncClient) -> None:
    body = {"channels": ["lifecycle"]}
    async with (
        asyncio.timeout(PATIENCE),
        http.stream("POST", f"/threads/{new_id()}/stream/events", json=body) as response,
    ):
        async for chunk in response.aiter_raw():
            assert chunk == b": heartbeat\r\n\r\n"
            break


# --- the official clients ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", ["sse", "websocket"])
async def test_the_sdk_follows_tool_calls(sdk: LangGraphClient, transport: Any) -> None:
    question = "What is the weather in Paris, and what is 12 * 7?"
    thread: Any
    async with asyncio.timeout(PATIENCE), sdk.threads.stream(assistant_id="agent", transport=transport) as thread:
        await thread.run.start(input={"messages": [{"role": "user", "content": question}]})
        calls = {call.name: call async for call in thread.tool_calls}
        assert calls["calculator"].input == {"expression": "12 * 7"} and calls["weather"].input == {"city": "Paris"}
        assert "84" in str(await calls["calculator"].output)
        assert "84" in str((await thread.output)["messages"][-1]["content"])


async def test_a_remote_graph_is_interrupted_inside_a_subgraph_and_resumed(sdk: LangGraphClient) -> None:
    graph: Any = RemoteGraph("parent", client=sdk)
    config = {"configurable": {"thread_id": new_id()}}
    given = {"foo": "a", "stop": True}
    async with asyncio.timeout(PATIENCE), await graph.astream_events(given, config, version="v3") as run:
        async for _ in run.values:
            pass
        assert await run.interrupted()
    again = await graph.astream_events(Command(resume="yes"), config, version="v3")
    async with asyncio.timeout(PATIENCE), again as run:
        assert (await run.output())["log"] == ["pre", "pre", "yes"]


# --- subscriptions ----------------------------------------------------------------------------------------------------


async def test_a_subscription_reconnects_where_it_was(server: LiveServer, http: httpx.AsyncClient) -> None:
    thread_id = new_id()
    async with socket(server, thread_id) as client:
        nothing = await client.command("subscription.reconnect", channels=ALL, since=0)
        assert nothing["error"] == "no_such_run"
        await start(http, thread_id, "path", {"note": "a"})
        seen = await events(http, thread_id, ends())
        since = seen[3]["seq"]
        answer = await client.command("subscription.reconnect", channels=ALL, since=since, subscription_id="mine")
        assert answer["result"] == {"subscription_id": "mine", "replayed_events": len(seen) - 4}
        assert client.events == seen[4:]
        await start(http, thread_id, "path", {"note": "b"})
        assert shape(await client.until(ends(2)))[-1] == "lifecycle:completed"
        gap = await client.command("subscription.reconnect", channels=ALL, since=5)
        assert (gap["error"], gap["since"]) == ("resume_gap", 5)
        assert 5 < gap["min_available_seq"] < seen[0]["seq"]
        assert gap["meta"] == {"applied_through_seq": client.events[-1]["seq"]}
