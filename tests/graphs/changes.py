"""Graphs whose runs write on checkpoints of earlier runs: channels kept as changes, and resumed graph tasks."""

import asyncio
import operator
from collections.abc import Sequence
from typing import Annotated, Any

from langgraph.channels.delta import DeltaChannel
from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt
from typing_extensions import TypedDict


def _appended(so_far: list[str], more: Sequence[list[str]]) -> list[str]:
    return [*so_far, *(line for lines in more for line in lines)]


class Kept(TypedDict, total=False):
    seconds: float
    log: Annotated[list[str], DeltaChannel(_appended, snapshot_frequency=4)]


def _note(state: Kept) -> Kept:
    return {"log": ["noted"]}


async def _sleep(state: Kept) -> Kept:
    await asyncio.sleep(state.get("seconds", 0))
    return {"log": ["slept"], "seconds": 0}


# A channel that most checkpoints hold no value of, only what changed since an earlier one.
changes = (
    StateGraph(Kept)
    .add_node("note", _note)
    .add_node("sleep", _sleep)
    .add_edge(START, "note")
    .add_edge("note", "sleep")
    .add_edge("sleep", END)
    .compile()
)


class Asked(TypedDict, total=False):
    log: Annotated[list[str], operator.add]


async def _ask_twice(state: Asked) -> Asked:
    first = interrupt("first")
    await asyncio.sleep(60 if first == "slowly" else 0)
    second = interrupt("second")
    await asyncio.sleep(60 if second == "slowly" else 0)
    return {"log": [f"{first}, {second}"]}


def _beside(state: Asked) -> Asked:
    return {"log": ["beside"]}


# Two questions in one graph task, and another task in the same superstep.
questions = (
    StateGraph(Asked)
    .add_node("ask_twice", _ask_twice)
    .add_node("beside", _beside)
    .add_edge(START, "ask_twice")
    .add_edge(START, "beside")
    .add_edge("ask_twice", END)
    .add_edge("beside", END)
    .compile()
)
# The same one level down, on checkpoints of its own.
questions_inside: Any = (
    StateGraph(Asked).add_node("inside", questions).add_edge(START, "inside").add_edge("inside", END).compile()
)
