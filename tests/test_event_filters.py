"""Which events a subscription shows, the numbers they have, and the form of messages in state. No server."""

from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage, RemoveMessage, ToolMessage
from langgraph.types import Interrupt

from config import dialect
from events import log
from events.log import Part
from runs.envelopes import Envelopes, envelope, event_name
from runs.messages_json import message_json, state_json
from streaming.filters import Filter, filter_of, unsupported_channels
from streaming.translation import Event, Translation, position_before, seq_of

NAMES = st.sampled_from(["a", "b", "tools"])
SEGMENTS = st.builds(lambda name, task: f"{name}:{task}" if task else name, NAMES, st.sampled_from(["", "1", "2|3"]))
NAMESPACES = st.lists(SEGMENTS, max_size=3)
IDS = st.tuples(st.integers(1_780_000_000_000, 1_990_000_000_000), st.integers(1, 10_000_000))


def event(method: str = "values", namespace: Any = (), data: Any = None) -> Event:
    """What a viewer gets of an envelope in the log."""
    name, body = envelope(method, list(namespace), data)
    (found,) = Translation().events(Part("r", name, body, "1795362266186-7"))
    return found


def slow_match(prefixes: Any, depth: int | None, namespace: list[str]) -> bool:
    """The rule as the contract has it."""
    if not prefixes:
        return True
    for prefix in prefixes:
        cut = [
            found.partition(":")[0] if ":" not in want else found
            for want, found in zip(prefix, namespace, strict=False)
        ]
        exact = [want in (found, short) for want, found, short in zip(prefix, namespace, cut, strict=False)]
        if len(namespace) >= len(prefix) and all(exact) and (depth is None or len(namespace) - len(prefix) <= depth):
            return True
    return False


@given(st.lists(NAMESPACES, max_size=3), st.one_of(st.none(), st.integers(0, 3)), NAMESPACES)
def test_namespaces_and_depth_filter_by_the_rule(prefixes: Any, depth: int | None, namespace: list[str]) -> None:
    wanted = filter_of({"channels": ["values"], "namespaces": prefixes, "depth": depth})
    assert wanted.shows(event(namespace=namespace)) == slow_match(prefixes, depth, namespace)


@pytest.mark.parametrize("depth", [True, -1, "1", 1.5, None], ids=repr)
def test_a_depth_that_is_none_does_not_filter(depth: Any) -> None:
    assert filter_of({"channels": ["values"], "namespaces": [[]], "depth": depth}).shows(event(namespace=["a", "b"]))


@pytest.mark.parametrize("namespaces", [None, [], "a", [1], [["a", 1]], {}], ids=repr)
def test_namespaces_that_are_none_do_not_filter(namespaces: Any) -> None:
    assert filter_of({"channels": ["values"], "namespaces": namespaces}).prefixes is None


def test_custom_events_are_told_by_their_name() -> None:
    named = event("custom", data={"name": "n", "payload": 1})
    assert Filter(frozenset({"custom"})).shows(named) and Filter(frozenset({"custom:n"})).shows(named)
    assert not Filter(frozenset({"custom:m"})).shows(named)
    assert not Filter(frozenset({"custom:n"})).shows(event("custom", data="n"))


def test_requests_for_input_are_on_the_channel_input() -> None:
    assert Filter(frozenset({"input"})).shows(event("input.requested", data={}))
    assert not Filter(frozenset({"values"})).shows(event("input.requested", data={}))


def test_what_is_no_channel_is_named() -> None:
    assert unsupported_channels(["values", "debug", 1, "custom:", "custom:x", None]) == [
        "debug",
        "1",
        "custom:",
        "null",
    ]


@given(IDS, IDS)
def test_numbers_grow_with_the_log_and_are_safe_in_javascript(one: tuple[int, int], other: tuple[int, int]) -> None:
    (ms, number), (later, more) = min(one, other), max(one, other)
    more = max(more, number + 1)  # both parts of an id only grow
    assert 0 < seq_of(f"{ms}-{number}", 7) < seq_of(f"{later}-{more}") < 2**53


