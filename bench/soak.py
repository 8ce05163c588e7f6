"""`python -m bench.soak`: steady load for twenty minutes, and whether web, worker and beat grow meanwhile. Linux only.

Compares the memory of two windows: after the caches are full, and at the end. Growth beyond a few percent is a leak.
"""

import argparse
import asyncio
import itertools
import signal
import statistics
import sys
import time
import uuid
from collections import defaultdict
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

from bench.client import Connection, UnexpectedAnswer
from bench.server import Server, running

SAMPLE_SECONDS = 5.0
WATCHED = ("web", "worker", "beat")
MOST_GROWTH = 0.05
# Of the whole time: how long the caches get to fill, and how long each of the two windows is.
WARM_UP, WINDOW = 0.25, 0.15
CLIENTS = 4
PAUSE_SECONDS = 0.25  # between two requests of a client
REFUSED = "no such assistant"

Samples = dict[str, list[tuple[float, float]]]  # by process: seconds since the start, MiB


def requests() -> list[tuple[str, str, Any]]:
    """What a client does, around and around: method, path, body. `{new}` is a new UUID."""
    new = {"if_not_exists": "create"}
    return [
        ("POST", "/runs/wait", {"assistant_id": "one", "input": {"text": "x" * 2000}}),
        ("POST", "/threads/{new}/runs/wait", {"assistant_id": "counter", "input": {"steps": 5}, **new}),
        ("POST", "/runs/stream", {"assistant_id": "burst", "input": {"events": 200}, "stream_mode": ["custom"]}),
        ("POST", "/threads/{new}/runs", {"assistant_id": "counter", "input": {"steps": 2}, **new}),
        ("POST", "/threads/search", {"limit": 10}),
        ("POST", "/runs/wait", {"assistant_id": REFUSED}),
    ]


async def soak(server: Server, seconds: float) -> tuple[Samples, int]:
    """Load the server for so long; the samples of each process, and how many requests were answered."""
    ends, samples, counts = time.monotonic() + seconds, defaultdict[str, list[tuple[float, float]]](list), [0]
    async with asyncio.TaskGroup() as group:
        group.create_task(_sample(server, samples, ends))
        for _ in range(CLIENTS):
            group.create_task(_client(server.port, ends, counts))
    return dict(samples), counts[0]


async def _client(port: int, ends: float, counts: list[int]) -> None:
    async with Connection(port) as connection:
        for method, path, body in itertools.cycle(requests()):
            if time.monotonic() > ends:
                return
            refused = suppress(UnexpectedAnswer) if body.get("assistant_id") == REFUSED else nullcontext()
            with refused:
                await connection.request(method, path.replace("{new}", str(uuid.uuid4())), body)
            counts[0] += 1
            await asyncio.sleep(PAUSE_SECONDS)


async def _sample(server: Server, samples: Samples, ends: float) -> None:
    started = time.monotonic()
    while time.monotonic() < ends:
        for name, pid in server.pids.items():
            samples[name].append((time.monotonic() - started, await asyncio.to_thread(pss, pid)))
        await asyncio.sleep(SAMPLE_SECONDS)


def pss(pid: int) -> float:
    """The proportional set size of a process in MiB: its own pages, and its share of those it shares."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise ValueError(f"process {pid} has no PSS")


def growth(samples: Samples, seconds: float) -> dict[str, tuple[float, float]]:
    """The median MiB of each process in the first window and in the last."""
    first = (seconds * WARM_UP, seconds * (WARM_UP + WINDOW))
    last = (seconds * (1 - WINDOW), seconds)
    return {name: (_median(own, *first), _median(own, *last)) for name, own in samples.items()}


def _median(samples: list[tuple[float, float]], begin: float, end: float) -> float:
    return statistics.median(size for at, size in samples if begin <= at <= end)


def main() -> int:
    """Gives 1 when a process grew too much."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=20.0)
    seconds = parser.parse_args().minutes * 60
    signal.signal(signal.SIGTERM, lambda signum, _: sys.exit(128 + signum))
    signal.alarm(int(seconds) + 180)
    with running() as server:
        samples, answered = asyncio.run(soak(server, seconds))
    found = growth(samples, seconds)
    print(f"{answered} requests in {seconds / 60:g} minutes; PSS in MiB, medians of two windows")
    print(f"{'process':<10} {'at first':>9} {'at last':>9} {'growth':>8} {'least':>8} {'most':>8}")
    for name, (before, after) in found.items():
        sizes = [size for at, size in samples[name] if at > seconds * WARM_UP]
        print(
            f"{name:<10} {before:>9.1f} {after:>9.1f} {after / before - 1:>8.1%} {min(sizes):>8.1f} {max(sizes):>8.1f}"
        )
    return int(any(after > before * (1 + MOST_GROWTH) for name, (before, after) in found.items() if name in WATCHED))


if __name__ == "__main__":
    sys.exit(main())
