"""Ending runs early: one, many, pending, running, keeping their checkpoints or not. Source: contract/core.md 5.9."""

import asyncio
import time
from typing import Any

import httpx
import pytest
from langgraph_sdk.client import LangGraphClient

from tests.wire import finished, new_thread, status_of, until, until_settled, until_started, values_of

NOBODY = "00000000-0000-4000-8000-000000000000"


async def sleeping(sdk: LangGraphClient, seconds: float = 60, **given: Any) -> tuple[str, str]:
    """Thread and run of a run that sleeps in its second node."""
    thread_id = await new_thread(sdk)
    run = await sdk.runs.create(thread_id, "sleeper", input={"seconds": seconds, **given})
    await until_started(sdk, thread_id, run["run_id"], "sleep")
    return thread_id, run["run_id"]


async def waiting(sdk: LangGraphClient, thread_id: str | None = None) -> tuple[str, str]:
    """Thread and run of a run that is not due."""
    thread_id = thread_id or await new_thread(sdk)
    run = await sdk.runs.create(thread_id, "echo", input={"text": "never"}, after_seconds=3600)
    return thread_id, run["run_id"]


# --- the answer -------------------------------------------------------------------------------------------------------


async def test_cancel_answers_202_and_nothing_else(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    thread_id, run_id = await waiting(sdk)
    answer = await http.post(f"/threads/{thread_id}/runs/{run_id}/cancel")
    assert (answer.status_code, answer.content, answer.headers.get("content-type")) == (202, b"", None)


@pytest.mark.parametrize("wait", ["1", "true", "YES"])
async def test_cancel_may_wait_for_the_end(sdk: LangGraphClient, http: httpx.AsyncClient, wait: str) -> None:
    thread_id, run_id = await sleeping(sdk)
    path = f"/threads/{thread_id}/runs/{run_id}"
    answer = await http.post(f"{path}/cancel?wait={wait}")
    assert (answer.status_code, answer.json()) == (200, {})
    assert (answer.headers["location"], answer.headers["content-location"]) == (f"{path}/join", path)
    assert (await sdk.threads.get(thread_id))["status"] == "interrupted"


async def test_waiting_for_the_end_of_a_pending_run_answers_at_once(
    sdk: LangGraphClient, http: httpx.AsyncClient
) -> None:
    for action in ("interrupt", "rollback"):
        thread_id, run_id = await waiting(sdk)
        before = time.monotonic()
        answer = await http.post(f"/threads/{thread_id}/runs/{run_id}/cancel?wait=1&action={action}")
        assert (answer.status_code, answer.json()) == (200, {}) and time.monotonic() - before < 2


async def test_what_cannot_be_cancelled_answers_404(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    thread_id, run_id = await waiting(sdk)
    await sdk.runs.cancel(thread_id, run_id)
    ended, unknown, elsewhere = [
        await http.post(f"/threads/{thread}/runs/{run}/cancel?wait=1")
        for thread, run in ((thread_id, run_id), (thread_id, NOBODY), (await new_thread(sdk), run_id))
    ]
    assert [answer.status_code for answer in (ended, unknown, elsewhere)] == [404, 404, 404]
    assert ended.json()["detail"] != unknown.json()["detail"]


async def test_cancelling_a_running_run_twice_answers_404(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    thread_id, run_id = await sleeping(sdk)
    path = f"/threads/{thread_id}/runs/{run_id}/cancel"
    assert [(await http.post(path)).status_code for _ in range(2)] == [202, 404]


@pytest.mark.parametrize("path", [f"/threads/zz/runs/{NOBODY}", f"/threads/{NOBODY}/runs/zz"])
async def test_an_id_that_is_no_uuid_answers_422(http: httpx.AsyncClient, path: str) -> None:
    assert (await http.post(f"{path}/cancel")).status_code == 422


# --- pending runs -----------------------------------------------------------------------------------------------------


async def test_a_pending_run_is_interrupted_at_once_and_never_executed(sdk: LangGraphClient) -> None:
    thread_id = await new_thread(sdk)
    run = await sdk.runs.create(thread_id, "echo", input={"text": "never"}, after_seconds=2)
    await sdk.runs.cancel(thread_id, run["run_id"])
    assert await status_of(sdk, thread_id, run["run_id"]) == "interrupted"
    assert (await sdk.threads.get(thread_id))["status"] == "idle"
    await asyncio.sleep(2.5)
    assert (await values_of(sdk, thread_id)) == {}


async def test_a_pending_run_is_rolled_back_at_once(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    thread_id, run_id = await waiting(sdk)
    await sdk.runs.cancel(thread_id, run_id, action="rollback")
    assert (await http.get(f"/threads/{thread_id}/runs/{run_id}")).status_code == 404
    assert (await sdk.threads.get(thread_id))["status"] == "idle"


async def test_cancelling_a_pending_run_leaves_a_thread_busy_that_is(sdk: LangGraphClient) -> None:
    thread_id, running = await sleeping(sdk)
    for action in ("interrupt", "rollback"):
        _, pending = await waiting(sdk, thread_id)
        await sdk.runs.cancel(thread_id, pending, action=action)
        assert (await sdk.threads.get(thread_id))["status"] == "busy"
    assert await status_of(sdk, thread_id, running) == "running"
    await sdk.runs.cancel(thread_id, running)


async def test_an_interrupted_thread_stays_so_when_a_pending_run_goes(sdk: LangGraphClient) -> None:
    thread_id = await new_thread(sdk)
    await sdk.runs.wait(thread_id, "ask", input={"q": "a"})
    _, run_id = await waiting(sdk, thread_id)
    await sdk.runs.cancel(thread_id, run_id)
    thread = await sdk.threads.get(thread_id)
    assert thread["status"] == "interrupted" and thread["interrupts"]


# --- running runs -----------------------------------------------------------------------------------------------------


async def test_a_running_run_is_interrupted_and_keeps_what_it_did(sdk: LangGraphClient) -> None:
    thread_id, run_id = await sleeping(sdk)
    await sdk.runs.cancel(thread_id, run_id)
    assert await status_of(sdk, thread_id, run_id) == "interrupted"
    async with asyncio.timeout(1.5):
        thread: Any = await until_settled(sdk, thread_id)
    assert (thread["status"], thread["values"]) == ("interrupted", {"seconds": 60, "log": ["first"]})
    state = await sdk.threads.get_state(thread_id)
    assert (state["next"], await values_of(sdk, thread_id)) == (["sleep"], thread["values"])


async def test_the_thread_says_who_asked_for_the_end(sdk: LangGraphClient) -> None:
    thread_id, run_id = await sleeping(sdk)
    await sdk.runs.cancel(thread_id, run_id, wait=True)
    thread: Any = await sdk.threads.get(thread_id)
    path = f"/threads/{thread_id}/runs/{run_id}/cancel"
    assert thread["error"] == {"error": "UserInterrupt", "message": f"interrupt requested via POST {path}"}


async def test_any_unknown_action_means_interrupt(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    thread_id, run_id = await sleeping(sdk)
    answer = await http.post(f"/threads/{thread_id}/runs/{run_id}/cancel?action=explode&wait=1")
    assert answer.status_code == 200 and await status_of(sdk, thread_id, run_id) == "interrupted"


async def test_an_interrupted_run_can_be_gone_on_with(sdk: LangGraphClient) -> None:
    thread_id, run_id = await sleeping(sdk, 2)
    await sdk.runs.cancel(thread_id, run_id, wait=True)
    assert (await finished(sdk, thread_id, "sleeper"))["log"] == ["first", "slept"]


async def test_a_synchronous_node_finishes_but_counts_no_more(sdk: LangGraphClient) -> None:
    thread_id, run_id = await sleeping(sdk, 1.5, sync=True)
    await sdk.runs.cancel(thread_id, run_id, wait=True)
    await asyncio.sleep(2)
    assert (await values_of(sdk, thread_id))["log"] == ["first"]


async def test_a_rolled_back_run_leaves_nothing(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    thread_id = await new_thread(sdk)
    before = await sdk.runs.wait(thread_id, "sleeper", input={"seconds": 0})
    run = await sdk.runs.create(thread_id, "sleeper", input={"seconds": 60})
    await until_started(sdk, thread_id, run["run_id"], "sleep")
    history = await sdk.threads.get_history(thread_id, limit=100)
    await sdk.runs.cancel(thread_id, run["run_id"], action="rollback", wait=True)
    assert (await http.get(f"/threads/{thread_id}/runs/{run['run_id']}")).status_code == 404
    left = await sdk.threads.get_history(thread_id, limit=100)
    assert 0 < len(left) < len(history)
    assert all((state["metadata"] or {})["run_id"] != run["run_id"] for state in left)
    thread: Any = await sdk.threads.get(thread_id)
    assert (thread["status"], thread["error"], thread["values"]) == ("idle", None, before)
    assert (await values_of(sdk, thread_id)) == before


async def test_rolling_back_a_resume_leaves_the_thread_interrupted(sdk: LangGraphClient) -> None:
    thread_id = await new_thread(sdk)
    await sdk.runs.wait(thread_id, "sleeper", input={"seconds": 60}, interrupt_before=["sleep"])
    assert (await sdk.threads.get(thread_id))["status"] == "interrupted"
    run = await sdk.runs.create(thread_id, "sleeper")
    await until(sdk, thread_id, run["run_id"], ("running",))
    await asyncio.sleep(0.3)
    await sdk.runs.cancel(thread_id, run["run_id"], action="rollback", wait=True)
    thread: Any = await until_settled(sdk, thread_id)
    assert (thread["status"], thread["error"]) == ("interrupted", None)


async def test_an_accepted_rollback_removes_the_run_however_late_it_comes(
    sdk: LangGraphClient, http: httpx.AsyncClient
) -> None:
    thread_id = await new_thread(sdk)
    for number in range(40):
        run = await sdk.runs.create(thread_id, "echo", input={"text": str(number)})
        await asyncio.sleep(number / 800)
        path = f"/threads/{thread_id}/runs/{run['run_id']}"
        accepted = (await http.post(f"{path}/cancel?action=rollback")).status_code == 202
        await until_settled(sdk, thread_id)
        assert (await http.get(path)).status_code == (404 if accepted else 200)
        log = (await values_of(sdk, thread_id)).get("log", [])
        assert (str(number) in log) is not accepted


async def test_an_accepted_interrupt_is_what_the_run_ends_as(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    thread_id = await new_thread(sdk)
    for number in range(40):
        run = await sdk.runs.create(thread_id, "echo", input={"text": str(number)})
        await asyncio.sleep(number / 800)
        accepted = (await http.post(f"/threads/{thread_id}/runs/{run['run_id']}/cancel")).status_code == 202
        await until_settled(sdk, thread_id)
        ended = await status_of(sdk, thread_id, run["run_id"])
        assert ended == ("interrupted" if accepted else "success")


async def test_of_many_cancels_one_is_accepted(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    thread_id, run_id = await sleeping(sdk)
    path = f"/threads/{thread_id}/runs/{run_id}/cancel"
    answers = await asyncio.gather(*(http.post(path) for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [202, *[404] * 9]


async def test_deleting_an_assistant_ends_its_runs(sdk: LangGraphClient) -> None:
    assistant_id = (await sdk.assistants.create("sleeper"))["assistant_id"]
    thread_id, other = await new_thread(sdk), await new_thread(sdk)
    run = await sdk.runs.create(thread_id, assistant_id, input={"seconds": 60})
    late = await sdk.runs.create(other, assistant_id, input={"seconds": 60}, after_seconds=600)
    await until_started(sdk, thread_id, run["run_id"], "sleep")
    await sdk.assistants.delete(assistant_id)
    thread: Any = await until_settled(sdk, thread_id)
    assert thread["error"] == {"error": "UserInterrupt", "message": f"assistant {assistant_id} was deleted"}
    assert await status_of(sdk, other, late["run_id"]) == "interrupted"


# --- many at once -----------------------------------------------------------------------------------------------------


async def test_runs_of_a_thread_are_cancelled_together(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    thread_id, running = await sleeping(sdk)
    _, pending = await waiting(sdk, thread_id)
    answer = await http.post("/runs/cancel", json={"thread_id": thread_id, "run_ids": [running, pending, NOBODY]})
    assert (answer.status_code, answer.content, answer.headers.get("content-type")) == (204, b"", None)
    await until_settled(sdk, thread_id)
    assert {run["status"] for run in await sdk.runs.list(thread_id)} == {"interrupted"}


async def test_runs_are_rolled_back_together(sdk: LangGraphClient) -> None:
    thread_id, first = await waiting(sdk)
    _, second = await waiting(sdk, thread_id)
    await sdk.runs.cancel_many(thread_id=thread_id, run_ids=[first, second], action="rollback")
    assert await sdk.runs.list(thread_id) == []


async def test_all_runs_in_a_status_are_cancelled(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    (first, running), (second, pending) = await sleeping(sdk), await waiting(sdk)
    await sdk.runs.cancel_many(status="pending")
    assert await status_of(sdk, second, pending) == "interrupted"
    assert await status_of(sdk, first, running) == "running"
    await waiting(sdk, second)
    await sdk.runs.cancel_many(status="all")
    await until_settled(sdk, first)
    assert (await http.post("/runs/cancel", json={"status": "all"})).status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"status": "success"},
        {"thread_id": NOBODY},
        {"run_ids": [NOBODY]},
        {"status": "all", "thread_id": NOBODY},
        {"status": "all", "thread_id": NOBODY, "run_ids": [NOBODY]},
        {"thread_id": "zz", "run_ids": [NOBODY]},
        {"thread_id": NOBODY, "run_ids": ["zz"]},
        {"thread_id": NOBODY, "run_ids": NOBODY},
        [],
    ],
    ids=str,
)
async def test_a_bulk_cancel_takes_one_of_two_forms(http: httpx.AsyncClient, body: Any) -> None:
    answer = await http.post("/runs/cancel", json=body)
    assert answer.status_code == 422 and isinstance(answer.json()["detail"], str)


async def test_a_bulk_cancel_that_finds_nothing_answers_404(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    thread_id, run_id = await waiting(sdk)
    await sdk.runs.cancel(thread_id, run_id)
    for run_ids in ([], [NOBODY], [run_id]):
        answer = await http.post("/runs/cancel", json={"thread_id": thread_id, "run_ids": run_ids})
        assert answer.status_code == 404
