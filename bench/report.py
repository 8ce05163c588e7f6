"""What was measured, as one table for people and one document for programs."""

import os
import platform
import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psycopg
import redis

from bench.server import JOBS_PER_WORKER, Server

PARTS = ("web", "worker", "beat", "postgres", "redis", "floor")
HEADINGS = ("", "per s", "p50 ms", "p95 ms", "p99 ms", "CPU s/1,000", *PARTS)
FSYNCS = 50


@dataclass
class Row:
    """One line: things per second, latencies in ms, CPU seconds per 1,000 things in all and by part."""

    what: str
    rate: float | None = None
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None
    cpu: float | None = None
    parts: dict[str, float] = field(default_factory=dict)

    def cells(self) -> list[str]:
        """The line's cells."""
        latencies = [_number(value) for value in (self.p50, self.p95, self.p99)]
        parts = [_number(self.parts.get(name)) for name in PARTS]
        return [self.what, _number(self.rate), *latencies, _number(self.cpu), *parts]


def row(
    what: str,
    *,
    rate: float | None = None,
    seconds: Sequence[float] = (),
    cpu: Mapping[str, float] | None = None,
    things: int = 0,
) -> Row:
    """A line from raw figures: the seconds each thing took, and the CPU seconds that all `things` took together."""
    found = Row(what, rate)
    if seconds:
        found.p50, found.p95, found.p99 = (1000 * percentile(seconds, share) for share in (50, 95, 99))
    if cpu and things:
        found.parts = {name: 1000 * spent / things for name, spent in cpu.items()}
        found.cpu = sum(found.parts.values())
    return found


def percentile(values: Sequence[float], share: int) -> float:
    """The value that `share` percent stay below; between two of them by their distance."""
    if len(values) == 1:
        return values[0]
    return statistics.quantiles(values, n=100, method="inclusive")[share - 1]


def table(rows: Iterable[Row]) -> str:
    """The lines under their headings; a column nothing is in is left out."""
    lines = [list(HEADINGS), *(line.cells() for line in rows)]
    columns = [column for column in zip(*lines, strict=True) if any(column[1:])]
    widths = [max(map(len, column)) for column in columns]
    return "\n".join(_line(cells, widths) for cells in zip(*columns, strict=True))


def document(machine: Mapping[str, Any], rows: Iterable[Row], facts: Mapping[str, float]) -> dict[str, Any]:
    """Everything, to be written as JSON."""
    return {"machine": dict(machine), "rows": [asdict(line) for line in rows], "facts": dict(facts)}


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    others = (cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True))
    return "  ".join([cells[0].ljust(widths[0]), *others]).rstrip()


def _number(value: float | None) -> str:
    """Three digits that matter; nothing for None."""
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def machine(server: Server) -> dict[str, Any]:
    """What the figures depend on besides the code."""
    with psycopg.connect(server.database) as connection:
        postgres = connection.execute("SHOW server_version").fetchone()
    client: Any = redis.Redis.from_url(server.redis)
    with client:
        redis_version = client.info("server")["redis_version"]
    return {
        "time": time.strftime("%Y-%m-%d %H:%M:%S%z"),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "load": round(os.getloadavg()[0], 2),
        "fsync_ms": round(1000 * _fsync_seconds(server.state), 2),
        "python": platform.python_version(),
        "langgraph": version("langgraph"),
        "postgres": postgres[0] if postgres else "",
        "redis": redis_version,
        "jobs_per_worker": JOBS_PER_WORKER,
    }


def header(found: Mapping[str, Any]) -> str:
    """The machine in three lines."""
    return (
        f"{found['cores']} cores ({found['processor']}), load {found['load']}, fsync {found['fsync_ms']} ms;"
        f" {found['time']}\n"
        f"Python {found['python']}, langgraph {found['langgraph']}, PostgreSQL {found['postgres']} (durable),"
        f" Redis {found['redis']}; 1 web, 1 worker with {found['jobs_per_worker']} slots, 1 beat\n"
        "Figures of a machine with other things to do compare only within one table."
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _fsync_seconds(folder: Path) -> float:
    """The median time of an fsync after 8 KiB, which every durable commit waits for."""
    path, times = folder / "fsync", []
    with path.open("wb", buffering=0) as file:
        for _ in range(FSYNCS):
            file.write(bytes(8192))
            started = time.perf_counter()
            os.fsync(file.fileno())
            times.append(time.perf_counter() - started)
    path.unlink()
    return statistics.median(times)
