"""The event-streaming protocol against the live server, with the official Python SDK and by the bytes."""

import asyncio
import itertools
import json
import os
import random
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import orjson
import pytest
import websockets
from langgraph.pregel.remote import RemoteGraph
from langgraph.types import Command
from langgraph_sdk.client import LangGraphClient

from tests.conftest import LiveServer
from tests.wire import frame_of, until, until_settled

HELLO = {"messages": [{"role": "user", "content": "hi", "id": "u1"}]}
ALL = ["values", "updates", "messages", "tools", "lifecycle", "input", "checkpoints", "tasks", "custom"]
ENDS = ("completed", "failed", "interrupted")
Event = dict[str, Any]
PATIENCE = 40.0


@pytest.fixture
async def http(server: LiveServer) -> AsyncIterator[httpx.AsyncClient]:
    """A plain client."""
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
        yield client


def new_id() -> str:
    return str(uuid.uuid4())


async def command(http: httpx.AsyncClient, thread_id: str, method: str, **params: Any) -> Any:
    """The answer to a command."""
    answer = await http.post(f"/threads/{thread_id}/commands", json={"id": 7, "method": method, "params": params})
    assert answer.status_code == 200, answer.text
    assert answer.json()["id"] == 7
    return answer.json()


async def start(http: httpx.AsyncClient, thread_id: str, graph_id: str, given: Any = None, **params: Any) -> str:
    """The id of a new run."""
    answer = await command(http, thread_id, "run.start", assistant_id=graph_id, input=given, **params)
    assert answer["type"] == "success" and answer["meta"] == {"applied_through_seq": 0}, answer
    return str(answer["result"]["run_id"])


async def events(
    http: httpx.AsyncClient, thread_id: str, until: Callable[[list[Event]], Any], **body: Any
) -> list[Event]:
    """The events of a new connection until they are enough."""
    path, found = f"/threads/{thread_id}/stream/events", []
    async with (
        asyncio.timeout(PATIENCE),
        http.stream("POST", path, json={"channels": ALL, **body}) as response,
    ):
        assert response.status_code == 200, await response.aread()
        assert response.headers["cache-control"] == "no-store" and response.headers["x-accel-buffering"] == "no"
        pending = b""
        async for chunk in response.aiter_raw():
            *blocks, pending = (pending + chunk).split(b"\r\n\r\n")
            for block in blocks:
                if block == b": heartbeat":
                    continue
                frame = frame_of(block)
                assert (frame.event, frame.id) == (frame.data["method"], str(frame.data["seq"]))
                found.append(frame.data)
                if until(found):
                    return found
    raise AssertionError(found)


def ends(count: int = 1, *statuses: str) -> Callable[[list[Event]], bool]:
    """Whether so many runs have ended."""
    return lambda found: len([e for e in found if root_status(e) in (statuses or ENDS)]) >= count


def root_status(event: Event) -> str | None:
    if event["method"] == "lifecycle" and event["params"]["namespace"] == []:
        return str(event["params"]["data"]["event"])
    return None


def shape(found: list[Event]) -> list[str]:
    """Methods, with the status of lifecycles."""
    return [
        f"{e['method']}:{e['params']['data']['event']}" if e["method"] in ("lifecycle", "messages") else e["method"]
        for e in found
        if e["method"] != "checkpoints"
    ]


class Socket:
    """A client over a WebSocket."""

    def __init__(self, connection: Any) -> None:
        self.connection, self.events, self.id = connection, list[Event](), 0

    async def receive(self) -> Any:
        async with asyncio.timeout(PATIENCE):
            return json.loads(await self.connection.recv())

    async def command(self, method: str, **params: Any) -> Any:
        """The answer; events that come before it are kept."""
        self.id += 1
        await self.connection.send(json.dumps({"id": self.id, "method": method, "params": params}))
        return await self.answer()

    async def answer(self) -> Any:
        while (message := await self.receive())["type"] == "event":
            self.events.append(message)
        return message

    async def until(self, enough: Callable[[list[Event]], Any]) -> list[Event]:
        while not enough(self.events):
            message = await self.receive()
            assert message["type"] == "event", message
            self.events.append(message)
        return self.events


@asynccontextmanager
async def socket(server: LiveServer, thread_id: str) -> AsyncIterator[Socket]:
    url = server.url.replace("http", "ws", 1) + f"/threads/{thread_id}/stream/events"
    async with websockets.connect(url) as connection:
        yield Socket(connection)