@given(IDS, st.integers(0, 7), st.integers(0, 1000))
def test_a_number_leads_back_to_before_its_part(one: tuple[int, int], index: int, behind: int) -> None:
    ms, number = one
    tail = f"{ms + behind}-{number + behind}"
    assert log.ordinal(position_before(seq_of(f"{ms}-{number}", index), tail)) < one


def test_a_number_near_zero_leads_to_the_beginning() -> None:
    assert position_before(5, "1795362266186-7") == log.BEGINNING


def test_an_event_is_its_envelope_with_number_and_id() -> None:
    found = event("custom", ["tools:a|b"], {"x": 1})
    assert orjson.loads(found.wire) == {
        "type": "event",
        "event_id": "1795362266186-7",
        "seq": found.seq,
        "method": "custom",
        "params": {"namespace": ["tools:a|b"], "timestamp": found.params["timestamp"], "data": {"x": 1}},
    }


# --- classic runs -----------------------------------------------------------------------------------------------------


def classic(*parts: tuple[str, Any]) -> list[dict[str, Any]]:
    """What a viewer of the thread's events gets of a classic run."""
    translation = Translation()
    translation.introduce("r", "g")
    found = []
    for number, (name, data) in enumerate(parts, start=1):
        found += list(translation.events(Part("r", name, orjson.dumps(data), f"1795362266186-{number}")))
    assert [event.seq for event in found] == sorted({event.seq for event in found})
    return [orjson.loads(event.wire) for event in found]


def test_a_classic_run_is_told_in_the_words_of_the_protocol() -> None:
    events = classic(
        ("metadata", {"run_id": "r", "attempt": 1}),
        ("values", {"a": 1}),
        ("messages", [{}, {}]),
        ("updates", {"w": {"a": 2}}),
        ("custom|child:1", {"p": 1}),
        ("debug", {}),
        ("tasks", {"id": "t"}),
        ("values", {"a": 2, "__interrupt__": [{"id": "i", "value": {"q": 1}}]}),
        (log.END, {"status": "interrupted", "graph_name": "g"}),
    )
    said = [(e["method"], e["params"]["data"], e["params"].get("node")) for e in events]
    assert said == [
        ("lifecycle", {"event": "running", "graph_name": "g"}, None),
        ("values", {"a": 1}, None),
        ("updates", {"a": 2}, "w"),
        ("custom", {"payload": {"p": 1}}, None),
        ("tasks", {"id": "t"}, None),
        ("input.requested", {"interrupt_id": "i", "payload": {"q": 1}, "value": {"q": 1}}, None),
        ("lifecycle", {"event": "interrupted", "graph_name": "g"}, None),
        ("values", {"a": 2}, None),
    ]
    assert [e["event_id"] for e in events] == [
        "synth:r:lc||running",
        "1795362266186-2",
        "1795362266186-4",
        "1795362266186-5",
        "1795362266186-7",
        "synth:r:input||i",
        "synth:r:lc||interrupted",
        "1795362266186-8.2",
    ]


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ({"status": "completed"}, ["running", "completed"]),
        ({"status": "failed", "error": "no"}, ["running", "failed"]),
        ({"status": "interrupted", "announced": True}, ["running"]),
    ],
    ids=["completed", "failed", "announced"],
)
def test_a_run_has_one_end(said: dict[str, Any], shown: list[str]) -> None:
    events = classic(("metadata", {}), (log.END, {"graph_name": "g", **said}), (log.END, {"announced": True}))
    assert [e["params"]["data"]["event"] for e in events] == shown
    assert events[-1]["params"]["data"].get("error") == said.get("error")


def test_a_run_cancelled_in_the_queue_begins_and_ends() -> None:
    events = classic((log.END, {"status": "interrupted", "graph_name": "g", "waited": True}))
    assert [e["params"]["data"]["event"] for e in events] == ["running", "interrupted"]


def test_what_a_run_could_not_write_is_told_at_its_place() -> None:
    translation = Translation()
    translation.introduce("r", "g")
    (found,) = translation.events(Part("r", log.GAP, log.UNWRITTEN, "1795362266186-3"))
    assert found.seq == seq_of("1795362266186-3") and found.event_id == "synth:r:lc||events_lost|1795362266186-3"
    assert found.params["data"]["event"] == "events_lost" and found.params["data"]["graph_name"] == "g"
    assert not list(translation.events(Part("", log.GAP, log.RESTARTED, "1795362266186-3")))
    assert translation.unended() == {"r"}, "the run goes on"


