"""The log of deliveries, to endpoints and to the URLs of runs: found by filters that stay in its address, sent again.

Filters an index serves look at all deliveries; the others at the newest WINDOW of them, and the page says so.
"""

from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.db import transaction
from django.db.models import F, Func, QuerySet, TextField
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST
from rest_framework.exceptions import APIException

from accounts.audit import record
from config.words import span
from console import failures
from console.dashboard import Tile, count
from console.endpoint_figures import outbox
from console.endpoint_forms import RedeliverAllForm
from console.given import given_of, uuid_of
from console.live import Topic, polled
from console.pages import Crumb, Page, show
from console.paging import sheet
from console.roles import needs
from console.run_filters import PERIODS
from webhooks import endpoints
from webhooks.masking import masked_url
from webhooks.models import DeliveryStatus, Event, WebhookDelivery, WebhookEndpoint

ORDER = ("-created_at", "-delivery_id")
WINDOW = 20_000  # deliveries looked at for what no index serves
RECENT = 10  # on an endpoint's page
OFFERED = timedelta(hours=24)  # how far back failed deliveries are sent again, unless something else is said
OF_RUNS = "runs"  # instead of an endpoint's id: those to the URLs of runs


@dataclass(frozen=True)
class DeliveryRow:
    """A delivery as people see it."""

    delivery: WebhookDelivery
    now: datetime

    @property
    def state(self) -> str:
        """Its status, and of a pending one what it waits for."""
        held = self.delivery.claimed_until
        if self.delivery.status != DeliveryStatus.PENDING:
            return self.delivery.status
        return "sending" if held and held > self.now else "retrying" if self.delivery.tries else "pending"

    @property
    def to(self) -> str:
        """The endpoint's name, or the URL of a run."""
        return str(self.delivery.endpoint) if self.delivery.endpoint else self.url

    @property
    def url(self) -> str:
        """Where it goes now."""
        return masked_url(self.delivery.endpoint.url if self.delivery.endpoint else self.delivery.url)

    @property
    def status(self) -> str:
        """What the last attempt was answered."""
        return getattr(self.delivery, "last_status", "") or ""

    @property
    def took(self) -> str:
        """How long the last attempt took."""
        found = getattr(self.delivery, "last_took", None)
        return span(timedelta(milliseconds=int(found))) if found else "–"

    @property
    def next_at(self) -> datetime | None:
        """When the next attempt begins, if one does."""
        return self.delivery.next_attempt_at if self.state in ("pending", "retrying") else None


class OfLast(Func):
    """A value of the last attempt, as text."""

    output_field = TextField()
    arity = 1
    template = "(%(expressions)s -> -1 ->> '%(key)s')"


def _listed(rows: QuerySet[WebhookDelivery]) -> QuerySet[WebhookDelivery]:
    """With what a list needs, without what makes rows large."""
    last = {"last_status": OfLast(F("attempts"), key="status"), "last_took": OfLast(F("attempts"), key="milliseconds")}
    return rows.annotate(**last).select_related("endpoint").defer("body", "attempts")


def recent_of(endpoint: WebhookEndpoint) -> list[DeliveryRow]:
    """The newest deliveries of an endpoint."""
    found = _listed(WebhookDelivery.objects.filter(endpoint=endpoint)).order_by(*ORDER)[:RECENT]
    return _rows(list(found))


def of_run(run_id: UUID, most: int) -> list[DeliveryRow]:
    """The newest deliveries that tell of a run."""
    return _rows(list(_listed(WebhookDelivery.objects.filter(run_id=run_id)).order_by(*ORDER)[:most]))


def _rows(found: list[WebhookDelivery]) -> list[DeliveryRow]:
    now = timezone.now()
    return [DeliveryRow(delivery, now) for delivery in found]


# --- the log ----------------------------------------------------------------------------------------------------------


