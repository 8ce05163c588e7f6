"""The example graphs do what their docstrings and langgraph.json say, with an in-memory saver and no delay."""

import asyncio
import importlib.util
import json
import operator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph.state import CompiledStateGraph
from langgraph.store.base import IndexConfig
from langgraph.store.memory import InMemoryStore
from langgraph.types import Command

from examples import approval, chat, embedding, memory, models, researcher, slow_job, tools

ROOT = Path(__file__).parent.parent
FAST: Any = {"delay": 0}
EMBED: Any = embedding.embed
REFUND = {"action": "refund", "args": {"order": "7", "amount": 30.0, "currency": "EUR"}}


def served(graph: CompiledStateGraph[Any, Any, Any, Any]) -> CompiledStateGraph[Any, Any, Any, Any]:
    """The graph as the server runs it: with a checkpointer that it did not bring along."""
    assert graph.checkpointer is None
    assert graph.store is None
    return graph.copy({"checkpointer": InMemorySaver()})


def thread() -> RunnableConfig:
    return {"configurable": {"thread_id": str(uuid4())}}


def human(text: str) -> Any:
    return {"messages": [HumanMessage(text)]}


async def ask(text: str, **context: Any) -> list[Any]:
    values = await served(chat.graph).ainvoke(human(text), thread(), context={**FAST, **context})
    return list(values["messages"])


async def chunks_of_chat(text: str) -> list[AIMessageChunk]:
    stream = served(chat.graph).astream(human(text), thread(), context=FAST, stream_mode="messages")
    return [part[0] async for part in stream if isinstance(part, tuple) and isinstance(part[0], AIMessageChunk)]


