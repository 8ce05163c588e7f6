"""The queue: what waits and why, who executes it, and the switch that holds everything back."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST
from redis.exceptions import RedisError

from accounts.audit import record
from console import figures
from console import workers as up
from console.dashboard import Tile, count, queue_tiles
from console.given import reason_of
from console.live import Topic, polled
from console.pages import Crumb, Page, show
from console.roles import needs
from console.runs import RunRow, with_graph
from console.waiting import Reason, scene
from runs import pausing, presence
from runs.models import Run, RunStatus

SHOWN = 25  # of the oldest pending runs
QUEUE = ("runs.pause", "queue")  # what the audit log calls it


@dataclass(frozen=True)
class Waiting:
    """A pending run and what holds it back."""

    row: RunRow
    reason: Reason


@require_GET
@needs("viewer")
def page(request: HttpRequest) -> HttpResponse:
    """/admin/queue/"""
    seen = _seen(timezone.now())
    return show(request, "console/queue.html", Page("Queue & workers", topic="queue"), **seen)


def _seen(now: datetime) -> dict[str, Any]:
    """What the page shows and is told again: tiles, and pieces of HTML."""
    queue = figures.queue(now)
    tiles = queue_tiles(queue, now)
    delayed = Tile("Scheduled", count(queue.delayed), "not due yet", f"{reverse('console:runs')}?status=pending")
    return {
        "tiles": {
            "pending": tiles["pending"],
            "oldest": tiles["oldest"],
            "delayed": delayed,
            "running": tiles["running"],
        },
        "pause": pausing.current(),
        "parts": {
            "waiting": render_to_string("console/queue/waiting.html", {"waiting": waiting(now)}),
            "workers": render_to_string("console/queue/workers.html", {"workers": up.workers(now)}),
        },
    }


def waiting(now: datetime) -> list[Waiting]:
    """The oldest pending runs."""
    runs = list(with_graph(Run.objects.filter(status=RunStatus.PENDING).in_turn())[:SHOWN])
    known = scene(runs, now)
    return [Waiting(RunRow(run, now), known.reason(run)) for run in runs]


# --- workers ----------------------------------------------------------------------------------------------------------


@require_GET
@needs("viewer")
def worker(request: HttpRequest, name: str) -> HttpResponse:
    """/admin/queue/workers/<name>/"""
    busy = up.worker(name, timezone.now())
    if busy is None:
        raise Http404("This worker is gone: it has said nothing for half a minute.")
    above = (Crumb("Queue & workers", reverse("console:queue")),)
    return show(request, "console/queue/worker.html", Page(f"Worker {name}", above), busy=busy)


@require_POST
@needs("operator")
def order_worker(request: HttpRequest, name: str) -> HttpResponse:
    """POST /admin/queue/workers/<name>/order/: `order` is quiet or go."""
    quiet, reason = request.POST.get("order") == "quiet", reason_of(request.POST)
    try:
        presence.order(name, quiet=quiet)
    except RedisError:
        messages.error(request, "Redis does not answer, so the worker cannot be told.")
        return redirect("console:queue")
    record(request, "quiet" if quiet else "go on", ("runs.worker", name), reason=reason)
    told = "take no more runs" if quiet else "take runs again"
    messages.success(request, f"{name} was told to {told}; it does within seconds.")
    return redirect("console:queue")


# --- the switch -------------------------------------------------------------------------------------------------------


@require_POST
@needs("operator")
def pause(request: HttpRequest) -> HttpResponse:
    """POST /admin/queue/pause/"""
    reason = reason_of(request.POST)
    with transaction.atomic():
        if pausing.pause(request.user.get_username(), reason):
            record(request, "pause", QUEUE, reason=reason)
            messages.success(request, "The queue is paused: no run begins until somebody resumes it.")
        else:
            messages.warning(request, "The queue was paused already.")
    return redirect("console:queue")


@require_POST
@needs("operator")
def resume(request: HttpRequest) -> HttpResponse:
    """POST /admin/queue/resume/"""
    with transaction.atomic():
        if pausing.resume():
            record(request, "resume", QUEUE)
            messages.success(request, "Runs begin again.")
        else:
            messages.warning(request, "The queue was not paused.")
    return redirect("console:queue")


# --- live -------------------------------------------------------------------------------------------------------------


def _look(key: str) -> dict[str, Any]:
    seen = _seen(timezone.now())
    banner = render_to_string("console/queue/paused.html", {"pause": seen["pause"]})
    return {"tiles": {name: asdict(tile) for name, tile in seen["tiles"].items()}, "paused": banner, **seen["parts"]}


TOPIC = Topic(polled(_look, seconds=1.0))
