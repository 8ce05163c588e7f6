"""The event-streaming protocol against the live server, with the official Python SDK and by the bytes."""

import asyncio
from typing import Any

import pytest
from langgraph_sdk.client import LangGraphClient

HELLO = {"messages": [{"role": "user", "content": "hi", "id": "u1"}]}


@pytest.mark.parametrize("transport", ["sse", "websocket"])
async def test_the_sdk_streams_messages_and_output(sdk: LangGraphClient, transport: Any) -> None:
    thread: Any
    async with asyncio.timeout(30), sdk.threads.stream(assistant_id="talker", transport=transport) as thread:
        await thread.run.start(input=HELLO)
        texts = [asyncio.ensure_future(message.text) async for message in thread.messages]
        assert [await text for text in texts] == ["Hello big world"]
        output = await thread.output
    assert [message["type"] for message in output["messages"]] == ["human", "ai", "tool"]
