"""State, history, updates and supersteps of threads, over the wire. Source: contract/core.md 4.13 to 4.18."""

import math
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import BadRequestError, ConflictError, NotFoundError

from config import loop
from threads import checkpointer
from threads.models import Thread

KEYS = {
    "values",
    "next",
    "tasks",
    "metadata",
    "created_at",
    "checkpoint",
    "parent_checkpoint",
    "interrupts",
    "checkpoint_id",
    "parent_checkpoint_id",
}
EMPTY: dict[str, Any] = {
    "values": {},
    "next": [],
    "tasks": [],
    "metadata": None,
    "created_at": None,
    "checkpoint": None,
    "parent_checkpoint": None,
    "interrupts": [],
    "checkpoint_id": None,
    "parent_checkpoint_id": None,
}
UNKNOWN = "5c2f1f0e-3d0b-4f6e-9f0a-0a7e6d1c2b3a"


async def ran(sdk: LangGraphClient, graph: str, given: Any) -> str:
    """A thread on which a run has ended."""
    thread = await sdk.threads.create()
    await sdk.runs.wait(thread["thread_id"], graph, input=given, raise_error=False)
    return thread["thread_id"]


async def state_of(sdk: LangGraphClient, thread_id: str, **options: Any) -> Any:
    return await sdk.threads.get_state(thread_id, **options)


async def history_of(sdk: LangGraphClient, thread_id: str, **options: Any) -> Any:
    return await sdk.threads.get_history(thread_id, **options)


# --- reading ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("graph_id", [None, "echo", "gone", 5])
async def test_a_fresh_thread_has_an_empty_state_not_404(http: httpx.AsyncClient, graph_id: Any) -> None:
    """contract/core.md trap 2"""
    body = {"metadata": {"graph_id": graph_id}} if graph_id else {}
    thread = (await http.post("/threads", json=body)).json()
    answer = await http.get(f"/threads/{thread['thread_id']}/state")
    assert (answer.status_code, answer.json()) == (200, EMPTY)
    assert (await http.get(f"/threads/{thread['thread_id']}/history")).json() == []
    assert (await http.post(f"/threads/{thread['thread_id']}/history", json={})).json() == []


async def test_a_state_has_all_ten_keys_and_links_to_its_parent(sdk: LangGraphClient) -> None:
    wanted = await ran(sdk, "echo", {"text": "hi"})
    state = await state_of(sdk, wanted)
    assert set(state) == KEYS
    assert (state["values"], state["next"], state["tasks"]) == ({"text": "hi", "log": ["hi"], "messages": []}, [], [])
    assert state["checkpoint"] == {"thread_id": wanted, "checkpoint_ns": "", "checkpoint_id": state["checkpoint_id"]}
    assert state["parent_checkpoint"]["checkpoint_id"] == state["parent_checkpoint_id"]
    assert state["created_at"].endswith("+00:00")


async def test_metadata_says_where_a_checkpoint_comes_from(sdk: LangGraphClient) -> None:
    wanted = await ran(sdk, "echo", {"text": "hi"})
    run = (await sdk.runs.list(wanted))[0]
    metadata = (await state_of(sdk, wanted))["metadata"]
    assert (metadata["source"], metadata["step"], metadata["parents"]) == ("loop", 1, {})
    assert (metadata["run_id"], metadata["thread_id"]) == (run["run_id"], wanted)
    assert (metadata["graph_id"], metadata["assistant_id"]) == ("echo", run["assistant_id"])
    assert "checkpoint_ns" not in metadata


async def test_an_interrupted_task_waits_in_the_state(sdk: LangGraphClient) -> None:
    state = await state_of(sdk, await ran(sdk, "ask", {"q": "ok"}))
    (task,) = state["tasks"]
    assert state["next"] == ["ask"]
    assert set(task) == {"id", "name", "path", "error", "interrupts", "checkpoint", "state", "result"}
    assert (task["name"], task["path"][:2]) == ("ask", ["__pregel_pull", "ask"])
    assert (task["error"], task["checkpoint"], task["state"], task["result"]) == (None, None, None, None)
    assert state["interrupts"] == task["interrupts"]
    assert [set(interrupt) for interrupt in task["interrupts"]] == [{"id", "value"}]
    assert task["interrupts"][0]["value"] == {"question": "ok!"}


