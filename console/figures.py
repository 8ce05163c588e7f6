"""What the admin's first page counts: five queries, each bounded however many rows there are. Changes nothing."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import Count, Min, Q, QuerySet
from django.db.models.fields.json import KT

from runs.admin import error_line
from runs.models import Run, RunStatus
from threads.models import ThreadStatus

HOURS = 24
RECENT_RUNS = 50_000
COUNTED_THREADS = 10_000
WORKERS = 20
FAILURES = 8
SILENT_AFTER = timedelta(hours=1)

BY_HOUR = """
SELECT date_trunc('hour', created_at), status, count(*)
  FROM (SELECT created_at, status FROM runs_run WHERE created_at > %(since)s AND created_at <= %(now)s
         ORDER BY created_at DESC LIMIT %(most)s) AS recent
 GROUP BY 1, 2
"""
SEEN = "coalesce(ended_at, CASE WHEN status = 'running' THEN least(%(now)s, lease_expires_at) END, updated_at)"
BY_WORKER = f"""
SELECT worker, count(*) FILTER (WHERE status = 'running') AS running, count(*), max(seen)
  FROM ((SELECT worker, status, {SEEN} AS seen FROM runs_run
          WHERE created_at > %(since)s AND created_at <= %(now)s ORDER BY created_at DESC LIMIT %(most)s)
        UNION ALL
        (SELECT worker, status, {SEEN} FROM runs_run
          WHERE status = 'running' AND created_at <= %(since)s)) AS taken
 WHERE worker <> ''
 GROUP BY worker
HAVING max(seen) > %(silent)s OR count(*) FILTER (WHERE status = 'running') > 0
 ORDER BY running DESC, max(seen) DESC LIMIT %(workers)s
"""  # noqa: S608 - our own words
BY_THREAD_STATUS = " UNION ALL ".join(
    f"SELECT '{status}', count(*) FROM (SELECT FROM threads_thread WHERE status = '{status}' LIMIT %(most)s) AS counted"  # noqa: S608 - our own words
    for status in ThreadStatus.values
)


@dataclass(frozen=True)
class Queue:
    """What waits and what runs. `lost` runs have a lease that ran out; the sweeper takes them back in seconds."""

    due: int
    delayed: int
    running: int
    lost: int
    oldest: datetime | None


@dataclass(frozen=True)
class Hour:
    """The runs created in one hour, by status."""

    start: datetime
    counts: Counter[str]


@dataclass(frozen=True)
class Worker:
    """A process that ran something lately. A live lease means it was seen just now."""

    name: str
    running: int
    taken: int
    seen: datetime


@dataclass(frozen=True)
class Failure:
    """A run that failed."""

    run_id: str
    graph: str
    status: str
    ended: datetime | None
    error: str


def queue(now: datetime) -> Queue:
    """Read from the partial indexes of pending and running runs."""
    due, running = Q(status=RunStatus.PENDING, created_at__lte=now), Q(status=RunStatus.RUNNING)
    counts = Run.objects.in_flight().aggregate(
        due=Count("pk", filter=due),
        delayed=Count("pk", filter=Q(status=RunStatus.PENDING, created_at__gt=now)),
        running=Count("pk", filter=running),
        lost=Count("pk", filter=running & Q(lease_expires_at__lt=now)),
        oldest=Min("created_at", filter=due),
    )
    return Queue(**counts)


def hours(now: datetime) -> list[Hour]:
    """The last 24 hours, the current one last; of more than RECENT_RUNS runs only the latest."""
    current = now.replace(minute=0, second=0, microsecond=0)
    found = {current - timedelta(hours=back): Counter[str]() for back in reversed(range(HOURS))}
    arguments = {"since": current - timedelta(hours=HOURS - 1), "now": now, "most": RECENT_RUNS}
    for start, status, count in _rows(BY_HOUR, arguments):
        found.setdefault(start, Counter())[status] += count
    return [Hour(start, counts) for start, counts in found.items()]


def workers(now: datetime) -> list[Worker]:
    """Those seen in the last hour or running something, the busiest first."""
    since = now - timedelta(hours=HOURS)
    arguments = {"since": since, "now": now, "most": RECENT_RUNS, "silent": now - SILENT_AFTER, "workers": WORKERS}
    return [Worker(*row) for row in _rows(BY_WORKER, arguments)]


def threads() -> dict[str, int]:
    """Threads by status; COUNTED_THREADS means so many or more."""
    return dict(_rows(BY_THREAD_STATUS, {"most": COUNTED_THREADS}))


def failures() -> list[Failure]:
    """The latest, newest first."""
    return [
        Failure(str(run_id), graph or "", status, ended, error_line(error))
        for run_id, graph, status, ended, error in _latest(RunStatus.ERROR)
        .union(_latest(RunStatus.TIMEOUT), all=True)
        .order_by("-ended_at")[:FAILURES]
    ]


def _latest(status: str) -> QuerySet[Run, tuple[Any, ...]]:
    """By status and time of creation, as the index has them."""
    rows = Run.objects.filter(status=status).annotate(graph=KT("kwargs__config__configurable__graph_id"))
    return rows.order_by("-created_at").values_list("run_id", "graph", "status", "ended_at", "error")[:FAILURES]


def _rows(statement: str, arguments: dict[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, arguments)
        return list(cursor.fetchall())
