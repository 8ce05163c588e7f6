"""What is recorded of the inside of a run: nodes, tools and models, in order and in time, within bounds."""

import asyncio
import contextlib
from collections.abc import Callable
from operator import methodcaller
from typing import Any
from uuid import uuid4

import orjson
import psycopg
import pytest
from django.db import connection
from langchain_core.messages import HumanMessage
from langgraph.graph import END, START, StateGraph
from langgraph_sdk.client import LangGraphClient
from redis.asyncio import Redis
from typing_extensions import TypedDict

from examples.chat import graph as chat
from runs import timeline
from runs.models import Run, RunTimeline
from runs.timeline import Timeline
from tests.conftest import LiveServer
from tests.graphs.small import boom, parent
from threads.models import Thread


class Nothing(TypedDict, total=False):
    x: int


async def recorded(graph: Any, given: Any) -> tuple[Timeline, dict[str, Any]]:
    """The timeline of one execution, and what it came to."""
    seen = Timeline(uuid4(), 1)
    with contextlib.suppress(Exception):
        async for _ in graph.astream(given, {"callbacks": [seen]}, stream_mode="messages"):
            pass
    return seen, seen.stop()


async def test_nodes_tools_and_models_are_spans_inside_each_other() -> None:
    _, document = await recorded(chat, {"messages": [HumanMessage("What is 6 * 7?")]})
    spans = document["spans"]
    kinds = [(span["kind"], span["name"]) for span in spans]
    assert ("tool", "calculator") in kinds and [kind for kind, _ in kinds].count("model") == 2
    by_number = {span["number"]: span for span in spans}
    tool = next(span for span in spans if span["kind"] == "tool")
    assert by_number[tool["parent"]]["name"] == "tools"
    for span in spans:
        assert span["status"] == "done" and 0 <= span["begin"] <= span["end"]
        if "parent" in span:
            assert by_number[span["parent"]]["begin"] <= span["begin"]


async def test_a_model_call_shows_when_it_began_to_speak_and_what_it_said() -> None:
    _, document = await recorded(chat, {"messages": [HumanMessage("hello")]})
    model = next(span for span in document["spans"] if span["kind"] == "model")
    assert model["begin"] <= model["first"] <= model["end"]
    assert model["text"].strip()


async def test_a_model_that_does_not_stream_shows_what_it_said_in_the_end() -> None:
    seen = Timeline(uuid4(), 1)
    await chat.ainvoke({"messages": [HumanMessage("hello")]}, {"callbacks": [seen]})
    model = next(span for span in seen.stop()["spans"] if span["kind"] == "model")
    assert model["text"].strip() and "first" not in model


async def test_nodes_of_subgraphs_are_inside_the_node_that_called_them() -> None:
    _, document = await recorded(parent, {})
    spans = {span["number"]: span for span in document["spans"]}
    assert any("parent" in span and spans[span["parent"]]["kind"] == "node" for span in spans.values())


async def test_a_node_that_raises_is_failed_and_says_why() -> None:
    _, document = await recorded(boom, {"kind": "value"})
    failed = [span for span in document["spans"] if span["status"] == "failed"]
    assert failed[0]["error"] == "ValueError: kaboom"
    raised = document["raised"]
    frames = raised["frames"]
    assert raised["error"] == "ValueError" and frames[0]["file"] == "tests/graphs/small.py"
    assert frames[0]["code"] == 'raise ValueError("kaboom")' and frames[0]["name"] == "_fail"
    kinds = [frame["own"] for frame in frames]
    assert kinds == sorted(kinds, reverse=True) and not all(kinds), "the project's own come first"


async def test_what_does_not_end_is_stopped_with_the_attempt() -> None:
    async def hang(state: Nothing) -> Nothing:
        await asyncio.sleep(60)
        return state

    graph = StateGraph(Nothing).add_node("hang", hang).add_edge(START, "hang").add_edge("hang", END).compile()
    seen = Timeline(uuid4(), 1)
    work = asyncio.create_task(graph.ainvoke({}, {"callbacks": [seen]}))
    while not seen.spans:
        await asyncio.sleep(0.01)
    document = seen.stop()
    assert [(span["name"], span["status"]) for span in document["spans"]] == [("hang", "stopped")]
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)


async def test_no_more_is_kept_than_the_bounds_allow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeline, "MOST_SPANS", 3)
    monkeypatch.setattr(timeline, "SHOWN_TEXT", 5)
    _, document = await recorded(chat, {"messages": [HumanMessage("What is 6 * 7?")]})
    assert len(document["spans"]) == 3 and document["left_out"] > 0
    assert all(len(span.get("text", "")) <= 5 for span in document["spans"])


async def test_a_secret_in_an_errors_text_is_not_kept() -> None:
    async def leak(state: Nothing) -> Nothing:
        raise RuntimeError("postgresql://user:hunter2secret@db/x")

    graph = StateGraph(Nothing).add_node("leak", leak).add_edge(START, "leak").compile()
    _, document = await recorded(graph, {})
    assert "hunter2secret" not in str(document) and "RuntimeError" in str(document)


async def test_a_run_that_goes_on_is_shown_and_an_ended_one_is_kept(sdk: LangGraphClient, server: LiveServer) -> None:
    thread = await sdk.threads.create()
    run = await sdk.runs.create(thread["thread_id"], "slow_job", input={"seconds": 1, "steps": 2})
    url, prefix = server.environment["REDIS_URI"], server.environment["REDIS_KEY_PREFIX"]
    live = await shown_in_redis(url, f"{prefix}timeline:{run['run_id']}")
    assert live["attempt"] == 1 and live["spans"][0]["kind"] == "node"
    await sdk.runs.join(thread["thread_id"], run["run_id"])
    with psycopg.connect(server.environment["DATABASE_URI"]) as database:
        found = database.execute("SELECT document FROM runs_runtimeline WHERE run_id = %s", [run["run_id"]]).fetchone()
    assert found
    document = found[0]
    assert document["spans"] and all(span["status"] == "done" for span in document["spans"])


async def shown_in_redis(url: str, key: str) -> dict[str, Any]:
    """The document, once it is there."""
    async with Redis.from_url(url) as client:
        for _ in range(200):
            if found := await client.get(key):
                return dict(orjson.loads(found))
            await asyncio.sleep(0.05)
    raise AssertionError("the run was never shown")


@pytest.mark.django_db
@pytest.mark.parametrize("removal", [methodcaller("remove"), methodcaller("remove_with_thread", "success")])
def test_a_run_that_is_deleted_in_sql_takes_its_timelines_along(removal: Callable[[Run], bool]) -> None:
    run = Run.objects.create(thread=Thread.objects.create(), assistant_id=uuid4(), status="running", attempt=2)
    RunTimeline.objects.create(run=run, attempt=1)
    assert removal(run)
    connection.check_constraints()
    assert not RunTimeline.objects.filter(run_id=run.pk).exists()
