"""The sections of the table: what is asked of the server, how long, and which line comes out."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from bench.report import Row, row
from bench.server import Server

RUN = {"assistant_id": "one", "input": {"text": "hello"}}
THREAD_RUN = {**RUN, "if_not_exists": "create"}
STATELESS_WAIT = ["POST", "/runs/wait", RUN]
THREAD_WAIT = ["POST", "/threads/{new}/runs/wait", THREAD_RUN]
# A node that takes a second, many times on one worker.
SLEEPS, SLEEP_SECONDS, MANY_SLOTS = 200, 1.0, 100
# Long enough for everything of the request before to be over.
PAUSE_SECONDS = 0.05
LIMIT_SECONDS = 300
CONCURRENCY = 16
CROWD_EVENTS = 5000


@dataclass(frozen=True)
class Scale:
    """How much of everything: seconds, runs, streams."""

    seconds: float
    warm_up: float
    idle: float
    runs: int
    floor_runs: int
    short_streams: int
    long_streams: int
    first_events: int


FULL = Scale(
    seconds=10.0, warm_up=3.0, idle=10.0, runs=2000, floor_runs=3000, short_streams=20, long_streams=3, first_events=100
)
QUICK = Scale(
    seconds=1.0, warm_up=0.5, idle=0.0, runs=60, floor_runs=100, short_streams=3, long_streams=1, first_events=10
)


@dataclass
class Measurement:
    """A server under measurement: the table's lines so far, and what `facts` are said below it."""

    server: Server
    scale: Scale
    rows: list[Row]
    facts: dict[str, float]

    def load(self, **job: Any) -> dict[str, Any]:
        """The load generator's answer to a job."""
        return self.server.child("bench.load", job)

    def loop(self, requests: list[Any], *, concurrency: int = 1, **job: Any) -> dict[str, Any]:
        """Requests around and around, by default for the scale's time after its warm-up and without a pause."""
        usual = {
            "seconds": self.scale.seconds,
            "warm_up": self.scale.warm_up,
            "pause": 0,
            "count": None,
            "database": "",
        }
        return self.load(kind="loop", requests=requests, concurrency=concurrency, **{**usual, **job})

    def add(self, line: Row) -> Row:
        """A line for the table."""
        self.rows.append(line)
        return line


def wait(bench: Measurement) -> None:
    """Runs a client waits for: alone on an idle server, then as many as the server can do."""
    if bench.scale.idle:
        idle = bench.load(kind="idle", seconds=bench.scale.idle)
        bench.facts["idle_cpu_percent"] = 100 * sum(idle["cpu"].values()) / bench.scale.idle
    _waiting(bench, "POST /runs/wait, 1 at a time, pauses between", STATELESS_WAIT, 1, PAUSE_SECONDS)
    for concurrency in (CONCURRENCY, 64):
        line = _waiting(bench, f"POST /runs/wait, {concurrency} at a time", STATELESS_WAIT, concurrency)
        _remember(bench, f"stateless_{concurrency}", line)
    line = _waiting(bench, f"POST /threads/(new)/runs/wait, {CONCURRENCY} at a time", THREAD_WAIT, CONCURRENCY)
    _remember(bench, "thread", line)


def _waiting(bench: Measurement, what: str, request: list[Any], concurrency: int, pause: float = 0) -> Row:
    found = bench.loop([request], concurrency=concurrency, pause=pause)
    count = len(found["latencies"])
    rate = None if pause else count / found["elapsed"]
    return bench.add(row(what, rate=rate, seconds=found["latencies"], cpu=found["cpu"], things=count))


def floor(bench: Measurement) -> None:
    """The same graph without a server: nothing that keeps checkpoints can cost less."""
    job = {"database": bench.server.database, "concurrency": CONCURRENCY, "count": bench.scale.floor_runs}
    postgres = {"postgres": bench.server.pids["postgres"]}
    found = bench.server.child("bench.floor", {**job, "pids": postgres})
    rate = bench.scale.floor_runs / found["elapsed"]
    what = f"floor: ainvoke with checkpoints, {CONCURRENCY} at a time"
    line = row(what, rate=rate, seconds=found["latencies"], cpu=found["cpu"], things=bench.scale.floor_runs)
    _remember(bench, "floor", bench.add(line))


