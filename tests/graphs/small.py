"""Tiny real graphs, one for each thing a test wants to see happen."""

import asyncio
import operator
import time
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

from langchain_core.messages import AIMessage, AnyMessage
from langchain_core.runnables import RunnableConfig
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.runtime import Runtime
from langgraph.types import Send, interrupt
from pydantic import BaseModel
from typing_extensions import TypedDict


class SecretError(Exception):
    """An exception whose text must not reach a client."""


class Echo(TypedDict, total=False):
    text: str
    log: Annotated[list[str], operator.add]
    messages: Annotated[list[AnyMessage], add_messages]


def _echo(state: Echo) -> Echo:
    return {"log": [state.get("text", "")]}


echo = StateGraph(Echo).add_node("echo", _echo).add_edge(START, "echo").add_edge("echo", END).compile()


class Count(TypedDict, total=False):
    steps: int
    count: int
    log: Annotated[list[str], operator.add]


def _step(state: Count) -> Count:
    count = state.get("count", 0) + 1
    return {"count": count, "log": [f"step {count}"]}


def _again(state: Count) -> str:
    return "step" if state.get("count", 0) < state.get("steps", 3) else END


# `steps` supersteps, a checkpoint each.
counter = (
    StateGraph(Count).add_node("step", _step).add_edge(START, "step").add_conditional_edges("step", _again).compile()
)


class Question(TypedDict, total=False):
    q: str
    answer: Any


def _ask(state: Question) -> Question:
    return {"answer": interrupt({"question": state.get("q", "?")})}


def _before(state: Question) -> Question:
    return {"q": state.get("q", "") + "!"}


ask = (
    StateGraph(Question)
    .add_node("before", _before)
    .add_node("ask", _ask)
    .add_edge(START, "before")
    .add_edge("before", "ask")
    .add_edge("ask", END)
    .compile()
)


class Answers(TypedDict, total=False):
    names: list[str]
    answers: Annotated[list[Any], operator.add]


class Name(TypedDict):
    name: str


def _ask_one(state: Name) -> Answers:
    return {"answers": [{state["name"]: interrupt({"name": state["name"]})}]}


def _fan_out(state: Answers) -> list[Send]:
    return [Send("ask_one", {"name": name}) for name in state.get("names", ["a", "b"])]


parallel_ask = (
    StateGraph(Answers)
    .add_node("ask_one", _ask_one)
    .add_conditional_edges(START, _fan_out, ["ask_one"])
    .add_edge("ask_one", END)
    .compile()
)


class Nested(TypedDict, total=False):
    foo: str
    stop: bool
    log: Annotated[list[str], operator.add]


def _inner(state: Nested) -> Nested:
    get_stream_writer()({"inner": True})
    if state.get("stop"):
        return {"log": [str(interrupt("inside"))]}
    return {"log": ["inner"]}


def _pre(state: Nested) -> Nested:
    return {"log": ["pre"]}


_child = StateGraph(Nested).add_node("inner", _inner).add_edge(START, "inner").add_edge("inner", END).compile()
# A subgraph as a node; with `stop` it interrupts inside.
parent = (
    StateGraph(Nested)
    .add_node("pre", _pre)
    .add_node("child", _child)
    .add_edge(START, "pre")
    .add_edge("pre", "child")
    .add_edge("child", END)
    .compile()
)


class Failure(TypedDict, total=False):
    kind: str
    log: Annotated[list[str], operator.add]


def _fail(state: Failure) -> Failure:
    kind = state.get("kind", "value")
    if kind == "secret":
        raise SecretError("the password is hunter2")
    if kind == "timeout":
        raise TimeoutError("inside the graph")
    if kind == "cancelled":
        raise asyncio.CancelledError
    if kind == "none":
        return {"log": ["fine"]}
    raise ValueError("kaboom")


def _fine(state: Failure) -> Failure:
    return {"log": ["before"]}


boom = (
    StateGraph(Failure)
    .add_node("fine", _fine)
    .add_node("fail", _fail)
    .add_edge(START, "fine")
    .add_edge("fine", "fail")
    .add_edge("fail", END)
    .compile()
)


class Model(BaseModel):
    x: int = 1
    when: datetime = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)


@dataclass
class Data:
    a: int = 1


class Anything(TypedDict, total=False):
    value: Any


def _types(state: Anything) -> Anything:
    value = {
        "uuid": UUID(int=5),
        "dt": datetime(2024, 1, 2, 3, 4, 5),
        "date": date(2024, 1, 2),
        "td": timedelta(seconds=1.5),
        "dec": Decimal("1.50"),
        "deci": Decimal("3"),
        "set": {1},
        "bytes": b"abc",
        "pm": Model(),
        "dc": Data(),
        "nan": float("nan"),
        "inf": float("inf"),
        "nul": "a\0b",
        "uni": "é☃",
        "sep": "a\u2028b",
        "exc": ValueError("v"),
        "exc2": SecretError("s"),
        "tuple": (1, 2),
        "intkey": {1: "x"},
        "msg": AIMessage("hi", id="m1"),
        "nl": "a\nb\r\nc",
        "big": 2**60,
    }
    # What msgpack cannot keep goes out on the stream only.
    get_stream_writer()({**value, "unk": object(), "sur": "a\ud800b", "send": Send("n", {"a": 1})})
    return {"value": {key: value[key] for key in value if key not in ("exc", "exc2")}}


types = StateGraph(Anything).add_node("types", _types).add_edge(START, "types").add_edge("types", END).compile()


class Sleep(TypedDict, total=False):
    seconds: float
    sync: bool
    log: Annotated[list[str], operator.add]


async def _sleep(state: Sleep) -> Sleep:
    if state.get("sync"):
        await asyncio.to_thread(time.sleep, state.get("seconds", 0.1))
    else:
        await asyncio.sleep(state.get("seconds", 0.1))
    return {"log": ["slept"]}


def _first(state: Sleep) -> Sleep:
    return {"log": ["first"]}


sleeper = (
    StateGraph(Sleep)
    .add_node("first", _first)
    .add_node("sleep", _sleep)
    .add_edge(START, "first")
    .add_edge("first", "sleep")
    .add_edge("sleep", END)
    .compile()
)


class Burst(TypedDict, total=False):
    events: int


async def _burst(state: Burst) -> Burst:
    write = get_stream_writer()
    for number in range(state.get("events", 1000)):
        write({"n": number})
        if number % 100 == 99:
            await asyncio.sleep(0)
    return {"events": 0}


burst = StateGraph(Burst).add_node("burst", _burst).add_edge(START, "burst").add_edge("burst", END).compile()


@dataclass
class Settings:
    tone: str = "plain"


class Seen(TypedDict, total=False):
    seen: dict[str, Any]


def _look(state: Seen, config: RunnableConfig, runtime: Runtime[Settings]) -> Seen:
    known = ("run_id", "thread_id", "graph_id", "assistant_id", "user_id", "langgraph_request_id", "tone", "other")
    configurable = {key: config["configurable"].get(key) for key in known}
    context = {"tone": runtime.context.tone} if runtime.context else None
    metadata = {key: value for key, value in config["metadata"].items() if isinstance(value, str | int | float | bool)}
    limit = config.get("recursion_limit")
    return {"seen": {"configurable": configurable, "context": context, "metadata": metadata, "recursion_limit": limit}}


# Writes down what the server told it about itself.
contextual = (
    StateGraph(Seen, context_schema=Settings)
    .add_node("look", _look)  # type: ignore[arg-type]
    .add_edge(START, "look")
    .add_edge("look", END)
    .compile()
)
