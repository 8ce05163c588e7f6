"""Graphs that use the store, and embeddings for the tests."""

from typing import Any

from langgraph.config import get_store
from langgraph.graph import START, StateGraph
from langgraph.runtime import Runtime
from typing_extensions import TypedDict

COLOURS = ("red", "green", "blue", "other")


def embed(texts: list[str]) -> list[list[float]]:
    """One number a colour: how often the text names it. Raises for the text "fail"."""
    if any("fail" in text for text in texts):
        raise RuntimeError("no vectors today")
    return [[float(text.count(colour)) for colour in COLOURS[:3]] + [0.1] for text in texts]


class Memo(TypedDict, total=False):
    namespace: list[str]
    key: str
    value: dict[str, Any]
    found: Any


async def _put(state: Memo, runtime: Runtime) -> None:
    assert runtime.store is not None
    await runtime.store.aput(tuple(state["namespace"]), state["key"], state["value"])


def _read(state: Memo) -> Memo:
    """In a thread of its own, as synchronous nodes are."""
    store = get_store()
    namespace = tuple(state["namespace"])
    items = store.search(namespace[:1])
    return {"found": {"keys": sorted(item.key for item in items), "item": store.get(namespace, state["key"])}}


memo = (
    StateGraph(Memo)
    .add_node("put", _put)
    .add_node("read", _read)
    .add_edge(START, "put")
    .add_edge("put", "read")
    .compile()
)
