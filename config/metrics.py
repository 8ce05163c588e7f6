"""What the processes of this machine count, for Prometheus. What rows can tell is asked of rows (runs/metrics.py).

A process counts in files of its own below METRICS_DIR, mapped into memory, so counting asks nobody; whoever is asked
for /metrics adds up all files. What processes that are gone have counted is kept in one file of each kind.
"""

import fcntl
import os
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from struct import error as StructError

from django.conf import settings
from prometheus_client import REGISTRY, Counter, Gauge, Histogram, values
from prometheus_client.metrics_core import Metric
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector

from config.processes import process_exists

HOST = socket.gethostname().replace("_", "-")
PAST = "past"
LIVE_GAUGE = "gauge_livesum"  # of no interest once its process is gone
# Seconds; latencies are told in milliseconds (contract/platform.md 1.3).
BUCKETS = (0.01, 0.1, 0.5, 1, 5, 15, 30, 60, 120, 300, 600, 1800, 3600)
folder: Path | None = settings.METRICS_DIR


@contextmanager
def _files_locked(place: Path) -> Iterator[None]:
    """Nobody else adds up or reads meanwhile; counting goes on."""
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _fold(place: Path, own: int | None = None) -> None:
    """Add what processes of this host that are gone have counted to the past; a file of our number is not ours yet."""
    for path in place.glob("*.db"):
        kind, _, owner = path.stem.rpartition("_")
        host, _, number = owner.rpartition("-")
        if host != HOST or (int(number) != own and process_exists(int(number))):
            continue
        if kind != LIVE_GAUGE:
            _add(path, place / f"{kind}_{PAST}.db")
        path.unlink()


def _add(path: Path, past: Path) -> None:
    total = MmapedDict(str(past))
    # What was cut off while its process died is lost.
    with suppress(RuntimeError, StructError, UnicodeDecodeError):
        for key, value, *_ in MmapedDict.read_all_values_from_file(str(path)):
            total.write_value(key, total.read_value(key)[0] + value, 0.0)
    total.close()


if folder:
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    with _files_locked(folder):
        _fold(folder, own=os.getpid())
    # Before the first metric is made, for each asks then where it counts.
    values.ValueClass = values.MultiProcessValue(lambda: f"{HOST}-{os.getpid()}")


def _counter(name: str, text: str, *labels: str) -> Counter:
    return Counter(settings.METRIC_PREFIX + name, text, labels)


def _gauge(name: str, text: str) -> Gauge:
    return Gauge(settings.METRIC_PREFIX + name, text, multiprocess_mode="livesum")


def _histogram(name: str, text: str, *labels: str, scale: float = 1) -> Histogram:
    return Histogram(settings.METRIC_PREFIX + name, text, labels, buckets=[bound * scale for bound in BUCKETS])


REQUESTS = _counter("http_requests", "Requests answered.", "method", "path", "status")
LATENCY = _histogram("http_requests_latency", "Milliseconds to a whole answer.", "method", "path", "status", scale=1000)
WORKERS_MAX = _gauge("workers_max", "Runs the workers of this machine may execute at once.")
WORKERS_ACTIVE = _gauge("workers_active", "Runs the workers of this machine execute.")
WORKERS_AVAILABLE = _gauge("workers_available", "Runs more they could execute.")
RUN_WAIT = _histogram("run_wait_seconds", "Seconds a due run waited for its first attempt.", "graph_id")
RUN_DURATION = _histogram("run_duration_seconds", "Seconds from first attempt to end.", "graph_id", "status")
ATTEMPTS = _counter("run_attempts", "Attempts that are over, by what they came to.", "outcome")
LEASES_LOST = _counter("leases_lost", "Attempts that lost their lease, by who found out.", "found_by")
LOOP_STALLS = _histogram("loop_stall_milliseconds", "Milliseconds a node kept its loop from turning.", scale=1000)
WEBHOOKS = _counter("webhook_attempts", "Attempts to deliver a webhook: delivered, or what failed.", "outcome")
VIEWERS = _gauge("stream_viewers", "Readers of event logs, by stream or join or wait.")
APPENDS = _counter("event_log_appends", "Batches appended to event logs.")
PARTS = _counter("event_log_parts", "Events in those batches.")


def collected() -> Iterable[Metric]:
    """What all processes of this machine have counted; in a process that is none of the server's, itself alone."""
    if folder is None:
        return list(REGISTRY.collect())
    with _files_locked(folder):
        _fold(folder)
        # A process that begins makes its file first, and fills it a moment later.
        files = [str(file) for file in folder.glob("*.db") if file.stat().st_size]
        return list(MultiProcessCollector.merge(files))
