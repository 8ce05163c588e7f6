"""A researcher: plans questions, sends each to a subgraph that works beside the others, then writes a report.

    async for part in client.runs.stream(None, "researcher", input={"topic": "tea"},
            stream_mode=["custom", "messages-tuple"], stream_subgraphs=True):

`custom` carries the progress, `messages-tuple` the report as it is written; the corpus is small: bicycle, tea, tide.
"""

from dataclasses import dataclass
from typing import Annotated, Any

from langchain_core.messages import AIMessage
from langgraph.config import get_stream_writer
from langgraph.graph import START, StateGraph
from langgraph.runtime import Runtime
from langgraph.types import Send
from typing_extensions import TypedDict

from examples.corpus import passages_for
from examples.models import ScriptedChatModel


class Finding(TypedDict):
    """A question and what was found."""

    question: str
    summary: str


def gather(kept: list[Finding], new: list[Finding] | None) -> list[Finding]:
    """Add what each branch found; None starts a new list, as every run on a thread does."""
    return [] if new is None else kept + new


class Topic(TypedDict):
    """The input."""

    topic: str


class Found(TypedDict):
    """What a branch hands back to the researcher."""

    findings: Annotated[list[Finding], gather]


class State(Topic, Found):
    """What the researcher knows so far."""

    questions: list[str]
    report: str


class Branch(Found):
    """One question's own state, inside the subgraph."""

    question: str
    passages: list[str]


@dataclass
class Context:
    """What a caller may tune: the seconds before each token."""

    delay: float = 0.02


async def plan(state: State) -> dict[str, Any]:
    """Break the topic into questions."""
    topic = state.get("topic", "bicycle")
    questions = [f"How did the {topic} begin?", f"How does the {topic} work?", f"What are the limits of the {topic}?"]
    get_stream_writer()({"stage": "plan", "questions": questions})
    return {"topic": topic, "questions": questions, "findings": None}


def fan_out(state: State) -> list[Send]:
    """One branch per question, all in the same step."""
    return [Send("research", {"question": question}) for question in state["questions"]]


async def search(state: Branch) -> dict[str, Any]:
    """Look the question up in the corpus."""
    passages = passages_for(state["question"])
    get_stream_writer()({"stage": "search", "question": state["question"], "passages": len(passages)})
    return {"passages": passages}


async def summarise(state: Branch, runtime: Runtime[Context]) -> dict[str, Any]:
    """Put the passages in one answer."""
    summary = await say(" ".join(state["passages"]) or "Nothing was found.", runtime)
    get_stream_writer()({"stage": "summarise", "question": state["question"]})
    return {"findings": [Finding(question=state["question"], summary=summary)]}


async def write(state: State, runtime: Runtime[Context]) -> dict[str, Any]:
    """Write the report, in the order the questions were asked."""
    get_stream_writer()({"stage": "write", "findings": len(state["findings"])})
    sections = [f"## {finding['question']}\n\n{finding['summary']}" for finding in state["findings"]]
    return {"report": await say("\n\n".join([f"# The {state['topic']}", *sections]), runtime)}


async def say(text: str, runtime: Runtime[Context]) -> str:
    """Have the model say the text, so that whoever watches sees it being written."""
    delay = (runtime.context or Context()).delay
    message = await ScriptedChatModel(reply=lambda _: AIMessage(text), delay=delay).ainvoke(text)
    return message.text


branch = StateGraph(Branch, context_schema=Context, output_schema=Found)
branch.add_node("search", search)
branch.add_node("summarise", summarise)
branch.add_edge(START, "search")
branch.add_edge("search", "summarise")

builder = StateGraph(State, context_schema=Context, input_schema=Topic)
builder.add_node("plan", plan)
builder.add_node("research", branch.compile(name="research"))
builder.add_node("write", write)
builder.add_edge(START, "plan")
builder.add_conditional_edges("plan", fan_out, ["research"])
builder.add_edge("research", "write")
graph = builder.compile(name="researcher")
