"""Webhooks of a live server, driven by the official SDK: every way of creating a run, crashes, no Redis."""

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from langgraph_sdk.client import LangGraphClient

from tests.receiver import Received, Receiver, receiving
from tests.wire import new_thread

ECHOED = {"text": "hi", "log": ["hi"], "messages": []}
INPUT: Any = {"text": "hi"}
BODY = {
    *("run_id", "thread_id", "assistant_id", "created_at", "updated_at", "status", "metadata", "kwargs"),
    *("multitask_strategy", "langsmith_session_name", "run_started_at", "run_ended_at", "webhook_sent_at", "values"),
}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


async def told(receiver: Receiver, path: str) -> Received:
    """The one request to a path."""
    (request,) = await asyncio.to_thread(receiver.wait_for, path)
    return request


@pytest.mark.parametrize("way", ["create", "stream", "wait"])
async def test_a_runs_url_is_told_of_its_end(sdk: LangGraphClient, receiver: Receiver, way: str) -> None:
    thread_id, url = await new_thread(sdk), receiver.script(f"/{way}")
    if way == "stream":
        _ = [part async for part in sdk.runs.stream(thread_id, "echo", input=INPUT, webhook=url, metadata={"n": 1})]
    else:
        await getattr(sdk.runs, way)(thread_id, "echo", input=INPUT, webhook=url, metadata={"n": 1})
    request = await told(receiver, f"/{way}")
    body = request.json()
    assert set(body) == BODY
    assert (body["status"], body["values"], body["thread_id"]) == ("success", ECHOED, thread_id)
    assert (body["kwargs"]["webhook"], body["metadata"]["n"]) == (url, 1)
    assert request.headers["webhook-id"]


@pytest.mark.parametrize("way", ["create", "stream", "wait", "create_batch"])
async def test_a_stateless_runs_url_is_told_without_values(sdk: LangGraphClient, receiver: Receiver, way: str) -> None:
    """contract/platform.md trap 11"""
    url = receiver.script(f"/{way}")
    if way == "stream":
        _ = [part async for part in sdk.runs.stream(None, "echo", input=INPUT, webhook=url)]
    elif way == "create_batch":
        batch: Any = [{"assistant_id": "echo", "input": INPUT, "webhook": url}]
        await sdk.runs.create_batch(batch)
    else:
        await getattr(sdk.runs, way)(None, "echo", input=INPUT, webhook=url)
    body = (await told(receiver, f"/{way}")).json()
    assert (body["status"], body["values"], body["kwargs"]["temporary"]) == ("success", None, True)


async def test_a_failure_says_what_went_wrong(sdk: LangGraphClient, receiver: Receiver) -> None:
    url = receiver.script("/boom")
    for thread_id in (await new_thread(sdk), None):
        await sdk.runs.wait(thread_id, "boom", input={}, webhook=url, raise_error=False)
    for request in await asyncio.to_thread(receiver.wait_for, "/boom", 2):
        assert request.json()["status"] == "error"
        assert set(request.json()["error"]) == {"error", "message"}


async def test_an_interrupt_is_a_success_without_a_trace_in_the_values(
    sdk: LangGraphClient, receiver: Receiver
) -> None:
    await sdk.runs.wait(await new_thread(sdk), "ask", input={"q": "why"}, webhook=receiver.script("/ask"))
    body = (await told(receiver, "/ask")).json()
    assert (body["status"], body["values"]) == ("success", {"q": "why!"})


async def test_a_cancelled_run_is_told_as_interrupted(
    sdk: LangGraphClient, http: httpx.AsyncClient, receiver: Receiver
) -> None:
    thread_id = await new_thread(sdk)
    run = await sdk.runs.create(thread_id, "sleeper", input={"seconds": 30}, webhook=receiver.script("/cancelled"))
    async with asyncio.timeout(20):
        while (await sdk.runs.get(thread_id, run["run_id"]))["status"] == "pending":
            await asyncio.sleep(0.05)
    await sdk.runs.cancel(thread_id, run["run_id"], wait=True)
    assert (await told(receiver, "/cancelled")).json()["status"] == "interrupted"