def background(bench: Measurement) -> None:
    """Runs nobody waits for, one on each of many threads, until the last is over."""
    bench.loop([THREAD_WAIT], concurrency=CONCURRENCY, seconds=bench.scale.warm_up, warm_up=0)
    count = bench.scale.runs
    threads = [str(uuid4()) for _ in range(count)]
    once: dict[str, Any] = {"seconds": LIMIT_SECONDS, "warm_up": 0, "count": count, "concurrency": CONCURRENCY}
    bench.loop([["POST", "/threads", {"thread_id": thread}] for thread in threads], **once)
    requests = [["POST", f"/threads/{thread}/runs", RUN] for thread in threads]
    found = bench.loop(requests, database=bench.server.database, **once)
    what = f"POST /threads/(id)/runs, {count:,} threads, answered"
    bench.add(row(what, rate=count / found["answered"], seconds=found["latencies"]))
    bench.add(row("  and all of them done", rate=count / found["elapsed"], cpu=found["cpu"], things=count))


def pickup(bench: Measurement) -> None:
    """How soon a node begins on an idle server, and how long a worker takes for more runs than it has slots."""
    body: dict[str, Any] = {"assistant_id": "moment", "input": {"seconds": 0}, "if_not_exists": "create"}
    started = bench.load(kind="starts", body=body, count=bench.scale.first_events, pause=PAUSE_SECONDS)
    bench.add(row("POST /threads/(new)/runs/wait to the node's start, idle", seconds=started["starts"]))
    with bench.server.slots(MANY_SLOTS):
        bench.loop([THREAD_WAIT], concurrency=MANY_SLOTS, count=MANY_SLOTS, seconds=LIMIT_SECONDS, warm_up=0)
        request = ["POST", "/threads/{new}/runs", {**body, "input": {"seconds": SLEEP_SECONDS}}]
        once: dict[str, Any] = {"count": SLEEPS, "seconds": LIMIT_SECONDS, "warm_up": 0, "concurrency": CONCURRENCY}
        found = bench.loop([request], database=bench.server.database, **once)
    bench.facts["makespan_seconds"] = found["elapsed"]
    what = f"{SLEEPS} runs of {SLEEP_SECONDS:g} s, one worker with {MANY_SLOTS} slots"
    bench.add(row(what, rate=SLEEPS / found["elapsed"], cpu=found["cpu"], things=SLEEPS))


def events(bench: Measurement) -> None:
    """Custom events of one run at one viewer, and how soon the first one is there."""
    found = _streams(bench, 5, bench.scale.first_events, PAUSE_SECONDS)
    bench.add(row("SSE: request to first custom event", seconds=found["firsts"]))
    for count, repeat in ((1000, bench.scale.short_streams), (20_000, bench.scale.long_streams)):
        found = _streams(bench, count, repeat, 0)
        line = row(
            f"SSE: events of one stream of {count:,}",
            rate=count / statistics.median(found["totals"]),
            cpu=found["cpu"],
            things=count * repeat,
        )
        bench.add(line)
    body = {"assistant_id": "burst", "input": {"events": CROWD_EVENTS}, "stream_mode": ["custom"]}
    many = {"body": body, "events": CROWD_EVENTS, "concurrency": CONCURRENCY, "count": bench.scale.long_streams}
    found = bench.load(kind="together", **many)
    count = CROWD_EVENTS * CONCURRENCY * bench.scale.long_streams
    what = f"SSE: events of {CONCURRENCY} streams of {CROWD_EVENTS:,} at a time"
    bench.add(row(what, rate=count / found["elapsed"], cpu=found["cpu"], things=count))


def protocol(bench: Measurement) -> None:
    """Events of the event-streaming protocol at one WebSocket: how soon each is there, then as many as there can be."""
    job = {"events": bench.scale.first_events, "count": 1, "pause": PAUSE_SECONDS}
    found = bench.server.child("bench.sockets", job)
    bench.add(row("WebSocket: node to event, one every 50 ms", seconds=found["delays"]))
    for count, repeat in ((1000, bench.scale.short_streams), (20_000, bench.scale.long_streams)):
        found = bench.server.child("bench.sockets", {"events": count, "count": repeat, "pause": 0})
        line = row(
            f"WebSocket: events of one stream of {count:,}",
            rate=count / statistics.median(found["totals"]),
            cpu=found["cpu"],
            things=count * repeat,
        )
        bench.add(line)


