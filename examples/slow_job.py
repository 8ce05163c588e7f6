"""A slow job: counts to `steps`, `seconds` apart, with a checkpoint after each, to try what a run can survive.

    run = await client.runs.create(thread_id, "slow_job", input={"steps": 20, "seconds": 2})
    await client.runs.cancel(thread_id, run["run_id"])  # or kill -9 the worker, and watch another take over

The count goes on from the last checkpoint, not from zero. The `custom` stream mode carries the progress.
"""

import asyncio
from dataclasses import dataclass
from typing import Literal

from langgraph.config import get_stream_writer
from langgraph.graph import START, StateGraph


@dataclass
class Job:
    """The input: how far to count, and the seconds each step takes."""

    steps: int = 10
    seconds: float = 1.0


@dataclass
class State(Job):
    """The job and how much of it is done."""

    count: int = 0


async def begin(state: State) -> dict[str, float]:
    """Start from zero, also on a thread that has run a job before, and write down the defaults that apply."""
    return {"steps": state.steps, "seconds": state.seconds, "count": 0}


async def step(state: State) -> dict[str, int]:
    """Do one step's work: sleep, count, tell."""
    await asyncio.sleep(state.seconds)
    count = state.count + 1
    get_stream_writer()({"stage": "count", "count": count, "steps": state.steps})
    return {"count": count}


def next_step(state: State) -> Literal["step", "__end__"]:
    """Loop until the count is reached; each turn is a step of the graph, and so a checkpoint."""
    return "step" if state.count < state.steps else "__end__"


builder = StateGraph(State, input_schema=Job)
builder.add_node("begin", begin)
builder.add_node("step", step)
builder.add_edge(START, "begin")
builder.add_conditional_edges("begin", next_step)
builder.add_conditional_edges("step", next_step)
graph = builder.compile(name="slow_job")