# --- transcripts ------------------------------------------------------------------------------------------------------


async def test_a_run_is_streamed_as_the_transcript_shows(http: httpx.AsyncClient) -> None:
    thread_id = new_id()
    run_id = await start(http, thread_id, "talker", HELLO)
    found = await events(http, thread_id, ends())
    assert shape(found) == [
        "lifecycle:running",
        "values",
        "messages:message-start",
        "messages:content-block-start",
        *["messages:content-block-delta"] * 5,
        "messages:content-block-finish",
        "messages:message-finish",
        "values",
        "values",
        "lifecycle:completed",
    ]
    assert found[0]["event_id"] == f"synth:{run_id}:lc||running"
    assert found[-1]["event_id"] == f"synth:{run_id}:lc||completed"
    assert found[-1]["params"]["data"] == {"event": "completed", "graph_name": "talker"}
    values = [e["params"]["data"] for e in found if e["method"] == "values"]
    start_id = next(e for e in found if e["method"] == "messages")["params"]["data"]["id"]
    assert values[0] == {"messages": [{"type": "human", "content": "hi", "id": "u1"}]}
    assert values[-1]["messages"][1]["id"] == start_id
    before = {b["method"] for b, e in itertools.pairwise(found) if e["method"] == "values"}
    assert before == {"checkpoints"}
    numbers = [e["seq"] for e in found]
    assert numbers == sorted(set(numbers)) and numbers[-1] < 2**53
    assert (await http.get(f"/threads/{thread_id}/runs/{run_id}")).json()["status"] == "success"


