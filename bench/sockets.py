"""One client of the event-streaming protocol over a WebSocket, a process of its own: a job as JSON on stdin, figures as
JSON on stdout.
"""

import asyncio
import json
import sys
import time
from typing import Any
from uuid import uuid4

import uvloop
import websockets

from bench import cpu

SETTLE_SECONDS = 0.2
ENDS = ('"event":"completed"', '"event":"failed"', '"event":"interrupted"')


async def follow(job: dict[str, Any]) -> dict[str, Any]:
    """Runs of the graph `burst`, one after the other, the first not measured, each on a thread of its own.

    Answers how long each event took from the graph's node to here, and each run from its first event to its last.
    """
    delays: list[float] = []
    totals: list[float] = []
    before: dict[str, float] = {}
    for number in range(job["count"] + 1):
        await asyncio.sleep(SETTLE_SECONDS)
        if number == 1:
            before = cpu.used(job["pids"])
        found = await _run(job)
        if number:
            delays += found[0]
            totals.append(found[1])
    await asyncio.sleep(SETTLE_SECONDS)
    return {"delays": delays, "totals": totals, "cpu": cpu.difference(cpu.used(job["pids"]), before)}


async def _run(job: dict[str, Any]) -> tuple[list[float], float]:
    """The delays of a run's events, and the seconds from its first event to its last."""
    url = f"ws://127.0.0.1:{job['port']}/threads/{uuid4()}/stream/events"
    arrived: list[tuple[float, str]] = []
    async with websockets.connect(url, compression=None, max_queue=None) as socket:
        await _command(socket, "subscription.subscribe", channels=["custom", "lifecycle"])
        given = {"events": job["events"], "pause": job["pause"]}
        await _command(socket, "run.start", assistant_id="events", input=given)
        while not (arrived and _is_end(arrived[-1][1])):
            text = str(await socket.recv())
            if '"type":"event"' in text[:20]:
                arrived.append((time.time(), text))
    return _figures(arrived, job["events"])


def _figures(arrived: list[tuple[float, str]], events: int) -> tuple[list[float], float]:
    found = [(at, json.loads(text)) for at, text in arrived]
    custom = [(at, event) for at, event in found if event["method"] == "custom"]
    assert len(custom) == events, f"{len(custom)} events instead of {events}"
    delays = [at - event["params"]["data"]["at"] for at, event in custom]
    return delays, custom[-1][0] - custom[0][0]


def _is_end(text: str) -> bool:
    return '"method":"lifecycle"' in text and any(end in text for end in ENDS)


async def _command(socket: Any, method: str, **params: Any) -> None:
    """Send a command; raises AssertionError unless it is carried out. No event comes before its answer here."""
    await socket.send(json.dumps({"id": 1, "method": method, "params": params}))
    answer = json.loads(await socket.recv())
    assert answer["type"] == "success", answer


def main() -> None:
    """Do the job."""
    job = json.load(sys.stdin)
    json.dump(uvloop.run(follow(job)), sys.stdout)


if __name__ == "__main__":
    main()
