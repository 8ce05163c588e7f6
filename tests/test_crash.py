"""What a run survives: a worker's kill -9, and Redis losing everything. On processes of their own."""

import asyncio
import signal
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient
from redis import Redis

from tests.conftest import LiveServer, live_server
from tests.receiver import Reply, receiving

SECONDS = 30
LEASE = 3


@pytest.fixture(scope="module")
def crashing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server whose leases are short, so that a test need not wait half a minute."""
    times = {
        "RUN_LEASE_SECONDS": str(LEASE),
        "RUN_LEASE_RENEWAL_SECONDS": "1",
        "RUN_SWEEP_SECONDS": "1",
        "BG_JOB_SHUTDOWN_GRACE_PERIOD_SECS": "1",
        "WEBHOOK_TIMEOUT_SECS": "1",
    }
    with live_server(tmp_path_factory.mktemp("crashing"), **times) as running:
        yield running


async def count_of(client: LangGraphClient, thread_id: str) -> int:
    state = await client.threads.get_state(thread_id)
    assert isinstance(state["values"], dict)
    return int(state["values"].get("count") or 0)


async def until_counted(client: LangGraphClient, thread_id: str, count: int) -> None:
    async with asyncio.timeout(SECONDS):
        while await count_of(client, thread_id) < count:
            await asyncio.sleep(0.05)


async def test_a_killed_workers_run_goes_on_from_its_last_checkpoint(crashing: LiveServer) -> None:
    async with get_client(url=crashing.url, timeout=SECONDS) as client:
        thread_id = (await client.threads.create())["thread_id"]
        run = await client.runs.create(thread_id, "slow_job", input={"steps": 8, "seconds": 0.4})
        await until_counted(client, thread_id, 3)
        crashing.processes["worker"].send_signal(signal.SIGKILL)
        crashing.processes["worker"].wait()
        crashing.start("worker", "worker")
        attempts = []
        async with asyncio.timeout(SECONDS):
            async for part in client.runs.join_stream(thread_id, run["run_id"], last_event_id="-1"):
                if part.event == "metadata":
                    attempts.append(part.data["attempt"])
        assert attempts == [1, 2]
        assert (await client.runs.get(thread_id, run["run_id"]))["status"] == "success"
        assert await count_of(client, thread_id) == 8
        history: list[Any] = await client.threads.get_history(thread_id, limit=50)
        counts = [state["values"].get("count") for state in reversed(history) if state["metadata"]["source"] == "loop"]
        assert counts == sorted(counts, key=lambda count: count or 0), "a step ran from an older state"
        assert sum(state["metadata"]["source"] == "input" for state in history) == 1, "the input was applied twice"


async def test_a_run_goes_on_elsewhere_ten_seconds_after_its_lease_at_most_though_no_beat_is_there(
    crashing: LiveServer,
) -> None:
    crashing.start("another", "worker")
    async with get_client(url=crashing.url, timeout=SECONDS) as client:
        thread_id = (await client.threads.create())["thread_id"]
        run = await client.runs.create(thread_id, "slow_job", input={"steps": 40, "seconds": 0.4})
        await until_counted(client, thread_id, 1)
        crashing.processes["beat"].terminate()
        crashing.processes.pop("beat").wait()
        held = lease_of(crashing, run)
        while lease_of(crashing, run) == held:  # until it is renewed: nobody waits longer than for this one
            await asyncio.sleep(0.02)
        dead = next(name for name, process in crashing.processes.items() if f"-{process.pid}-" in held[0])
        crashing.processes[dead].send_signal(signal.SIGKILL)
        crashing.processes.pop(dead).wait()
        died = time.monotonic()
        async with asyncio.timeout(SECONDS):
            while lease_of(crashing, run)[2] == 1:
                await asyncio.sleep(0.05)
        # 40 s with the usual lease of 30; half of what is beyond it is margin, for machines with other things to do.
        assert LEASE - 1 < time.monotonic() - died < LEASE + 5
        await client.runs.cancel(thread_id, run["run_id"], wait=True)
    crashing.processes["worker"] = crashing.processes.pop("worker" if dead == "another" else "another")
    crashing.start("beat", "beat")


def lease_of(server: LiveServer, run: Any) -> tuple[str, Any, int]:
    """Whose it is, until when, and in which attempt."""
    with psycopg.connect(server.environment["DATABASE_URI"]) as connection:
        query = "SELECT worker, lease_expires_at, attempt FROM runs_run WHERE run_id = %s"
        row = connection.execute(query, [run["run_id"]]).fetchone()
    assert row is not None
    return row


async def test_a_pending_run_is_executed_though_redis_forgot_it(crashing: LiveServer) -> None:
    async with get_client(url=crashing.url, timeout=SECONDS) as client:
        thread_id = (await client.threads.create())["thread_id"]
        run = await client.runs.create(thread_id, "echo", input={"text": "hi"}, after_seconds=1)
        with Redis.from_url(crashing.environment["REDIS_URI"]) as redis:
            for key in redis.scan_iter(f"{crashing.environment['REDIS_KEY_PREFIX']}*"):
                redis.delete(key)
        assert await client.runs.join(thread_id, run["run_id"]) == {"text": "hi", "log": ["hi"], "messages": []}


async def test_a_stream_ends_though_redis_lost_its_log(crashing: LiveServer) -> None:
    async with get_client(url=crashing.url, timeout=SECONDS) as client:
        thread_id = (await client.threads.create())["thread_id"]
        run = await client.runs.create(thread_id, "sleeper", input={"seconds": 2})
        joined = asyncio.create_task(client.runs.join(thread_id, run["run_id"]))
        await asyncio.sleep(0.5)
        with Redis.from_url(crashing.environment["REDIS_URI"]) as redis:
            redis.delete(f"{crashing.environment['REDIS_KEY_PREFIX']}events:{thread_id}")
        assert await joined == {"seconds": 2, "log": ["first", "slept"]}


@pytest.mark.parametrize("after", [0, 1], ids=["rung for", "picked"])
async def test_a_worker_going_down_hands_its_run_back_without_using_an_attempt(
    crashing: LiveServer, after: int
) -> None:
    async with get_client(url=crashing.url, timeout=SECONDS) as client:
        thread_id = (await client.threads.create())["thread_id"]
        run = await client.runs.create(thread_id, "slow_job", input={"steps": 8, "seconds": 0.4}, after_seconds=after)
        await until_counted(client, thread_id, 3)
        crashing.processes["worker"].terminate()
        assert await asyncio.to_thread(crashing.processes["worker"].wait, SECONDS) == 0
        waiting = await client.runs.get(thread_id, run["run_id"])
        assert waiting["status"] == "pending"
        crashing.start("worker", "worker")
        assert (await client.runs.join(thread_id, run["run_id"]))["count"] == 8
        with psycopg.connect(crashing.environment["DATABASE_URI"]) as connection:
            row = connection.execute("SELECT attempt, handed_back FROM runs_run WHERE run_id = %s", [run["run_id"]])
            assert row.fetchone() == (2, 1)


async def test_a_webhook_whose_sender_is_killed_is_sent_by_another(crashing: LiveServer) -> None:
    slow = Reply(pause=0.8)
    with receiving() as receiver:
        url = receiver.script("/hook", slow, Reply())
        async with get_client(url=crashing.url, timeout=SECONDS) as client:
            thread_id = (await client.threads.create())["thread_id"]
            run = await client.runs.create(thread_id, "echo", input={"text": "hi"}, webhook=url)
            await asyncio.to_thread(receiver.wait_for, "/hook")
            crashing.processes["worker"].send_signal(signal.SIGKILL)
            crashing.processes["worker"].wait()
            assert (await client.runs.get(thread_id, run["run_id"]))["status"] == "success"
            first, second = await asyncio.to_thread(receiver.wait_for, "/hook", 2)
            assert first.headers["webhook-id"] == second.headers["webhook-id"]
            assert first.body == second.body
            crashing.start("worker", "worker")