# --- runs of the protocol ---------------------------------------------------------------------------------------------


def item(method: str, data: Any, namespace: Any = (), **more: Any) -> dict[str, Any]:
    """An item as langgraph streams it."""
    params = {"namespace": list(namespace), "timestamp": 1, "data": data, **more}
    return {"type": "event", "method": method, "params": params}


def told(*items: dict[str, Any], status: str = "completed") -> list[tuple[str, Any]]:
    """The envelopes of a run: name in the log, data."""
    envelopes = Envelopes("r", "g")
    written = [*envelopes.begin()]
    for one in items:
        written += envelopes.take(one)
    written += envelopes.finish(status)
    return [(name, orjson.loads(body)["params"]["data"]) for name, body in written]


def checkpoint(number: int) -> dict[str, Any]:
    config = {"configurable": {"checkpoint_id": f"c{number}"}}
    parent = {"configurable": {"checkpoint_id": f"c{number - 1}"}} if number else None
    return item(
        "checkpoints", {"config": config, "parent_config": parent, "metadata": {"step": number, "source": "loop"}}
    )


def test_a_checkpoint_comes_before_its_values() -> None:
    assert told(checkpoint(0), item("values", {"a": 1}, interrupts=()), checkpoint(1), checkpoint(1))[1:] == [
        ("checkpoints", {"id": "c0", "step": 0, "source": "loop"}),
        ("checkpoints", {"id": "c1", "parent_id": "c0", "step": 1, "source": "loop"}),
        ("values", {"a": 1}),
    ]


def test_interrupts_come_before_the_values_and_end_the_run_once() -> None:
    one, two = Interrupt("x", id="i"), Interrupt("y", id="j")
    found = told(
        item("values", {"a": 1}, ["c:1"], interrupts=(one,)),
        item("values", {"a": 1}, interrupts=(one,)),
        item("values", {"a": 1}, interrupts=(two,)),
    )
    assert [name for name, _ in found] == [
        "lifecycle",
        "input.requested|c:1",
        "lifecycle",
        "values|c:1",
        "values",
        "input.requested",
        "values",
    ]


def test_subgraphs_that_are_open_at_the_end_are_closed_deepest_first() -> None:
    started = [
        item("lifecycle", {"event": "started", "namespace": ns, "graph_name": ns[-1]})
        for ns in (["a:1"], ["a:1", "b:2"])
    ]
    found = told(*started, started[0], status="failed")
    assert [(name, data["event"]) for name, data in found[1:]] == [
        ("lifecycle|a:1", "started"),
        ("lifecycle|a:1|b:2", "started"),
        ("lifecycle|a:1|b:2", "failed"),
        ("lifecycle|a:1", "failed"),
    ]


def test_the_text_of_a_subgraphs_error_is_not_told() -> None:
    found = told(item("lifecycle", {"event": "failed", "namespace": ["a:1"], "error": "the password is hunter2"}))
    assert found[1] == ("lifecycle|a:1", {"event": "failed", "graph_name": "a"})


def test_a_finished_tool_is_a_message_too() -> None:
    output = ToolMessage("sunny", tool_call_id="c", id="t", name="weather")
    found = told(item("tools", {"event": "tool-finished", "tool_call_id": "c", "output": output}))
    assert [data["event"] for _, data in found[1:]] == [
        "tool-finished",
        "message-start",
        "content-block-start",
        "content-block-delta",
        "content-block-finish",
        "message-finish",
    ]
    assert {name for name, _ in found[2:]} == {"messages|tools:c"}


def test_messages_that_are_not_streamed_are_left_to_the_values() -> None:
    assert told(item("messages", (AIMessage("x"), {})))[1:] == []


def test_named_custom_events_keep_their_name() -> None:
    assert told(item("custom:counter", {"n": 1}))[1:] == [("custom:counter", {"name": "counter", "payload": {"n": 1}})]
    assert told(item("custom", {"n": 1}))[1:] == [("custom", {"n": 1})]


