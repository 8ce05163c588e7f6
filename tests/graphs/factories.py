"""The forms a graph factory can take."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, StateGraph
from langgraph_sdk.runtime import ServerRuntime
from typing_extensions import TypedDict


class Told(TypedDict, total=False):
    told: dict[str, Any]


def _graph(told: dict[str, Any]) -> StateGraph[Told]:
    def tell(state: Told) -> Told:
        return {"told": told}

    return StateGraph(Told).add_node("tell", tell).add_edge(START, "tell").add_edge("tell", END)


def make(config: RunnableConfig) -> Any:
    """A graph that knows the configuration it was made with."""
    return _graph({"flavour": config.get("configurable", {}).get("flavour")}).compile()


async def make_async(config: RunnableConfig, runtime: ServerRuntime) -> Any:
    """An uncompiled graph that knows why it was made."""
    told = {"access": runtime.access_context, "executes": runtime.execution_runtime is not None}
    return _graph({**told, "flavour": config.get("configurable", {}).get("flavour")})


@asynccontextmanager
async def make_in_context(runtime: ServerRuntime) -> AsyncIterator[Any]:
    """A graph with resources around it."""
    yield _graph({"access": runtime.access_context}).compile()


def make_nonsense() -> str:
    """No graph at all."""
    return "nonsense"
