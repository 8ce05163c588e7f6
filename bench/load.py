"""The load generator, a process of its own: a job as JSON on stdin, figures as JSON on stdout.

It also reads the servers' CPU seconds, because only it knows when the measured part begins and ends.
"""

import asyncio
import itertools
import json
import sys
import time
import uuid
from typing import Any

import psycopg
import uvloop

from bench import cpu
from bench.client import Connection, UnexpectedAnswer

# What a run still does after its answer went out belongs to it.
SETTLE_SECONDS = 0.2
POLL_SECONDS = 0.05
IN_FLIGHT = {"pending", "running"}
STATUSES = "SELECT DISTINCT status FROM runs_run"
CUSTOM_EVENT = b"event: custom\r\n"


async def loop(job: dict[str, Any]) -> dict[str, Any]:
    """`requests` (method, path, body) around and around, `concurrency` at a time, for `seconds` or `count` of them.

    `{new}` in a path becomes a new UUID; with `database` it is over only when no run there is in flight.
    """
    if job["warm_up"]:
        await _requests({**job, "seconds": job["warm_up"], "count": None})
        await asyncio.sleep(SETTLE_SECONDS)
    before, started = cpu.used(job["pids"]), time.perf_counter()
    latencies = await _requests(job)
    answered = time.perf_counter() - started
    if job["database"]:
        async with asyncio.timeout(job["seconds"]):
            await _drained(job["database"])
    elapsed = time.perf_counter() - started
    await asyncio.sleep(SETTLE_SECONDS)
    spent = cpu.difference(cpu.used(job["pids"]), before)
    return {"latencies": latencies, "answered": answered, "elapsed": elapsed, "cpu": spent}


async def _requests(job: dict[str, Any]) -> list[float]:
    """The seconds each request took."""
    source = itertools.islice(itertools.cycle(job["requests"]), job["count"])
    deadline = time.perf_counter() + job["seconds"]
    latencies: list[float] = []

    async def client() -> None:
        async with Connection(job["port"]) as connection:
            for method, path, body in source:
                await asyncio.sleep(job["pause"])
                started = time.perf_counter()
                if started > deadline:
                    return
                await connection.request(method, path.replace("{new}", str(uuid.uuid4())), body)
                latencies.append(time.perf_counter() - started)

    async with asyncio.TaskGroup() as group:
        for _ in range(job["concurrency"]):
            group.create_task(client())
    return latencies


async def _drained(database: str) -> None:
    """Return when every run is over. Raises UnexpectedAnswer when one did not succeed."""
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        while True:
            statuses = {status for (status,) in await (await connection.execute(STATUSES)).fetchall()}
            if not statuses & IN_FLIGHT:
                break
            await asyncio.sleep(POLL_SECONDS)
    if statuses != {"success"}:
        raise UnexpectedAnswer(f"The runs ended as {', '.join(sorted(statuses))}")


async def streams(job: dict[str, Any]) -> dict[str, Any]:
    """`count` streams one after the other, the first not measured: seconds to the first custom event and to the end.

    Raises AssertionError when a stream has another number of events than `events`.
    """
    firsts, totals = [], []
    before: dict[str, float] = {}
    async with Connection(job["port"]) as connection:
        for number in range(job["count"] + 1):
            await asyncio.sleep(max(job["pause"], SETTLE_SECONDS if number < 2 else 0))
            if number == 1:
                before = cpu.used(job["pids"])
            first, total = await stream(connection, job["body"], job["events"])
            if number:
                firsts.append(first)
                totals.append(total)
    await asyncio.sleep(SETTLE_SECONDS)
    return {"firsts": firsts, "totals": totals, "cpu": cpu.difference(cpu.used(job["pids"]), before)}


async def starts(job: dict[str, Any]) -> dict[str, Any]:
    """`count` runs one after the other on an idle server: seconds from sending the request to the node's first line."""
    seconds = []
    async with Connection(job["port"]) as connection:
        for number in range(job["count"] + 1):
            await asyncio.sleep(job["pause"])
            sent = time.time()
            answer = await connection.request("POST", f"/threads/{uuid.uuid4()}/runs/wait", job["body"])
            if number:
                seconds.append(json.loads(answer)["at"] - sent)
    return {"starts": seconds}


async def together(job: dict[str, Any]) -> dict[str, Any]:
    """`concurrency` clients, each with `count` streams one after the other: the seconds until all are over."""

    async def client() -> None:
        async with Connection(job["port"]) as connection:
            for _ in range(job["count"]):
                await stream(connection, job["body"], job["events"])

    before, started = cpu.used(job["pids"]), time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(job["concurrency"]):
            group.create_task(client())
    elapsed = time.perf_counter() - started
    await asyncio.sleep(SETTLE_SECONDS)
    return {"elapsed": elapsed, "cpu": cpu.difference(cpu.used(job["pids"]), before)}


async def stream(connection: Connection, body: dict[str, Any], events: int) -> tuple[float, float]:
    """A run's stream: the seconds to its first custom event and to its end. Raises AssertionError as `streams` does."""
    started, first, found, rest = time.perf_counter(), 0.0, 0, b""
    async for chunk in connection.stream("POST", "/runs/stream", body):
        # A frame may be torn apart by the chunks.
        text = rest + chunk
        rest = text[-len(CUSTOM_EVENT) + 1 :]
        found += text.count(CUSTOM_EVENT)
        if found and not first:
            first = time.perf_counter() - started
    assert found == events, f"{found} events instead of {events}"
    return first, time.perf_counter() - started


async def idle(job: dict[str, Any]) -> dict[str, Any]:
    """What the servers use while nobody asks them anything for `seconds`."""
    before = cpu.used(job["pids"])
    await asyncio.sleep(job["seconds"])
    return {"cpu": cpu.difference(cpu.used(job["pids"]), before)}


KINDS = {"loop": loop, "starts": starts, "streams": streams, "together": together, "idle": idle}


def main() -> None:
    """Do the job."""
    job = json.load(sys.stdin)
    json.dump(uvloop.run(KINDS[job["kind"]](job)), sys.stdout)


if __name__ == "__main__":
    main()
