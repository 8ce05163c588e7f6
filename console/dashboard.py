"""The admin's first page: figures made ready for its template. Asks console.figures, changes nothing."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from config.admin import ago, badge, span
from console import figures
from console.live import Topic, polled
from runs.admin import COLOURS as RUN_COLOURS
from runs.models import RunStatus
from threads.admin import COLOURS as THREAD_COLOURS
from threads.models import ThreadStatus

# The order in which statuses are stacked, from the bottom up.
STACKED = (
    RunStatus.SUCCESS,
    RunStatus.INTERRUPTED,
    RunStatus.ERROR,
    RunStatus.TIMEOUT,
    RunStatus.RUNNING,
    RunStatus.PENDING,
)


@dataclass(frozen=True)
class Card:
    """One large number."""

    title: str
    value: str
    note: str
    url: str
    alarming: bool = False


def show_figures(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """unfold's DASHBOARD_CALLBACK: the index page's context, with figures for those who may see runs and threads."""
    if not request.user.has_perms(["runs.view_run", "threads.view_thread"]):
        return context
    now = timezone.now()
    hours = figures.hours(now)
    return {
        **context,
        "title": "Overview",
        "figures": {
            "cards": _cards(figures.queue(now), now),
            "hours": _bars(hours),
            "runs": _run_totals(hours),
            "threads": _thread_totals(figures.threads()),
            "workers": [{"worker": worker, "seen": ago(worker.seen)} for worker in figures.workers(now)],
            "failures": [_failure_row(failure) for failure in figures.failures()],
            "clipped": f"{figures.RECENT_RUNS:,}" if _total(hours) >= figures.RECENT_RUNS else "",
        },
    }


def _total(hours: list[figures.Hour]) -> int:
    return sum(hour.counts.total() for hour in hours)


def _cards(queue: figures.Queue, now: datetime) -> list[Card]:
    runs = reverse("admin:runs_run_changelist")
    pending, running = f"{runs}?status__exact=pending", f"{runs}?status__exact=running"
    waits = span(now - queue.oldest) if queue.oldest else "none"
    lost = f"{queue.lost:,} without a live lease" if queue.lost else "all leases are live"
    return [
        Card("Due", f"{queue.due:,}", "wait for a worker or for their turn", pending),
        Card("Oldest due", waits, "since it could have started", pending, bool(queue.oldest) and _is_late(queue, now)),
        Card("Delayed", f"{queue.delayed:,}", "start at a later time", pending),
        Card("Running", f"{queue.running:,}", lost if queue.running else "no worker is busy", running, queue.lost > 0),
    ]


def _is_late(queue: figures.Queue, now: datetime) -> bool:
    """Whether a run waits though nothing runs: then no worker is up."""
    return queue.oldest is not None and queue.running == 0 and (now - queue.oldest).total_seconds() > 10


def _bars(hours: list[figures.Hour]) -> list[dict[str, Any]]:
    highest = max(hour.counts.total() for hour in hours) or 1
    return [
        {
            "label": f"{hour.start:%H:%M}",
            "title": _bar_title(hour),
            "parts": [
                {"status": status, "percent": round(100 * hour.counts[status] / highest, 2)}
                for status in reversed(STACKED)
                if hour.counts[status]
            ],
        }
        for hour in hours
    ]


def _bar_title(hour: figures.Hour) -> str:
    counted = [f"{hour.counts[status]:,} {status}" for status in STACKED if hour.counts[status]]
    return f"{hour.start:%H:%M} UTC: {', '.join(counted) or 'no runs'}"


def _run_totals(hours: list[figures.Hour]) -> list[dict[str, Any]]:
    counts: Counter[str] = sum((hour.counts for hour in hours), Counter())
    url = reverse("admin:runs_run_changelist")
    return [
        {
            "badge": badge(status, RUN_COLOURS[status]),
            "count": f"{counts[status]:,}",
            "url": f"{url}?status__exact={status}",
            "status": status,
        }
        for status in STACKED
    ]


def _thread_totals(counts: dict[str, int]) -> list[dict[str, Any]]:
    url = reverse("admin:threads_thread_changelist")
    return [
        {
            "badge": badge(status, THREAD_COLOURS[ThreadStatus(status)]),
            "count": f"{counts[status]:,}{'+' if counts[status] >= figures.COUNTED_THREADS else ''}",
            "url": f"{url}?status__exact={status}",
        }
        for status in ThreadStatus.values
    ]


def _failure_row(failure: figures.Failure) -> dict[str, Any]:
    return {
        "failure": failure,
        "badge": badge(failure.status, "danger"),
        "ended": ago(failure.ended),
        "url": reverse("admin:runs_run_change", args=[failure.run_id]),
    }


def _look(key: str) -> dict[str, Any]:
    now = timezone.now()
    return {"cards": [{"title": card.title, "value": card.value} for card in _cards(figures.queue(now), now)]}


TOPIC = Topic(polled(_look))
