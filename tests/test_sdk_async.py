"""Every method of the official async client against the live server: assistants, threads, runs."""

import asyncio
import inspect
import re
import uuid
from pathlib import Path
from typing import Any

import pytest
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import ConflictError, NotFoundError, UnprocessableEntityError

from tests.conftest import LiveServer
from tests.wire import new_thread, until, until_settled, until_started, values_of

NOBODY = "00000000-0000-4000-8000-000000000000"
# These two are the event-streaming protocol's.
ELSEWHERE = {"threads.stream", "threads.join_stream"}


async def collected(parts: Any) -> list[Any]:
    """All parts of a stream."""
    return [part async for part in parts]


def test_every_method_is_driven() -> None:
    client = get_client(url="http://unused")
    source = Path(__file__).read_text()
    for group in ("assistants", "threads", "runs"):
        methods = {f"{group}.{name}" for name, _ in inspect.getmembers(getattr(client, group), inspect.isroutine)}
        public = {name for name in methods if "._" not in name} - ELSEWHERE
        assert {name for name in public if not re.search(rf"sdk\.{name}\(", source)} == set()


# --- assistants -------------------------------------------------------------------------------------------------------


async def test_an_assistant_is_made_read_changed_and_deleted(sdk: LangGraphClient) -> None:
    made = await sdk.assistants.create(
        "contextual", config={"tags": ["a"]}, context={"tone": "soft"}, metadata={"m": 1}, name="mine", description="d"
    )
    assistant_id = made["assistant_id"]
    assert await sdk.assistants.get(assistant_id) == made
    assert (made["version"], made["context"], made["metadata"]) == (1, {"tone": "soft"}, {"m": 1})
    changed = await sdk.assistants.update(assistant_id, name="ours", metadata={"n": 2})
    assert (changed["version"], changed["name"], changed["metadata"]) == (2, "ours", {"m": 1, "n": 2})
    versions = await sdk.assistants.get_versions(assistant_id)
    assert [version["version"] for version in versions] == [2, 1]
    assert (await sdk.assistants.set_latest(assistant_id, 1))["name"] == "mine"
    await sdk.assistants.delete(assistant_id, delete_threads=True)
    with pytest.raises(NotFoundError):
        await sdk.assistants.get(assistant_id)


async def test_if_exists_says_what_happens_to_a_taken_id(sdk: LangGraphClient) -> None:
    made = await sdk.assistants.create("echo", assistant_id=str(uuid.uuid4()))
    kept = await sdk.assistants.create("ask", assistant_id=made["assistant_id"], if_exists="do_nothing")
    assert kept == made
    with pytest.raises(ConflictError):
        await sdk.assistants.create("echo", assistant_id=made["assistant_id"])


async def test_assistants_are_searched_page_by_page(sdk: LangGraphClient) -> None:
    mark = {"mark": str(uuid.uuid4())}
    made = [(await sdk.assistants.create("echo", metadata=mark, name=f"n{n}"))["assistant_id"] for n in range(3)]
    assert await sdk.assistants.count(metadata=mark, graph_id="echo", name="N") == 3
    first = await sdk.assistants.search(
        metadata=mark, limit=2, sort_by="name", sort_order="asc", response_format="object"
    )
    assert [found["assistant_id"] for found in first["assistants"]] == made[:2] and first["next"] == "2"
    rest: Any = await sdk.assistants.search(metadata=mark, offset=2, sort_by="name", sort_order="asc", select=["name"])
    assert rest == [{"name": "n2"}]


async def test_an_assistant_shows_its_graph(sdk: LangGraphClient) -> None:
    [found, *_] = await sdk.assistants.search(graph_id="parent", limit=1, metadata={"created_by": "system"})
    assistant_id = found["assistant_id"]
    drawn = await sdk.assistants.get_graph("parent")
    assert {node["id"] for node in drawn["nodes"]} == {"__start__", "pre", "child", "__end__"}
    assert "child:inner" in {node["id"] for node in (await sdk.assistants.get_graph(assistant_id, xray=1))["nodes"]}
    schemas = await sdk.assistants.get_schemas(assistant_id)
    assert schemas["graph_id"] == "parent" and schemas["input_schema"]
    assert set(await sdk.assistants.get_subgraphs(assistant_id, recurse=True)) == {"child"}
    assert set(await sdk.assistants.get_subgraphs(assistant_id, "child")) == {"child"}


# --- threads ----------------------------------------------------------------------------------------------------------


