"""A chat that stops in the middle of each answer until a test lets it go on, so that no test has to be in time."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from langchain_core.messages import BaseMessage, HumanMessage
from langchain_core.outputs import ChatGenerationChunk
from langgraph.config import get_config, get_store
from langgraph.graph import END, START, MessagesState, StateGraph

from examples.chat import answer
from examples.models import ScriptedChatModel, chunks_of

PATIENCE = 60.0  # seconds


class HesitantModel(ScriptedChatModel):
    """Says half of its answer, and the rest when the store has an item for what it was asked."""

    async def _astream(self, messages: list[BaseMessage], *_: Any, **__: Any) -> AsyncIterator[ChatGenerationChunk]:
        chunks = list(chunks_of(self.reply(messages)))
        for number, chunk in enumerate(chunks):
            if number == len(chunks) // 2:
                await _let_go(str(messages[-1].text))
            await asyncio.sleep(self.delay)
            yield chunk


async def _let_go(asked: str) -> None:
    """Wait for the item `asked` below ("go on", thread id)."""
    namespace = ("go on", str(get_config()["configurable"]["thread_id"]))
    async with asyncio.timeout(PATIENCE):
        while await get_store().aget(namespace, asked) is None:
            await asyncio.sleep(0.05)


async def _chat(state: MessagesState) -> dict[str, Any]:
    model = HesitantModel(reply=lambda messages: answer(messages, ""), delay=0.01)
    asked = [message for message in state["messages"] if isinstance(message, HumanMessage)]
    return {"messages": [await model.ainvoke(asked)]}


hesitant = StateGraph(MessagesState).add_node("chat", _chat).add_edge(START, "chat").add_edge("chat", END).compile()
# The same one level down.
hesitant_inside = (
    StateGraph(MessagesState).add_node("inside", hesitant).add_edge(START, "inside").add_edge("inside", END).compile()
)