async def test_a_failed_task_shows_its_error_as_python_would(sdk: LangGraphClient) -> None:
    state = await state_of(sdk, await ran(sdk, "boom", {"kind": "secret"}))
    assert state["next"] == ["fail"]
    assert state["tasks"][0]["error"] == "SecretError('the password is hunter2')"


async def test_a_finished_task_shows_its_result_in_history(sdk: LangGraphClient) -> None:
    history = await history_of(sdk, await ran(sdk, "echo", {"text": "hi"}))
    assert [state["next"] for state in history] == [[], ["echo"], ["__start__"]]
    assert history[1]["tasks"][0]["result"] == {"log": ["hi"]}


async def test_a_task_with_a_subgraph_points_to_its_checkpoint_or_holds_its_state(sdk: LangGraphClient) -> None:
    wanted = await ran(sdk, "parent", {"foo": "x", "stop": True})
    (task,) = (await state_of(sdk, wanted))["tasks"]
    assert task["checkpoint"] == {"thread_id": wanted, "checkpoint_ns": f"child:{task['id']}"}
    assert task["state"] is None
    whole = await state_of(sdk, wanted, subgraphs=True)
    (task,) = whole["tasks"]
    assert task["checkpoint"] is None
    assert set(task["state"]) == KEYS
    assert task["state"]["next"] == ["inner"]
    ids = {"": whole["checkpoint_id"], f"child:{task['id']}": task["state"]["checkpoint_id"]}
    assert task["state"]["checkpoint"]["checkpoint_map"] == ids


@pytest.mark.parametrize(("text", "nested"), [("true", True), ("True", True), ("TRUE", False), ("1", False)])
async def test_subgraphs_means_the_word_true(
    http: httpx.AsyncClient, sdk: LangGraphClient, text: str, nested: bool
) -> None:
    wanted = await ran(sdk, "parent", {"foo": "x", "stop": True})
    state = (await http.get(f"/threads/{wanted}/state?subgraphs={text}&select=values")).json()
    assert (state["tasks"][0]["state"] is not None) is nested


async def test_the_state_of_a_subgraph_is_read_by_its_namespace(sdk: LangGraphClient) -> None:
    wanted = await ran(sdk, "parent", {"foo": "x", "stop": True})
    checkpoint = (await state_of(sdk, wanted))["tasks"][0]["checkpoint"]
    inner = await state_of(sdk, wanted, checkpoint=checkpoint)
    assert (inner["next"], inner["values"]["foo"]) == (["inner"], "x")
    assert inner["checkpoint"]["checkpoint_ns"] == checkpoint["checkpoint_ns"]
    assert await state_of(sdk, wanted, checkpoint=inner["checkpoint"]) == inner


@pytest.mark.parametrize("namespace", ["nope", "nope:1|deeper:2", "child:" + UNKNOWN])
async def test_an_unknown_namespace_has_no_state(http: httpx.AsyncClient, sdk: LangGraphClient, namespace: str) -> None:
    wanted = await ran(sdk, "parent", {"foo": "x"})
    body = {"checkpoint": {"checkpoint_ns": namespace}}
    state = (await http.post(f"/threads/{wanted}/state/checkpoint", json=body)).json()
    assert (state["values"], state["checkpoint_id"]) == ({}, None)
    assert (await http.post(f"/threads/{wanted}/history", json=body)).json() == []


async def test_a_state_is_read_at_a_checkpoint(http: httpx.AsyncClient, sdk: LangGraphClient) -> None:
    wanted = await ran(sdk, "counter", {"steps": 3})
    for past in await history_of(sdk, wanted):
        by_id = (await http.get(f"/threads/{wanted}/state/{past['checkpoint_id']}")).json()
        assert (by_id["checkpoint"], by_id["values"]) == (past["checkpoint"], past["values"])
        assert await state_of(sdk, wanted, checkpoint=past["checkpoint"]) == by_id


