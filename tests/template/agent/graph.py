"""The usual template: a graph that changes its input, and knows its surroundings."""

import os

from langchain_core.runnables import RunnableConfig
from langgraph.config import get_store
from langgraph.graph import StateGraph
from typing_extensions import TypedDict


class State(TypedDict, total=False):
    text: str
    greeting: str
    team: str


async def call_model(state: State, config: RunnableConfig) -> State:
    await get_store().aput(("texts",), "last", {"text": state["text"]})
    team = config["configurable"].get("x-team", "")
    return {"greeting": f"{os.environ['GREETING']} {state['text']}", "team": team}


graph = StateGraph(State).add_node(call_model).add_edge("__start__", "call_model").compile(name="New Graph")
