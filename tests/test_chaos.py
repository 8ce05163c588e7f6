"""The short slice of `make chaos`: one fault of each kind that costs a run its worker, and every invariant after it.

`make chaos` does the same for longer, with faults of all kinds at random.
"""

from pathlib import Path

import pytest

from tests.chaos import invariants, tree
from tests.chaos.__main__ import endure
from tests.chaos.faults import Fault
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


async def test_no_run_is_lost_or_written_twice_when_workers_die_stop_and_come_back(tmp_path: Path) -> None:
    with tree.planted(tmp_path, tree.QUICK, webs=1, workers=2) as grown:
        load = Load(grown.urls, seed=1, runs=10**6, seconds=SECONDS)
        evidence = await endure(grown, load, FAULTS, clients=12)
    found = invariants.verdicts(evidence)
    wrong = {name: lines for name, (_, lines) in found.items() if lines and name not in TIMED}
    assert not wrong, invariants.table(found)
    assert found["accepted runs end"][0] > 10
    assert any(one.attempt > 1 for one in evidence.transitions), "no run lost its worker, so nothing was tried"
