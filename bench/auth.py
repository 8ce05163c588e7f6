"""What it costs to ask who is calling: the same request of three web processes, turn by turn."""

import statistics
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any
from uuid import uuid4

from bench.measure import Measurement
from bench.report import row
from bench.server import ROOT, another_web

ROUNDS = 5
OPEN, OWNED = "open", "Auth object, filter by owner"


def thread(bench: Measurement) -> None:
    """GET of a thread, with and without somebody to ask."""
    with ExitStack() as stack:
        owned = stack.enter_context(another_web(bench.server, WEFT_CONFIG=str(ROOT / "bench/owned.json")))
        ports = {OPEN: bench.server.port, OWNED: owned}
        thread_id, scale = str(uuid4()), bench.scale
        turn: dict[str, Any] = {"seconds": scale.seconds / ROUNDS, "warm_up": scale.warm_up / ROUNDS}
        once: dict[str, Any] = {"seconds": 10, "warm_up": 0, "count": 1}
        bench.loop([["POST", "/threads", {"thread_id": thread_id}]], port=owned, **once)
        seconds: dict[str, list[float]] = {what: [] for what in ports}
        for _ in range(ROUNDS):
            for what, port in ports.items():
                found = bench.loop([["GET", f"/threads/{thread_id}", None]], port=port, **turn)
                seconds[what] += found["latencies"]
    for what, taken in seconds.items():
        bench.add(row(f"GET /threads/(id), 1 at a time, {what}", seconds=taken, rate=len(taken) / sum(taken)))
    medians = {what: statistics.median(taken) for what, taken in seconds.items()}
    bench.facts["auth_ms"] = 1000 * (medians[OWNED] - medians[OPEN])


SECTIONS: dict[str, Callable[[Measurement], None]] = {"thread": thread}