@pytest.mark.parametrize("checkpoint_id", [UNKNOWN, "malformed", "é☃ %"])
async def test_an_unknown_checkpoint_is_an_empty_state_that_echoes_it(
    http: httpx.AsyncClient, sdk: LangGraphClient, checkpoint_id: str
) -> None:
    wanted = await ran(sdk, "echo", {"text": "hi"})
    path = httpx.URL(f"/threads/{wanted}/state/").join(str(httpx.URL(path=checkpoint_id)))
    echo = {"checkpoint": {"checkpoint_id": checkpoint_id, "thread_id": wanted}, "checkpoint_id": checkpoint_id}
    body = {"checkpoint": {"checkpoint_id": checkpoint_id}}
    assert (await http.post(f"/threads/{wanted}/state/checkpoint", json=body)).json() == {**EMPTY, **echo}
    assert (await http.get(path)).json() == {**EMPTY, **echo}


async def test_an_empty_checkpoint_is_the_latest_and_the_path_names_the_thread(
    http: httpx.AsyncClient, sdk: LangGraphClient
) -> None:
    wanted = await ran(sdk, "echo", {"text": "hi"})
    for checkpoint in ({}, {"thread_id": UNKNOWN}, {"checkpoint_map": None, "checkpoint_id": None}):
        answer = await http.post(f"/threads/{wanted}/state/checkpoint", json={"checkpoint": checkpoint})
        assert answer.json() == await state_of(sdk, wanted)


async def test_no_null_is_inside_a_checkpoint_object(sdk: LangGraphClient) -> None:
    """contract/core.md trap 3"""
    wanted = await ran(sdk, "parent", {"foo": "x", "stop": True})
    states = [await state_of(sdk, wanted, subgraphs=True), *await history_of(sdk, wanted)]
    states.append(states[0]["tasks"][0]["state"])
    checkpoints = [state[name] for state in states for name in ("checkpoint", "parent_checkpoint")]
    assert all(None not in checkpoint.values() for checkpoint in checkpoints if checkpoint)


async def test_values_are_json_whatever_they_are(sdk: LangGraphClient) -> None:
    """contract/core.md trap 19"""
    wanted = await ran(sdk, "types", {})
    thread: Any = await sdk.threads.get(wanted)
    live, stored = thread["values"]["value"], (await state_of(sdk, wanted))["values"]["value"]
    for value in (live, stored):
        assert (value["bytes"], value["nan"], value["inf"], value["nul"]) == ("YWJj", None, None, "a\ufffdb")
        assert (value["uuid"], value["dt"], value["msg"]["type"]) == (
            str(uuid.UUID(int=5)),
            "2024-01-02T03:04:05",
            "ai",
        )
        assert value["pm"] == {"x": 1, "when": "2024-01-02T03:04:05+00:00"}
    assert live == stored


async def test_text_and_numbers_jsonb_cannot_hold_stay_what_they_are(sdk: LangGraphClient) -> None:
    wanted = await ran(sdk, "awkward", {"text": "a"})
    state = await state_of(sdk, wanted)
    assert state["values"] == {"text": "a\ufffd", "ratio": None, "seen": ["a\ufffd", "nan"]}
    await sdk.threads.update_state(wanted, {"text": "b\0"}, as_node="worsen")
    again: Any = await sdk.runs.wait(wanted, "awkward", input=None)
    assert again == {"text": "b\ufffd", "ratio": None, "seen": ["b\ufffd", str(math.nan)]}


# --- history ----------------------------------------------------------------------------------------------------------


async def test_history_is_newest_first_and_one_long_unless_asked(http: httpx.AsyncClient, sdk: LangGraphClient) -> None:
    """contract/core.md trap 18"""
    wanted = await ran(sdk, "counter", {"steps": 3})
    history = (await http.get(f"/threads/{wanted}/history?limit=10")).json()
    assert [state["values"].get("count") for state in history] == [3, 2, 1, None, None]
    assert [state["metadata"]["step"] for state in history] == [3, 2, 1, 0, -1]
    assert (await http.get(f"/threads/{wanted}/history")).json() == history[:1]
    assert (await http.post(f"/threads/{wanted}/history", json={})).json() == history[:1]
    parents = [state["parent_checkpoint_id"] for state in history]
    assert parents == [*(state["checkpoint_id"] for state in history[1:]), None]


