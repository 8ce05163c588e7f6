"""langgraph's RemoteGraph against the live server: a deployed graph used as if it were a local one."""

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import GraphInterrupt
from langgraph.graph import END, START, StateGraph
from langgraph.pregel.remote import RemoteException, RemoteGraph
from langgraph.types import Command
from langgraph_sdk import get_sync_client
from langgraph_sdk.client import LangGraphClient
from typing_extensions import TypedDict

from tests.conftest import LiveServer
from tests.wire import new_thread

Remote = Callable[[str], RemoteGraph]


def on(thread_id: str) -> RunnableConfig:
    """The configuration that names a thread."""
    return {"configurable": {"thread_id": thread_id}}


@pytest.fixture
def remote(server: LiveServer, sdk: LangGraphClient) -> Iterator[Remote]:
    """Makes graphs as a client sees them; their connections are closed with the test."""
    with get_sync_client(url=server.url, timeout=30) as sync_client:
        yield lambda graph_id: RemoteGraph(graph_id, client=sdk, sync_client=sync_client)


async def test_a_remote_graph_is_invoked(remote: Remote) -> None:
    assert await remote("path").ainvoke({"note": "a"}) == {"note": "a", "log": ["one:a", "two:a", "three:a"]}


def test_a_remote_graph_is_invoked_synchronously(remote: Remote) -> None:
    assert remote("echo").invoke({"text": "a"})["log"] == ["a"]


async def test_a_thread_that_does_not_exist_is_made(remote: Remote, sdk: LangGraphClient) -> None:
    thread_id = await new_thread(sdk)
    await sdk.threads.delete(thread_id)
    await remote("echo").ainvoke({"text": "a"}, on(thread_id))
    assert (await remote("echo").ainvoke({"text": "b"}, on(thread_id)))["log"] == ["a", "b"]


async def test_a_remote_graph_streams(remote: Remote) -> None:
    graph = remote("path")
    updates = [part async for part in graph.astream({"note": ""}, stream_mode="updates")]
    assert updates == [{name: {"log": [f"{name}:"]}} for name in ("one", "two", "three")]
    both: Any = graph.astream({"note": ""}, stream_mode=["values", "updates"])
    assert [part[0] async for part in both] == ["values", "updates", "values", "updates", "values", "updates", "values"]


def test_a_remote_graph_streams_synchronously(remote: Remote) -> None:
    values: Any = list(remote("echo").stream({"text": "a"}, stream_mode="values"))
    assert [part["log"] for part in values] == [[], ["a"]]


async def test_a_remote_graph_streams_tokens(remote: Remote) -> None:
    asked = {"messages": [{"role": "user", "content": "hi"}]}
    parts: Any = remote("talker").astream(asked, stream_mode="messages")
    text = "".join([message["content"] async for message, _ in parts if message["type"] == "AIMessageChunk"])
    assert text == "Hello big world"


async def test_a_remote_graph_streams_its_subgraphs(remote: Remote) -> None:
    parts = [part async for part in remote("parent").astream({"foo": "a"}, stream_mode="updates", subgraphs=True)]
    assert [namespace[0].split(":")[0] if namespace else "" for namespace, _ in parts] == ["", "child", ""]


async def test_a_failing_remote_graph_raises(remote: Remote) -> None:
    with pytest.raises(RemoteException, match="kaboom"):
        await remote("boom").ainvoke({"kind": "value"})


async def test_a_remote_interrupt_is_answered(remote: Remote, sdk: LangGraphClient) -> None:
    graph, config = remote("ask"), on(await new_thread(sdk))
    stopped: Any = await graph.ainvoke({"q": "a"}, config)
    assert stopped["__interrupt__"][0]["value"] == {"question": "a!"}
    snapshot = await graph.aget_state(config)
    assert (snapshot.next, snapshot.values) == (("ask",), {"q": "a!"})
    assert snapshot.tasks[0].interrupts[0].value == {"question": "a!"}
    assert await graph.ainvoke(Command(resume="yes"), config) == {"q": "a!", "answer": "yes"}


async def test_remote_state_is_read_and_written(remote: Remote, sdk: LangGraphClient) -> None:
    graph, config = remote("path"), on(await new_thread(sdk))
    await graph.ainvoke({"note": "a"}, config)
    history = [snapshot async for snapshot in graph.aget_state_history(config)]
    assert [snapshot.next for snapshot in history] == [(), ("three",), ("two",), ("one",), ("__start__",)]
    assert (
        history[0].parent_config
        and history[1].config["configurable"]["checkpoint_id"]
        == (history[0].parent_config["configurable"]["checkpoint_id"])
    )
    forked = await graph.aupdate_state(history[2].config, {"note": "b"}, as_node="one")
    assert (await graph.aget_state(forked)).next == ("two",)
    assert (await graph.ainvoke(None, forked))["log"][-2:] == ["two:b", "three:b"]


def test_remote_state_is_read_and_written_synchronously(remote: Remote) -> None:
    graph = remote("path")
    config = on(str(uuid.uuid4()))
    graph.invoke({"note": "a"}, config)
    graph.update_state(config, {"note": "b"}, as_node="two")
    assert graph.get_state(config).next == ("three",)
    assert len(list(graph.get_state_history(config))) == 6


async def test_a_remote_graph_is_drawn(remote: Remote) -> None:
    drawn = await remote("path").aget_graph()
    assert set(drawn.nodes) == {"__start__", "one", "two", "three", "__end__"} and len(drawn.edges) == 4
    assert "inner" in " ".join(remote("parent").get_graph(xray=True).nodes)


class Outer(TypedDict, total=False):
    q: str
    answer: Any


async def test_a_remote_graph_is_a_node_of_a_local_one(remote: Remote, sdk: LangGraphClient) -> None:
    inner = remote("ask")
    graph: Any = (
        StateGraph(Outer)
        .add_node("inner", inner)
        .add_edge(START, "inner")
        .add_edge("inner", END)
        .compile(checkpointer=InMemorySaver())
    )
    config = on(await new_thread(sdk))
    try:
        stopped = await graph.ainvoke({"q": "a"}, config)
    except GraphInterrupt as interrupt:
        stopped = {"__interrupt__": interrupt.args[0]}
    assert stopped["__interrupt__"][0].value == {"question": "a!"}