async def test_a_thread_is_made_read_changed_and_deleted(sdk: LangGraphClient) -> None:
    thread_id = str(uuid.uuid4())
    made: Any = await sdk.threads.create(thread_id=thread_id, metadata={"m": 1}, graph_id="echo", ttl=10)
    assert (made["thread_id"], made["status"], made["values"], made["interrupts"]) == (thread_id, "idle", None, {})
    assert made["metadata"] == {"m": 1, "graph_id": "echo"}
    again = await sdk.threads.create(thread_id=thread_id, if_exists="do_nothing")
    assert again["metadata"] == made["metadata"]
    with pytest.raises(ConflictError):
        await sdk.threads.create(thread_id=thread_id)
    changed = await sdk.threads.update(thread_id, metadata={"n": 2})
    assert changed and changed["metadata"] == {"m": 1, "n": 2, "graph_id": "echo"}
    nothing: Any = await sdk.threads.update(thread_id, metadata={"o": 3}, return_minimal=True)  # type: ignore[func-returns-value]
    assert nothing is None
    read: Any = await sdk.threads.get(thread_id, include=["ttl"])
    assert (read["metadata"]["o"], read["ttl"]["ttl_minutes"]) == (3, 10)
    await sdk.threads.delete(thread_id)
    with pytest.raises(NotFoundError):
        await sdk.threads.get(thread_id)


async def test_threads_are_searched_and_counted(sdk: LangGraphClient) -> None:
    mark = {"mark": str(uuid.uuid4())}
    made = [await new_thread(sdk, metadata=mark) for _ in range(3)]
    await sdk.runs.wait(made[0], "echo", input={"text": "a"})
    assert await sdk.threads.count(metadata=mark, status="idle") == 3
    assert [t["thread_id"] for t in await sdk.threads.search(metadata=mark, values={"text": "a"})] == [made[0]]
    found: Any = await sdk.threads.search(
        ids=made,
        limit=1,
        offset=1,
        sort_by="created_at",
        sort_order="asc",
        select=["thread_id"],
        extract={"t": "values.text"},
    )
    assert found == [{"thread_id": made[1], "extracted": {"t": None}}]


async def test_a_thread_is_copied_and_pruned(sdk: LangGraphClient) -> None:
    thread_id = await new_thread(sdk)
    await sdk.runs.wait(thread_id, "echo", input={"text": "a"})
    copy: Any = await sdk.threads.copy(thread_id)  # type: ignore[func-returns-value]
    assert await values_of(sdk, copy["thread_id"]) == await values_of(sdk, thread_id)
    assert await sdk.threads.prune([copy["thread_id"], NOBODY]) == {"pruned_count": 1}
    assert await sdk.threads.prune([thread_id], strategy="keep_latest") == {"pruned_count": 1}
    assert len(await sdk.threads.get_history(thread_id)) == 1


async def test_a_thread_may_start_with_a_history(sdk: LangGraphClient) -> None:
    steps: Any = [{"updates": [{"values": {"text": "a"}, "as_node": "__start__"}]}]
    thread: Any = await sdk.threads.create(graph_id="echo", supersteps=steps)
    assert thread["values"]["text"] == "a" and thread["status"] == "interrupted"


async def test_a_fresh_thread_has_an_empty_state(sdk: LangGraphClient) -> None:
    state: Any = await sdk.threads.get_state(await new_thread(sdk))
    assert state == {
        **dict.fromkeys(("metadata", "created_at", "checkpoint", "parent_checkpoint", "checkpoint_id")),
        "values": {},
        "next": [],
        "tasks": [],
        "interrupts": [],
        "parent_checkpoint_id": None,
    }


async def test_state_is_read_and_written_at_any_checkpoint(sdk: LangGraphClient) -> None:
    thread_id = await new_thread(sdk)
    await sdk.runs.wait(thread_id, "path", input={"note": "a"})
    history = await sdk.threads.get_history(thread_id, limit=20)
    assert [state["next"] for state in history] == [[], ["three"], ["two"], ["one"], ["__start__"]]
    older = await sdk.threads.get_history(thread_id, limit=20, before=history[1]["checkpoint"])
    assert older == history[2:]
    assert await sdk.threads.get_history(thread_id, metadata={"step": 1}) == history[2:3] or len(history) == 5
    at_two: Any = history[2]["checkpoint"]
    assert (await sdk.threads.get_state(thread_id, checkpoint=at_two))["next"] == ["two"]
    assert (await sdk.threads.get_state(thread_id, checkpoint_id=at_two["checkpoint_id"]))["next"] == ["two"]
    written: Any = await sdk.threads.update_state(thread_id, {"note": "b"}, as_node="one", checkpoint=at_two)
    assert set(written) >= {"checkpoint", "configurable", "checkpoint_id"}
    forked = await sdk.runs.wait(thread_id, "path", input=None, checkpoint=written["checkpoint"])
    assert isinstance(forked, dict) and forked["log"][-2:] == ["two:b", "three:b"]