@pytest.mark.parametrize(("limit", "answer"), [("0", 200), ("-3", 200), ("x", 422), ("1.5", 422), ("", 422)])
async def test_a_limit_in_the_query(http: httpx.AsyncClient, sdk: LangGraphClient, limit: str, answer: int) -> None:
    wanted = await ran(sdk, "echo", {"text": "hi"})
    found = await http.get(f"/threads/{wanted}/history?limit={limit}")
    assert found.status_code == answer
    assert found.json() == ([] if answer == 200 else {"detail": f"Invalid limit {limit}"})


@pytest.mark.parametrize("limit", [0, 1001, "5", 1.5])
async def test_a_limit_in_the_body_is_from_1_to_1000(http: httpx.AsyncClient, limit: Any) -> None:
    thread = (await http.post("/threads", json={})).json()
    answer = await http.post(f"/threads/{thread['thread_id']}/history", json={"limit": limit})
    assert answer.status_code == 422


async def test_before_is_exclusive_and_comes_in_three_forms(http: httpx.AsyncClient, sdk: LangGraphClient) -> None:
    wanted = await ran(sdk, "counter", {"steps": 3})
    history = await history_of(sdk, wanted)
    checkpoint = history[1]["checkpoint"]
    forms = [checkpoint["checkpoint_id"], checkpoint, {"configurable": checkpoint}]
    for before in forms:
        answer = await http.post(f"/threads/{wanted}/history", json={"limit": 10, "before": before})
        assert answer.json() == history[2:]
    query = {"limit": 10, "before": checkpoint["checkpoint_id"]}
    assert (await http.get(f"/threads/{wanted}/history", params=query)).json() == history[2:]
    assert (await http.get(f"/threads/{wanted}/history?before=zzz&limit=10")).json() == history


@pytest.mark.parametrize("before", [5, [], {"checkpoint_id": 5}, {"configurable": {"checkpoint_id": []}}, True])
async def test_any_other_before_is_422(http: httpx.AsyncClient, before: Any) -> None:
    thread = (await http.post("/threads", json={})).json()
    answer = await http.post(f"/threads/{thread['thread_id']}/history", json={"before": before})
    assert answer.status_code == 422


async def test_history_is_filtered_by_metadata(sdk: LangGraphClient) -> None:
    wanted = await ran(sdk, "counter", {"steps": 2})
    found = await history_of(sdk, wanted, metadata={"source": "loop", "step": 1})
    assert [state["values"]["count"] for state in found] == [1]
    assert await history_of(sdk, wanted, metadata={"source": "nope\0"}) == []


async def test_a_checkpoint_narrows_the_history(sdk: LangGraphClient) -> None:
    wanted = await ran(sdk, "parent", {"foo": "x", "stop": True})
    history = await history_of(sdk, wanted)
    only = {"checkpoint_id": history[1]["checkpoint_id"], "thread_id": UNKNOWN}
    assert await history_of(sdk, wanted, checkpoint=only) == history[1:2]
    namespace = (await state_of(sdk, wanted))["tasks"][0]["checkpoint"]["checkpoint_ns"]
    inner = await history_of(sdk, wanted, checkpoint={"checkpoint_ns": namespace})
    assert {state["checkpoint"]["checkpoint_ns"] for state in inner} == {namespace}


# --- updates ----------------------------------------------------------------------------------------------------------


async def test_an_update_is_a_checkpoint_of_its_own(sdk: LangGraphClient) -> None:
    wanted = await ran(sdk, "echo", {"text": "hi"})
    before = await state_of(sdk, wanted)
    answer: Any = await sdk.threads.update_state(wanted, {"text": "new", "unknown": 1}, as_node="echo")
    assert set(answer) == {"checkpoint", "configurable", "checkpoint_id"}
    assert answer["checkpoint"] == answer["configurable"]
    state = await state_of(sdk, wanted)
    assert state["checkpoint"] == answer["checkpoint"]
    assert state["parent_checkpoint"] == before["checkpoint"]
    assert (state["metadata"]["source"], state["values"]["text"]) == ("update", "new")
    thread = await sdk.threads.get(wanted)
    assert (thread["values"], thread["status"]) == (state["values"], "idle")