async def test_every_connection_sees_the_same_events_and_since_cuts_exactly(
    server: LiveServer, http: httpx.AsyncClient
) -> None:
    thread_id = new_id()
    live = asyncio.create_task(events(http, thread_id, ends(2)))  # before the thread exists
    await start(http, thread_id, "parent", {"foo": "a"})
    await events(http, thread_id, ends())
    await start(http, thread_id, "parent", {"foo": "b"})
    seen = await live
    late = await events(http, thread_id, ends(2))
    assert late == seen
    async with socket(server, thread_id) as client:
        answer = await client.command("subscription.subscribe", channels=ALL)
        assert client.events == seen and answer["result"]["replayed_events"] == len(seen)
        assert answer["meta"] == {"applied_through_seq": seen[-1]["seq"]}
    for index in (0, len(seen) // 2, len(seen) - 2):
        rest = await events(http, thread_id, ends(), since=seen[index]["seq"])
        assert rest == [e for e in seen if e["seq"] > seen[index]["seq"]][: len(rest)]
        assert rest[0] == seen[index + 1]


async def test_a_subgraph_is_announced_and_ends_before_the_root(http: httpx.AsyncClient) -> None:
    thread_id = new_id()
    await start(http, thread_id, "parent", {"foo": "a"})
    found = await events(http, thread_id, ends(), channels=["lifecycle"])
    assert [e["params"]["data"]["event"] for e in found] == ["running", "started", "completed", "completed"]
    child = found[1]["params"]["namespace"]
    assert child[0].startswith("child:") and found[2]["params"]["namespace"] == child
    only_root = await events(http, thread_id, ends(), channels=["lifecycle"], namespaces=[[]], depth=0)
    assert [e["params"]["namespace"] for e in only_root] == [[], []]


async def test_an_interrupt_over_a_socket_is_answered_as_the_transcript_shows(server: LiveServer) -> None:
    async with socket(server, new_id()) as client:
        answer = await client.command("subscription.subscribe", channels=["values", "lifecycle", "input"])
        assert answer["result"]["replayed_events"] == 0 and answer["meta"] == {"applied_through_seq": 0}
        assert (await client.command("agent.getTree"))["error"] == "no_such_run"
        await client.command("run.start", assistant_id="ask", input={"q": "x"})
        found = await client.until(lambda e: shape(e)[-2:] == ["lifecycle:interrupted", "values"])
        assert shape(found) == [
            "lifecycle:running",
            "values",
            "values",
            "input.requested",
            "lifecycle:interrupted",
            "values",
        ]
        asked = found[3]["params"]["data"]
        assert asked["payload"] == asked["value"] == {"question": "x!"}
        again = await client.command("subscription.subscribe", channels=["values"])
        assert again["result"]["replayed_events"] == 3
        del client.events[-3:]
        question = asked["interrupt_id"]
        wrong = await client.command("input.respond", interrupt_id=question, namespace=["wrong"], response="yes")
        assert (wrong["error"], wrong["message"]) == (
            "no_such_interrupt",
            "Interrupt namespace does not match the pending interrupt.",
        )
        right = await client.command("input.respond", interrupt_id=question, namespace=[], response="yes")
        assert right["type"] == "success" and right["result"] == {}
        client.events = [e for e in client.events if e["seq"] > found[5]["seq"]]
        found = await client.until(ends(1, "completed"))
        assert shape(found) == ["lifecycle:running", "values", "values", "lifecycle:completed"]
        assert found[2]["params"]["data"] == {"q": "x!", "answer": "yes"}
        spent = await client.command("input.respond", interrupt_id=question, namespace=[], response="yes")
        assert spent["message"] == f"Unknown or already-consumed interrupt: {question}"
        tree = (await client.command("agent.getTree"))["result"]["tree"]
        assert tree == {"namespace": [], "status": "completed", "graph_name": "ask", "children": []}


async def test_parallel_interrupts_are_answered_in_one_batch(http: httpx.AsyncClient) -> None:
    thread_id = new_id()
    await start(http, thread_id, "parallel_ask", {"names": ["a", "b"]})
    asked = await events(http, thread_id, lambda e: len(e) == 2, channels=["input"])
    answers = [
        {"interrupt_id": e["params"]["data"]["interrupt_id"], "response": e["params"]["data"]["payload"]["name"]}
        for e in asked
    ]
    # At once: the run that asked may not have ended yet.
    assert (await command(http, thread_id, "input.respond", responses=answers))["type"] == "success"
    found = await events(http, thread_id, ends(1, "completed"))
    assert [e["params"]["data"]["event"] for e in found if root_status(e)] == [
        "running",
        "interrupted",
        "running",
        "completed",
    ]
    values = [e["params"]["data"] for e in found if e["method"] == "values"][-1]
    assert values["answers"] == [{"a": "a"}, {"b": "b"}]
    second = await command(http, thread_id, "input.respond", responses=answers)
    assert second["error"] == "no_such_interrupt"


async def test_input_for_a_waiting_thread_is_its_answer(http: httpx.AsyncClient, sdk: LangGraphClient) -> None:
    thread_id = new_id()
    await start(http, thread_id, "ask", {"q": "x"})
    await events(http, thread_id, ends(1, "interrupted"))
    await start(http, thread_id, "ask", "yes")
    await events(http, thread_id, ends(1, "completed"))
    assert (await until_settled(sdk, thread_id))["values"] == {"q": "x!", "answer": "yes"}


async def test_a_checkpoint_id_forks(http: httpx.AsyncClient, sdk: LangGraphClient) -> None:
    thread_id = new_id()
    await start(http, thread_id, "path", {"note": "a"})
    found = await events(http, thread_id, ends())
    first = next(e for e in found if e["method"] == "checkpoints" and e["params"]["data"]["step"] == 1)
    config = {"configurable": {"checkpoint_id": first["params"]["data"]["id"]}}
    await start(http, thread_id, "path", None, config=config)
    await events(http, thread_id, ends(2))
    assert (await until_settled(sdk, thread_id))["values"]["log"] == ["one:a", "two:a", "three:a"]


# --- how runs end -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "text"), [("value", "kaboom"), ("secret", "An internal error occurred")], ids=["open", "secret"]
)
async def test_a_failure_is_one_failed_event_also_for_who_comes_late(
    http: httpx.AsyncClient, kind: str, text: str
) -> None:
    thread_id = new_id()
    await start(http, thread_id, "boom", {"kind": kind})
    for _ in range(2):
        found = await events(http, thread_id, ends(), channels=["lifecycle"])
        assert [e["params"]["data"]["event"] for e in found] == ["running", "failed"]
        assert found[-1]["params"]["data"]["error"] == text


