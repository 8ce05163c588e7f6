"""Graphs that fail, or do not stop, in ways the server has to tell apart."""

import asyncio
import operator
import time
from typing import Annotated

import psycopg
from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, StateGraph
from typing_extensions import TypedDict

ERRORS = {"connection": ConnectionResetError, "postgres": psycopg.OperationalError, "value": ValueError}


class Flaky(TypedDict, total=False):
    error: str
    until: int
    log: Annotated[list[str], operator.add]


def _first(state: Flaky) -> Flaky:
    return {"log": ["first"]}


def _fail(state: Flaky, config: RunnableConfig) -> Flaky:
    attempt = config["metadata"]["run_attempt"]
    if attempt < state.get("until", 2):
        raise ERRORS[state["error"]](f"attempt {attempt}")
    return {"log": [f"attempt {attempt}"]}


# Its second node raises `error` in every attempt before `until`.
flaky = (
    StateGraph(Flaky)
    .add_node("first", _first)
    .add_node("fail", _fail)
    .add_edge(START, "first")
    .add_edge("first", "fail")
    .add_edge("fail", END)
    .compile()
)


class Stubborn(TypedDict, total=False):
    seconds: float
    log: Annotated[list[str], operator.add]


async def _ignore(state: Stubborn) -> Stubborn:
    end = time.monotonic() + state.get("seconds", 1.0)
    while time.monotonic() < end:
        try:
            await asyncio.sleep(0.1)
        except asyncio.CancelledError:
            continue
    return {"log": ["ignored"]}


# Takes no notice of being cancelled.
stubborn = StateGraph(Stubborn).add_node("ignore", _ignore).add_edge(START, "ignore").add_edge("ignore", END).compile()