async def test_an_update_clears_the_error_and_says_whether_nodes_wait(sdk: LangGraphClient) -> None:
    wanted = await ran(sdk, "boom", {"kind": "value"})
    await sdk.threads.update_state(wanted, {"kind": "none"}, as_node="fine")
    thread: Any = await sdk.threads.get(wanted)
    assert (thread["status"], thread["error"], thread["values"]["kind"]) == ("interrupted", None, "none")
    assert (await sdk.runs.wait(wanted, "boom", input=None))["log"][-1] == "fine"  # type: ignore[call-overload]


async def test_an_update_of_an_empty_thread_is_an_input(sdk: LangGraphClient) -> None:
    thread = await sdk.threads.create(graph_id="ask")
    await sdk.threads.update_state(thread["thread_id"], {"q": "given"})
    state = await state_of(sdk, thread["thread_id"])
    assert (state["values"], state["next"]) == ({"q": "given"}, ["before"])
    assert (await sdk.threads.get(thread["thread_id"]))["status"] == "interrupted"


@pytest.mark.parametrize("body", [{}, {"values": None}])
async def test_an_update_without_values_writes_a_checkpoint(
    http: httpx.AsyncClient, sdk: LangGraphClient, body: Any
) -> None:
    wanted = await ran(sdk, "echo", {"text": "hi"})
    before = await state_of(sdk, wanted)
    answer = await http.post(f"/threads/{wanted}/state", json=body)
    assert answer.json()["checkpoint_id"] > before["checkpoint_id"]
    assert (await state_of(sdk, wanted))["values"] == before["values"]


async def test_an_update_at_a_checkpoint_forks_there(http: httpx.AsyncClient, sdk: LangGraphClient) -> None:
    wanted = await ran(sdk, "counter", {"steps": 3})
    past = (await history_of(sdk, wanted))[2]
    bodies = [{"checkpoint": past["checkpoint"]}, {"checkpoint_id": past["checkpoint_id"]}]
    for body in bodies:
        answer = await http.post(f"/threads/{wanted}/state", json={"values": {"count": 10}, "as_node": "step", **body})
        assert answer.status_code == 200
        state = await state_of(sdk, wanted)
        assert (state["parent_checkpoint"], state["values"]["count"]) == (past["checkpoint"], 10)


async def test_an_update_at_an_unknown_checkpoint_starts_an_empty_history(
    http: httpx.AsyncClient, sdk: LangGraphClient
) -> None:
    wanted = await ran(sdk, "echo", {"text": "hi"})
    body = {"values": {"text": "new"}, "checkpoint_id": UNKNOWN, "checkpoint": {"thread_id": UNKNOWN}}
    assert (await http.post(f"/threads/{wanted}/state", json=body)).status_code == 200
    body = {"values": {"text": "new"}, "checkpoint": {"checkpoint_id": UNKNOWN, "thread_id": UNKNOWN}}
    assert (await http.post(f"/threads/{wanted}/state", json=body)).status_code == 200
    assert (await state_of(sdk, wanted))["values"] == {"text": "new", "log": [], "messages": []}


async def test_the_state_of_a_subgraph_can_be_updated(sdk: LangGraphClient) -> None:
    wanted = await ran(sdk, "parent", {"foo": "x", "stop": True})
    (task,) = (await state_of(sdk, wanted, subgraphs=True))["tasks"]
    answer: Any = await sdk.threads.update_state(wanted, {"foo": "inside"}, checkpoint=task["state"]["checkpoint"])
    assert answer["checkpoint"]["checkpoint_ns"] == task["state"]["checkpoint"]["checkpoint_ns"]
    after = await state_of(sdk, wanted, subgraphs=True)
    assert after["tasks"][0]["state"]["values"]["foo"] == "inside"
    row: Any = await sdk.threads.get(wanted)
    assert row["values"]["foo"] == "x"


