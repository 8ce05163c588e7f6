"""A chat agent: tokens arrive one by one, tools are called in parallel, the thread remembers what was said.

    async for part in client.runs.stream(thread_id, "chat", stream_mode="messages-tuple",
            input={"messages": [{"role": "user", "content": "What is the weather in Paris, and what is 12 * 7?"}]}):

To use a real model, replace `ScriptedChatModel(...)` by `init_chat_model("...")`; the rest stays as it is.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, Literal
from uuid import uuid4

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolCall, ToolMessage
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolCallTransformer, ToolNode, tools_condition
from langgraph.runtime import Runtime

from examples.models import ScriptedChatModel
from examples.tools import WEATHER, calculator, weather

TOOLS = [weather, calculator]
OPENINGS = {"plain": "", "friendly": "With pleasure! ", "pirate": "Ahoy! "}


@dataclass
class Context:
    """What a caller may tune: the seconds before each token, and how an answer opens."""

    delay: float = 0.02
    style: Literal["plain", "friendly", "pirate"] = "plain"


async def agent(state: MessagesState, runtime: Runtime[Context]) -> dict[str, list[BaseMessage]]:
    """Let the model speak: it answers, or asks for tools."""
    context = runtime.context or Context()

    def reply(messages: Sequence[BaseMessage]) -> AIMessage:
        return answer(messages, OPENINGS[context.style])

    model = ScriptedChatModel(reply=reply, delay=context.delay).bind_tools(TOOLS)
    return {"messages": [await model.ainvoke(state["messages"])]}


def answer(messages: Sequence[BaseMessage], opening: str) -> AIMessage:
    """What the scripted model says next: the tools' results, a request for tools, or small talk."""
    results = list(takewhile(lambda message: isinstance(message, ToolMessage), reversed(messages)))
    if results:
        return AIMessage(opening + " ".join(message.text for message in reversed(results)))
    said = [str(message.text) for message in messages if isinstance(message, HumanMessage)] or [""]
    if calls := tool_calls(said[-1]):
        return AIMessage("Let me see. ", tool_calls=calls)
    return AIMessage(opening + small_talk(said))


def tool_calls(text: str) -> list[ToolCall]:
    """The tools a sentence asks for: one call per city and one per sum."""
    calls: list[ToolCall] = []
    if "weather" in text.lower():
        known = [city for city in WEATHER if city.lower() in text.lower()]
        calls += [call("weather", city=city) for city in known or re.findall(r"\b(?:in|for) (\w+)", text)]
    for run in re.findall(r"[(\-\d][\d .+\-*/%()]*", text):
        if len(re.findall(r"\d+", run)) > 1 and re.search(r"[-+*/%]", run):
            calls.append(call("calculator", expression=run.rstrip(" .+-*/%")))
    return calls


def call(name: str, **args: Any) -> ToolCall:
    """One request for a tool, under a fresh id."""
    return ToolCall(name=name, args=args, id=f"call_{uuid4().hex}", type="tool_call")


def small_talk(said: Sequence[str]) -> str:
    """An answer without tools, from all that the human said in this thread, the newest last."""
    names = re.findall(r"\bmy name is (\w+)", "\n".join(said), re.IGNORECASE)
    if "my name" in said[-1].lower():
        return f"Your name is {names[-1]}." if names else "You have not told me your name yet."
    greeting = f"Hello {names[-1]}!" if names else "Hello!"
    return (
        f"{greeting} That was message {len(said)} of this thread. "
        'Ask me "What is the weather in Paris?" or "What is 12 * 7?", or tell me your name.'
    )


builder = StateGraph(MessagesState, context_schema=Context)
builder.add_node("agent", agent)
builder.add_node("tools", ToolNode(TOOLS))
builder.add_edge(START, "agent")
builder.add_conditional_edges("agent", tools_condition)
builder.add_edge("tools", "agent")
# The transformer puts what the tools do on event streams, beside the messages.
graph = builder.compile(name="chat", transformers=[ToolCallTransformer])
