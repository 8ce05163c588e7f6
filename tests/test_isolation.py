"""Nodes that block, and what that costs others: never a lease, never a thread; with loops of their own, nothing."""

import asyncio
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from langgraph_sdk import get_client
from psycopg.rows import dict_row

from tests.conftest import LiveServer, live_server

SECONDS = 60
LEASE = 2.0
SHORT_LEASES = {"RUN_LEASE_SECONDS": str(LEASE), "RUN_LEASE_RENEWAL_SECONDS": "0.5", "RUN_SWEEP_SECONDS": "0.5"}


@pytest.fixture(scope="module")
def blocked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server whose runs share a loop, with a second worker that would take over any run it can get."""
    times = {**SHORT_LEASES, "BLOCKED_LOOP_MILLISECONDS": "400", "RUN_THREADS": "4"}
    with live_server(tmp_path_factory.mktemp("blocked"), **times) as running:
        running.start("worker-2", "worker")
        yield running


def rows(server: LiveServer, *run_ids: Any) -> list[dict[str, Any]]:
    """What the table has of runs, in the order given."""
    with psycopg.connect(server.environment["DATABASE_URI"], row_factory=dict_row) as connection:
        found = connection.execute("SELECT * FROM runs_run WHERE run_id = ANY(%s)", [list(run_ids)]).fetchall()
    by_id = {str(row["run_id"]): row for row in found}
    return [by_id[str(run_id)] for run_id in run_ids]


async def test_a_run_that_blocks_the_loop_longer_than_the_lease_costs_nobody_theirs(blocked: LiveServer) -> None:
    async with get_client(url=blocked.url, timeout=SECONDS) as client:
        threads = [(await client.threads.create())["thread_id"] for _ in range(8)]
        others = [await client.runs.create(thread, "sleeper", input={"seconds": 1}) for thread in threads[:7]]
        blocking = await client.runs.create(threads[7], "blocker", input={"seconds": 3 * LEASE})
        runs = [*others, blocking]
        results: list[Any] = await asyncio.gather(
            *(client.runs.join(thread, run["run_id"]) for thread, run in zip(threads, runs, strict=True))
        )
    assert [result["log"] for result in results] == [["first", "slept"]] * 7 + [["blocked"]]
    ended = rows(blocked, *(run["run_id"] for run in runs))
    assert [(row["status"], row["attempt"]) for row in ended] == [("success", 1)] * 8
    # The loop stood still while others had their runs on it, or this test has shown nothing.
    beside = {row["worker"] for row in ended[:7]}
    assert ended[7]["worker"] in beside


@pytest.mark.parametrize("graph", ["blocker", "indirect_blocker"])
async def test_a_blocking_node_is_noted_on_its_run_with_its_stack_and_on_no_other(
    graph: str, blocked: LiveServer
) -> None:
    async with get_client(url=blocked.url, timeout=SECONDS) as client:
        threads = [(await client.threads.create())["thread_id"] for _ in range(5)]
        names = ["sleeper", "sleeper", graph, "sleeper", "sleeper"]
        runs = [
            await client.runs.create(thread, name, input={"seconds": 1.5})
            for thread, name in zip(threads, names, strict=True)
        ]
        for thread, run in zip(threads, runs, strict=True):
            await client.runs.join(thread, run["run_id"])
        [note] = await until_noted(blocked, runs[2]["run_id"])
    assert note["attempt"] == 1
    assert note["milliseconds"] >= 1100
    assert "in _block\n    time.sleep(" in note["stack"]
    assert len(note["stack"]) <= 4000
    assert not any(row["blocked"] for row in rows(blocked, *(runs[i]["run_id"] for i in (0, 1, 3, 4))))


async def until_noted(server: LiveServer, run_id: str) -> list[dict[str, Any]]:
    """The run's notes once the whole length of the first is known: it may come a moment after the run's end."""
    notes: list[dict[str, Any]] = []
    for _ in range(100):
        notes = rows(server, run_id)[0]["blocked"]
        if notes and notes[0]["milliseconds"] >= 1100:
            break
        await asyncio.sleep(0.05)
    return notes


async def test_sync_nodes_of_all_slots_that_wait_for_their_checkpoints_do_not_wait_for_each_other(
    blocked: LiveServer,
) -> None:
    async with get_client(url=blocked.url, timeout=SECONDS) as client, asyncio.timeout(SECONDS):
        # 20 slots with 4 threads each: all are taken by nodes whose subgraphs write checkpoints through the loop.
        asked = {"people": 4, "seconds": 0.5}
        results: list[Any] = await asyncio.gather(
            *(client.runs.wait(None, "crowd", input=asked, on_completion="keep") for _ in range(20))
        )
    assert all(result["log"] == ["node"] * 4 for result in results)


async def test_a_crowd_of_sync_nodes_waits_in_its_own_line(blocked: LiveServer) -> None:
    async with get_client(url=blocked.url, timeout=SECONDS) as client:
        thread = (await client.threads.create())["thread_id"]
        crowd = await client.runs.create(thread, "crowd", input={"people": 40, "seconds": 0.4})
        async with asyncio.timeout(SECONDS):
            while rows(blocked, crowd["run_id"])[0]["status"] != "running":
                await asyncio.sleep(0.05)
        # More than there are processes, so that some share the crowd's.
        await asyncio.gather(*(client.runs.wait(None, "crowd", input={"people": 1, "seconds": 0.01}) for _ in range(6)))
        assert rows(blocked, crowd["run_id"])[0]["status"] == "running", "the crowd's nodes were not in the way"
        result: Any = await client.runs.join(thread, crowd["run_id"])
    assert len(result["log"]) == 40
