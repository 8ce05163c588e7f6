"""What each stream mode puts on the wire: names, payloads, order, namespaces. Source: contract/streaming.md 4 and 5."""

import re
from typing import Any

import httpx
import pytest
from langgraph_sdk.client import LangGraphClient

from tests.wire import Stream, new_thread, stream

SEGMENT = re.compile(r"child:[0-9a-f-]{36}")
HI = {"messages": [{"type": "human", "content": "hi", "id": "u1"}]}
SERVER_METADATA = {
    "run_attempt": 1,
    "langgraph_version": "1.2.22",
    "langgraph_plan": "enterprise",
    "langgraph_host": "self-hosted",
    "created_by": "system",
    "langgraph_step": 1,
    "langgraph_node": "model",
    "langgraph_triggers": ["branch:to:model"],
    "langgraph_path": ["__pregel_pull", "model"],
}


async def shown(
    http: httpx.AsyncClient, graph_id: str, given: Any, mode: str | list[str], thread_id: str | None = None, **body: Any
) -> Stream:
    """The stream of a run of the graph in these modes."""
    path = f"/threads/{thread_id}/runs/stream" if thread_id else "/runs/stream"
    found = await stream(http, path, {"assistant_id": graph_id, "input": given, "stream_mode": mode, **body})
    assert found.response.status_code == 200, found.raw
    return found


# --- values, updates, custom ------------------------------------------------------------------------------------------


async def test_values_are_the_state_after_the_input_and_after_each_step(http: httpx.AsyncClient) -> None:
    found = await shown(http, "path", {"note": "n"}, "values")
    logs = [[], ["one:n"], ["one:n", "two:n"], ["one:n", "two:n", "three:n"]]
    assert found.data("values") == [{"log": log, "note": "n"} for log in logs]


async def test_updates_are_what_each_node_returned(http: httpx.AsyncClient) -> None:
    found = await shown(http, "path", {"note": "n"}, "updates")
    assert found.names == ["metadata", *["updates"] * 3]
    assert found.data("updates") == [{name: {"log": [f"{name}:n"]}} for name in ("one", "two", "three")]


async def test_no_mode_means_values(http: httpx.AsyncClient) -> None:
    assert set((await shown(http, "echo", {"text": "a"}, [])).names) == {"metadata", "values"}


async def test_modes_come_in_the_order_the_graph_makes_them(http: httpx.AsyncClient) -> None:
    found = await shown(http, "echo", {"text": "a"}, ["updates", "values", "tasks"])
    assert found.names == ["metadata", "values", "tasks", "updates", "tasks", "values"]


# --- subgraphs --------------------------------------------------------------------------------------------------------


async def test_subgraphs_suffix_the_name_and_keep_the_order(http: httpx.AsyncClient) -> None:
    modes = ["updates", "values", "tasks"]
    found = await shown(http, "parent", {"foo": "api"}, modes, stream_subgraphs=True)
    suffixes = {name.partition("|")[2] for name in found.names} - {""}
    assert len(suffixes) == 1 and SEGMENT.fullmatch(suffixes.pop())
    assert [re.sub(r"\|.*", "|", name) for name in found.names[1:]] == [
        *("values", "tasks", "updates", "tasks", "values", "tasks"),
        *("values|", "tasks|", "updates|", "tasks|", "values|"),
        *("updates", "tasks", "values"),
    ]


async def test_without_subgraphs_nothing_of_theirs_is_shown(http: httpx.AsyncClient) -> None:
    found = await shown(http, "parent", {"foo": "api"}, ["updates", "custom", "messages-tuple"])
    assert found.names == ["metadata", "updates", "updates"]
    assert [list(update) for update in found.data("updates")] == [["pre"], ["child"]]


