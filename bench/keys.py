"""What guessing at API keys costs those who have one: their requests alone, and beside a thousand wrong keys a second.

As a program (`python -m bench.keys`) it is the load: a job as JSON on stdin, figures as JSON on stdout.
"""

import asyncio
import json
import secrets
import string
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

import uvloop

from bench import cpu
from bench.client import Connection, UnexpectedAnswer
from bench.measure import Measurement
from bench.report import row
from bench.server import ROOT

GOOD, PAUSE_SECONDS = 4, 0.02
SEARCH = {"limit": 1}
WRONG_PER_SECOND, GUESSERS = 1000, 20
LETTERS = string.ascii_letters + string.digits


def guessing(bench: Measurement) -> None:
    """Callers with a key, first alone."""
    argv = [sys.executable, str(ROOT / "manage.py"), "apikey", "create", "bench"]
    key = subprocess.check_output(argv, cwd=ROOT, text=True, stderr=subprocess.DEVNULL).strip()  # noqa: S603 (ours)
    alone = _measured(bench, key, 0, "search with a key")
    beside = _measured(bench, key, WRONG_PER_SECOND, f"the same beside {WRONG_PER_SECOND} wrong keys/s")
    bench.facts["guessing_to_alone"] = beside / alone


def _measured(bench: Measurement, key: str, wrong: int, what: str) -> float:
    """The p95, in milliseconds."""
    length = bench.scale.seconds
    found = bench.server.child("bench.keys", {"key": key, "wrong": wrong, "seconds": length})
    seconds = found["latencies"]
    line = bench.add(row(what, rate=len(seconds) / length, seconds=seconds, cpu=found["cpu"], things=len(seconds)))
    if wrong:
        bench.facts["refused_per_second"] = found["refused"] / length
    return line.p95 or 0.0


SECTIONS: Mapping[str, Any] = {"guessing": guessing}


async def load(job: Mapping[str, Any]) -> dict[str, Any]:
    """`seconds` of requests with the `key`, and `wrong` ones a second."""
    latencies: list[float] = []
    refused = 0
    deadline = time.perf_counter() + job["seconds"]

    async def caller() -> None:
        async with Connection(job["port"]) as connection:
            connection.key = job["key"]
            await connection.request("POST", "/threads/search", SEARCH)
            while (started := time.perf_counter()) < deadline:
                await connection.request("POST", "/threads/search", SEARCH)
                latencies.append(time.perf_counter() - started)
                await asyncio.sleep(PAUSE_SECONDS)

    async def guesser() -> None:
        """Never the same key twice, each with the form of one; at its rate, however long answers take."""
        nonlocal refused
        due = time.perf_counter()
        async with Connection(job["port"]) as connection:
            while due < deadline:
                await asyncio.sleep(max(due - time.perf_counter(), 0))
                due += GUESSERS / job["wrong"]
                connection.key = f"weft_guessing_{''.join(secrets.choice(LETTERS) for _ in range(43))}"
                try:
                    await connection.request("POST", "/threads/search", SEARCH)
                except UnexpectedAnswer as answer:
                    refused += "answered 401" in str(answer)

    before = cpu.used(job["pids"])
    async with asyncio.TaskGroup() as group:
        for _ in range(GOOD):
            group.create_task(caller())
        for _ in range(GUESSERS if job["wrong"] else 0):
            group.create_task(guesser())
    return {"latencies": latencies, "refused": refused, "cpu": cpu.difference(cpu.used(job["pids"]), before)}


if __name__ == "__main__":
    print(json.dumps(uvloop.run(load(json.load(sys.stdin)))))