@dataclass
class Filters:
    """What the log is narrowed to. `problems` says what could not be understood and was left out."""

    given: dict[str, str]
    problems: list[str] = field(default_factory=list)

    def rows(self, now: datetime) -> QuerySet[WebhookDelivery]:
        """The deliveries that pass."""
        rows: QuerySet[WebhookDelivery] = WebhookDelivery.objects.filter(**self._indexed(now))
        slow = self._unindexed()
        if not slow:
            return rows
        recent = rows.order_by(*ORDER).values("pk")[:WINDOW]
        return WebhookDelivery.objects.filter(pk__in=recent).filter(**slow)

    @property
    def is_windowed(self) -> bool:
        """Whether only the newest WINDOW deliveries were looked at."""
        return bool(self._unindexed())

    def _indexed(self, now: datetime) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if self.given.get("status") in DeliveryStatus.values:
            found["status"] = self.given["status"]
        if self.given.get("endpoint") == OF_RUNS:
            found["endpoint"] = None
        elif (endpoint := self._uuid("endpoint")) is not None:
            found["endpoint_id"] = endpoint
        if (run := self._uuid("run")) is not None:
            found["run_id"] = run
        if (period := self.given.get("period", "")) in PERIODS:
            found["created_at__gte"] = now - timedelta(hours=PERIODS[period][1])
        return found

    def _unindexed(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if self.given.get("event") in Event.values:
            found["event"] = self.given["event"]
        if "failure" in self.given:
            found["failure"] = self.given["failure"]
        return found

    def _uuid(self, name: str) -> UUID | None:
        if name not in self.given:
            return None
        found, problem = uuid_of(self.given[name]), f"{name.title()}: “{self.given[name]}” is no id"
        if found is None and problem not in self.problems:
            self.problems.append(problem)
        return found


NAMES = ("status", "endpoint", "event", "run", "failure", "period")


@require_GET
@needs("viewer")
def page(request: HttpRequest) -> HttpResponse:
    """/admin/webhooks/deliveries/"""
    now = timezone.now()
    filters = Filters(given_of(request.GET, NAMES))
    found = sheet(request, _listed(filters.rows(now)), ORDER)
    offered = WebhookEndpoint.objects.order_by("description", "url").only("description", "url")[: endpoints.MOST]
    chosen = filters.given.get("endpoint")
    return show(
        request,
        "console/webhooks_deliveries.html",
        Page("Deliveries", (Crumb("Webhooks", reverse("console:webhooks")),), topic="webhooks"),
        sheet=found,
        rows=_rows(found.rows),
        tiles=outbox_tiles(now),
        filters=filters,
        given=filters.given,
        statuses=DeliveryStatus.values,
        events=Event.values,
        names=failures.NAMES,
        periods={name: title for name, (title, _) in PERIODS.items()},
        endpoints=[(str(one.pk), str(one)) for one in offered],
        of_runs=OF_RUNS,
        window=WINDOW,
        form=RedeliverAllForm(initial={"since": now - OFFERED, "endpoint": chosen if chosen != OF_RUNS else None}),
    )


@require_POST
@needs("operator")
def redeliver_failed(request: HttpRequest) -> HttpResponse:
    """POST /admin/webhooks/deliveries/redeliver/: all that failed, of an endpoint or of every receiver."""
    form = RedeliverAllForm(request.POST)
    if not form.is_valid():
        messages.error(request, "; ".join(str(text) for errors in form.errors.values() for text in errors))
        return redirect("console:deliveries")
    endpoint, since = form.cleaned_data["endpoint"], form.cleaned_data["since"]
    what = endpoint or ("webhooks.webhookdelivery", "all")
    try:
        with transaction.atomic():
            sent = endpoints.redeliver_failed(endpoint, since)
            told = {"deliveries": sent, "since": since.isoformat() if since else None}
            record(request, "redeliver", what, after=told)
    except APIException as refused:
        messages.error(request, str(refused.detail))
        return redirect("console:endpoint", endpoint.pk)
    if sent:
        said = "1 delivery is" if sent == 1 else f"{sent:,} deliveries are"
        messages.success(request, f"{said} sent again; “To be sent” counts down.")
    else:
        messages.warning(request, "Nothing has failed since then.")
    if endpoint:
        return redirect("console:endpoint", endpoint.pk)
    return redirect(f"{reverse('console:deliveries')}?{urlencode({'status': 'pending'})}")


# --- what waits, live -------------------------------------------------------------------------------------------------


def outbox_tiles(now: datetime) -> dict[str, Tile]:
    """What waits and what failed, of all receivers."""
    seen, log = outbox(now), reverse("console:deliveries")
    return {
        "untried": Tile("To be sent", count(seen.untried), "not tried yet", f"{log}?status=pending"),
        "retrying": Tile(
            "To be tried again",
            count(seen.retrying),
            "failed so far, attempts are left",
            f"{log}?status=pending",
            "warn" if seen.retrying else "",
        ),
        "failed": Tile(
            "Failed",
            count(seen.failed),
            "in the last 24 hours, no attempt is left",
            f"{log}?status=failed&period=24h",
            "bad" if seen.failed else "",
        ),
    }


def _look(key: str) -> dict[str, Any]:
    return {"tiles": {name: asdict(tile) for name, tile in outbox_tiles(timezone.now()).items()}}


TOPIC = Topic(polled(_look, seconds=1.0))
