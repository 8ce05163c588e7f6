"""The dashboard: is all well, and if not, what is to be done. Asks console.figures and the roll-up, changes nothing."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone

from assistants.models import Assistant
from config.words import span
from console import attention, charts, figures, rollup
from console.attention import Seen
from console.live import Topic, polled
from console.models import Grain, Rollup
from console.pages import Page, show
from console.roles import Role, needs, role_of
from console.workers import workers

LATE = timedelta(seconds=10)
OVERVIEW_SECONDS = 2.0
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@dataclass(frozen=True)
class Tile:
    """One large number."""

    title: str
    value: str
    note: str
    url: str
    tone: str = ""


@dataclass(frozen=True)
class Range:
    """How far back the chart goes."""

    name: str
    title: str

    @property
    def url(self) -> str:
        """The dashboard with it."""
        return f"{reverse('console:dashboard')}?range={self.name}"

    @property
    def count(self) -> None:
        """Nothing is counted on these tabs."""


RANGES = (Range("hour", "Last hour"), Range("day", "24 hours"), Range("month", "30 days"))


def page(request: HttpRequest) -> HttpResponse:
    """/admin/: for people with a role; others are told how to get one."""
    return (_dashboard if role_of(request.user) or not request.user.is_staff else _without_role)(request)


def _without_role(request: HttpRequest) -> HttpResponse:
    return show(request, "console/no_role.html", Page("Welcome"))


@needs("viewer")
def _dashboard(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    chosen = request.GET.get("range", "")
    chosen = chosen if chosen in {known.name for known in RANGES} else RANGES[0].name
    seen, rows = look(now)
    started = seen.aside.any_runs
    return show(
        request,
        "console/dashboard.html",
        Page("Dashboard", topic="dashboard"),
        tiles={**queue_tiles(seen.queue, now), **hour_tiles(seen)},
        overview=None if started else _quick_start(request),
        parts=_parts(seen, role_of(request.user)) if started else {},
        chart=(chart(chosen, rows, now) if started else ""),
        ranges=RANGES,
        range=chosen,
    )


def look(now: datetime) -> tuple[Seen, list[Rollup]]:
    """What the dashboard shows, and the minutes of the last hour."""
    rows = last_hour(now)
    whole = rollup.together(Grain.HOUR, now, rows)
    seen = Seen(now, figures.queue(now), figures.aside(now), workers(now), figures.causes(now), whole)
    return seen, rows


def last_hour(now: datetime) -> list[Rollup]:
    """The minutes of the last hour; those the roll-up may not have yet from the runs' own rows."""
    recent = _minute(now) - MINUTE
    old = [row for row in rollup.minutes(_minute(now) - 59 * MINUTE) if row.start < recent]
    return [*old, *rollup.of_minutes(recent, now + MINUTE)]


# --- tiles ------------------------------------------------------------------------------------------------------------


def queue_tiles(queue: figures.Queue, now: datetime) -> dict[str, Tile]:
    """What may change with every run."""
    runs = reverse("console:runs")
    waited = now - queue.oldest if queue.oldest else None
    late = waited is not None and waited > LATE
    lost = f"{queue.lost:,} without a live lease" if queue.lost else "all leases are live"
    return {
        "running": Tile(
            "Running",
            count(queue.running),
            lost if queue.running else "no worker is busy",
            f"{runs}?status=running",
            "bad" if queue.lost else "",
        ),
        "pending": Tile(
            "Waiting",
            count(queue.due),
            f"{count(queue.delayed)} more scheduled" if queue.delayed else "for a worker or their turn",
            f"{runs}?status=pending",
        ),
        "oldest": Tile(
            "Oldest waiting",
            span(timedelta(seconds=int(waited.total_seconds()))) if waited is not None else "–",
            "since it could have started",
            f"{runs}?status=pending",
            "bad" if late and not queue.running else "warn" if late else "",
        ),
    }


