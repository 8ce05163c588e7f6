"""A graph made for each run, whose node uses the server's API from inside, as whoever started it."""

from typing import Any

from langgraph.graph import StateGraph
from langgraph_sdk import get_client
from typing_extensions import TypedDict

client = get_client()


class State(TypedDict, total=False):
    text: str
    answer: str
    modes: list[str]
    threads: int


async def ask(state: State) -> State:
    inner = get_client()
    answer: Any = await inner.runs.wait(None, "agent", input={"text": state["text"]})
    modes = [part.event async for part in client.runs.stream(None, "agent", input={"text": "again"})]
    thread = await client.threads.create()
    await client.runs.wait(thread["thread_id"], "agent", input={"text": "kept"})
    seen: Any = await inner.threads.get_state(thread["thread_id"])
    assert seen["values"]["text"] == "kept"
    return {"answer": answer["greeting"], "modes": modes, "threads": len(await client.threads.search())}


def make_graph(config):
    return StateGraph(State).add_node(ask).add_edge("__start__", "ask").compile()