@pytest.mark.parametrize("action", ["interrupt", "rollback"])
async def test_a_cancelled_run_ends_interrupted(http: httpx.AsyncClient, sdk: LangGraphClient, action: str) -> None:
    thread_id = new_id()
    run_id = await start(http, thread_id, "sleeper", {"seconds": 60})
    waiting = await start(http, thread_id, "sleeper", {"seconds": 60})
    await until(sdk, thread_id, run_id, ("running",))
    for one in (waiting, run_id):
        answer = await http.post(f"/threads/{thread_id}/runs/{one}/cancel", params={"action": action})
        assert answer.status_code == 202
    found = await events(http, thread_id, ends(2), channels=["lifecycle"])
    said = {one: [e["params"]["data"]["event"] for e in found if one in e["event_id"]] for one in (run_id, waiting)}
    assert said == {run_id: ["running", "interrupted"], waiting: ["running", "interrupted"]}


async def test_a_classic_run_is_seen_and_a_run_of_the_protocol_is_waited_for(
    http: httpx.AsyncClient, sdk: LangGraphClient
) -> None:
    thread_id = new_id()
    run_id = await start(http, thread_id, "ticker", {"ticks": 2, "pause": 0.1})
    assert await sdk.runs.join(thread_id, run_id) == {"ticks": 0, "pause": 0.1}
    async for _ in sdk.runs.stream(thread_id, "ticker", input={"ticks": 1}, stream_mode=["custom", "values"]):
        pass
    found = await events(http, thread_id, ends(2))
    classic = [e for e in found if e["seq"] > next(e["seq"] for e in found if root_status(e) == "completed")]
    assert shape(classic) == ["lifecycle:running", "values", "custom", "values", "lifecycle:completed"]
    assert classic[2]["params"]["data"] == {"payload": {"tick": 0}}
    assert classic[0]["params"]["data"]["graph_name"] == "ticker"


async def test_a_deleted_thread_ends_its_streams(server: LiveServer, http: httpx.AsyncClient) -> None:
    thread_id = new_id()
    await start(http, thread_id, "echo", {"text": "a"})
    async with socket(server, thread_id) as client:
        await client.command("subscription.subscribe", channels=ALL)
        await client.until(ends())
        assert (await http.delete(f"/threads/{thread_id}")).status_code == 204
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await client.until(ends(9))
    assert closed.value.rcvd and (closed.value.rcvd.code, closed.value.rcvd.reason) == (1011, "thread stream ended")


# --- refusals ---------------------------------------------------------------------------------------------------------

REFUSED: list[tuple[str, dict[str, Any], str, str]] = [
    ("run.start", {}, "invalid_argument", "run.start requires an assistant_id."),
    ("run.start", {"assistant_id": "nope"}, "unknown_error", "422: Invalid assistant: 'nope'. Must be either:"),
    (
        "run.start",
        {"assistant_id": "echo", "config": {"configurable": {"checkpoint_id": "x"}}},
        "invalid_argument",
        "Invalid config.configurable.checkpoint_id: 'x'.",
    ),
    (
        "run.start",
        {"assistant_id": "echo", "config": {"configurable": {"checkpoint_id": 1}}},
        "invalid_argument",
        "config.configurable.checkpoint_id must be a non-empty string.",
    ),
    (
        "run.start",
        {"assistant_id": "echo", "langsmith_tracer": {"x": "y"}},
        "invalid_argument",
        "langsmith_tracer has unsupported fields: ['x'].",
    ),
    ("input.respond", {}, "invalid_argument", "input.respond requires an interrupt_id."),
    ("input.respond", {"responses": []}, "invalid_argument", "input.respond requires at least one response."),
    ("input.respond", {"responses": [1]}, "invalid_argument", "input.respond responses entries must be objects."),
    (
        "input.respond",
        {"responses": [{}]},
        "invalid_argument",
        "input.respond responses entries require an interrupt_id.",
    ),
    (
        "input.respond",
        {"interrupt_id": "i", "namespace": "x"},
        "invalid_argument",
        "input.respond requires namespace to be a list of strings.",
    ),
    ("input.respond", {"interrupt_id": "i"}, "no_such_run", "No interrupted run is bound to this thread."),
    ("agent.getTree", {}, "no_such_run", "No active run is bound to this thread."),
    ("run.cancel", {}, "unknown_command", "Unknown protocol command: run.cancel"),
    (
        "subscription.subscribe",
        {"channels": []},
        "invalid_argument",
        "subscription.subscribe requires a non-empty channels array.",
    ),
    (
        "subscription.subscribe",
        {"channels": ["debug"]},
        "invalid_argument",
        "subscription.subscribe received an unsupported channel.",
    ),
    (
        "subscription.unsubscribe",
        {},
        "invalid_argument",
        "subscription.unsubscribe requires a subscription_id.",
    ),
    (
        "subscription.unsubscribe",
        {"subscription_id": "zzz"},
        "no_such_subscription",
        "Unknown subscription: zzz",
    ),
    (
        "subscription.reconnect",
        {"channels": ["values"]},
        "invalid_argument",
        "subscription.reconnect requires since to be a non-negative integer.",
    ),
]


