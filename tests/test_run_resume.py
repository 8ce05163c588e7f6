"""Going on from a state: interrupts, checkpoints, forks, commands. Source: contract/core.md 5.2 and 5.11."""

from typing import Any

import httpx
import pytest
from langgraph_sdk.client import LangGraphClient

from tests.wire import finished, new_thread, until_settled, values_of


async def asked(sdk: LangGraphClient, graph_id: str = "ask", **given: Any) -> str:
    """A thread that waits for an answer."""
    thread_id = await new_thread(sdk)
    await finished(sdk, thread_id, graph_id, input=given or {"q": "a"})
    return thread_id


async def posted(http: httpx.AsyncClient, thread_id: str, graph_id: str, **body: Any) -> Any:
    """What `wait` answers to a body no SDK would send."""
    answer = await http.post(f"/threads/{thread_id}/runs/wait", json={"assistant_id": graph_id, **body})
    assert answer.status_code == 200, answer.text
    return answer.json()


# --- interrupts -------------------------------------------------------------------------------------------------------


async def test_an_interrupted_run_is_a_success_on_an_interrupted_thread(sdk: LangGraphClient) -> None:
    thread_id = await asked(sdk)
    assert (await sdk.runs.list(thread_id))[0]["status"] == "success"
    thread: Any = await sdk.threads.get(thread_id)
    assert (thread["status"], thread["values"], thread["error"]) == ("interrupted", {"q": "a!"}, None)
    [task] = (await sdk.threads.get_state(thread_id))["tasks"]
    [interrupt] = thread["interrupts"][task["id"]]
    assert set(interrupt) == {"id", "value"} and interrupt["value"] == {"question": "a!"}


@pytest.mark.parametrize("answer", [True, False, 0, 7, "", "yes", [], ["a"], {"a": None}], ids=repr)
async def test_any_json_resumes_an_interrupt(sdk: LangGraphClient, http: httpx.AsyncClient, answer: Any) -> None:
    thread_id = await asked(sdk)
    assert await posted(http, thread_id, "ask", command={"resume": answer}) == {"q": "a!", "answer": answer}
    thread: Any = await sdk.threads.get(thread_id)
    assert (thread["status"], thread["interrupts"]) == ("idle", {})