async def test_a_busy_thread_refuses_updates(sdk: LangGraphClient) -> None:
    thread = await sdk.threads.create()
    run = await sdk.runs.create(thread["thread_id"], "sleeper", input={"seconds": 30})
    with pytest.raises(ConflictError, match="busy"):
        await sdk.threads.update_state(thread["thread_id"], {"seconds": 1})
    await sdk.runs.cancel(thread["thread_id"], run["run_id"], wait=True)


async def test_an_unknown_thread_cannot_be_updated(sdk: LangGraphClient) -> None:
    with pytest.raises(NotFoundError):
        await sdk.threads.update_state(UNKNOWN, {})


@pytest.mark.parametrize("graph_id", [None, "gone", 5])
async def test_without_a_known_graph_an_update_is_400(http: httpx.AsyncClient, graph_id: Any) -> None:
    thread = (await http.post("/threads", json={"metadata": {"graph_id": graph_id}})).json()
    assert (await http.post(f"/threads/{thread['thread_id']}/state", json={})).status_code == 400


@pytest.mark.parametrize("node", ["nope", "__end__", "__copy__"])
async def test_an_unknown_node_is_400_and_nothing_is_written(http: httpx.AsyncClient, node: str) -> None:
    thread = (await http.post("/threads", json={"metadata": {"graph_id": "echo"}})).json()
    path = f"/threads/{thread['thread_id']}"
    for values in ({"text": "x"}, None):
        answer = await http.post(f"{path}/state", json={"values": values, "as_node": node})
        assert answer.status_code == 400
    assert (await http.get(path)).json() == thread
    assert (await http.get(f"{path}/state")).json() == EMPTY


