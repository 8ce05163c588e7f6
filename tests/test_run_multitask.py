"""Several runs on one thread: enqueue, reject, interrupt, rollback. Source: contract/core.md 5.8."""

import asyncio
from datetime import datetime
from typing import Any

import httpx
import pytest
from langgraph_sdk.client import LangGraphClient

from tests.wire import finished, new_thread, status_of, until, until_settled, until_started, values_of


async def asleep(sdk: LangGraphClient, seconds: float = 60) -> tuple[str, str]:
    """A thread whose run sleeps in its second node."""
    thread_id = await new_thread(sdk)
    run = await sdk.runs.create(thread_id, "sleeper", input={"seconds": seconds})
    await until_started(sdk, thread_id, run["run_id"], "sleep")
    return thread_id, run["run_id"]


async def statuses(sdk: LangGraphClient, thread_id: str) -> list[str]:
    """The thread's runs by status, oldest first."""
    return [str(run["status"]) for run in await sdk.runs.list(thread_id, limit=100)][::-1]


# --- enqueue ----------------------------------------------------------------------------------------------------------


async def test_runs_of_a_thread_queue_and_run_one_at_a_time(sdk: LangGraphClient) -> None:
    thread_id = await new_thread(sdk)
    made = [await sdk.runs.create(thread_id, "sleeper", input={"seconds": 0.1}) for _ in range(6)]
    seen = []
    while (now := await statuses(sdk, thread_id)) != ["success"] * 6:
        seen.append(now)
        # What is done comes before what runs, and that before what waits.
        assert now.count("running") <= 1
        order = {"success": 0, "running": 1, "pending": 2}
        assert now == sorted(now, key=lambda status: order[status])
        await asyncio.sleep(0.02)
    assert len(seen) > 3
    assert [run["multitask_strategy"] for run in made] == ["enqueue"] * 6
    assert (await values_of(sdk, thread_id))["log"] == ["first", "slept"] * 6


async def test_runs_queue_in_the_order_of_their_creation(sdk: LangGraphClient) -> None:
    thread_id, _ = await asleep(sdk, 1)
    for number in range(5):
        await sdk.runs.create(thread_id, "echo", input={"text": str(number)})
    await until_settled(sdk, thread_id)
    assert (await values_of(sdk, thread_id))["log"][-5:] == ["0", "1", "2", "3", "4"]


async def test_threads_do_not_wait_for_each_other(sdk: LangGraphClient) -> None:
    thread_id, run_id = await asleep(sdk)
    async with asyncio.timeout(5):
        assert (await finished(sdk, await new_thread(sdk), "echo", input={"text": "a"}))["log"] == ["a"]
    await sdk.runs.cancel(thread_id, run_id)


async def test_a_thread_is_busy_until_its_last_run_is_done(sdk: LangGraphClient) -> None:
    thread_id = await new_thread(sdk)
    for _ in range(4):
        last = await sdk.runs.create(thread_id, "sleeper", input={"seconds": 0.2})
    while await status_of(sdk, thread_id, last["run_id"]) not in ("success",):
        thread = await sdk.threads.get(thread_id)
        if thread["status"] != "busy":
            assert await status_of(sdk, thread_id, last["run_id"]) == "success"
        await asyncio.sleep(0.01)


# --- reject -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delay", [None, 3600])
async def test_reject_answers_409_when_thread_is_busy(
    sdk: LangGraphClient, http: httpx.AsyncClient, delay: int | None
) -> None:
    thread_id = await new_thread(sdk)
    run = await sdk.runs.create(thread_id, "sleeper", input={"seconds": 60}, after_seconds=delay)
    before = await sdk.threads.get(thread_id)
    for path in ("runs", "runs/wait", "runs/stream"):
        body = {"assistant_id": "echo", "multitask_strategy": "reject", "metadata": {"late": 1}}
        answer = await http.post(f"/threads/{thread_id}/{path}", json=body)
        assert (answer.status_code, answer.headers["content-type"]) == (409, "application/json")
        assert "already running" in answer.json()["detail"]
    assert len(await sdk.runs.list(thread_id)) == 1
    assert await sdk.threads.get(thread_id) == before
    await sdk.runs.cancel(thread_id, run["run_id"])


async def test_reject_passes_when_thread_is_idle(sdk: LangGraphClient) -> None:
    thread_id = await new_thread(sdk)
    for _ in range(3):
        await finished(sdk, thread_id, "echo", input={"text": "a"}, multitask_strategy="reject")
    assert await statuses(sdk, thread_id) == ["success"] * 3


