"""The list of runs: found by filters that stay in its address, paged without counting. Changes nothing.

Filters an index serves look at all runs; the others at the newest WINDOW of them, and the page says so.
"""

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import F, QuerySet
from django.db.models.fields.json import KT
from django.http import HttpRequest, HttpResponse, QueryDict
from django.utils import timezone

from assistants.models import Assistant
from console.pages import Page, show
from console.paging import sheet
from console.roles import needs
from runs.models import Run, RunQuerySet, RunStatus

WINDOW = 20_000
PERIODS = {
    "1h": ("last hour", 1),
    "24h": ("last 24 hours", 24),
    "7d": ("last 7 days", 168),
    "30d": ("last 30 days", 720),
}
SOURCES = {"api": "API", "cron": "cron", "a2a": "A2A", "retry": "retry"}
ORDER = ("-created_at", "-run_id")
GRAPHS = 200  # offered to choose from
PAIR = re.compile(r"\s*([^\s:=]+)\s*[:=]\s*(.*?)\s*")


@dataclass
class Filters:
    """What the list is narrowed to. `problems` says what could not be understood and was left out."""

    given: dict[str, str]
    problems: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, query: QueryDict | dict[str, str]) -> "Filters":
        """From a request's parameters, blank ones left out."""
        names = (
            "status",
            "graph",
            "assistant",
            "thread",
            "source",
            "period",
            "longer",
            "attempts",
            "metadata",
            "error",
        )
        return cls({name: text for name in names if (text := str(query.get(name, "")).strip())})

    def rows(self, now: datetime) -> RunQuerySet:
        """The runs that pass."""
        rows = self._indexed(Run.objects.all(), now)
        slow = self._unindexed()
        if not slow:
            return rows
        recent = rows.order_by(*ORDER).values("pk")[:WINDOW]
        return Run.objects.filter(pk__in=recent).annotate(**self._computed()).filter(**slow)

    @property
    def is_windowed(self) -> bool:
        """Whether only the newest WINDOW runs were looked at."""
        return bool(self._unindexed())

    def _indexed(self, rows: RunQuerySet, now: datetime) -> RunQuerySet:
        if (status := self.given.get("status")) in RunStatus.values:
            rows = rows.with_status(str(status))
        if graph := self.given.get("graph"):
            rows = rows.filter(assistant_id__in=Assistant.objects.filter(graph_id=graph).values("pk"))
        for name, column in (("assistant", "assistant_id"), ("thread", "thread_id")):
            if name in self.given and (found := self._uuid(name)):
                rows = rows.filter(**{column: found})
        if (period := self.given.get("period")) in PERIODS:
            rows = rows.filter(created_at__gte=now - timedelta(hours=PERIODS[str(period)][1]))
        if metadata := self._metadata():
            rows = rows.filter(metadata__contains=metadata)
        return rows.with_error(self.given["error"]) if "error" in self.given else rows

    def _unindexed(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if seconds := self._number("longer"):
            found["took__gt"] = timedelta(seconds=seconds)
        if attempts := self._number("attempts"):
            found["attempt__gte"] = int(attempts)
        source = self.given.get("source")
        if source in ("a2a", "retry"):
            found["metadata__has_key"] = {"a2a": "a2a", "retry": "retry_of"}[source]
        elif source in ("cron", "api"):
            found["cron__isnull"] = source == "api"
        return found

    def _computed(self) -> dict[str, Any]:
        return {"took": F("ended_at") - F("started_at"), "cron": KT("kwargs__config__configurable__cron_id")}

    def _uuid(self, name: str) -> UUID | None:
        try:
            return UUID(self.given[name])
        except ValueError:
            self._cannot(name, "is no id")
            return None

    def _number(self, name: str) -> float:
        try:
            return min(max(float(self.given.get(name, 0)), 0.0), 1e9)
        except ValueError:
            self._cannot(name, "is no number")
            return 0.0

    def _metadata(self) -> dict[str, Any]:
        """`team:sales` is {"team": "sales"}; numbers, true and false are what they look like."""
        if "metadata" not in self.given:
            return {}
        found = PAIR.fullmatch(self.given["metadata"])
        if found is None:
            self._cannot("metadata", "must be key:value")
            return {}
        key, text = found.groups()
        plain: dict[str, Any] = {"true": True, "false": False, "null": None}
        return {key: plain.get(text, int(text) if re.fullmatch(r"-?\d{1,15}", text) else text)}

    def _cannot(self, name: str, why: str) -> None:
        problem = f"{name.title()}: “{self.given[name]}” {why}"
        if problem not in self.problems:
            self.problems.append(problem)


@needs("viewer")
def page(request: HttpRequest) -> HttpResponse:
    """/admin/runs/"""
    now, filters = timezone.now(), Filters.of(request.GET)
    rows = filters.rows(now)
    found = sheet(request, with_graph(rows), ORDER)
    return show(
        request,
        "console/runs.html",
        Page("Runs", topic="dashboard"),
        sheet=found,
        runs=[RunRow(run, now) for run in found.rows],
        filters=filters,
        given=filters.given,
        statuses=RunStatus.values,
        periods={name: title for name, (title, _) in PERIODS.items()},
        sources=SOURCES,
        graphs=list(Assistant.objects.order_by("graph_id").values_list("graph_id", flat=True).distinct()[:GRAPHS]),
        query=query_of(filters.given),
        window=WINDOW,
    )


def query_of(given: dict[str, str]) -> str:
    """The filters as a query string without its question mark."""
    query = QueryDict(mutable=True)
    query.update(given)
    return query.urlencode()


def with_graph(rows: RunQuerySet) -> QuerySet[Run]:
    """With what a list needs of `kwargs`, without the rest of it."""
    configurable = "kwargs__config__configurable"
    needed = {"graph_name": KT(f"{configurable}__graph_id"), "cron_name": KT(f"{configurable}__cron_id")}
    return rows.annotate(**needed).defer("kwargs", "blocked")


@dataclass(frozen=True)
class RunRow:
    """A run as a line of the list."""

    run: Run
    now: datetime

    @property
    def graph(self) -> str:
        """Its graph."""
        return getattr(self.run, "graph_name", "") or ""

    @property
    def source(self) -> str:
        """Where it came from."""
        if getattr(self.run, "cron_name", None):
            return "cron"
        keys = self.run.metadata.keys() if isinstance(self.run.metadata, dict) else ()
        return "retry" if "retry_of" in keys else "a2a" if "a2a" in keys else "api"

    @property
    def status(self) -> str:
        """As clients see it, but that a cancel which is under way is told."""
        stopping = self.run.status == RunStatus.RUNNING and self.run.cancel_action
        return "cancelling" if stopping else str(self.run.status)

    @property
    def waited(self) -> timedelta | None:
        """From when it could start to when it did; None of one that is not due."""
        until = self.run.started_at or (self.now if self.run.status == RunStatus.PENDING else None)
        return until - self.run.created_at if until and until >= self.run.created_at else None

    @property
    def took(self) -> timedelta | None:
        """From its first start to its end, or till now."""
        return (self.run.ended_at or self.now) - self.run.started_at if self.run.started_at else None

    @property
    def problem(self) -> str:
        """Its error in a line."""
        error = self.run.error
        return f"{error.get('error', '')}: {error.get('message', '')}"[:200] if isinstance(error, dict) else ""