async def test_refusals_have_the_same_words_over_http_and_the_socket(
    server: LiveServer, http: httpx.AsyncClient
) -> None:
    thread_id = new_id()
    async with socket(server, thread_id) as client:
        for method, params, code, text in REFUSED:
            over_http = await command(http, thread_id, method, **params)
            over_socket = await client.command(method, **params)
            for answer in (over_http, over_socket):
                assert (answer["type"], answer["error"]) == ("error", code), answer
                assert answer["message"].startswith(text), answer
    assert (await http.get(f"/threads/{thread_id}")).status_code == 404


async def test_malformed_requests_answer_400(http: httpx.AsyncClient) -> None:
    path = f"/threads/{new_id()}"
    for route in ("commands", "stream/events"):
        answer = await http.post(f"{path}/{route}", content=b"{")
        assert (answer.status_code, answer.json()) == (400, {"detail": "Invalid JSON body"})
        assert (await http.get(f"{path}/{route}")).status_code == 405
    bodies: Any = (([], None), ({"id": "x", "method": "m"}, "x"), ({"id": 1}, 1))
    for body, echoed in bodies:
        answer = await http.post(f"{path}/commands", json=body)
        assert answer.status_code == 400
        assert answer.json() == {
            "type": "error",
            "id": echoed,
            "error": "invalid_argument",
            "message": "Protocol commands must include an integer id and string method.",
        }
    for body, text in (
        ({}, "channels is required and must be a non-empty array"),
        (
            {"channels": ["debug", 1, "custom:", "bad", "x1", "x2"]},
            "channels contains unsupported entries: debug, 1, custom:, bad, x1. Allowed: values, updates, messages, "
            "tools, custom, lifecycle, input, tasks, or any `custom:<name>`.",
        ),
    ):
        answer = await http.post(f"{path}/stream/events", json=body)
        assert (answer.status_code, answer.json()) == (400, {"detail": text})
    assert (await http.post("/threads/x/stream/events", json={"channels": ["values"]})).status_code == 422


async def test_a_socket_survives_what_is_no_command(server: LiveServer) -> None:
    async with socket(server, new_id()) as client:
        for sent, echoed, text in (
            ("{", None, "Protocol commands must be valid JSON."),
            (b"\xff\x00", None, "Protocol commands must be valid JSON."),
            ("[]", None, "Protocol commands must include an integer id and string method."),
            ('{"id":"x","method":"m"}', "x", "Protocol commands must include an integer id and string method."),
        ):
            await client.connection.send(sent)
            answer = await client.answer()
            assert (answer["id"], answer["error"], answer["message"]) == (echoed, "invalid_argument", text)
        await client.connection.send(orjson.dumps({"id": 1, "method": "x.y"}))  # a binary frame
        assert (await client.answer())["message"] == "Unknown protocol command: x.y"


async def test_a_malformed_thread_id_closes_the_socket(server: LiveServer) -> None:
    async with socket(server, "nonsense") as client:
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await client.receive()
    assert closed.value.rcvd and (closed.value.rcvd.code, closed.value.rcvd.reason) == (1011, "thread stream ended")


async def test_an_unknown_socket_path_is_refused(server: LiveServer) -> None:
    with pytest.raises(websockets.InvalidStatus) as refused:
        async with websockets.connect(server.url.replace("http", "ws", 1) + "/nowhere"):
            pass
    assert refused.value.response.status_code == 403


# --- random input -----------------------------------------------------------------------------------------------------


def anything(source: random.Random, depth: int = 3) -> Any:
    """A random JSON value, made of the protocol's words as often as not."""
    words = ["", "run.start", "input.respond", "subscription.subscribe", "agent.getTree", "values", "echo", "\0", "é|x"]
    keys = ["id", "method", "params", "channels", "assistant_id", "input", "config", "configurable", "checkpoint_id"]
    keys += ["responses", "interrupt_id", "namespace", "namespaces", "depth", "since", "subscription_id", "metadata"]
    kind = source.randrange(8 if depth else 6)
    if kind < 6:
        return source.choice([None, True, -1, 2**70, 1.5, source.choice(words)])
    size = source.randrange(5)
    if kind == 6:
        return [anything(source, depth - 1) for _ in range(size)]
    return {source.choice(keys): anything(source, depth - 1) for _ in range(size)}


