"""Graphs about state: what jsonb cannot hold, types without a schema, reducers that refuse, nests, drawings."""

import operator
import typing
from typing import Annotated, Any

from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, StateGraph
from langgraph_sdk.runtime import ServerRuntime
from typing_extensions import TypedDict


class Awkward(TypedDict, total=False):
    text: str
    ratio: float
    seen: list[str]


def _worsen(state: Awkward) -> Awkward:
    return {"text": state.get("text", "") + "\0", "ratio": float("nan")}


def _repeat(state: Awkward) -> Awkward:
    return {"seen": [state["text"], str(state["ratio"])]}


# Its text and number channels hold what jsonb has no place for.
awkward = (
    StateGraph(Awkward)
    .add_node("worsen", _worsen)
    .add_node("repeat", _repeat)
    .add_edge(START, "worsen")
    .add_edge("worsen", "repeat")
    .compile()
)


class Old(typing.TypedDict):
    """pydantic has no schema for it before Python 3.12."""

    inside: str


class Opaque:
    """pydantic has no schema for it ever."""


class Schemaless(TypedDict, total=False):
    old: Old
    opaque: Opaque
    name: str


schemaless = StateGraph(Schemaless).add_node("keep", lambda state: {}).add_edge(START, "keep").compile()


class Refusal(Exception):
    """An exception whose text must not reach a client."""


def _refuse(old: list[Any], new: Any) -> list[Any]:
    if new == "secret":
        raise Refusal("the password is hunter2")
    if new == "value":
        raise ValueError("that will not do")
    return [*(old or []), new]


class Picky(TypedDict, total=False):
    items: Annotated[list[Any], _refuse]


picky = StateGraph(Picky).add_node("keep", lambda state: {}).add_edge(START, "keep").compile()


class Level(TypedDict, total=False):
    depth: int


def _deeper(state: Level) -> Level:
    return {"depth": state.get("depth", 0) + 1}


_lowest = StateGraph(Level).add_node("dig", _deeper).add_edge(START, "dig").compile()
_middle = StateGraph(Level).add_node("lower", _lowest).add_edge(START, "lower").compile()
# A graph in a graph in a graph.
nest = StateGraph(Level).add_node("middle", _middle).add_edge(START, "middle").compile()


def _nothing(state: Any) -> dict[str, Any]:
    return {}


def _which(state: Level) -> str:
    return "left" if state.get("depth") else "right"


# Everything a drawing can show, under a name of its own.
drawn = (
    StateGraph(Level)
    .add_node("left", _deeper, metadata={"k": 1})
    .add_node("right", _deeper)
    .add_conditional_edges(START, _which, {"yes": "left", "right": "right"})
    .add_edge("left", END)
    .add_edge("right", END)
    .compile(name="Draughtsman")
)

# It stops before its second node, without an interrupt().
stops = (
    StateGraph(Level)
    .add_node("first", _deeper)
    .add_node("second", _deeper)
    .add_edge(START, "first")
    .add_edge("first", "second")
    .compile(interrupt_before=["second"])
)


def insider(config: RunnableConfig, runtime: ServerRuntime) -> Any:
    """A graph whose state, until somebody writes to it, is what its factory was told."""
    known = config.get("configurable", {})
    names = ("flavour", "__is_for_execution__", "thread_id")

    class Report(list[Any]):
        def __init__(self) -> None:
            super().__init__([runtime.access_context, *(known.get(name) for name in names)])

    class Inside(TypedDict, total=False):
        told: Annotated[Report, operator.add]
        depth: int

    graph = StateGraph(Inside).add_node("dig", _nothing, metadata={"told": list(Report())})
    return graph.add_edge(START, "dig").compile()