def viewers(bench: Measurement) -> None:
    """A thousand open streams of one web process: idle, and while a hundred of them get an event every 50 ms."""
    idle, events, streaming, count = max(bench.scale.idle, 2.0), bench.scale.first_events, 100, 1000
    job = {"count": count, "idle": idle, "streaming": streaming, "events": events, "pause": 0.05}
    found = bench.server.child("bench.viewers", job)
    bench.facts["viewers_megabytes"] = found["memory"] / 1024 / 1024
    bench.facts["viewers_idle_web_cpu_percent"] = 100 * found["idle"]["web"] / idle
    bench.add(row(f"opening {count:,} thread streams", cpu=found["opened"], things=count))
    what = f"{streaming} of {count:,} viewers: append to first event"
    bench.add(row(what, seconds=found["firsts"], cpu=found["busy"], things=streaming * events))
    bench.add(row("  to any event", seconds=found["delays"]))
    bench.add(row("  meanwhile, SSE: request to first custom event of a run", seconds=found["runs"]))


def _streams(bench: Measurement, count: int, repeat: int, pause: float) -> dict[str, Any]:
    body = {"assistant_id": "burst", "input": {"events": count}, "stream_mode": ["custom"]}
    return bench.load(kind="streams", body=body, events=count, count=repeat, pause=pause)


def _remember(bench: Measurement, name: str, line: Row) -> None:
    """Keep what the ratios are made of."""
    assert line.rate and line.cpu
    bench.facts[f"{name}_per_second"], bench.facts[f"{name}_cpu"] = line.rate, line.cpu


def remarks(facts: dict[str, float]) -> list[str]:
    """What is said below the table."""
    said = []
    if "idle_cpu_percent" in facts:
        said.append(f"Idle, all parts together use {facts['idle_cpu_percent']:.1f} % of one core.")
    recalls = {name: share for name, share in facts.items() if name.startswith("recall")}
    if recalls:
        said.append(
            "Of the ten nearest are found: " + "; ".join(f"{n[8:]} {share:.3f}" for n, share in recalls.items())
        )
    if "makespan_seconds" in facts:
        at_least = SLEEPS / MANY_SLOTS * SLEEP_SECONDS
        said.append(
            f"{SLEEPS} runs of {SLEEP_SECONDS:g} s on {MANY_SLOTS} slots were over after"
            f" {facts['makespan_seconds']:.2f} s, of which {at_least:g} s are sleep."
        )
    if "auth_ms" in facts:
        said.append(f"To ask who is calling, and what they may see, takes {facts['auth_ms']:.2f} ms of the median.")
    if "guessing_to_alone" in facts:
        said.append(
            f"{facts['refused_per_second']:.0f} wrong keys a second make the p95 of good callers"
            f" {facts['guessing_to_alone']:.2f} times as long."
        )
    if "crons_seconds" in facts:
        said.append(f"The last of the crons had its run after {facts['crons_seconds']:.1f} s, each of them one.")
    if "viewers_megabytes" in facts:
        said.append(
            f"1,000 open streams take {facts['viewers_megabytes']:.0f} MB of the web process and, idle,"
            f" {facts['viewers_idle_web_cpu_percent']:.1f} % of one core."
        )
    if "floor_cpu" in facts and "thread_cpu" in facts:
        for name, what in (("thread", "on threads"), (f"stateless_{CONCURRENCY}", "stateless, no checkpoints")):
            rate = facts[f"{name}_per_second"] / facts["floor_per_second"]
            cpu = facts[f"{name}_cpu"] / facts["floor_cpu"]
            facts[f"{name}_to_floor"], facts[f"{name}_cpu_to_floor"] = rate, cpu
            said.append(f"Server to floor, {what}: {rate:.2f} times the runs/s, {cpu:.2f} times the CPU per run.")
    return said


# In the order in which they run: what is compared stands close together.
SECTIONS: dict[str, Callable[[Measurement], None]] = {
    "wait": wait,
    "floor": floor,
    "background": background,
    "pickup": pickup,
    "events": events,
    "protocol": protocol,
    "viewers": viewers,
}