async def test_the_state_of_a_subgraph_is_read_and_written(sdk: LangGraphClient) -> None:
    thread_id = await new_thread(sdk)
    await sdk.runs.wait(thread_id, "parent", input={"stop": True})
    [task] = (await sdk.threads.get_state(thread_id))["tasks"]
    checkpoint: Any = task["checkpoint"]
    inner = await sdk.threads.get_state(thread_id, checkpoint=checkpoint)
    assert inner["next"] == ["inner"]
    [nested] = (await sdk.threads.get_state(thread_id, subgraphs=True))["tasks"]
    assert nested["state"] and nested["state"]["next"] == ["inner"]
    await sdk.threads.update_state(thread_id, {"foo": "patched"}, checkpoint=checkpoint)
    assert (await sdk.threads.get_state(thread_id, checkpoint=checkpoint))["values"]["foo"] == "patched"  # type: ignore[call-overload]


async def test_a_busy_thread_refuses_to_be_edited(sdk: LangGraphClient) -> None:
    thread_id = await new_thread(sdk)
    run = await sdk.runs.create(thread_id, "echo", input={}, after_seconds=600)
    with pytest.raises(ConflictError):
        await sdk.threads.update_state(thread_id, {"text": "a"})
    await sdk.runs.cancel(thread_id, run["run_id"])


# --- runs -------------------------------------------------------------------------------------------------------------


async def test_on_run_created_names_the_run_in_every_form(sdk: LangGraphClient) -> None:
    thread_id = await new_thread(sdk)
    seen: list[Any] = []
    run = await sdk.runs.create(thread_id, "echo", input={"text": "a"}, on_run_created=seen.append)
    assert seen == [{"run_id": run["run_id"], "thread_id": thread_id}]
    await sdk.runs.wait(thread_id, "echo", input={"text": "b"}, on_run_created=seen.append)
    await collected(sdk.runs.stream(thread_id, "echo", input={"text": "c"}, on_run_created=seen.append))
    assert [run["run_id"] for run in await sdk.runs.list(thread_id)] == [named["run_id"] for named in seen][::-1]
    stateless = await sdk.runs.create(None, "echo", input={"text": "a"}, on_run_created=seen.append)
    assert seen[-1] == {"run_id": stateless["run_id"], "thread_id": None}


async def test_a_run_is_made_listed_joined_and_deleted(sdk: LangGraphClient) -> None:
    thread_id = await new_thread(sdk)
    run = await sdk.runs.create(thread_id, "sleeper", input={"seconds": 0.2}, metadata={"m": 1}, stream_mode=["values"])
    assert await sdk.runs.join(thread_id, run["run_id"]) == {"seconds": 0.2, "log": ["first", "slept"]}
    assert (await sdk.runs.get(thread_id, run["run_id"]))["status"] == "success"
    listed: Any = await sdk.runs.list(thread_id, status="success", select=["run_id"], limit=5, offset=0)
    assert listed == [{"run_id": run["run_id"]}]
    await sdk.runs.delete(thread_id, run["run_id"])
    with pytest.raises(NotFoundError):
        await sdk.runs.get(thread_id, run["run_id"])


async def test_wait_raises_what_the_graph_raised(sdk: LangGraphClient) -> None:
    with pytest.raises(Exception, match="ValueError: kaboom"):
        await sdk.runs.wait(None, "boom", input={"kind": "value"})
    answer: Any = await sdk.runs.wait(None, "boom", input={"kind": "value"}, raise_error=False)
    assert answer == {"__error__": {"error": "ValueError", "message": "kaboom"}}


async def test_a_stream_has_parts_of_both_versions(sdk: LangGraphClient) -> None:
    parts = await collected(sdk.runs.stream(None, "parent", input={"foo": "a"}, stream_mode=["values", "updates"]))
    assert [part.event for part in parts] == ["metadata", "values", "updates", "values", "updates", "values"]
    typed = await collected(
        sdk.runs.stream(None, "ask", input={"q": "a"}, stream_mode="values", stream_subgraphs=True, version="v2")
    )
    assert [part["type"] for part in typed] == ["metadata", "values", "values", "values"]
    assert typed[-1]["data"] == {"q": "a!"} and typed[-1]["interrupts"][0]["value"] == {"question": "a!"}