async def test_random_input_breaks_nothing(server: LiveServer, http: httpx.AsyncClient) -> None:
    rounds = int(os.environ.get("EVENT_STREAMING_FUZZ", "100"))
    source, thread_id = random.Random(20261122), new_id()
    async with socket(server, thread_id) as client:
        for number in range(rounds):
            value = anything(source)
            methods = ["run.start", "input.respond", "subscription.subscribe", "subscription.reconnect", "x"]
            wrapped = {"id": number, "method": source.choice(methods), "params": value}
            for document in (value, wrapped):
                body = json.dumps(document).encode()
                answer = await http.post(f"/threads/{thread_id}/commands", content=body)
                assert answer.status_code in (200, 400), (body, answer.text)
                assert "500:" not in answer.text, (body, answer.text)
                async with http.stream("POST", f"/threads/{thread_id}/stream/events", content=body) as stream:
                    assert stream.status_code in (200, 400), body
                await client.connection.send(body if source.random() < 0.5 else body.decode())
                reply = await client.answer()
                assert reply["type"] in ("success", "error") and "500:" not in json.dumps(reply), (body, reply)
    assert (await http.get("/ok")).status_code == 200
    fresh = new_id()
    await start(http, fresh, "echo", {"text": "a"})
    assert shape(await events(http, fresh, ends()))[-1] == "lifecycle:completed"


# --- the official clients ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", ["sse", "websocket"])
async def test_the_sdk_streams_messages_and_output(sdk: LangGraphClient, transport: Any) -> None:
    thread: Any
    async with asyncio.timeout(PATIENCE), sdk.threads.stream(assistant_id="talker", transport=transport) as thread:
        await thread.run.start(input=HELLO)
        texts = [asyncio.ensure_future(message.text) async for message in thread.messages]
        assert [await text for text in texts] == ["Hello big world"]
        output = await thread.output
    assert [message["type"] for message in output["messages"]] == ["human", "ai", "tool"]


@pytest.mark.parametrize("transport", ["sse", "websocket"])
async def test_the_sdk_answers_an_interrupt(sdk: LangGraphClient, transport: Any) -> None:
    thread: Any
    async with asyncio.timeout(PATIENCE), sdk.threads.stream(assistant_id="ask", transport=transport) as thread:
        await thread.run.start(input={"q": "x"})
        async for _ in thread.values:
            pass
        assert thread.interrupted and thread.interrupts[0]["value"] == {"question": "x!"}
        await thread.run.respond("yes")
        assert (await thread.output)["answer"] == "yes"


@pytest.mark.parametrize("transport", ["sse", "websocket"])
async def test_the_sdk_follows_subgraphs(sdk: LangGraphClient, transport: Any) -> None:
    thread: Any
    async with asyncio.timeout(PATIENCE), sdk.threads.stream(assistant_id="parent", transport=transport) as thread:
        await thread.run.start(input={"foo": "a"})
        names = [child.graph_name async for child in thread.subgraphs]
        assert names == ["child"]
        assert (await thread.output)["log"] == ["pre", "pre", "inner"]


async def test_a_remote_graph_streams_events(sdk: LangGraphClient) -> None:
    graph: Any = RemoteGraph("path", client=sdk)
    config = {"configurable": {"thread_id": new_id()}}
    async with asyncio.timeout(PATIENCE), await graph.astream_events({"note": "a"}, config, version="v3") as run:
        values = [value async for value in run.values]
        assert values[-1]["log"] == ["one:a", "two:a", "three:a"] == (await run.output())["log"]


async def test_a_remote_graph_is_resumed_by_a_command(sdk: LangGraphClient) -> None:
    graph: Any = RemoteGraph("ask", client=sdk)
    config = {"configurable": {"thread_id": new_id()}}
    async with asyncio.timeout(PATIENCE), await graph.astream_events({"q": "x"}, config, version="v3") as run:
        async for _ in run.values:
            pass
        assert await run.interrupted()
    again = await graph.astream_events(Command(resume="yes"), config, version="v3")
    async with asyncio.timeout(PATIENCE), again as run:
        assert (await run.output())["answer"] == "yes"
