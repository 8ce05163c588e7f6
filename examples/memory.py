"""An agent that remembers people across threads: what a user says in one, it knows in another.

    await client.runs.wait(first, "memory", context={"user": "ada"},
        input={"messages": [{"role": "user", "content": "Remember that I am allergic to peanuts."}]})
    await client.runs.wait(second, "memory", context={"user": "ada"},
        input={"messages": [{"role": "user", "content": "What should I not eat, which allergies do I have?"}]})

Memories are store items, found by meaning (`store.index` in langgraph.json) and shown by the store's API:
`await client.store.search_items(["memories", "ada"])`.
"""

import re
from dataclasses import dataclass
from uuid import NAMESPACE_URL, uuid5

from langchain_core.messages import AIMessage, BaseMessage
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.runtime import Runtime

MOST_SHOWN = 2


@dataclass
class Context:
    """Whose memories these are."""

    user: str = "somebody"


async def remember_or_recall(state: MessagesState, runtime: Runtime[Context]) -> dict[str, list[BaseMessage]]:
    """Keep what follows "remember that", else answer with the memories nearest to the question."""
    said = str(state["messages"][-1].text)
    namespace = ("memories", (runtime.context or Context()).user)
    store = runtime.store
    if store is None:
        return {"messages": [AIMessage("I have no store to remember anything in.")]}
    if fact := re.search(r"\bremember (?:that )?(.+)", said, re.IGNORECASE | re.DOTALL):
        # The same fact has the same key, so that it is kept once however often it is said.
        await store.aput(namespace, str(uuid5(NAMESPACE_URL, fact[1])), {"text": fact[1]})
        return {"messages": [AIMessage(f"I will remember: {fact[1]}")]}
    found = await store.asearch(namespace, query=said, limit=MOST_SHOWN)
    if not found:
        return {"messages": [AIMessage('I know nothing about you yet. Say "Remember that ...".')]}
    return {"messages": [AIMessage("You told me: " + " ".join(str(item.value["text"]) for item in found))]}


builder = StateGraph(MessagesState, context_schema=Context)
builder.add_node("remember_or_recall", remember_or_recall)
builder.add_edge(START, "remember_or_recall")
graph = builder.compile(name="memory")
