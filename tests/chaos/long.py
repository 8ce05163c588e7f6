"""What takes longer than anybody waits for a test: default leases, a killed worker's runs, and nodes of minutes.

`python -m tests.chaos --long` takes about ten minutes.
"""

import asyncio
import collections
import json
import signal
import statistics
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.chaos.graphs import work
from tests.chaos.invariants import Step, grouped
from tests.chaos.tree import Tree

KILLS, RUNS = 5, 9
RESUMED_WITHIN = 40.0  # seconds from a worker's death until its run goes on elsewhere
SLEEPS, BLOCKS = 300.0, 60.0  # seconds of a synchronous node, and of one that blocks its loop
PATIENCE = 420.0


@dataclass
class Findings:
    """Seconds from each death to each first step elsewhere, and how often each long node was begun."""

    resumed: list[float] = field(default_factory=list)
    begun: dict[str, int] = field(default_factory=dict)

    def wrong(self) -> list[str]:
        """What was promised and did not come true."""
        late = [f"resumed after {seconds:.1f} s" for seconds in self.resumed if seconds > RESUMED_WITHIN]
        return late + [f"{name}: begun {count} times" for name, count in self.begun.items() if count != 1]

    def __str__(self) -> str:
        order = sorted(self.resumed)
        lines = [
            f"kill -9 to resumed elsewhere, {len(order)} runs of {KILLS} workers: least {order[0]:.1f} s,"
            f" median {statistics.median(order):.1f} s, most {order[-1]:.1f} s (at most {RESUMED_WITHIN:g} s promised)",
            *(f"{name}: begun {count} times" for name, count in self.begun.items()),
        ]
        return "\n".join(lines)


async def endure(tree: Tree) -> Findings:
    """Kill workers, then leave them alone with long nodes."""
    found = Findings()
    async with tree.supervised(), httpx.AsyncClient(base_url=tree.urls[0], timeout=30) as http:
        for _ in range(KILLS):
            found.resumed += await _killed(tree, http)
        nodes = {"sleeping": SLEEPS, "blocking": BLOCKS}
        runs = {node: await _start(http, work(node, steps=1, pause=pause, node=node)) for node, pause in nodes.items()}
        await _until(lambda: _over(http, list(runs.values())), PATIENCE)
        for node, (_, run_id) in runs.items():
            begun = [step for step in steps(tree) if step.run == run_id]
            found.begun[f"a node {node} {nodes[node]:g} s"] = len(begun)
    return found


async def _killed(tree: Tree, http: httpx.AsyncClient) -> list[float]:
    """Kill the worker that has most of some new runs; how long each of these took to go on."""
    runs = [await _start(http, work("job", steps=200, pause=0.5)) for _ in range(RUNS)]
    ids = {run_id for _, run_id in runs}

    async def all_begun() -> bool:
        return len({step.run for step in steps(tree)} & ids) == len(ids)

    await _until(all_begun, PATIENCE)
    where = {step.run: step.pid for step in steps(tree) if step.run in ids}
    ((pid, _),) = collections.Counter(where.values()).most_common(1)
    worker = next(part for part in tree.workers() if part.process and part.process.pid == pid)
    worker.signal(signal.SIGKILL)
    died, orphans = time.time(), {run for run, place in where.items() if place == pid}

    async def all_resumed() -> bool:
        return orphans <= {step.run for step in steps(tree) if step.attempt > 1}

    await _until(all_resumed, PATIENCE)
    again = grouped((step for step in steps(tree) if step.run in orphans and step.attempt > 1), lambda step: step.run)
    for thread_id, run_id in runs:
        await http.post(f"/threads/{thread_id}/runs/{run_id}/cancel")
    return [own[0].at - died for own in again.values()]


async def _start(http: httpx.AsyncClient, given: Any) -> tuple[str, str]:
    thread_id = str(uuid.uuid4())
    body = {"assistant_id": "journal", "input": given, "if_not_exists": "create"}
    answer = await http.post(f"/threads/{thread_id}/runs", json=body | {"config": {"recursion_limit": 1000}})
    return thread_id, answer.raise_for_status().json()["run_id"]


async def _over(http: httpx.AsyncClient, runs: list[tuple[str, str]]) -> bool:
    statuses = [(await http.get(f"/threads/{thread}/runs/{run}")).json()["status"] for thread, run in runs]
    return not {"pending", "running"} & set(statuses)


async def _until(holds: Callable[[], Any], seconds: float) -> None:
    async with asyncio.timeout(seconds):
        while not await holds():
            await asyncio.sleep(0.2)


def steps(tree: Tree) -> list[Step]:
    """The journal so far."""
    return [Step(**json.loads(line)) for line in tree.journal.read_text().splitlines()]
