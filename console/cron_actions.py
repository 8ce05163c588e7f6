"""What people may do to a cron: run it, pause it, let it go on, change its timetable, delete it: the API's verbs."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID
from zoneinfo import available_timezones

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST
from rest_framework.exceptions import APIException

from accounts.audit import record
from config.errors import Invalid, first_problem
from config.rest import check
from console.crons import NEXT, Slot, crumbs_of, found_cron, zone_of
from console.given import reason_of
from console.pages import Page, show
from console.roles import needs
from crons.changes import patch
from crons.firing import fire_now
from crons.models import CatchUp, Cron, Overlap, upcoming
from crons.schedules import Schedule, parse
from crons.serializers import CronPatchBody
from crons.wording import in_words

CHANGED = ("schedule", "timezone", "end_time", "overlap", "catch_up")
MINUTES = "%Y-%m-%dT%H:%M"  # what browsers give and take for a moment


@require_POST
@needs("operator")
def run(request: HttpRequest, cron_id: UUID) -> HttpResponse:
    """A run of the cron besides its timetable."""
    cron = found_cron(cron_id)
    try:
        with transaction.atomic():
            started = fire_now(cron)
            record(request, "run", cron, after={"run_id": str(started.pk)})
    except APIException as error:
        messages.error(request, f"It could not run: {first_problem(error.detail)}")
    else:
        messages.success(request, f"Run {started.pk} is started.")
    return redirect("console:cron", cron_id)


@require_POST
@needs("operator")
def pause(request: HttpRequest, cron_id: UUID) -> HttpResponse:
    """As PATCH with `enabled` false."""
    return _switch(request, found_cron(cron_id), enabled=False)


@require_POST
@needs("operator")
def resume(request: HttpRequest, cron_id: UUID) -> HttpResponse:
    """As PATCH with `enabled` true: with no failure to its name."""
    return _switch(request, found_cron(cron_id), enabled=True)


def _switch(request: HttpRequest, cron: Cron, *, enabled: bool) -> HttpResponse:
    with transaction.atomic():
        failures = cron.failures
        patched = patch(cron.pk, {"enabled": enabled}, {"enabled": enabled})
        record(
            request,
            "resume" if enabled else "pause",
            cron,
            before={"enabled": cron.enabled, "failures": failures},
            after={"enabled": patched.enabled},
            reason=reason_of(request.POST),
        )
    messages.success(
        request, "It fires again by its timetable." if enabled else "It is paused until somebody resumes it."
    )
    return redirect("console:cron", cron.pk)


@require_POST
@needs("admin")
def delete(request: HttpRequest, cron_id: UUID) -> HttpResponse:
    """Delete the cron; its runs go on."""
    cron = found_cron(cron_id)
    with transaction.atomic():
        record(request, "delete", cron, before=_said(cron), reason=reason_of(request.POST))
        cron.delete()
    messages.success(request, f"Cron {cron_id} is deleted.")
    return redirect("console:crons")


def _said(cron: Cron) -> dict[str, Any]:
    """Its timetable and policies, as JSON."""
    end = cron.end_time.isoformat() if cron.end_time else None
    return {name: getattr(cron, name) for name in CHANGED} | {"end_time": end}


# --- another timetable ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Wanted:
    """What somebody typed: texts, not checked."""

    schedule: str
    timezone: str
    end: str
    overlap: str
    catch_up: str

    @classmethod
    def of(cls, cron: Cron) -> "Wanted":
        """What is so now."""
        end = f"{cron.end_time.astimezone(zone_of(cron)):{MINUTES}}" if cron.end_time else ""
        return cls(cron.schedule, cron.timezone or "UTC", end, cron.overlap, cron.catch_up)

    @classmethod
    def given(cls, query: QueryDict, cron: Cron) -> "Wanted":
        """What the form says; what it leaves out stays."""
        now = cls.of(cron)
        return cls(**{name: query.get(name, getattr(now, name)).strip() for name in cls.__dataclass_fields__})

    def timetable(self) -> Schedule:
        """Raises Invalid and BadRequest."""
        return parse(self.schedule, self.timezone or "UTC")

    def end_time(self) -> datetime | None:
        """In the zone it names. Raises Invalid and BadRequest."""
        if not self.end:
            return None
        try:
            return datetime.fromisoformat(self.end).replace(tzinfo=self.timetable().zone)
        except ValueError:
            raise Invalid("The end must be a date and a time.") from None

    def changes(self, cron: Cron) -> dict[str, Any]:
        """The body of a PATCH that says what differs. Raises Invalid and BadRequest."""
        now = Wanted.of(cron)
        names = ("schedule", "timezone", "overlap", "catch_up")
        body: dict[str, Any] = {
            name: getattr(self, name) for name in names if getattr(self, name) != getattr(now, name)
        }
        if self.end != now.end or (self.end and "timezone" in body):
            end = self.end_time()
            body["end_time"] = end.isoformat() if end else None
        return body


@dataclass(frozen=True)
class Preview:
    """What a timetable would do, or why it can do nothing."""

    words: str = ""
    slots: tuple[Slot, ...] = ()
    problem: str = ""

    @classmethod
    def of(cls, wanted: Wanted) -> "Preview":
        """Of what somebody typed."""
        try:
            schedule, now = wanted.timetable(), timezone.now()
            schedule.following(now)  # raises where it never fires
            found = upcoming(schedule, NEXT, now, wanted.end_time())
        except APIException as error:
            return cls(problem=first_problem(error.detail))
        return cls(in_words(schedule.expression), tuple(Slot(slot, schedule.zone) for slot in found))


@require_GET
@needs("operator")
def preview(request: HttpRequest, cron_id: UUID) -> HttpResponse:
    """/admin/crons/<id>/preview/: what the timetable in the query would do, as a piece of HTML."""
    seen = Preview.of(Wanted.given(request.GET, found_cron(cron_id)))
    return render(request, "console/crons/preview.html", {"preview": seen})


@require_http_methods(["GET", "POST"])
@needs("operator")
def edit(request: HttpRequest, cron_id: UUID) -> HttpResponse:
    """/admin/crons/<id>/edit/: the form; a POST saves, or with `preview` says only what would be."""
    cron = found_cron(cron_id)
    wanted = Wanted.given(request.POST if request.method == "POST" else request.GET, cron)
    if request.method == "GET" or "preview" in request.POST:
        return _form(request, cron, wanted)
    try:
        _save(request, cron, wanted)
    except APIException as error:
        return _form(request, cron, wanted, first_problem(error.detail))
    return redirect("console:cron", cron_id)


def _save(request: HttpRequest, cron: Cron, wanted: Wanted) -> None:
    raw = wanted.changes(cron)
    if not raw:
        messages.info(request, "Nothing was changed.")
        return
    with transaction.atomic():
        patched = patch(cron.pk, raw, check(raw, CronPatchBody))
        before, after = _said(cron), _said(patched)
        changed = [name for name in CHANGED if before[name] != after[name]]
        record(
            request,
            "edit",
            cron,
            before={name: before[name] for name in changed},
            after={name: after[name] for name in changed},
            reason=reason_of(request.POST),
        )
    messages.success(request, "Saved: it fires by the new timetable.")


def _form(request: HttpRequest, cron: Cron, wanted: Wanted, problem: str = "") -> HttpResponse:
    return show(
        request,
        "console/crons/edit.html",
        Page("Change the timetable", crumbs_of(cron), str(cron.pk)),
        status=422 if problem else 200,
        cron=cron,
        wanted=wanted,
        preview=Preview.of(wanted),
        problem=problem,
        overlaps=Overlap.values,
        catch_ups=CatchUp.values,
        zones=sorted(available_timezones()),
    )
