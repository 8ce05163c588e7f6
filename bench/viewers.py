"""Many viewers of one web process, a process of its own: a job as JSON on stdin, figures as JSON on stdout.

The viewers are bare sockets and the events come straight from the log's `append`, so that what is measured is the web
process: its memory and CPU seconds, and how long an event takes from there to its viewer. Meanwhile one more client
starts runs, to see how soon a newcomer is served.
"""

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import django
import uvloop

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from bench import cpu  # noqa: E402 - settings are read once Django is set up
from bench.client import Connection  # noqa: E402
from bench.load import stream  # noqa: E402
from events import log  # noqa: E402

EVENT = "custom"
OPENED_AT_ONCE = 50
SETTLE_SECONDS = 3.0
RUN = {"assistant_id": "burst", "input": {"events": 1}, "stream_mode": ["custom"]}
RUN_PAUSE = 0.05


class Viewer:
    """One open stream: when each of its events arrived after it was appended, in seconds."""

    def __init__(self) -> None:
        self.thread_id = str(uuid4())
        self.delays: list[float] = []
        self.beats = 0

    async def open(self, port: int) -> None:
        """Ask for the thread's stream and read the headers."""
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", port)
        self.writer.write(f"GET /threads/{self.thread_id}/stream HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        head = await self.reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 "), head

    async def watch(self) -> None:
        """Read until the connection ends."""
        while line := await self.reader.readline():
            if line.startswith(b"data: "):
                self.delays.append(time.perf_counter() - float(line[6:]))
            elif line.startswith(b": "):
                self.beats += 1


async def view(job: dict[str, Any]) -> dict[str, Any]:
    """Open `count` viewers, leave them idle for `idle` seconds, then let `streaming` of them get `events` each."""
    # As many connections to Redis as will be needed at once: opening them is none of the server's time.
    await asyncio.gather(*(_append(f"warm-up-{number}") for number in range(job["streaming"])))
    before, empty = cpu.used(job["pids"]), resident(job["pids"]["web"])
    viewers = [Viewer() for _ in range(job["count"])]
    for start in range(0, len(viewers), OPENED_AT_ONCE):
        await asyncio.gather(*(viewer.open(job["port"]) for viewer in viewers[start : start + OPENED_AT_ONCE]))
    opened = cpu.difference(cpu.used(job["pids"]), before)
    tasks = [asyncio.create_task(viewer.watch()) for viewer in viewers]
    await asyncio.sleep(SETTLE_SECONDS)
    before = cpu.used(job["pids"])
    await asyncio.sleep(job["idle"])
    idle = cpu.difference(cpu.used(job["pids"]), before)
    full = resident(job["pids"]["web"])
    before = cpu.used(job["pids"])
    runs, newcomer = await _newcomer(job["port"])
    await asyncio.gather(*(_stream(viewer, job["events"], job["pause"]) for viewer in viewers[: job["streaming"]]))
    newcomer.cancel()
    busy = cpu.difference(cpu.used(job["pids"]), before)
    await asyncio.sleep(1.0)
    found = viewers[: job["streaming"]]
    assert all(len(viewer.delays) == job["events"] for viewer in found), [len(viewer.delays) for viewer in found]
    for task, viewer in zip(tasks, viewers, strict=True):
        task.cancel()
        viewer.writer.close()
    return {
        "memory": full - empty,
        "opened": opened,
        "idle": idle,
        "busy": busy,
        "firsts": [viewer.delays[0] for viewer in found],
        "runs": runs,
        "delays": [delay for viewer in found for delay in viewer.delays],
        "beats": sum(viewer.beats for viewer in viewers),
    }


async def _stream(viewer: Viewer, events: int, pause: float) -> None:
    """Append the viewer's events at an even pace, the first of all viewers not in one moment."""
    await asyncio.sleep(pause * (hash(viewer.thread_id) % 1000) / 1000)
    for _ in range(events):
        await _append(viewer.thread_id)
        await asyncio.sleep(pause)


async def _append(stream_name: str) -> None:
    await log.append(stream_name, "r", [log.Part("r", EVENT, b"%.6f" % time.perf_counter())])


async def _newcomer(port: int) -> tuple[list[float], asyncio.Task[None]]:
    """A client that starts runs until it is cancelled, one after the other, and the seconds to each first event."""
    firsts: list[float] = []

    async def start_runs() -> None:
        async with Connection(port) as connection:
            await stream(connection, RUN, 1)
            while True:
                await asyncio.sleep(RUN_PAUSE)
                firsts.append((await stream(connection, RUN, 1))[0])

    return firsts, asyncio.create_task(start_runs())


def resident(pid: int) -> int:
    """The process's memory in bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    """Do the job."""
    job = json.load(sys.stdin)
    json.dump(uvloop.run(view(job)), sys.stdout)


if __name__ == "__main__":
    main()
