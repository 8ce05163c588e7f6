"""The short slice of `make chaos`: one fault of each kind that costs a run its worker, and every invariant after it.

`make chaos` does the same for longer, with faults of all kinds at random. A rolling restart is no fault: nothing may
come of it.
"""

import asyncio
from pathlib import Path

import pytest

from tests.chaos import invariants, tree
from tests.chaos.__main__ import endure, until_at_rest
from tests.chaos.faults import Chaos, Fault
from tests.chaos.load import Load

pytestmark = pytest.mark.timeout(600)
SECONDS = 12.0
FAULTS = [
    Fault(1.0, "reset redis", "worker-2", 0.2),
    Fault(1.5, "stop worker", "worker-1", 7.0),  # longer than its lease: when it wakes up its runs are another's
    Fault(3.0, "kill worker", "worker-2", 0),
    Fault(4.0, "stop beat", "beat", 1.0),
    Fault(9.5, "flush redis", "", 0),
    Fault(10.0, "end worker", "worker-2", 0),
]
# Says within how many seconds something is noticed, which a busy machine may miss.
TIMED = {"old attempts stop"}


PARTS = ("worker-1", "web-1", "worker-2", "web-2")


async def test_no_run_is_lost_or_written_twice_when_workers_die_stop_and_come_back(tmp_path: Path) -> None:
    with tree.planted(tmp_path, tree.QUICK, webs=1, workers=2) as grown:
        load = Load(grown.urls, seed=1, runs=10**6, seconds=SECONDS)
        evidence = await endure(grown, load, FAULTS, clients=12)
    found = invariants.verdicts(evidence)
    wrong = {name: lines for name, (_, lines) in found.items() if lines and name not in TIMED}
    assert not wrong, invariants.table(found)
    assert found["accepted runs end"][0] > 10
    assert any(one.attempt > 1 for one in evidence.transitions), "no run lost its worker, so nothing was tried"


async def test_processes_restarted_in_turn_fail_no_run_and_cost_a_stream_a_reconnect_at_most(tmp_path: Path) -> None:
    # A run has one attempt: whoever is handed back without being told so, or lost, fails.
    times = {"RUN_LEASE_SECONDS": "20", "BG_JOB_SHUTDOWN_GRACE_PERIOD_SECS": "0.3"}
    settings = {**tree.QUICK, **times, "BG_JOB_MAX_RETRIES": "1"}
    with tree.planted(tmp_path, settings, webs=2, workers=2) as grown:
        load, chaos = Load(grown.urls, seed=2, runs=10**6, seconds=120), Chaos(grown)
        async with grown.supervised():
            async with asyncio.TaskGroup() as group:
                group.create_task(load.go_on(8))
                for part in PARTS:
                    await asyncio.sleep(1)
                    await chaos.inflict(Fault(0, f"end {part.split('-')[0]}", part, 0))
                    async with asyncio.timeout(60):
                        while len(grown.parts[part].lives) == 1:
                            await asyncio.sleep(0.1)
                        await grown.until_up()
                load.stop()
            await until_at_rest(grown)
            evidence = await asyncio.to_thread(invariants.gathered, grown, load, chaos)
    found = invariants.verdicts(evidence)
    wrong = {name: lines for name, (_, lines) in found.items() if lines}
    assert not wrong, invariants.table(found)
    assert any(one.new == "pending" and one.attempt for one in evidence.transitions), "no run was handed back"
    assert max(seen.connections for seen in evidence.records.watched) <= 1 + 2
