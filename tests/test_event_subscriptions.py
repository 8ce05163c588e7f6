"""Subscriptions of one socket that a client sends in one go, as clients do that come back."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from langgraph_sdk.client import LangGraphClient
from websockets.asyncio.client import ClientConnection, connect

from tests.conftest import LiveServer

PATIENCE = 40.0
Json = dict[str, Any]


@asynccontextmanager
async def socket(server: LiveServer, thread_id: str) -> AsyncIterator[ClientConnection]:
    address = server.url.replace("http", "ws", 1) + f"/threads/{thread_id}/stream/events"
    async with asyncio.timeout(PATIENCE), connect(address) as connection:
        yield connection


async def say(connection: ClientConnection, *commands: Json) -> None:
    """Send all commands in one write: no busy machine can come between them."""
    for number, command in enumerate(commands, start=1):
        connection.protocol.send_text(json.dumps({"id": number, **command}).encode())
    connection.transport.write(b"".join(connection.protocol.data_to_send()))


async def hear(connection: ClientConnection, count: int) -> list[Json]:
    return [json.loads(await connection.recv()) for _ in range(count)]


def subscribe(*channels: str) -> Json:
    return {"method": "subscription.subscribe", "params": {"channels": list(channels)}}


@pytest.fixture
async def ended(sdk: LangGraphClient) -> str:
    """A thread whose run is over: running, values, values, completed."""
    thread_id: str = (await sdk.threads.create())["thread_id"]
    await sdk.runs.wait(thread_id, "echo", input={"text": "a"})
    return thread_id


async def test_subscriptions_that_come_together_are_replayed_in_one_order(ended: str, server: LiveServer) -> None:
    async with socket(server, ended) as connection:
        await say(connection, subscribe("lifecycle"), subscribe("values"))
        found = await hear(connection, 6)
    assert [event.get("method", event["type"]) for event in found] == [
        *("lifecycle", "values", "values", "lifecycle"),
        *("success", "success"),
    ]
    assert [answer["id"] for answer in found[4:]] == [1, 2]
    assert [answer["result"]["replayed_events"] for answer in found[4:]] == [2, 2]
    assert {answer["meta"]["applied_through_seq"] for answer in found[4:]} == {found[3]["seq"]}
    assert len({answer["result"]["subscription_id"] for answer in found[4:]}) == 2


async def test_a_refusal_among_them_and_what_follows_them_are_answered_in_order(ended: str, server: LiveServer) -> None:
    async with socket(server, ended) as connection:
        await say(connection, subscribe("values"), subscribe("nonsense"), {"method": "no.such"}, subscribe("lifecycle"))
        found = await hear(connection, 8)
    order = [event.get("method") or (event["id"], event["type"]) for event in found]
    first = ["values", "values", (1, "success"), (2, "error"), (3, "error")]
    assert order == [*first, "lifecycle", "lifecycle", (4, "success")]
    assert [found[place]["error"] for place in (3, 4)] == ["invalid_argument", "unknown_command"]


async def test_each_of_them_goes_on_alone(ended: str, sdk: LangGraphClient, server: LiveServer) -> None:
    async with socket(server, ended) as connection:
        await say(connection, subscribe("lifecycle"), subscribe("values"))
        *_, lifecycle, _ = await hear(connection, 6)
        taken_back = {"subscription_id": lifecycle["result"]["subscription_id"]}
        await say(connection, {"method": "subscription.unsubscribe", "params": taken_back})
        assert (await hear(connection, 1))[0]["type"] == "success"
        await sdk.runs.wait(ended, "echo", input={"text": str(uuid.uuid4())})
        assert [event["method"] for event in await hear(connection, 2)] == ["values", "values"]
