"""GET /metrics: what all processes have counted, and what rows tell of the queue of the whole server.

Source: contract/platform.md 1.3. Never behind authentication, and not counted itself.
"""

import threading
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

from django.conf import settings
from django.db import connection
from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample
from rest_framework.request import Request
from rest_framework.response import Response

from config import metrics
from config.errors import UNAVAILABLE
from config.rest import Endpoint
from runs.models import FIRST_IN_LINE

LOOK_SECONDS = 1.0  # however many ask
DUE = "greatest(created_at, retry_at)"
COUNTED = f"""
SELECT count(*) FILTER (WHERE waits), count(*) FILTER (WHERE NOT waits), count(*) FILTER (WHERE status = 'running'),
       extract(epoch FROM max(now() - due) FILTER (WHERE waits)),
       extract(epoch FROM percentile_cont(0.5) WITHIN GROUP (ORDER BY now() - due) FILTER (WHERE waits)),
       (SELECT extract(epoch FROM now() - {DUE}) FROM runs_run AS run
         WHERE status = 'pending' AND {DUE} <= now() AND {FIRST_IN_LINE} ORDER BY created_at LIMIT 1)
  FROM (SELECT status, {DUE} AS due, CASE status WHEN 'pending' THEN {DUE} <= now() END AS waits
          FROM runs_run WHERE status IN ('pending', 'running')) AS in_flight
"""  # noqa: S608 - our own text
EXPLAINED = {
    "num_pending_runs": "Runs that are due and wait for a worker.",
    "num_delayed_runs": "Runs that are not due yet.",
    "num_running_runs": "Runs in execution.",
    "pending_runs_wait_time_max_seconds": "How long the oldest of the pending runs has waited.",
    "pending_runs_wait_time_med_seconds": "The median of how long pending runs have waited.",
    "pending_unblocked_runs_wait_time_max_seconds": "The longest wait of a run with no other before it on its thread.",
}


@dataclass(frozen=True)
class Figures:
    """What rows tell, by the names in EXPLAINED: no wait while nothing waits, nothing at all without PostgreSQL."""

    num_pending_runs: int | None = None
    num_delayed_runs: int | None = None
    num_running_runs: int | None = None
    pending_runs_wait_time_max_seconds: float | None = None
    pending_runs_wait_time_med_seconds: float | None = None
    pending_unblocked_runs_wait_time_max_seconds: float | None = None


class Rows:
    """The figures, asked for at most once in LOOK_SECONDS."""

    def __init__(self) -> None:
        self.figures = Figures()
        self.looked = float("-inf")
        self.lock = threading.Lock()

    def look(self) -> Figures:
        """As they are, or were a moment ago."""
        with self.lock:
            if time.monotonic() - self.looked > LOOK_SECONDS:
                self.figures = _counted()
                self.looked = time.monotonic()
            return self.figures


@cache
def rows() -> Rows:
    """This process's."""
    return Rows()


def _counted() -> Figures:
    try:
        with connection.cursor() as cursor:
            cursor.execute(COUNTED)
            found = cursor.fetchone()
    except UNAVAILABLE:
        return Figures()
    return Figures(*found[:3], *(None if wait is None else round(float(wait), 3) for wait in found[3:]))


class Everything(Collector):
    """The rows' figures and what was counted, as generate_latest takes it."""

    def collect(self) -> list[Metric]:
        """Those without a value are left out."""
        told = asdict(rows().look())
        gauges = [
            GaugeMetricFamily(settings.METRIC_PREFIX + name, EXPLAINED[name], value)
            for name, value in told.items()
            if value is not None
        ]
        return [*gauges, *metrics.collected()]


class Metrics(Endpoint):
    """GET /metrics"""

    @extend_schema(
        operation_id="get_metrics",
        parameters=[OpenApiParameter("format", OpenApiTypes.STR, enum=["prometheus", "json"])],
        responses={(200, "text/plain"): OpenApiTypes.STR},
    )
    def get(self, request: Request) -> HttpResponse:
        """Prometheus's text, or with `format=json` a few of the figures."""
        if request.query_params.get("format") == "json":
            return Response(_as_json(rows().look()))
        return HttpResponse(generate_latest(Everything()), content_type=CONTENT_TYPE_LATEST)


def _as_json(told: Figures) -> dict[str, Any]:
    samples = [sample for metric in metrics.collected() for sample in metric.samples]
    bare = {sample.name: int(sample.value) for sample in samples if not sample.labels}
    workers = {kind: bare.get(f"{settings.METRIC_PREFIX}workers_{kind}", 0) for kind in ("max", "active", "available")}
    return {
        "queue": {
            "n_pending": told.num_pending_runs,
            "pending_runs_wait_time_max_secs": told.pending_runs_wait_time_max_seconds,
            "pending_runs_wait_time_med_secs": told.pending_runs_wait_time_med_seconds,
            "pending_unblocked_runs_wait_time_max_secs": told.pending_unblocked_runs_wait_time_max_seconds,
            "n_running": told.num_running_runs,
        },
        "api": {"http_requests_total": _requests(samples)},
        **({"workers": workers} if settings.N_JOBS_PER_WORKER else {}),
        **_pool(),
    }


def _requests(samples: Iterable[Sample]) -> list[dict[str, Any]]:
    name = f"{settings.METRIC_PREFIX}http_requests_total"
    return [
        {**sample.labels, "status": int(sample.labels["status"]), "count": int(sample.value)}
        for sample in samples
        if sample.name == name
    ]


def _pool() -> dict[str, Any]:
    """Of the process that answers."""
    pool = connection.pool  # type: ignore[attr-defined]
    stats = pool.get_stats() if pool else {}
    names = {
        "pool_max": "pool_max",
        "pool_size": "pool_size",
        "pool_available": "pool_available",
        "requests_queued": "requests_waiting",
        "requests_errors": "requests_errors",
    }
    return {"postgres": {name: stats.get(key, 0) for name, key in names.items()}} if stats else {}