@pytest.mark.parametrize("graph_id", ["chat", "approval", "researcher", "slow_job", "memory"])
def test_langgraph_json_names_a_graph_that_loads_from_its_path(graph_id: str) -> None:
    config = json.loads((ROOT / "langgraph.json").read_text())
    path, _, name = config["graphs"][graph_id]["path"].partition(":")
    spec = importlib.util.spec_from_file_location(f"served_{graph_id}", ROOT / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    graph = getattr(module, name)
    assert graph.name == graph_id
    assert graph.get_input_jsonschema()["type"] == "object"
    assert graph.get_output_jsonschema()["type"] == "object"
    assert config["graphs"][graph_id]["description"]


async def test_model_gives_the_same_message_streamed_and_at_once() -> None:
    message = AIMessage("One two\n\nthree", tool_calls=[chat.call("weather", city="New York")])
    model = models.ScriptedChatModel(reply=lambda _: message, delay=0)
    streamed = [chunk async for chunk in model.astream("go")]
    whole = await model.ainvoke("go")
    assert [chunk.content for chunk in streamed[:3]] == ["One ", "two\n\n", "three"]
    assert [chunk.chunk_position for chunk in streamed] == [None] * (len(streamed) - 1) + ["last"]
    assert len({chunk.id for chunk in streamed}) == 1
    for answer in (whole, model.invoke("go"), sum(streamed[1:], streamed[0])):
        assert answer.content == message.content
        assert answer.tool_calls == message.tool_calls


async def test_model_waits_before_each_token() -> None:
    loop = asyncio.get_running_loop()
    model = models.ScriptedChatModel(reply=lambda _: AIMessage("one two three four"), delay=0.02)
    before = loop.time()
    await model.ainvoke("go")
    assert loop.time() - before >= 0.07


async def test_chat_streams_tokens_under_one_message_id() -> None:
    chunks = await chunks_of_chat("hello")
    assert len(chunks) > 10
    assert len({chunk.id for chunk in chunks}) == 1
    assert "".join(chunk.text for chunk in chunks).startswith("Hello! That was message 1 of this thread.")
    assert chunks[-1].chunk_position == "last"


async def test_chat_streams_its_tool_call_in_pieces() -> None:
    pieces = [piece for chunk in await chunks_of_chat("What is 12 * 7?") for piece in chunk.tool_call_chunks]
    assert [piece["name"] for piece in pieces] == ["calculator"] + [None] * (len(pieces) - 1)
    assert json.loads("".join(piece["args"] or "" for piece in pieces)) == {"expression": "12 * 7"}


async def test_chat_answers_from_the_tool() -> None:
    messages = await ask("What is the weather in Paris?")
    assert [type(message) for message in messages] == [HumanMessage, AIMessage, ToolMessage, AIMessage]
    assert messages[2].tool_call_id == messages[1].tool_calls[0]["id"]
    assert messages[3].text == "It is 18 °C and sunny in Paris."


async def test_chat_calls_several_tools_in_one_turn() -> None:
    messages = await ask("Weather in Paris and Tokyo, and what is (12 + 1) * 7?")
    assert [call["name"] for call in messages[1].tool_calls] == ["weather", "weather", "calculator"]
    assert messages[-1].text.endswith("It is 20 °C and cloudy in Tokyo. (12 + 1) * 7 = 91")


async def test_chat_says_so_when_it_knows_no_weather() -> None:
    assert (await ask("What is the weather in Atlantis?"))[-1].text == "I have no weather report for Atlantis."


async def test_chat_answers_without_messages() -> None:
    values = await served(chat.graph).ainvoke({"messages": []}, thread(), context=FAST)
    assert values["messages"][-1].text.startswith("Hello!")


async def test_chat_remembers_on_its_thread_only() -> None:
    graph, config = served(chat.graph), thread()
    await graph.ainvoke(human("My name is Ada."), config, context=FAST)
    values = await graph.ainvoke(human("What is my name?"), config, context=FAST)
    assert values["messages"][-1].text == "Your name is Ada."
    assert (await ask("What is my name?"))[-1].text == "You have not told me your name yet."


async def test_chat_opens_in_the_style_of_its_context() -> None:
    assert (await ask("What is 2 + 2?", style="pirate"))[-1].text == "Ahoy! 2 + 2 = 4"


@pytest.mark.parametrize(
    ("expression", "answer"),
    [
        ("12 * 7", "12 * 7 = 84"),
        ("0.1 + 0.2", "0.1 + 0.2 = 0.3"),
        ("-(3 - 5) / 4", "-(3 - 5) / 4 = 0.5"),
        ("7 // 2 % 2", "7 // 2 % 2 = 1"),
    ],
)
async def test_calculator_works_out_arithmetic(expression: str, answer: str) -> None:
    assert await tools.calculator.ainvoke({"expression": expression}) == answer


@pytest.mark.parametrize(
    "expression",
    ["1 / 0", "2 ** 8", "1 +", "()", "", "__import__('os')", "9" * 201, "(" * 100 + "1" + ")" * 99, "-" * 199 + "1 ("],
)
async def test_calculator_answers_what_it_refuses_with_a_sentence(expression: str) -> None:
    assert (await tools.calculator.ainvoke({"expression": expression})).startswith("I can")


async def test_approval_pauses_with_what_agent_inbox_reads() -> None:
    values = await served(approval.graph).ainvoke(human("Refund order 7: 30 EUR"), thread())
    (pause,) = values["__interrupt__"]
    assert set(pause.value) == {"action_request", "config", "description"}
    assert pause.value["action_request"] == REFUND
    assert pause.value["config"] == dict.fromkeys(["allow_accept", "allow_edit", "allow_respond", "allow_ignore"], True)
    assert values["outcome"] is None


@pytest.mark.parametrize(
    ("answer", "decision", "last_message"),
    [
        (True, "accepted", "Refunded 30.0 EUR for order 7."),
        ("yes", "accepted", "Refunded 30.0 EUR for order 7."),
        ("Yes", "accepted", "Refunded 30.0 EUR for order 7."),
        ({"type": "accept"}, "accepted", "Refunded 30.0 EUR for order 7."),
        ([{"type": "accept", "args": None}], "accepted", "Refunded 30.0 EUR for order 7."),
        ({"type": "edit", "args": {"amount": 10}}, "edited", "Refunded 10 EUR for order 7."),
        (
            [{"type": "edit", "args": {"action": "refund", "args": {"amount": 10}}}],
            "edited",
            "Refunded 10 EUR for order 7.",
        ),
        ({"type": "response", "args": "Not yet."}, "answered", "No refund was made: Not yet."),
        ("Not yet.", "answered", "No refund was made: Not yet."),
        (False, "ignored", "No refund was made."),
        ("no", "ignored", "No refund was made."),
        ({"type": "ignore"}, "ignored", "No refund was made."),
    ],
)
async def test_approval_ends_as_the_human_decided(answer: Any, decision: str, last_message: str) -> None:
    graph, config = served(approval.graph), thread()
    await graph.ainvoke(human("Refund order 7: 30 EUR"), config)
    values = await graph.ainvoke(Command(resume=answer), config)
    assert "__interrupt__" not in values
    assert values["outcome"]["decision"] == decision
    assert values["messages"][-1].text == last_message


async def test_approval_asks_again_when_the_answer_cannot_be_read() -> None:
    graph, config = served(approval.graph), thread()
    await graph.ainvoke(human("Refund order 7: 30 EUR"), config)
    assert "__interrupt__" in await graph.ainvoke(Command(resume={"type": "edit", "args": 3}), config)
    values = await graph.ainvoke(Command(resume=True), config)
    assert values["outcome"] == {"decision": "accepted", "action_request": REFUND, "note": None}


async def test_approval_starts_afresh_on_the_same_thread() -> None:
    graph, config = served(approval.graph), thread()
    await graph.ainvoke(human("Refund order 7"), config)
    await graph.ainvoke(Command(resume=True), config)
    values = await graph.ainvoke(human("Refund order 8"), config)
    assert values["outcome"] is None
    assert values["action_request"]["args"]["order"] == "8"


async def test_researcher_reports_each_branch_in_the_order_asked() -> None:
    graph, config = served(researcher.graph), thread()
    for _ in range(2):  # a second run on the thread must not keep the first one's findings
        values = await graph.ainvoke({"topic": "tea"}, config, context=FAST)
        assert [finding["question"] for finding in values["findings"]] == values["questions"]
        assert len(values["questions"]) == 3
        assert values["report"].startswith("# The tea\n\n## How did the tea begin?\n\nTea was drunk in China")
        assert values["report"].endswith("makes the cup bitter.")


async def test_researcher_says_so_when_it_finds_nothing() -> None:
    values = await served(researcher.graph).ainvoke({"topic": "quark"}, thread(), context=FAST)
    assert [finding["summary"] for finding in values["findings"]] == ["Nothing was found."] * 3


async def test_researcher_streams_progress_and_the_report() -> None:
    stream: Any = served(researcher.graph).astream(
        {"topic": "tide"}, thread(), context=FAST, stream_mode=["custom", "messages"], subgraphs=True
    )
    stages, written, branches = [], "", set()
    async for namespace, mode, part in stream:
        if mode == "custom":
            stages.append(part["stage"])
        elif namespace:
            branches.add(namespace)
        else:
            written += part[0].text
    assert stages == ["plan"] + ["search"] * 3 + ["summarise"] * 3 + ["write"]
    assert len(branches) == 3
    assert written.startswith("# The tide") and written.endswith("hardly at all.")


async def test_researcher_has_a_topic_of_its_own() -> None:
    values = await served(researcher.graph).ainvoke({}, thread(), context=FAST)
    assert values["topic"] == "bicycle"


async def test_slow_job_counts_with_a_checkpoint_and_an_event_for_each_step() -> None:
    graph, config = served(slow_job.graph), thread()
    events = [part async for part in graph.astream({"steps": 3, "seconds": 0}, config, stream_mode="custom")]
    assert events == [{"stage": "count", "count": count, "steps": 3} for count in (1, 2, 3)]
    counts = [state.values.get("count") async for state in graph.aget_state_history(config)]
    assert counts[:4] == [3, 2, 1, 0]


async def test_slow_job_goes_on_from_its_last_checkpoint() -> None:
    graph, config = served(slow_job.graph), thread()
    run = asyncio.create_task(graph.ainvoke({"steps": 4, "seconds": 0.1}, config))
    while (await graph.aget_state(config)).values.get("count", 0) < 2:
        await asyncio.sleep(0.01)
    run.cancel()  # in the midst of the third step
    with pytest.raises(asyncio.CancelledError):
        await run
    assert [part["count"] async for part in graph.astream(None, config, stream_mode="custom")] == [3, 4]


async def test_slow_job_starts_from_zero_on_each_input() -> None:
    graph, config = served(slow_job.graph), thread()
    for _ in range(2):
        values = await graph.ainvoke({"steps": 2, "seconds": 0}, config)
        assert values == {"steps": 2, "seconds": 0, "count": 2}


async def test_slow_job_has_defaults() -> None:
    graph = served(slow_job.graph)
    properties = graph.get_input_jsonschema()["properties"]
    assert (properties["steps"]["default"], properties["seconds"]["default"]) == (10, 1.0)
    assert (await graph.ainvoke({"seconds": 0}, thread()))["count"] == 10


async def test_slow_job_with_no_steps_ends_at_once() -> None:
    assert (await served(slow_job.graph).ainvoke({"steps": 0}, thread()))["count"] == 0


async def test_memory_keeps_a_fact_once_and_finds_it_by_meaning() -> None:
    store = InMemoryStore(index=IndexConfig(dims=embedding.DIMS, embed=EMBED, fields=["text"]))
    graph = served(memory.graph).copy({"store": store})

    async def say(text: str, user: str = "ada") -> str:
        values = await graph.ainvoke(human(text), thread(), context=memory.Context(user))
        return str(values["messages"][-1].text)

    for fact in ("I am allergic to peanuts", "my bicycle is red", "I live in Lisbon", "my bicycle is red"):
        assert await say(f"Please remember that {fact}") == f"I will remember: {fact}"
    assert len(await store.asearch(("memories", "ada"))) == 3
    assert (await say("Which colour is my bicycle?")).startswith("You told me: my bicycle is red")
    assert "nothing about you" in await say("Which colour is my bicycle?", user="bob")


def test_embedding_is_the_same_every_time_of_length_one_and_near_for_shared_words() -> None:
    bike, bikes, tea = embedding.embed(["my red bicycle", "red bicycles", "a cup of tea"])
    assert embedding.embed_one("my red bicycle") == bike
    assert all(abs(sum(x * x for x in vector) - 1) < 1e-9 for vector in (bike, bikes, tea))
    assert sum(map(operator.mul, bike, bikes)) > 0.6 > 0.2 > sum(map(operator.mul, bike, tea))
    assert embedding.embed([""]) == [[0.0] * embedding.DIMS]