async def test_resuming_with_null_asks_again(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    answer = await posted(http, await asked(sdk), "ask", command={"resume": None})
    assert answer["__interrupt__"][0]["value"] == {"question": "a!"}


async def test_several_interrupts_want_to_be_named(sdk: LangGraphClient) -> None:
    thread_id = await asked(sdk, "parallel_ask", names=["a", "b"])
    failed = await finished(sdk, thread_id, "parallel_ask", command={"resume": 1}, raise_error=False)
    assert failed["__error__"]["error"] == "RuntimeError"


async def test_several_interrupts_are_answered_by_id(sdk: LangGraphClient) -> None:
    thread_id = await asked(sdk, "parallel_ask", names=["a", "b"])
    ids = {i["value"]["name"]: i["id"] for i in (await sdk.threads.get_state(thread_id))["interrupts"]}
    half = await finished(sdk, thread_id, "parallel_ask", command={"resume": {ids["a"]: 1}})
    assert [interrupt["value"]["name"] for interrupt in half["__interrupt__"]] == ["b"]
    assert (await sdk.threads.get(thread_id))["status"] == "interrupted"
    whole = await finished(sdk, thread_id, "parallel_ask", command={"resume": {ids["b"]: 2}})
    assert whole["answers"] == [{"a": 1}, {"b": 2}]


async def test_resuming_what_is_not_interrupted_answers_the_values(sdk: LangGraphClient) -> None:
    thread_id = await asked(sdk)
    done = await finished(sdk, thread_id, "ask", command={"resume": 1})
    assert await finished(sdk, thread_id, "ask", command={"resume": 2}) == done
    assert (await sdk.runs.list(thread_id))[0]["status"] == "success"


async def test_resuming_an_empty_thread_fails_the_run(sdk: LangGraphClient) -> None:
    thread_id = await new_thread(sdk)
    failed = await finished(sdk, thread_id, "ask", command={"resume": 1}, raise_error=False)
    assert failed["__error__"]["error"] == "EmptyInputError"
    assert (await sdk.runs.list(thread_id))[0]["status"] == "error"


async def test_null_input_asks_again_and_new_input_starts_over(sdk: LangGraphClient) -> None:
    thread_id = await asked(sdk)
    again = await finished(sdk, thread_id, "ask", input=None)
    assert again["__interrupt__"][0]["value"] == {"question": "a!"}
    over = await finished(sdk, thread_id, "ask", input={"q": "b"})
    assert over["__interrupt__"][0]["value"] == {"question": "b!"}


async def test_an_interrupt_inside_a_subgraph_is_resumed(sdk: LangGraphClient) -> None:
    thread_id = await asked(sdk, "parent", stop=True)
    thread: Any = await sdk.threads.get(thread_id)
    assert (thread["status"], thread["values"]) == ("interrupted", {"stop": True, "log": ["pre"]})
    done = await finished(sdk, thread_id, "parent", command={"resume": "go"})
    assert done["log"] == ["pre", "pre", "go"]


async def test_the_thread_has_the_roots_values_when_subgraphs_are_streamed(
    sdk: LangGraphClient, http: httpx.AsyncClient
) -> None:
    thread_id = await new_thread(sdk)
    await posted(http, thread_id, "parent", input={"stop": True, "foo": "x"}, stream_subgraphs=True)
    assert (await sdk.threads.get(thread_id))["values"] == {"foo": "x", "stop": True, "log": ["pre"]}


@pytest.mark.parametrize(
    ("where", "logs"),
    [
        ({"interrupt_before": ["two"]}, [["one:"], ["one:", "two:", "three:"]]),
        ({"interrupt_after": ["two"]}, [["one:", "two:"], ["one:", "two:", "three:"]]),
        ({"interrupt_before": "*"}, [[], ["one:"], ["one:", "two:"], ["one:", "two:", "three:"]]),
    ],
    ids=str,
)
async def test_breakpoints_stop_and_null_input_goes_on(
    sdk: LangGraphClient, where: dict[str, Any], logs: list[list[str]]
) -> None:
    thread_id = await new_thread(sdk)
    seen = [(await finished(sdk, thread_id, "path", input={"note": ""}, **where))["log"]]
    thread: Any = await sdk.threads.get(thread_id)
    assert (thread["status"], thread["interrupts"]) == ("interrupted", {})
    while (await sdk.threads.get(thread_id))["status"] == "interrupted":
        seen.append((await finished(sdk, thread_id, "path", input=None, **where))["log"])
    assert seen == logs


# --- checkpoints ------------------------------------------------------------------------------------------------------


def pointed(how: str, checkpoint: dict[str, Any]) -> dict[str, Any]:
    """The three ways to name a checkpoint."""
    checkpoint_id = checkpoint["checkpoint_id"]
    return {
        "checkpoint": {"checkpoint": checkpoint},
        "checkpoint_id": {"checkpoint_id": checkpoint_id},
        "configurable": {"config": {"configurable": {"checkpoint_id": checkpoint_id}}},
    }[how]


@pytest.mark.parametrize("how", ["checkpoint", "checkpoint_id", "configurable"])
async def test_a_checkpoint_is_run_again_or_forked(sdk: LangGraphClient, http: httpx.AsyncClient, how: str) -> None:
    thread_id = await new_thread(sdk)
    await finished(sdk, thread_id, "path", input={"note": "a"})
    history = await sdk.threads.get_history(thread_id)
    before_two: Any = next(state for state in history if state["next"] == ["two"])
    start = pointed(how, before_two["checkpoint"])
    again = await posted(http, thread_id, "path", **start)
    assert again["log"] == ["one:a", "two:a", "three:a"]
    forked = await posted(http, thread_id, "path", input={"note": "b"}, **start)
    assert forked["log"] == ["one:a", "one:b", "two:b", "three:b"]
    assert (await sdk.threads.get(thread_id))["values"] == forked
    assert len(await sdk.threads.get_history(thread_id, limit=100)) > len(history)


async def test_an_unknown_checkpoint_is_an_empty_state(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    thread_id = await new_thread(sdk)
    await finished(sdk, thread_id, "echo", input={"text": "a"})
    unknown = "1f1e68b0-7642-6000-8000-000000000000"
    answer = await posted(http, thread_id, "echo", input={"text": "b"}, checkpoint_id=unknown)
    assert answer["log"] == ["b"]


async def test_a_checkpoint_object_comes_back_as_it_was_sent(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    thread_id = await new_thread(sdk)
    await finished(sdk, thread_id, "echo", input={"text": "a"})
    checkpoint: Any = (await sdk.threads.get_state(thread_id))["checkpoint"]
    assert None not in checkpoint.values()
    lenient = {**checkpoint, "checkpoint_map": None}
    assert (await posted(http, thread_id, "echo", input={"text": "b"}, checkpoint=lenient))["log"] == ["a", "b"]


@pytest.mark.parametrize(
    ("body", "count"), [({"durability": "exit"}, 1), ({"checkpoint_during": False}, 1), ({"durability": "sync"}, 5)]
)
async def test_durability_says_how_many_checkpoints_are_kept(
    sdk: LangGraphClient, http: httpx.AsyncClient, body: dict[str, Any], count: int
) -> None:
    thread_id = await new_thread(sdk)
    await posted(http, thread_id, "path", input={"note": ""}, **body)
    assert len(await sdk.threads.get_history(thread_id)) == count


async def test_the_ids_of_the_run_are_in_its_checkpoints(sdk: LangGraphClient) -> None:
    thread_id = await new_thread(sdk)
    await finished(sdk, thread_id, "echo", input={"text": "a"}, metadata={"mine": 1})
    [run] = await sdk.runs.list(thread_id)
    for state in await sdk.threads.get_history(thread_id):
        metadata: Any = state["metadata"]
        expected = {"run_id": run["run_id"], "thread_id": thread_id, "graph_id": "echo", "run_attempt": 1, "mine": 1}
        assert {**metadata, **expected} == metadata
        assert not {"__after_seconds__", "__request_start_time_ms__", "langgraph_auth_user"} & set(metadata)


# --- commands ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "log"),
    [
        ({"goto": "three"}, ["three:n"]),
        ({"goto": ["two"]}, ["two:n", "three:n"]),
        ({"goto": {"node": "three", "input": {"note": "sent"}}}, ["three:sent"]),
        ({"goto": [{"node": "three", "input": {"note": "sent"}}]}, ["three:sent"]),
        ({"goto": ["three", {"node": "three", "input": {"note": "sent"}}]}, ["three:n", "three:sent"]),
        ({"goto": "three", "update": {"note": "new"}}, ["three:new"]),
        ({"goto": "three", "update": [["note", "new"], ["log", ["mine"]]]}, ["mine", "three:new"]),
        ({"goto": "nowhere"}, []),
        ({"goto": []}, []),
    ],
    ids=str,
)
async def test_a_command_goes_where_it_says(
    sdk: LangGraphClient, http: httpx.AsyncClient, command: dict[str, Any], log: list[str]
) -> None:
    thread_id = await new_thread(sdk)
    before = await finished(sdk, thread_id, "path", input={"note": "n"})
    answer = await posted(http, thread_id, "path", command=command)
    assert sorted(answer["log"][len(before["log"]) :]) == sorted(log)


async def test_a_command_comes_before_the_input(sdk: LangGraphClient) -> None:
    thread_id = await asked(sdk)
    done = await finished(sdk, thread_id, "ask", input={"q": "ignored"}, command={"resume": 1})
    assert done == {"q": "a!", "answer": 1}


@pytest.mark.parametrize("command", [{}, None])
async def test_an_empty_command_is_none(sdk: LangGraphClient, http: httpx.AsyncClient, command: Any) -> None:
    answer = await posted(http, await new_thread(sdk), "echo", input={"text": "a"}, command=command)
    assert answer["log"] == ["a"]


async def test_a_command_updates_and_resumes_at_once(sdk: LangGraphClient) -> None:
    thread_id = await asked(sdk)
    command: Any = {"resume": 1, "update": {"q": "edited"}}
    assert await finished(sdk, thread_id, "ask", command=command) == {"q": "edited", "answer": 1}


async def test_a_state_that_was_edited_is_gone_on_with(sdk: LangGraphClient) -> None:
    thread_id = await asked(sdk)
    await sdk.threads.update_state(thread_id, {"q": "edited"}, as_node="before")
    answer = await finished(sdk, thread_id, "ask", input=None)
    assert answer["__interrupt__"][0]["value"] == {"question": "edited"}


async def test_a_run_that_fails_is_gone_on_with_from_its_last_step(sdk: LangGraphClient) -> None:
    thread_id = await new_thread(sdk)
    await finished(sdk, thread_id, "boom", input={"kind": "value"}, raise_error=False)
    assert (await until_settled(sdk, thread_id))["status"] == "error"
    assert (await values_of(sdk, thread_id))["log"] == ["before"]
    await sdk.threads.update_state(thread_id, {"kind": "none"}, as_node="fine")
    assert (await finished(sdk, thread_id, "boom", input=None))["log"] == ["before", "fine"]
