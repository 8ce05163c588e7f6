"""A graph that logs what it is told, from an async node and from a thread, and then fails with it."""

import logging

from langgraph.graph import END, START, StateGraph
from typing_extensions import TypedDict

logger = logging.getLogger("telling")


class Telling(TypedDict, total=False):
    text: str
    fails: bool


async def _tell(state: Telling) -> Telling:
    logger.info("async: %s", state.get("text"))
    return {}


def _tell_and_fail(state: Telling) -> Telling:
    logger.info("sync: %s", state.get("text"))
    if state.get("fails"):
        raise ValueError(state.get("text"))
    return {}


graph = (
    StateGraph(Telling)
    .add_node("tell", _tell)
    .add_node("fail", _tell_and_fail)
    .add_edge(START, "tell")
    .add_edge("tell", "fail")
    .add_edge("fail", END)
    .compile()
)