def hour_tiles(seen: Seen) -> dict[str, Tile]:
    """What is said of the last hour, and what waits for people."""
    hour, runs = seen.last_hour, reverse("console:runs")
    failed = hour.error + hour.timeout
    share = 1 - failed / hour.total if hour.total else None
    return {
        "success": Tile(
            "Success rate",
            "–" if share is None else f"{100 * share:.1f} %".replace("100.0", "100"),
            f"{hour.total:,} ended in the last hour",
            f"{runs}?status=error",
            "" if share is None or share > 0.95 else "warn" if share > 0.8 else "bad",
        ),
        "time": _percentiles("Run time", [hour.times], runs),
        "wait": _percentiles("Queue wait", [hour.waits], runs),
        "asked": Tile(
            "Interrupts waiting",
            count(seen.aside.asked),
            "for a person's answer",
            reverse("console:interrupts"),
            "warn" if seen.aside.asked else "",
        ),
        "undelivered": Tile(
            "Webhooks failed",
            count(seen.aside.undelivered),
            "in the last 24 hours",
            f"{reverse('console:deliveries')}?status=failed&period=24h",
            "bad" if seen.aside.undelivered else "",
        ),
    }


def _percentiles(title: str, histograms: Iterable[rollup.Histogram], url: str) -> Tile:
    found = list(histograms)
    middle, high = (rollup.percentile(found, share) for share in (0.5, 0.95))
    return Tile(title, span(middle), f"p50; p95 is {span(high)}", url)


def count(number: int) -> str:
    """A number of rows as it is shown; figures.MOST means so many or more."""
    return f"{number:,}{'+' if number >= figures.MOST else ''}"


# --- the rest ---------------------------------------------------------------------------------------------------------


def chart(name: str, rows: list[Rollup], now: datetime) -> str:
    """The chart of a range; `rows` are the minutes of the last hour."""
    if name == "hour":
        return charts.stacked(rows, _minute(now) - 59 * MINUTE, MINUTE, 60, 10)
    hour = now.replace(minute=0, second=0, microsecond=0)
    if name == "day":
        return charts.stacked(rollup.hours(hour - 23 * HOUR), hour - 23 * HOUR, HOUR, 24, 4)
    day = hour.replace(hour=0)
    return charts.stacked(_days(rollup.hours(day - 29 * DAY)), day - 29 * DAY, DAY, 30, 5)


def _days(hours: list[Rollup]) -> list[Rollup]:
    by_day: dict[datetime, list[Rollup]] = {}
    for row in hours:
        by_day.setdefault(row.start.replace(hour=0), []).append(row)
    return [rollup.together(Grain.HOUR, start, parts) for start, parts in by_day.items()]


def _parts(seen: Seen, role: Role = Role.VIEWER) -> dict[str, str]:
    """The pieces of the page that are told again as a whole."""
    context = {"needs": attention.needs(seen), "causes": seen.causes, "workers": seen.workers, "role": role}
    return {
        name: render_to_string(f"console/dashboard/{name}.html", context) for name in ("attention", "causes", "workers")
    }


def _quick_start(request: HttpRequest) -> dict[str, Any]:
    graph = Assistant.objects.order_by("created_at").values_list("graph_id", flat=True).first()
    return {"url": f"{request.scheme}://{request.get_host()}", "graph": graph or "agent"}


def _minute(moment: datetime) -> datetime:
    return moment.replace(second=0, microsecond=0)


def _look_at_queue(key: str) -> dict[str, Any]:
    now = timezone.now()
    return {name: asdict(tile) for name, tile in queue_tiles(figures.queue(now), now).items()}


def _look_at_all(key: str) -> dict[str, Any]:
    now = timezone.now()
    seen, rows = look(now)
    tiles = {name: asdict(tile) for name, tile in hour_tiles(seen).items()}
    return {"tiles": tiles, "chart": chart("hour", rows, now), **_parts(seen)}


TOPIC = Topic(polled(_look_at_queue))
OVERVIEW = Topic(polled(_look_at_all, OVERVIEW_SECONDS))
