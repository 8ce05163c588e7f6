"""The graphs that are measured. They do next to nothing, so what remains is the server's own work."""

import asyncio
import time

from langgraph.config import get_stream_writer
from langgraph.graph import END, START, StateGraph
from langgraph.stream.transformers import CustomTransformer
from typing_extensions import TypedDict


class Text(TypedDict, total=False):
    text: str
    answer: str


async def _answer(state: Text) -> Text:
    return {"answer": state.get("text", "")}


one = StateGraph(Text).add_node("answer", _answer).add_edge(START, "answer").add_edge("answer", END).compile()


class Moment(TypedDict, total=False):
    seconds: float
    at: float


async def _now(state: Moment) -> Moment:
    began = time.time()
    await asyncio.sleep(state.get("seconds", 0))
    return {"at": began}


# Says when its node began, which then takes `seconds`.
moment = StateGraph(Moment).add_node("now", _now).add_edge(START, "now").add_edge("now", END).compile()


class Count(TypedDict, total=False):
    steps: int
    count: int


async def _step(state: Count) -> Count:
    return {"count": state.get("count", 0) + 1}


def _again(state: Count) -> str:
    return "step" if state.get("count", 0) < state.get("steps", 1) else END


# `steps` supersteps, a checkpoint each.
counter = (
    StateGraph(Count).add_node("step", _step).add_edge(START, "step").add_conditional_edges("step", _again).compile()
)


class Burst(TypedDict, total=False):
    events: int
    pause: float


async def _burst(state: Burst) -> Burst:
    write = get_stream_writer()
    for number in range(state.get("events", 1)):
        write({"n": number})
        if number % 100 == 99:
            await asyncio.sleep(0)
    return {"events": 0}


# `events` custom events as fast as they go.
burst = StateGraph(Burst).add_node("burst", _burst).add_edge(START, "burst").add_edge("burst", END).compile()


async def _say(state: Burst) -> Burst:
    write, pause = get_stream_writer(), state.get("pause", 0.0)
    for number in range(state.get("events", 1)):
        write({"n": number, "at": time.time()})
        if pause or number % 100 == 99:
            await asyncio.sleep(pause)
    return {"events": 0}


# The same with `pause` seconds between them, for the event-streaming protocol; each says when it was made.
events = (
    StateGraph(Burst)
    .add_node("say", _say)
    .add_edge(START, "say")
    .add_edge("say", END)
    .compile(transformers=[CustomTransformer])
)