async def test_tokens_of_a_subgraph_need_stream_subgraphs(http: httpx.AsyncClient) -> None:
    without = await shown(http, "talker_inside", HI, "messages-tuple")
    # What the node around it returns comes whole.
    assert [message["type"] for message, _ in without.data("messages")] == ["ai", "tool"]
    found = await shown(http, "talker_inside", HI, "messages-tuple", stream_subgraphs=True)
    assert {name.split(":")[0] for name in found.names[1:]} == {"messages|inside"}


# --- messages ---------------------------------------------------------------------------------------------------------


async def test_messages_tuple_is_named_messages_and_holds_pairs(http: httpx.AsyncClient) -> None:
    found = await shown(http, "talker", HI, "messages-tuple")
    assert set(found.names) == {"metadata", "messages"}
    *chunks, tool = found.data("messages")
    assert [len(pair) for pair in (*chunks, tool)] == [2] * (len(chunks) + 1)
    assert "".join(message["content"] for message, _ in chunks) == "Hello big world"
    assert {message["type"] for message, _ in chunks} == {"AIMessageChunk"}
    assert {message["id"] for message, _ in chunks} == {"ai-fixed-1"}
    assert chunks[-1][0]["chunk_position"] == "last"
    assert (tool[0]["type"], tool[0]["content"], tool[0]["id"]) == ("tool", "result for cats", "tool-fixed-1")


async def test_a_chunk_has_these_keys(http: httpx.AsyncClient) -> None:
    message, _ = (await shown(http, "talker", HI, "messages-tuple")).data("messages")[0]
    assert message == {
        "content": "Hello",
        "additional_kwargs": {},
        "response_metadata": {},
        "type": "AIMessageChunk",
        "name": None,
        "id": "ai-fixed-1",
        "tool_calls": [],
        "invalid_tool_calls": [],
        "usage_metadata": None,
        "tool_call_chunks": [],
        "chunk_position": None,
    }


