"""The graph of the chaos runs. It writes down every step it begins in a file that no server knows: the journal."""

import asyncio
import json
import operator
import os
import time
from typing import Annotated, Any

from langchain_core.runnables import RunnableConfig
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt
from typing_extensions import TypedDict

JOURNAL = "CHAOS_JOURNAL"  # the environment variable that names the file


class Work(TypedDict, total=False):
    """What a run is to do, and what its thread has seen. Each run's input sets all but `log`, to which it adds."""

    tag: str
    steps: int
    step: int
    pause: float
    parts: int
    node: str
    ask: bool
    log: Annotated[list[str], operator.add]


def _record(state: Work, config: RunnableConfig) -> None:
    """Append a line: one write(2) to a file opened for appending, which no kill and no other process tears apart."""
    line = {
        "run": config["configurable"]["run_id"],
        "attempt": config["metadata"]["run_attempt"],
        "step": state["step"],
        "at": time.time(),
        "pid": os.getpid(),
    }
    descriptor = os.open(os.environ[JOURNAL], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(descriptor, json.dumps(line).encode() + b"\n")
    finally:
        os.close(descriptor)


def _part(state: Work, config: RunnableConfig, number: int) -> dict[str, Any]:
    """A stream part that says where it stands: `n` counts through the run, whatever attempt writes it."""
    return {"attempt": config["metadata"]["run_attempt"], "n": state["step"] * state["parts"] + number}


def _done(state: Work) -> Work:
    step = state["step"] + 1
    return {"step": step, "log": [f"{state['tag']}:{step}"]}


async def _awaiting(state: Work, config: RunnableConfig) -> Work:
    _record(state, config)
    write = get_stream_writer()
    for number in range(state["parts"]):
        write(_part(state, config, number))
        await asyncio.sleep(state["pause"] / state["parts"])
    return _done(state)


def _sleeping(state: Work, config: RunnableConfig) -> Work:
    """A synchronous node, for which langgraph takes a thread."""
    _record(state, config)
    write = get_stream_writer()
    for number in range(state["parts"]):
        write(_part(state, config, number))
        time.sleep(state["pause"] / state["parts"])
    return _done(state)


async def _blocking(state: Work, config: RunnableConfig) -> Work:
    """What nobody should write and everybody does: it holds the loop up."""
    return _sleeping(state, config)


def _ask(state: Work) -> Work:
    return {"ask": False, "log": [f"{state['tag']}:{interrupt({'tag': state['tag']})}"]}


def _next(state: Work) -> str:
    if state["step"] < state["steps"]:
        return state["node"]
    return "ask" if state["ask"] else END


_builder = StateGraph(Work)
_places: list[Any] = ["awaiting", "sleeping", "blocking", "ask", END]
for _name, _node in (("awaiting", _awaiting), ("sleeping", _sleeping), ("blocking", _blocking), ("ask", _ask)):
    _builder.add_node(_name, _node)
    _builder.add_conditional_edges(_name, _next, _places)
_builder.add_conditional_edges(START, _next, _places)
journal = _builder.compile()


def work(tag: str, *, steps: int, pause: float, parts: int = 1, node: str = "awaiting", ask: bool = False) -> Work:
    """The input of a run: `steps` supersteps of `pause` seconds with `parts` stream parts each; `ask` stops at an
    interrupt after them.
    """
    return {
        "tag": tag,
        "steps": steps,
        "step": 0,
        "pause": pause,
        "parts": parts,
        "node": node,
        "ask": ask,
        "log": [f"{tag}:in"],
    }