async def test_values_a_graph_cannot_take_are_400(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    thread = await sdk.threads.create(graph_id="picky")
    path = f"/threads/{thread['thread_id']}/state"
    unfit = [({"items": "value"}, "that will not do"), ({"items": "secret"}, "An internal error occurred")]
    for values, detail in unfit:
        answer = await http.post(path, json={"values": values, "as_node": "keep"})
        assert (answer.status_code, answer.json()) == (400, {"detail": detail})
    assert (await http.post(path, json={"values": [1, 2], "as_node": "keep"})).status_code == 400
    messages = await http.post("/threads", json={"metadata": {"graph_id": "echo"}})
    path = f"/threads/{messages.json()['thread_id']}/state"
    assert (await http.post(path, json={"values": {"messages": [{"role": "nobody"}]}})).status_code == 400


async def test_an_ambiguous_update_is_400(sdk: LangGraphClient) -> None:
    thread = await sdk.threads.create(
        graph_id="parallel_ask",
        supersteps=[{"updates": [{"values": {}, "as_node": "ask_one"}, {"values": {}, "as_node": "ask_one"}]}],
    )
    await sdk.runs.wait(thread["thread_id"], "drawn", input={"depth": 0})
    with pytest.raises(BadRequestError):
        await sdk.threads.update_state(thread["thread_id"], {"depth": 1}, as_node="nope")


@pytest.mark.parametrize("body", [{"values": 5}, {"values": "x"}, {"as_node": 5}, {"checkpoint": "x"}, []])
async def test_a_malformed_update_is_422(http: httpx.AsyncClient, body: Any) -> None:
    thread = (await http.post("/threads", json={"metadata": {"graph_id": "echo"}})).json()
    assert (await http.post(f"/threads/{thread['thread_id']}/state", json=body)).status_code == 422


async def test_deep_values_are_stored_whole(http: httpx.AsyncClient) -> None:
    deep: Any = "end"
    for _ in range(240):
        deep = [deep]
    thread = (await http.post("/threads", json={"metadata": {"graph_id": "picky"}})).json()
    path = f"/threads/{thread['thread_id']}/state"
    assert (await http.post(path, json={"values": {"items": deep}, "as_node": "keep"})).status_code == 200
    assert (await http.get(path)).json()["values"] == {"items": [deep]}


# --- supersteps -------------------------------------------------------------------------------------------------------


async def test_supersteps_create_a_history(sdk: LangGraphClient) -> None:
    thread: Any = await sdk.threads.create(
        graph_id="ask",
        supersteps=[
            {"updates": [{"values": {"q": "given"}, "as_node": "__start__"}]},
            {"updates": [{"values": {"q": "given!"}, "as_node": "before"}]},
        ],
    )
    assert (thread["status"], thread["values"]) == ("interrupted", {"q": "given!"})
    history = await history_of(sdk, thread["thread_id"])
    assert [(state["values"], state["next"]) for state in history][:2] == [
        ({"q": "given!"}, ["ask"]),
        ({"q": "given"}, ["before"]),
    ]
    assert {state["metadata"]["source"] for state in history} <= {"update", "input"}


async def test_staged_input_shows_only_after_the_start(sdk: LangGraphClient) -> None:
    def staged(*more: Any) -> Any:
        steps = [{"updates": [{"values": {"q": "staged"}, "as_node": "__input__"}]}, *more]
        return sdk.threads.create(graph_id="ask", supersteps=steps)

    start = {"updates": [{"values": {"q": "started"}, "as_node": "__start__"}]}
    assert (await staged())["values"] in ({}, None)
    assert (await staged(start))["values"] == {"q": "started"}


@pytest.mark.parametrize(
    "command", [{"update": {"q": "told"}}, {"update": [["q", "told"]]}, {"update": {"q": "told"}, "goto": "ask"}]
)
async def test_a_command_wins_over_values_and_needs_no_goto(http: httpx.AsyncClient, command: Any) -> None:
    steps = [{"updates": [{"values": {"q": "other"}, "command": command, "as_node": "before"}]}]
    answer = await http.post("/threads", json={"metadata": {"graph_id": "ask"}, "supersteps": steps})
    assert (answer.status_code, answer.json()["values"]) == (200, {"q": "told"})


async def test_an_empty_command_counts_as_none(http: httpx.AsyncClient) -> None:
    empty: list[Any] = [{}, None]
    steps = [{"updates": [{"values": {"q": "v"}, "command": command, "as_node": "before"}]} for command in empty]
    answer = await http.post("/threads", json={"metadata": {"graph_id": "ask"}, "supersteps": steps})
    assert (answer.status_code, answer.json()["values"]) == (200, {"q": "v"})


@pytest.mark.parametrize("graph_id", [None, "gone", 5])
async def test_supersteps_without_a_graph_answer_201_with_an_error_and_the_thread_exists(
    http: httpx.AsyncClient, graph_id: Any
) -> None:
    """contract/core.md trap 20"""
    wanted = str(uuid.uuid4())
    steps = [{"updates": [{"values": {}, "as_node": "before"}]}]
    body = {"thread_id": wanted, "metadata": {"graph_id": graph_id}, "supersteps": steps}
    answer = await http.post("/threads", json=body)
    assert (answer.status_code, list(answer.json())) == (201, ["detail"])
    assert f"Thread {wanted} was created, but" in answer.json()["detail"]
    assert (await http.get(f"/threads/{wanted}")).status_code == 200


@pytest.mark.parametrize("updates", [[{"values": {"q": "x"}, "as_node": "nope"}], []])
async def test_supersteps_a_graph_cannot_take_are_400_and_the_thread_exists(
    http: httpx.AsyncClient, updates: Any
) -> None:
    wanted = str(uuid.uuid4())
    body = {"thread_id": wanted, "metadata": {"graph_id": "ask"}, "supersteps": [{"updates": updates}]}
    assert (await http.post("/threads", json=body)).status_code == 400
    assert (await http.get(f"/threads/{wanted}")).json()["status"] == "idle"


# --- factories --------------------------------------------------------------------------------------------------------


async def test_a_factory_that_makes_no_graph_is_424(http: httpx.AsyncClient) -> None:
    thread = (await http.post("/threads", json={"metadata": {"graph_id": "not_a_graph"}})).json()
    path = f"/threads/{thread['thread_id']}"
    answers = [await http.get(f"{path}/state"), await http.get(f"{path}/history")]
    answers += [await http.post(f"{path}/{part}", json={"checkpoint": {}}) for part in ("state", "state/checkpoint")]
    assert {answer.status_code for answer in answers} == {424}
    assert all(list(answer.json()) == ["detail"] for answer in answers)


@pytest.mark.parametrize("graph_id", ["made", "made_async", "made_in_context"])
async def test_a_factory_makes_the_graph_that_reads_and_updates_a_state(sdk: LangGraphClient, graph_id: str) -> None:
    thread = await sdk.threads.create(graph_id=graph_id)
    await sdk.threads.update_state(thread["thread_id"], {"told": {"a": 1}}, as_node="tell")
    assert (await state_of(sdk, thread["thread_id"]))["values"] == {"told": {"a": 1}}


async def test_a_factory_sees_the_config_the_thread_remembers(sdk: LangGraphClient) -> None:
    assistant = await sdk.assistants.create("insider", config={"configurable": {"flavour": "mint"}})
    thread = await sdk.threads.create()
    await sdk.runs.wait(thread["thread_id"], assistant["assistant_id"], input={})
    state = await state_of(sdk, thread["thread_id"])
    assert state["values"]["told"] == ["threads.read", "mint", False, thread["thread_id"]]
    row: Any = await sdk.threads.get(thread["thread_id"])
    assert row["values"]["told"] == ["threads.create_run", "mint", True, thread["thread_id"]]
    await sdk.threads.update_state(thread["thread_id"], {"depth": 5}, as_node="dig")
    row = await sdk.threads.get(thread["thread_id"])
    assert row["values"]["told"] == ["threads.update", "mint", False, thread["thread_id"]]


# --- whatever comes ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def graph_pool() -> Iterator[None]:
    """The graph loop's connections to the test database end with the tests that used them."""

    async def close() -> None:
        await (await checkpointer.pool()).close()
        checkpointer._pool = None

    yield
    loop.run(close())


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
NAMESPACES = st.sampled_from(["", "child", "child:1", "child:1|inner:2", "|", ":", "a\0", "nope"]) | TEXTS
IDS = st.sampled_from(["", UNKNOWN, "1f0e8f0e-0000-6000-8000-000000000000", "\0"]) | TEXTS
CHECKPOINTS = st.fixed_dictionaries(
    {},
    optional={
        "checkpoint_ns": NAMESPACES,
        "checkpoint_id": IDS,
        "thread_id": TEXTS,
        "checkpoint_map": st.dictionaries(NAMESPACES, st.none() | IDS | st.integers() | st.lists(IDS), max_size=2),
    },
)
BODIES = st.fixed_dictionaries(
    {"checkpoint": CHECKPOINTS},
    optional={
        "values": st.none()
        | st.dictionaries(st.sampled_from(["foo", "log", "stop", "x"]), st.none() | TEXTS | st.lists(TEXTS)),
        "as_node": st.sampled_from(["pre", "child", "__start__", "__input__", "__end__", "__copy__", "", "nope"]),
        "before": CHECKPOINTS | IDS,
        "metadata": st.dictionaries(TEXTS, st.none() | TEXTS | st.integers()),
        "subgraphs": st.booleans(),
        "limit": st.integers(1, 5),
    },
)


@pytest.mark.django_db
@pytest.mark.usefixtures("graph_pool")
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=st.sampled_from(["state", "state/checkpoint", "history"]), body=BODIES)
def test_no_checkpoint_makes_a_state_endpoint_fail(client: Any, path: str, body: Any) -> None:
    row = Thread.objects.create(metadata={"graph_id": "parent"})
    client.post(f"/threads/{row.pk}/state", {"values": {"foo": "x"}, "as_node": "pre"}, content_type="application/json")
    answer = client.post(f"/threads/{row.pk}/{path}", body, content_type="application/json")
    assert answer.status_code in (200, 400, 422), answer.content
    if answer.status_code != 200:
        assert list(answer.json()) == ["detail"]
        assert client.get(f"/threads/{row.pk}/state").json()["values"] == {"foo": "x", "log": []}