async def test_the_metadata_of_a_message_says_where_it_is_from(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    thread_id = await new_thread(sdk)
    found = await shown(http, "talker", HI, "messages-tuple", thread_id, metadata={"mine": 1})
    _, metadata = found.data("messages")[0]
    assert {**metadata, **SERVER_METADATA, "mine": 1} == metadata
    assert metadata["run_id"] == found.response.headers["content-location"].rsplit("/", 1)[1]
    assert (metadata["thread_id"], metadata["graph_id"]) == (thread_id, "talker")
    assert metadata["langgraph_checkpoint_ns"].startswith("model:")
    assert {"assistant_id", "langgraph_api_version", "langgraph_api_url", "ls_model_type"} <= set(metadata)
    assert not {key for key in metadata if key.startswith(("__", "langgraph_auth_user_"))} - {"langgraph_auth_user_id"}


async def test_tool_calls_are_streamed_in_pieces(http: httpx.AsyncClient) -> None:
    question = {"messages": [{"role": "user", "content": "what is 12 * 7?"}]}
    found = await shown(http, "chat", question, "messages-tuple", context={"delay": 0})
    pieces = [piece for message, _ in found.data("messages") for piece in message.get("tool_call_chunks") or []]
    assert set(pieces[0]) == {"name", "args", "id", "index", "type"} and pieces[0]["type"] == "tool_call_chunk"
    assert pieces[0]["name"] == "calculator" and {piece["name"] for piece in pieces[1:]} <= {None}
    assert "7" in "".join(piece["args"] or "" for piece in pieces)


async def test_every_message_has_an_id_and_agrees_with_the_values(http: httpx.AsyncClient) -> None:
    question = {"messages": [{"role": "user", "content": "what is 12 * 7?"}]}
    found = await shown(http, "chat", question, ["messages-tuple", "values"], context={"delay": 0})
    texts: dict[str, str] = {}
    for message, _ in found.data("messages"):
        texts[message["id"]] = texts.get(message["id"], "") + message["content"]
    final = {message["id"]: message["content"] for message in found.data("values")[-1]["messages"][1:]}
    assert texts == final


async def test_messages_accumulate_under_three_names(http: httpx.AsyncClient) -> None:
    found = await shown(http, "talker", HI, "messages")
    partials = found.data("messages/partial")
    assert found.names == [
        *("metadata", "messages/metadata", *["messages/partial"] * len(partials)),
        *("messages/metadata", "messages/complete"),
    ]
    texts = [message["content"] for [message] in partials]
    assert texts[:3] == ["Hello", "Hello ", "Hello big"] and texts[-1] == "Hello big world"
    assert partials[0] == [
        {
            "content": "Hello",
            "additional_kwargs": {},
            "response_metadata": {},
            "type": "ai",
            "name": None,
            "id": "ai-fixed-1",
            "tool_calls": [],
            "invalid_tool_calls": [],
            "usage_metadata": None,
        }
    ]
    [announced] = found.data("messages/metadata")[0].items()
    assert announced[0] == "ai-fixed-1" and announced[1]["metadata"]["langgraph_node"] == "model"
    assert [message["type"] for [message] in found.data("messages/complete")] == ["tool"]


async def test_accumulated_messages_never_name_a_subgraph(http: httpx.AsyncClient) -> None:
    found = await shown(http, "talker_inside", HI, "messages", stream_subgraphs=True)
    assert set(found.names[1:]) == {"messages/metadata", "messages/partial", "messages/complete"}


async def test_partial_tool_calls_are_parsed_as_far_as_they_go(http: httpx.AsyncClient) -> None:
    question = {"messages": [{"role": "user", "content": "what is 12 * 7?"}]}
    found = await shown(http, "chat", question, "messages", context={"delay": 0})
    growing = [
        message["tool_calls"][0]["args"] for [message] in found.data("messages/partial") if message["tool_calls"]
    ]
    assert growing[0] == {} and len(growing[-1]) == 1


async def test_of_both_message_modes_the_tuple_form_is_shown(http: httpx.AsyncClient) -> None:
    assert set((await shown(http, "talker", HI, ["messages", "messages-tuple"])).names) == {"metadata", "messages"}


# --- tasks, checkpoints, debug, events --------------------------------------------------------------------------------


async def test_a_task_is_shown_when_it_starts_and_when_it_ends(http: httpx.AsyncClient) -> None:
    start, end = (await shown(http, "echo", {"text": "a"}, "tasks")).data("tasks")
    assert set(start) == {"id", "name", "input", "triggers", "metadata"}
    assert (start["name"], start["triggers"], start["input"]["text"]) == ("echo", ["branch:to:echo"], "a")
    assert start["metadata"]["created_by"] == "system"
    assert end == {"id": start["id"], "name": "echo", "error": None, "result": {"log": ["a"]}, "interrupts": []}


async def test_a_failing_task_shows_its_error(http: httpx.AsyncClient) -> None:
    found = await shown(http, "boom", {"kind": "value"}, "tasks")
    failed = found.data("tasks")[-1]
    assert (failed["name"], failed["result"], failed["interrupts"]) == ("fail", {}, [])
    assert failed["error"] == {"error": "ValueError", "message": "kaboom"}


async def test_an_interrupted_task_shows_its_interrupt(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    found = await shown(http, "ask", {"q": "a"}, "tasks", await new_thread(sdk))
    [interrupt] = found.data("tasks")[-1]["interrupts"]
    assert set(interrupt) == {"value", "id", "response_schema"} and interrupt["value"] == {"question": "a!"}


async def test_checkpoints_are_shown_on_a_thread(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    found = await shown(http, "echo", {"text": "a"}, "checkpoints", await new_thread(sdk))
    first, *_, last = found.data("checkpoints")
    assert set(first) == {"config", "parent_config", "values", "metadata", "next", "tasks"}
    assert (first["metadata"]["source"], first["metadata"]["step"], first["next"]) == ("input", -1, ["__start__"])
    assert first["parent_config"] is None and last["parent_config"] is not None
    assert set(first["tasks"][0]) == {"id", "name", "interrupts", "state"}
    assert (last["values"]["log"], last["next"]) == (["a"], [])


async def test_debug_adds_checkpoint_objects(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    thread_id = await new_thread(sdk)
    found = await shown(http, "echo", {"text": "a"}, "debug", thread_id)
    steps = found.data("debug")
    assert {step["type"] for step in steps} == {"checkpoint", "task", "task_result"}
    assert all(set(step) == {"step", "timestamp", "type", "payload"} for step in steps)
    first, *_, last = [step["payload"] for step in steps if step["type"] == "checkpoint"]
    assert set(last["checkpoint"]) == {"checkpoint_id", "thread_id", "checkpoint_ns"}
    assert (last["checkpoint"]["thread_id"], last["checkpoint"]["checkpoint_ns"]) == (thread_id, "")
    assert first["parent_checkpoint"] is None and last["parent_checkpoint"]["thread_id"] == thread_id


async def test_debug_points_to_the_checkpoint_of_a_subgraph(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    thread_id = await new_thread(sdk)
    found = await shown(http, "parent", {"stop": True}, "debug", thread_id)
    tasks = [task for step in found.data("debug") for task in step["payload"].get("tasks") or []]
    pointers = [task["checkpoint"] for task in tasks if task.get("checkpoint")]
    assert pointers and pointers[0]["thread_id"] == thread_id
    assert pointers[0]["checkpoint_ns"].startswith("child:")


async def test_a_temporary_run_has_no_checkpoints_to_show(http: httpx.AsyncClient) -> None:
    found = await shown(http, "echo", {"text": "a"}, ["checkpoints", "debug"])
    assert found.data("checkpoints") == []
    assert {step["type"] for step in found.data("debug")} == {"task", "task_result"}


async def test_events_are_langchains(http: httpx.AsyncClient) -> None:
    found = await shown(http, "talker", HI, "events")
    assert set(found.names) == {"metadata", "events"}
    events = found.data("events")
    kinds = [(event["event"], event["name"]) for event in events]
    assert kinds[0] == ("on_chain_start", "talker") and kinds[-1] == ("on_chain_end", "talker")
    order = [kind for kind, name in kinds if name in ("model", "GenericFakeChatModel")]
    assert [kind for i, kind in enumerate(order) if i == 0 or order[i - 1] != kind] == [
        *("on_chain_start", "on_chat_model_start", "on_chat_model_stream", "on_chat_model_end"),
        *("on_chain_stream", "on_chain_end"),
    ]
    assert ("on_chain_stream", "talker") not in kinds
    assert set(events[0]) >= {"event", "data", "run_id", "name", "tags", "metadata", "parent_ids"}
    chunk = next(event for event in events if event["event"] == "on_chat_model_stream")["data"]["chunk"]
    assert (chunk["type"], chunk["content"]) == ("AIMessageChunk", "Hello")


async def test_events_come_beside_other_modes(http: httpx.AsyncClient) -> None:
    found = await shown(http, "talker", HI, ["events", "values", "messages", "custom"])
    assert {*found.names} >= {"metadata", "events", "values", "messages/partial", "messages/complete"}
    assert found.names.index("events") < found.names.index("values")
    assert len(found.data("values")[-1]["messages"]) == 3


async def test_a_failing_run_with_events_ends_with_its_error(http: httpx.AsyncClient) -> None:
    found = await shown(http, "boom", {"kind": "value"}, ["events", "values"])
    assert found.data("error") == [{"error": "ValueError", "message": "kaboom"}] and found.names[-1] == "error"


# --- interrupts -------------------------------------------------------------------------------------------------------


async def test_an_interrupt_is_in_values_and_updates(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    found = await shown(http, "ask", {"q": "a"}, ["values", "updates"], await new_thread(sdk))
    [interrupt] = found.data("updates")[-1]["__interrupt__"]
    assert set(interrupt) == {"value", "id", "response_schema"} and interrupt["response_schema"] is None
    assert re.fullmatch("[0-9a-f]{32}", interrupt["id"])
    assert found.data("values")[-1] == {"q": "a!", "__interrupt__": [interrupt]}
    assert found.names[-2:] == ["updates", "values"]


async def test_parallel_interrupts_have_a_frame_each(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    found = await shown(http, "parallel_ask", {"names": ["a", "b"]}, ["values", "updates"], await new_thread(sdk))
    for mode in ("values", "updates"):
        shown_by = [part["__interrupt__"] for part in found.data(mode) if "__interrupt__" in part]
        assert [len(interrupts) for interrupts in shown_by] == [1, 1]
        assert {interrupts[0]["value"]["name"] for interrupts in shown_by} == {"a", "b"}


async def test_an_interrupt_inside_a_subgraph_is_shown_on_both_levels(
    sdk: LangGraphClient, http: httpx.AsyncClient
) -> None:
    thread_id = await new_thread(sdk)
    found = await shown(http, "parent", {"stop": True}, ["values", "updates"], thread_id, stream_subgraphs=True)
    holders = [frame for frame in found.frames[1:] if "__interrupt__" in frame.data]
    assert [frame.event.split(":")[0] for frame in holders] == ["updates|child", "values|child", "updates", "values"]
    assert len({frame.data["__interrupt__"][0]["id"] for frame in holders}) == 1


async def test_a_breakpoint_shows_an_empty_interrupt_in_updates_only(
    sdk: LangGraphClient, http: httpx.AsyncClient
) -> None:
    found = await shown(http, "path", {}, ["values", "updates"], await new_thread(sdk), interrupt_before=["two"])
    assert found.data("updates")[-1] == {"__interrupt__": []}
    assert not [values for values in found.data("values") if "__interrupt__" in values]


async def test_messages_alone_show_no_interrupt(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    found = await shown(http, "ask", {"q": "a"}, "messages", await new_thread(sdk))
    assert found.names == ["metadata"]


async def test_a_resumed_run_starts_with_the_values_there_are(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    thread_id = await new_thread(sdk)
    await shown(http, "ask", {"q": "a"}, "values", thread_id)
    found = await shown(http, "ask", None, "values", thread_id, command={"resume": 1})
    assert found.data("values") == [{"q": "a!"}, {"q": "a!", "answer": 1}]


# --- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("way", "error", "message"),
    [
        ("subclass", "HiddenError", "shown"),
        ("key", "KeyError", "'missing'"),
        ("runtime", "RuntimeError", "run"),
        ("http", "HTTPException", "404: nowhere"),
        ("group", "ValueError", "first"),
        ("os", "FileNotFoundError", "An internal error occurred"),
        ("zero", "ZeroDivisionError", "An internal error occurred"),
    ],
)
async def test_the_text_of_an_exception_is_shown_only_when_its_class_is_known(
    http: httpx.AsyncClient, way: str, error: str, message: str
) -> None:
    found = await shown(http, "raiser", {"way": way}, "values")
    assert found.data("error") == [{"error": error, "message": message}]


async def test_too_many_steps_end_in_a_recursion_error(http: httpx.AsyncClient) -> None:
    found = await shown(http, "counter", {"steps": 9}, "values", config={"recursion_limit": 1})
    [error] = found.data("error")
    assert error["error"] == "GraphRecursionError"
    assert error["message"].startswith("Recursion limit of 1 reached without hitting a stop condition.")


async def test_feedback_keys_without_langsmith_change_nothing(http: httpx.AsyncClient) -> None:
    found = await shown(http, "echo", {"text": "a"}, "values", feedback_keys=["user_score"])
    assert found.names == ["metadata", "values", "values"]