async def test_of_many_rejecting_runs_one_is_taken(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    thread_id = await new_thread(sdk)
    body = {"assistant_id": "sleeper", "input": {"seconds": 60}, "multitask_strategy": "reject"}
    answers = await asyncio.gather(*(http.post(f"/threads/{thread_id}/runs", json=body) for _ in range(12)))
    assert sorted(answer.status_code for answer in answers) == [200, *[409] * 11]
    await sdk.runs.cancel_many(thread_id=thread_id, run_ids=[(await sdk.runs.list(thread_id))[0]["run_id"]])


async def test_a_thread_made_twice_at_once_is_one(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    thread_id = (await sdk.threads.create())["thread_id"]
    await sdk.threads.delete(thread_id)
    body = {"assistant_id": "echo", "input": {"text": "a"}, "if_not_exists": "create"}
    answers = await asyncio.gather(*(http.post(f"/threads/{thread_id}/runs", json=body) for _ in range(8)))
    assert [answer.status_code for answer in answers] == [200] * 8
    await until_settled(sdk, thread_id)
    assert (await values_of(sdk, thread_id))["log"] == ["a"] * 8


# --- interrupt and rollback -------------------------------------------------------------------------------------------


async def test_interrupt_starts_from_what_the_earlier_run_left(sdk: LangGraphClient) -> None:
    thread_id, first = await asleep(sdk)
    queued = await sdk.runs.create(thread_id, "sleeper", input={"seconds": 60})
    last = await sdk.runs.create(thread_id, "sleeper", input={"seconds": 0}, multitask_strategy="interrupt")
    assert (last["status"], last["multitask_strategy"]) == ("pending", "interrupt")
    await until(sdk, thread_id, last["run_id"], ("success",))
    assert await statuses(sdk, thread_id) == ["interrupted", "interrupted", "success"]
    assert (await values_of(sdk, thread_id))["log"] == ["first", "first", "slept"]
    history = await sdk.threads.get_history(thread_id, limit=100)
    ran = {(state["metadata"] or {})["run_id"] for state in history}
    assert first in ran and queued["run_id"] not in ran


async def test_rollback_starts_from_before_the_earlier_run(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    thread_id = await new_thread(sdk)
    await finished(sdk, thread_id, "sleeper", input={"seconds": 0})
    first = await sdk.runs.create(thread_id, "sleeper", input={"seconds": 60})
    await until_started(sdk, thread_id, first["run_id"], "sleep")
    queued = await sdk.runs.create(thread_id, "sleeper", input={"seconds": 60})
    last = await sdk.runs.create(thread_id, "sleeper", input={"seconds": 0}, multitask_strategy="rollback")
    await until(sdk, thread_id, last["run_id"], ("success",))
    for run in (first, queued):
        assert (await http.get(f"/threads/{thread_id}/runs/{run['run_id']}")).status_code == 404
    assert (await values_of(sdk, thread_id))["log"] == ["first", "slept"] * 2
    history = await sdk.threads.get_history(thread_id, limit=100)
    assert first["run_id"] not in {(state["metadata"] or {})["run_id"] for state in history}


@pytest.mark.parametrize("strategy", ["interrupt", "rollback"])
async def test_a_superseded_thread_is_never_idle_in_between(sdk: LangGraphClient, strategy: Any) -> None:
    thread_id, _ = await asleep(sdk)
    run = await sdk.runs.create(thread_id, "sleeper", input={"seconds": 0.5}, multitask_strategy=strategy)
    while await status_of(sdk, thread_id, run["run_id"]) in ("pending", "running"):
        status = (await sdk.threads.get(thread_id))["status"]
        assert status == "busy" or await status_of(sdk, thread_id, run["run_id"]) == "success"


@pytest.mark.parametrize("strategy", ["interrupt", "rollback"])
async def test_the_new_run_starts_after_the_old_one_stopped(sdk: LangGraphClient, strategy: Any) -> None:
    thread_id, _ = await asleep(sdk)
    for number in range(5):
        run = await sdk.runs.create(
            thread_id, "sleeper", input={"seconds": 60 if number < 4 else 0}, multitask_strategy=strategy
        )
    await until(sdk, thread_id, run["run_id"], ("success",))
    log = (await values_of(sdk, thread_id))["log"]
    assert log[-2:] == ["first", "slept"] and log.count("slept") == 1
    assert strategy == "interrupt" or log == ["first", "slept"]
    assert set((await statuses(sdk, thread_id))[:-1]) <= {"interrupted"}


@pytest.mark.parametrize("strategy", ["interrupt", "rollback"])
async def test_superseding_a_run_that_is_just_ending_loses_nothing(sdk: LangGraphClient, strategy: Any) -> None:
    for pause in range(10):
        thread_id = await new_thread(sdk)
        first = await sdk.runs.create(thread_id, "echo", input={"text": "old"})
        await asyncio.sleep(pause / 100)
        last = await sdk.runs.create(thread_id, "echo", input={"text": "new"}, multitask_strategy=strategy)
        await until(sdk, thread_id, last["run_id"], ("success",))
        log = (await values_of(sdk, thread_id))["log"]
        left = [run["run_id"] for run in await sdk.runs.list(thread_id)]
        assert log[-1] == "new"
        # A run that was rolled back is gone with all it wrote, one that ended before is there with all it wrote.
        assert strategy == "interrupt" or (first["run_id"] in left) is ("old" in log)


async def test_the_superseded_run_says_by_whom(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    thread_id, _ = await asleep(sdk)
    last = await sdk.runs.create(
        thread_id, "sleeper", input={"seconds": 60}, after_seconds=600, multitask_strategy="interrupt"
    )
    while not (thread := (await http.get(f"/threads/{thread_id}")).json())["error"]:
        await asyncio.sleep(0.05)
    message = f"superseded by run {last['run_id']} (multitask_strategy=interrupt)"
    assert thread["error"] == {"error": "UserInterrupt", "message": message}
    assert thread["status"] == "busy"
    await sdk.runs.cancel(thread_id, last["run_id"])


async def test_a_delayed_run_lets_earlier_due_ones_pass(sdk: LangGraphClient) -> None:
    thread_id = await new_thread(sdk)
    late = await sdk.runs.create(thread_id, "echo", input={"text": "late"}, after_seconds=2)
    soon = await sdk.runs.create(thread_id, "echo", input={"text": "soon"})
    await until(sdk, thread_id, soon["run_id"], ("success",))
    await until(sdk, thread_id, late["run_id"], ("success",))
    assert (await values_of(sdk, thread_id))["log"] == ["soon", "late"]
    listed = [datetime.fromisoformat(str(run["created_at"])) for run in await sdk.runs.list(thread_id)]
    assert listed == sorted(listed, reverse=True)
