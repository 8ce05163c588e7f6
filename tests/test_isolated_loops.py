"""BG_JOB_ISOLATED_LOOPS: a run with a loop of its own holds up nobody, and all that is promised holds there too."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from langgraph_sdk import get_client

from tests import wire
from tests.conftest import LiveServer, live_server
from tests.test_crash import (
    test_a_killed_workers_run_goes_on_from_its_last_checkpoint,
    test_a_worker_going_down_hands_its_run_back_without_using_an_attempt,
)
from tests.test_isolation import SECONDS, SHORT_LEASES, until_noted

# Tests of test_crash.py, which run here on this module's server.
__all__ = [
    "test_a_killed_workers_run_goes_on_from_its_last_checkpoint",
    "test_a_worker_going_down_hands_its_run_back_without_using_an_attempt",
]
POOL = 3


@pytest.fixture(scope="module")
def crashing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server whose runs have loops of their own, and few connections."""
    settings = {
        **SHORT_LEASES,
        "BG_JOB_ISOLATED_LOOPS": "true",
        "BG_JOB_SHUTDOWN_GRACE_PERIOD_SECS": "1",
        "BLOCKED_LOOP_MILLISECONDS": "400",
        "LANGGRAPH_POSTGRES_POOL_MAX_SIZE": str(POOL),
    }
    with live_server(tmp_path_factory.mktemp("isolated"), **settings) as running:
        yield running


async def test_a_run_that_blocks_its_loop_does_not_delay_the_tokens_of_another(crashing: LiveServer) -> None:
    async with get_client(url=crashing.url, timeout=SECONDS) as client:
        thread_id = await wire.new_thread(client)
        blocking = await client.runs.create(thread_id, "blocker", input={"seconds": 8})
        await wire.until(client, thread_id, blocking["run_id"], ("running",))
        await asyncio.sleep(0.2)
        arrived = []
        async for part in client.runs.stream(
            None, "slow_job", input={"steps": 6, "seconds": 0.2}, stream_mode=["custom", "updates"]
        ):
            if part.event in ("custom", "updates"):
                arrived.append(time.monotonic())
        assert len(arrived) >= 6
        assert await wire.status_of(client, thread_id, blocking["run_id"]) == "running", "it did not block all the time"
        [note] = await until_noted(crashing, blocking["run_id"])
        assert "in _block\n    time.sleep(" in note["stack"]
        await client.runs.join(thread_id, blocking["run_id"])


async def test_a_run_on_a_loop_of_its_own_is_cancelled_within_a_second_or_so(crashing: LiveServer) -> None:
    async with get_client(url=crashing.url, timeout=SECONDS) as client:
        thread_id = await wire.new_thread(client)
        run = await client.runs.create(thread_id, "slow_job", input={"steps": 100, "seconds": 0.5})
        await wire.until(client, thread_id, run["run_id"], ("running",))
        started = time.monotonic()
        await client.runs.cancel(thread_id, run["run_id"], wait=True)
        assert time.monotonic() - started < 5
        assert await wire.status_of(client, thread_id, run["run_id"]) == "interrupted"


async def test_runs_on_loops_of_their_own_share_the_pool_and_give_it_back(crashing: LiveServer) -> None:
    async with get_client(url=crashing.url, timeout=SECONDS) as client:
        for _ in range(3):
            answers = await asyncio.gather(
                *(client.runs.wait(None, "counter", input={"steps": 5}, on_completion="keep") for _ in range(10))
            )
            assert all(answer["count"] == 5 for answer in answers)  # type: ignore[call-overload]
    with psycopg.connect(crashing.environment["DATABASE_URI"]) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        ).fetchone()
    # Django's pool and the graph loop's, in web, worker and beat.
    assert row is not None and row[0] <= 3 * 2 * POOL


async def test_a_run_on_a_loop_of_its_own_has_the_store(crashing: LiveServer) -> None:
    given: Any = {"namespace": ["isolated"], "key": "k", "value": {"text": "red"}}
    async with get_client(url=crashing.url, timeout=SECONDS) as client:
        answers: list[Any] = await asyncio.gather(*(client.runs.wait(None, "memo", input=given) for _ in range(5)))
        assert [answer["found"]["item"]["value"] for answer in answers] == [{"text": "red"}] * 5
        item: Any = await client.store.get_item(["isolated"], "k")
        assert item["value"] == {"text": "red"}