def test_another_attempt_begins_nothing_twice_and_ends_what_was_left_open() -> None:
    first, second = Envelopes("r", "g"), Envelopes("r", "g")
    written = [*first.begin()]
    for one in (
        item("messages", ({"event": "message-start", "id": "m"}, {}), ["a:1"]),
        item("messages", ({"event": "message-start", "id": "n"}, {}), ["a:1"]),
        item("messages", ({"event": "message-finish"}, {}), ["a:1"]),
        item("tools", {"event": "tool-started", "tool_call_id": "c"}),
    ):
        written += first.take(one)
    for name, body in written:
        second.recall(name, body)
    begun = [(name, orjson.loads(body)["params"]["data"]) for name, body in second.begin()]
    assert begun == [
        ("messages|a:1", {"event": "message-finish", "id": "n", "metadata": {"finish_reason": "abandoned"}}),
        (
            "tools",
            {
                "event": "tool-error",
                "tool_call_id": "c",
                "message": "The worker stopped. The run goes on in another attempt.",
            },
        ),
    ]


def test_a_separator_inside_a_segment_does_not_split_it() -> None:
    assert event_name("values", ["tools:a|b"]) == "values|tools:a%7Cb"


# --- messages in state ------------------------------------------------------------------------------------------------


def test_messages_in_state_have_the_protocols_form() -> None:
    call = {"name": "f", "args": {"x": 1}, "id": "c", "type": "tool_call"}
    state = {
        "messages": [
            HumanMessage("hi", id="u"),
            AIMessage(["text", {"type": "odd"}], id="a", tool_calls=[call], response_metadata={"m": 1}),
            ToolMessage("done", tool_call_id="c", id="t", artifact={"k": 1}),
            RemoveMessage(id="a"),
        ],
        "__interrupt__": [],
        "other": {"list": [{"type": "assistant", "content": "x"}, {"type": "thing"}]},
    }
    assert state_json(state) == {
        "messages": [
            {"type": "human", "content": "hi", "id": "u"},
            {
                "type": "ai",
                "content": [{"type": "text", "text": "text"}, {"type": "non_standard", "value": {"type": "odd"}}],
                "id": "a",
                "response_metadata": {"m": 1},
                "tool_calls": [{"type": "tool_call", "name": "f", "args": {"x": 1}, "id": "c"}],
            },
            {
                "type": "tool",
                "content": "done",
                "id": "t",
                "tool_call_id": "c",
                "status": "success",
                "artifact": {"k": 1},
            },
            {"type": "remove", "content": "", "id": "a"},
        ],
        "other": {"list": [{"type": "ai", "content": "x"}, {"type": "thing"}]},
    }


def test_tool_calls_are_read_from_a_providers_own_form() -> None:
    raw = [
        {"id": "1", "function": {"name": "f", "arguments": '{"x": 1}'}},
        {"id": "2", "function": {"name": "f", "arguments": "{"}},
        {"id": "3", "function": {"arguments": "{}"}},
    ]
    found = message_json({"type": "ai", "content": "", "additional_kwargs": {"tool_calls": raw}})
    assert found["tool_calls"] == [{"type": "tool_call", "name": "f", "args": {"x": 1}, "id": "1"}]
    assert [call["error"] for call in found["invalid_tool_calls"]] == ["Malformed args.", "Incomplete tool call."]


WORDS = st.sampled_from(["", "text", "image_url", "input_audio", "x"])
BLOCKS = st.one_of(WORDS, st.integers(0, 9), st.dictionaries(WORDS, WORDS, max_size=2))
MESSAGES = st.fixed_dictionaries(
    {"type": st.sampled_from(["human", "user", "ai", "assistant", "tool", "system", "x"])},
    optional={
        "content": st.one_of(st.none(), WORDS, st.lists(BLOCKS, max_size=3)),
        "tool_calls": st.lists(BLOCKS, max_size=3),
    },
)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.dictionaries(st.sampled_from(["messages", "other"]), st.one_of(st.lists(MESSAGES, max_size=3), MESSAGES)))
def test_any_state_has_a_form(state: dict[str, Any]) -> None:
    dialect.dumps(state_json(state))
