"""Crons for people: the list, and one cron with what it will do and what became of it. Looks; actions are apart."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any
from uuid import UUID

from django.db.models import OuterRef, Q, Subquery
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET
from rest_framework.exceptions import APIException

from config.admin import id_starts_with
from config.words import span
from console.given import given_of, query_of, uuid_of
from console.pages import Crumb, Page, show
from console.paging import sheet
from console.roles import needs
from console.snippets import cron_snippets
from crons.firing import KEPT_DAYS
from crons.models import Cron, CronQuerySet, Firing
from crons.wording import in_words
from interop.agent_cards import base_of
from runs.models import Run

ORDER = ("-created_at", "-cron_id")
HISTORY = ("-slot", "-id")
WINDOW = 20_000  # the newest crons are looked through for a text
LATE = timedelta(seconds=10)
NEXT = 10
FIRINGS = 25  # a page
STATES = {
    "active": "active",
    "late": "late",
    "paused": "paused",
    "auto-paused": "paused by failures",
    "over": "over",
}


@dataclass(frozen=True)
class Fired:
    """A slot that has passed, and its run's status when the run is still there."""

    firing: Firing
    run_status: str | None

    @property
    def status(self) -> str:
        """Of its run now, or when it ended; of a slot without a run what became of it."""
        return str(self.run_status or self.firing.run_status or self.firing.outcome)

    @property
    def url(self) -> str:
        """Of its run, if that is there."""
        return reverse("console:run", args=[self.firing.run_id, "timeline"]) if self.run_status else ""

    @property
    def lateness(self) -> timedelta | None:
        """From the slot until it was dealt with."""
        return None if self.firing.detail == "by hand" else self.firing.created_at - self.firing.slot


@dataclass(frozen=True)
class Slot:
    """A moment at which a cron fires, as its zone and as UTC say it."""

    moment: datetime
    zone: tzinfo

    @property
    def here(self) -> str:
        """In the cron's zone."""
        return self._said(self.moment.astimezone(self.zone))

    @property
    def utc(self) -> str:
        """In UTC."""
        return self._said(self.moment.astimezone(UTC))

    @staticmethod
    def _said(moment: datetime) -> str:
        """The year only of other years, seconds only where there are any."""
        year = "" if moment.year == timezone.now().year else " %Y"
        return f"{moment:%a %-d %b{year} %H:%M{':%S' if moment.second else ''} %Z}"


@dataclass(frozen=True)
class CronRow:
    """A cron as a line of the list."""

    cron: Cron
    now: datetime
    last: Fired | None

    @property
    def words(self) -> str:
        """Its schedule in words."""
        return in_words(self.cron.schedule)

    @property
    def state(self) -> str:
        """Whether it fires."""
        if not self.cron.enabled:
            return "auto-paused" if self.cron.paused_at else "paused"
        return "active" if self.cron.due_at else "over"

    @property
    def why(self) -> str:
        """A word on its state, where there is one to say."""
        failures = f"{self.cron.failures} failure{'' if self.cron.failures == 1 else 's'} in a row"
        if self.state == "auto-paused":
            return f"after {failures}"
        if self.state == "over":
            return "its end has passed" if self.cron.end_time else "no day fits any more"
        return failures if self.cron.failures else ""

    @property
    def late(self) -> str:
        """For how long a slot waits that is due; empty when none does."""
        slot = self.cron.next_run_date
        return span(self.now - slot) if self.cron.due_at and slot and slot < self.now - LATE else ""

    @property
    def next(self) -> Slot | None:
        """Its next slot, if it fires again."""
        slot = self.cron.next_run_date if self.cron.due_at else None
        return Slot(slot, zone_of(self.cron)) if slot else None

    @property
    def end(self) -> Slot | None:
        """After which it fires no more."""
        return Slot(self.cron.end_time, zone_of(self.cron)) if self.cron.end_time else None


def zone_of(cron: Cron) -> tzinfo:
    """Its time zone; UTC where the machine does not know it any more."""
    try:
        return cron.timetable.zone
    except APIException:
        return UTC


# --- the list ---------------------------------------------------------------------------------------------------------


