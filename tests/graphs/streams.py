"""Tiny graphs for what streams and commands show: tokens, ticks, jumps, every way to fail."""

import asyncio
import operator
from typing import Annotated, Any

from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, MessagesState, StateGraph
from starlette.exceptions import HTTPException
from typing_extensions import TypedDict

from examples.models import ScriptedChatModel


async def _model(state: MessagesState) -> dict[str, Any]:
    model = GenericFakeChatModel(messages=iter([AIMessage("Hello big world", id="ai-fixed-1")]))
    return {"messages": [await model.ainvoke(state["messages"])]}


def _tool(state: MessagesState) -> dict[str, Any]:
    return {"messages": [ToolMessage("result for cats", name="search", id="tool-fixed-1", tool_call_id="call_1")]}


# A model that streams five chunks under one id, then a message that comes whole.
talker = (
    StateGraph(MessagesState)
    .add_node("model", _model)
    .add_node("tool", _tool)
    .add_edge(START, "model")
    .add_edge("model", "tool")
    .add_edge("tool", END)
    .compile()
)
# The same one level down.
talker_inside = (
    StateGraph(MessagesState).add_node("inside", talker).add_edge(START, "inside").add_edge("inside", END).compile()
)
# Two levels down.
talker_deep = StateGraph(MessagesState).add_node("deep", talker_inside).add_edge(START, "deep").compile()


class Recital(MessagesState, total=False):
    tokens: int


async def _recite(state: Recital) -> dict[str, Any]:
    words = " ".join(f"w{number}" for number in range(state.get("tokens", 10)))
    model = ScriptedChatModel(reply=lambda messages: AIMessage(words), delay=0.002)
    return {"messages": [await model.ainvoke([HumanMessage("go on")])]}


# A model that says w0 w1 w2 ..., a token at a time.
reciter = StateGraph(Recital).add_node("recite", _recite).add_edge(START, "recite").add_edge("recite", END).compile()


class Ticks(TypedDict, total=False):
    ticks: int
    pause: float


async def _tick(state: Ticks) -> Ticks:
    write = get_stream_writer()
    for number in range(state.get("ticks", 10)):
        write({"tick": number})
        await asyncio.sleep(state.get("pause", 0.05))
    return {"ticks": 0}


# `ticks` custom parts, `pause` seconds between them.
ticker = StateGraph(Ticks).add_node("tick", _tick).add_edge(START, "tick").add_edge("tick", END).compile()


async def _write(state: Ticks) -> Ticks:
    write = get_stream_writer()
    for payload in ({"progress": 1}, "plain text", [1, 2], None, "line\u2028separator\nfeed"):
        write(payload)
    return {"ticks": 0}


# Custom parts of every JSON kind.
writer = StateGraph(Ticks).add_node("write", _write).add_edge(START, "write").add_edge("write", END).compile()


class Path(TypedDict, total=False):
    log: Annotated[list[str], operator.add]
    note: str


def _visit(name: str) -> Any:
    return lambda state: {"log": [f"{name}:{state.get('note', '')}"]}


# Three nodes in a row that say they were there.
path = (
    StateGraph(Path)
    .add_node("one", _visit("one"))
    .add_node("two", _visit("two"))
    .add_node("three", _visit("three"))
    .add_edge(START, "one")
    .add_edge("one", "two")
    .add_edge("two", "three")
    .add_edge("three", END)
    .compile()
)


class Way(TypedDict, total=False):
    way: str
    log: Annotated[list[str], operator.add]


class HiddenError(ValueError):
    """Its text is shown: it is a ValueError."""


def _raise(state: Way) -> Way:
    match state.get("way"):
        case "subclass":
            raise HiddenError("shown")
        case "key":
            raise KeyError("missing")
        case "runtime":
            raise RuntimeError("run")
        case "http":
            raise HTTPException(404, "nowhere")
        case "group":
            raise ExceptionGroup("many", [ValueError("first"), TypeError("second")])
        case "os":
            raise FileNotFoundError("/etc/secret")
        case "zero":
            raise ZeroDivisionError("division by secret")
    return {"log": ["fine"]}


raiser = StateGraph(Way).add_node("raise", _raise).add_edge(START, "raise").add_edge("raise", END).compile()
