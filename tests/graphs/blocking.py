"""Graphs that hold up their loop or take many threads."""

import asyncio
import operator
import threading
import time
from typing import Annotated, Any

from langgraph.graph import END, START, StateGraph
from langgraph.types import Send
from typing_extensions import TypedDict


class Block(TypedDict, total=False):
    seconds: float
    log: Annotated[list[str], operator.add]


async def _block(state: Block) -> Block:
    """What an async node must not do."""
    time.sleep(state.get("seconds", 0.1))
    return {"log": ["blocked"]}


async def _yield_and_block(state: Block) -> Block:
    """The same, in a task the node started."""
    await asyncio.sleep(0.01)
    return await asyncio.create_task(_block(state))


blocker = StateGraph(Block).add_node("block", _block).add_edge(START, "block").add_edge("block", END).compile()
indirect_blocker = (
    StateGraph(Block).add_node("block", _yield_and_block).add_edge(START, "block").add_edge("block", END).compile()
)


class Crowd(TypedDict, total=False):
    people: int
    seconds: float
    log: Annotated[list[str], operator.add]


class Person(TypedDict):
    seconds: float


def _think(state: Block) -> Block:
    time.sleep(state.get("seconds", 0.1))
    return {"log": [threading.current_thread().name.split("_")[0]]}


# A sync node that calls a subgraph synchronously, so that its checkpoints are written while its thread waits.
_thinker: Any = StateGraph(Block).add_node("think", _think).add_edge(START, "think").compile()


def _person(state: Person) -> Crowd:
    return {"log": _thinker.invoke({"seconds": state["seconds"]})["log"]}


def _gather(state: Crowd) -> list[Send]:
    return [Send("person", {"seconds": state.get("seconds", 0.1)}) for _ in range(state.get("people", 1))]


crowd = (
    StateGraph(Crowd)
    .add_node("person", _person)
    .add_conditional_edges(START, _gather, ["person"])
    .add_edge("person", END)
    .compile()
)
