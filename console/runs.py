"""The list of runs: found by filters that stay in its address, paged without counting. Changes nothing."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import QuerySet
from django.db.models.fields.json import KT
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from uuid_utils.compat import uuid7

from assistants.models import Assistant
from console import saved
from console.given import query_of
from console.pages import Page, show
from console.paging import Sheet, sheet
from console.roles import Role, needs, role_of
from console.run_filters import ORDER, PERIODS, SOURCES, WINDOW, Filters
from runs.models import Run, RunQuerySet, RunStatus

GRAPHS = 200  # offered to choose from
COUNTED = 1000  # of all that match, at most


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
        views=saved.views(request, "runs", filters.given),
        form_id=uuid7(),  # whoever sends the form twice asks for one action
        all_matching=all_matching(rows, found, filters) if role_of(request.user) >= Role.OPERATOR else "",
    )


def all_matching(rows: RunQuerySet, found: Sheet, filters: Filters) -> str:
    """`all 12 that match`, counted to a bound; empty where a filter was left out, so that more match than was meant."""
    if filters.problems:
        return ""
    count = len(found.rows) if found.is_only else rows.order_by()[: COUNTED + 1].count()
    said = f"at least {COUNTED:,}" if count > COUNTED else str(count)
    return f"all {said} that match" if filters.given else f"all {said} runs"


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