async def test_a_stream_yields_the_error_and_ends(sdk: LangGraphClient) -> None:
    parts = await collected(sdk.runs.stream(None, "boom", input={"kind": "value"}))
    assert (parts[-1].event, parts[-1].data) == ("error", {"error": "ValueError", "message": "kaboom"})


async def test_a_stream_is_joined_live_and_from_its_beginning(sdk: LangGraphClient) -> None:
    thread_id = await new_thread(sdk)
    run = await sdk.runs.create(
        thread_id, "ticker", input={"ticks": 8, "pause": 0.1}, stream_mode=["custom"], stream_resumable=True
    )
    await until(sdk, thread_id, run["run_id"], ("running",))
    await asyncio.sleep(0.3)
    whole = await collected(sdk.runs.join_stream(thread_id, run["run_id"], last_event_id="-1"))
    assert [part.data["tick"] for part in whole if part.event == "custom"] == list(range(8))
    assert await collected(sdk.runs.join_stream(thread_id, run["run_id"])) == []
    rest = await collected(
        sdk.runs.join_stream(thread_id, run["run_id"], last_event_id=whole[4].id, stream_mode=["custom", "values"])
    )
    assert rest == whole[5:]


async def test_joining_an_unknown_stream_yields_one_error(sdk: LangGraphClient) -> None:
    [part] = await collected(sdk.runs.join_stream(await new_thread(sdk), NOBODY))
    assert (part.event, part.data) == ("error", {"error": "HTTPException", "message": "404: Run not found"})


async def test_runs_are_cancelled_one_by_one_and_together(sdk: LangGraphClient) -> None:
    thread_id = await new_thread(sdk)
    first = await sdk.runs.create(thread_id, "sleeper", input={"seconds": 60})
    second = await sdk.runs.create(thread_id, "sleeper", input={"seconds": 60})
    await until_started(sdk, thread_id, first["run_id"], "sleep")
    await sdk.runs.cancel(thread_id, first["run_id"], wait=True, action="interrupt")
    await sdk.runs.cancel_many(thread_id=thread_id, run_ids=[second["run_id"]], action="rollback")
    await until_settled(sdk, thread_id)
    assert [run["run_id"] for run in await sdk.runs.list(thread_id)] == [first["run_id"]]
    with pytest.raises(NotFoundError):
        await sdk.runs.cancel(thread_id, first["run_id"])


async def test_a_batch_is_made(sdk: LangGraphClient) -> None:
    payloads: Any = [{"assistant_id": "echo", "input": {"text": str(n)}, "thread_id": None} for n in range(3)]
    made = await sdk.runs.create_batch(payloads)
    assert [run["kwargs"]["input"]["text"] for run in made] == ["0", "1", "2"]  # type: ignore[typeddict-item]


async def test_errors_are_of_the_sdks_classes(sdk: LangGraphClient) -> None:
    thread_id = await new_thread(sdk)
    with pytest.raises(UnprocessableEntityError, match="Must be either"):
        await sdk.runs.create(thread_id, "nope")
    with pytest.raises(NotFoundError, match="Thread or assistant not found"):
        await sdk.runs.create(NOBODY, "echo")
    with pytest.raises(NotFoundError):
        await collected(sdk.runs.stream(NOBODY, "echo"))
    run = await sdk.runs.create(thread_id, "echo", after_seconds=60)
    with pytest.raises(ConflictError, match="already running"):
        await sdk.runs.create(thread_id, "echo", multitask_strategy="reject")
    await sdk.runs.cancel(thread_id, run["run_id"])


async def test_two_hundred_short_streams_never_reconnect(server: LiveServer) -> None:
    """The SDK asks for the run's status after each clean close; one that is still in flight would make it reconnect."""
    joins = 0

    async def note(request: Any) -> None:
        nonlocal joins
        joins += request.method == "GET" and request.url.path.endswith("/stream")

    async with get_client(url=server.url, timeout=30) as sdk:
        sdk.http.client.event_hooks["request"].append(note)
        threads = [await new_thread(sdk) for _ in range(10)]

        async def streams(thread_id: str) -> None:
            for _ in range(20):
                parts = await collected(sdk.runs.stream(thread_id, "echo", input={"text": "a"}))
                assert [part.event for part in parts] == ["metadata", "values", "values"]

        await asyncio.gather(*(streams(thread_id) for thread_id in threads))
    assert joins == 0
