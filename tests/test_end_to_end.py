"""The main job over the wire: the official SDK against real processes."""

import asyncio
from typing import Any

from langgraph_sdk.client import LangGraphClient


async def test_every_graph_of_the_project_has_its_default_assistant(sdk: LangGraphClient) -> None:
    found = await sdk.assistants.search(graph_id="echo", metadata={"created_by": "system"})
    assert found[0]["assistant_id"] == "046b5dc7-2108-582c-9c6c-31d556d138f0"
    assert found[0]["metadata"] == {"created_by": "system"}


async def test_a_stateless_run_answers_its_values(sdk: LangGraphClient) -> None:
    assert await sdk.runs.wait(None, "echo", input={"text": "hi"}) == {"text": "hi", "log": ["hi"], "messages": []}


async def test_a_chat_streams_tokens_and_leaves_state(sdk: LangGraphClient) -> None:
    thread = await sdk.threads.create()
    text = ""
    question: Any = {"messages": [{"role": "user", "content": "what is 12 * 7?"}]}
    stream = sdk.runs.stream(
        thread["thread_id"], "chat", input=question, stream_mode=["messages-tuple"], context={"delay": 0}
    )
    async for part in stream:
        if part.event == "messages" and part.data[0]["type"] == "AIMessageChunk":
            text += part.data[0]["content"]
    assert "84" in text
    state: Any = await sdk.threads.get_state(thread["thread_id"])
    assert state["values"]["messages"][-1]["content"] in text


async def test_an_interrupt_is_resumed(sdk: LangGraphClient) -> None:
    thread = await sdk.threads.create()
    stopped: Any = await sdk.runs.wait(thread["thread_id"], "ask", input={"q": "ready"})
    assert stopped["__interrupt__"][0]["value"] == {"question": "ready!"}
    assert (await sdk.threads.get(thread["thread_id"]))["status"] == "interrupted"
    assert await sdk.runs.wait(thread["thread_id"], "ask", command={"resume": 7}) == {"q": "ready!", "answer": 7}


async def test_a_background_run_is_joined(sdk: LangGraphClient) -> None:
    thread = await sdk.threads.create()
    run = await sdk.runs.create(thread["thread_id"], "sleeper", input={"seconds": 0.3})
    assert run["status"] == "pending"
    assert await sdk.runs.join(thread["thread_id"], run["run_id"]) == {"seconds": 0.3, "log": ["first", "slept"]}
    assert (await sdk.runs.get(thread["thread_id"], run["run_id"]))["status"] == "success"


async def test_a_running_run_is_cancelled_within_a_second(sdk: LangGraphClient) -> None:
    thread = await sdk.threads.create()
    run = await sdk.runs.create(thread["thread_id"], "sleeper", input={"seconds": 30})
    async with asyncio.timeout(10):
        while (await sdk.runs.get(thread["thread_id"], run["run_id"]))["status"] == "pending":
            await asyncio.sleep(0.02)
    async with asyncio.timeout(1):
        await sdk.runs.cancel(thread["thread_id"], run["run_id"], wait=True)
    assert (await sdk.runs.get(thread["thread_id"], run["run_id"]))["status"] == "interrupted"
