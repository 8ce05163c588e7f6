"""What the run's page computes: differences of states, drawings, snippets, filters."""

import ast
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.difference import difference
from console.drawing import draw
from console.run_filters import Filters
from console.snippets import body_of, snippets
from runs.models import Run


def kinds(before: Any, after: Any) -> dict[str, list[str]]:
    """Channel to the kinds of its items."""
    return {channel.name: [item.kind for item in channel.items] for channel in difference(before, after)}


def test_messages_are_compared_by_their_ids() -> None:
    before = {"messages": [{"id": "1", "content": "a"}, {"id": "2", "content": "b"}]}
    after = {"messages": [{"id": "2", "content": "B"}, {"id": "3", "content": "c"}]}
    channel = difference(before, after)[0]
    assert [(item.kind, (item.after or item.before)["id"]) for item in channel.items] == [
        ("removed", "1"),
        ("changed", "2"),
        ("added", "3"),
    ]
    assert channel.unchanged == 0


def test_a_list_that_grew_shows_what_came() -> None:
    channel = difference({"log": ["a"]}, {"log": ["a", "b"]})[0]
    assert ([item.after for item in channel.items], channel.unchanged) == (["b"], 1)


def test_channels_come_and_go_and_changed_ones_stand_first() -> None:
    found = difference({"a": 1, "b": 2, "z": 0}, {"b": 3, "c": 4, "z": 0})
    assert [(channel.name, channel.kind) for channel in found] == [
        ("a", "removed"),
        ("b", "changed"),
        ("c", "added"),
        ("z", "same"),
    ]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
)


@given(JSON, JSON)
def test_any_two_states_can_be_compared_and_equal_ones_do_not_differ(before: Any, after: Any) -> None:
    difference(before, after)
    assert all(channel.kind == "same" for channel in difference(before, before))


def graph_of(*edges: tuple[str, str]) -> dict[str, Any]:
    """A graph's document."""
    names = dict.fromkeys(name for edge in edges for name in edge)
    return {"nodes": [{"id": n} for n in names], "edges": [{"source": a, "target": b} for a, b in edges]}


def test_nodes_stand_below_what_leads_to_them_and_beside_their_equals() -> None:
    drawn = draw(graph_of(("__start__", "a"), ("a", "b"), ("a", "c"), ("b", "__end__"), ("c", "__end__")))
    at = {node.name: node for node in drawn.nodes}
    assert at["__start__"].y < at["a"].y < at["b"].y == at["c"].y < at["__end__"].y
    assert at["b"].x + at["b"].width <= at["c"].x or at["c"].x + at["c"].width <= at["b"].x


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from("abcdef")), max_size=20))
def test_any_graph_can_be_drawn_circles_and_all(edges: list[tuple[str, str]]) -> None:
    drawn = draw(graph_of(*edges))
    boxes = [(node.x, node.y, node.width) for node in drawn.nodes]
    assert len(drawn.edges) == len(edges)
    for number, (x, y, width) in enumerate(boxes):
        assert x >= 0 and x + width <= drawn.width and y + 36 <= drawn.height
        assert all(y != y2 or x + width <= x2 or x2 + w2 <= x for x2, y2, w2 in boxes[number + 1 :])


def a_run() -> Run:
    """A row, not saved."""
    configurable = {"style": "pirate", "run_id": "x", "langgraph_auth_user": {"identity": "secret"}, "__x__": 1}
    kwargs = {"input": {"text": "it's"}, "config": {"configurable": configurable}, "stream_mode": ["values"]}
    return Run(
        thread_id="0199aaaa-0000-7000-8000-000000000001",
        assistant_id="0199aaaa-0000-7000-8000-000000000002",
        kwargs=kwargs,
    )


def test_snippets_hold_the_request_and_nothing_the_server_added() -> None:
    found = snippets(body_of(a_run()), str(a_run().thread_id), "http://127.0.0.1:2024")
    assert set(found) == {"curl", "Python", "JavaScript"}
    assert "secret" not in str(found) and "__x__" not in str(found)
    body = found["curl"].split(" -d '")[1].rstrip("'").replace("'\\''", "'")
    assert json.loads(body)["input"] == {"text": "it's"}
    ast.parse(f"async def run():\n    {found['Python'].splitlines()[2]}")
    assert '"streamMode"' in found["JavaScript"] and "stream_mode" not in found["JavaScript"]
    assert found["curl"].startswith("curl -N http://127.0.0.1:2024/threads/") and "x-api-key" not in found["curl"]
    stateless = snippets({"assistant_id": "chat"}, None, "http://h", key=True)["curl"]
    assert stateless.startswith("curl -N http://h/runs/stream") and "x-api-key: $" in stateless


@pytest.mark.parametrize("text", ["no pair", ":", "=x"])
def test_metadata_that_is_no_pair_is_told_not_guessed(text: str) -> None:
    filters = Filters.of({"metadata": text})
    assert filters._metadata() == {} and filters.problems


def test_metadata_values_are_what_they_look_like() -> None:
    found = [Filters.of({"metadata": text})._metadata() for text in ("a:b", "n=3", "t: true", "u:http://x")]
    assert found == [{"a": "b"}, {"n": 3}, {"t": True}, {"u": "http://x"}]