@require_GET
@needs("viewer")
def page(request: HttpRequest) -> HttpResponse:
    """/admin/crons/, with `assistant` (an id or a part of the name), `state` and `text`."""
    now, given = timezone.now(), filters(request)
    found = sheet(request, matching(given, now).select_related("assistant").defer("payload", "metadata"), ORDER)
    last = last_firings(found.rows)
    return show(
        request,
        "console/crons.html",
        Page("Crons"),
        sheet=found,
        crons=[CronRow(cron, now, last.get(cron.pk)) for cron in found.rows],
        given=given,
        states=STATES,
        query=query_of(given),
        searched=f"Names and texts are looked for in the newest {WINDOW:,} crons.",
    )


def filters(request: HttpRequest) -> dict[str, str]:
    """What the request narrows the crons to, blank ones left out."""
    return given_of(request.GET, ("assistant", "state", "text"))


def matching(given: dict[str, str], now: datetime) -> CronQuerySet:
    """The crons that pass. A text or a part of a name is looked for in the newest WINDOW of them."""
    rows: CronQuerySet = Cron.objects.all()
    sought = Q()
    if assistant := given.get("assistant"):
        sought &= _assistant(assistant)
    if text := given.get("text"):
        ids = id_starts_with(["cron_id", "thread__thread_id", "assistant__assistant_id"], text)
        sought &= Q(schedule__icontains=text) | Q(timezone__icontains=text) | Q(assistant__name__icontains=text) | ids
    if sought:
        rows = rows.filter(pk__in=Cron.objects.order_by(*ORDER).values("pk")[:WINDOW]).filter(sought)
    conditions = {
        "active": Q(enabled=True, due_at__isnull=False),
        "late": Q(due_at__lt=now + LATE, next_run_date__lt=now - LATE),
        "paused": Q(enabled=False, paused_at=None),
        "auto-paused": Q(enabled=False, paused_at__isnull=False),
        "over": Q(enabled=True, due_at=None),
    }
    return rows.filter(conditions.get(given.get("state", ""), Q()))


def _assistant(text: str) -> Q:
    pk = uuid_of(text)
    return Q(assistant_id=pk) if pk else Q(assistant__name__icontains=text)


def last_firings(crons: Sequence[Cron]) -> dict[UUID, Fired]:
    """The latest firing of each: by one look into an index for each cron."""
    newest = Firing.objects.filter(cron=OuterRef("pk")).order_by("-slot").values("pk")[:1]
    ids = Cron.objects.filter(pk__in=[cron.pk for cron in crons]).order_by().values_list(Subquery(newest))
    found = list(Firing.objects.filter(pk__in=[pk for (pk,) in ids if pk]))
    return {fired.firing.cron_id: fired for fired in _with_runs(found)}


def _with_runs(firings: Iterable[Firing]) -> list[Fired]:
    firings = list(firings)
    runs = Run.objects.filter(pk__in=[firing.run_id for firing in firings if firing.run_id])
    statuses = dict(runs.values_list("pk", "status"))
    return [Fired(firing, statuses.get(firing.run_id) if firing.run_id else None) for firing in firings]


# --- one --------------------------------------------------------------------------------------------------------------


@require_GET
@needs("viewer")
def one(request: HttpRequest, cron_id: UUID) -> HttpResponse:
    """/admin/crons/<id>/"""
    now, cron = timezone.now(), found_cron(cron_id)
    history = sheet(request, cron.firings.all(), HISTORY, FIRINGS)
    row = CronRow(cron, now, last_firings([cron]).get(cron.pk))
    return show(
        request,
        "console/crons/one.html",
        Page(row.words, (Crumb("Crons", reverse("console:crons")),), str(cron.pk)),
        cron=cron,
        row=row,
        next=slots_of(cron, now),
        sheet=history,
        history=_with_runs(history.rows),
        kept_days=KEPT_DAYS,
        snippets=cron_snippets(cron, base_of(request)),
    )


def found_cron(cron_id: UUID) -> Cron:
    """With its assistant. Raises Http404."""
    found = Cron.objects.select_related("assistant").filter(pk=cron_id).first()
    if found is None:
        raise Http404("There is no such cron, or no longer.")
    return found


def slots_of(cron: Cron, now: datetime) -> list[Slot]:
    """When it fires next, paused or not."""
    try:
        return [Slot(slot, cron.timetable.zone) for slot in cron.upcoming(NEXT, now)]
    except APIException:
        return []


def crumbs_of(cron: Cron) -> tuple[Crumb, ...]:
    """What is above a page below the cron's."""
    own: Any = reverse("console:cron", args=[cron.pk])
    return Crumb("Crons", reverse("console:crons")), Crumb(in_words(cron.schedule), own)
