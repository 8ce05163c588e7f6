"""Actions on many runs, asked for from their list and watched live. The work itself is console/bulk.py's."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST
from uuid_utils.compat import uuid7

from accounts.audit import person
from console import bulk
from console.given import given_of, query_of, reason_of, uuid_of
from console.live import Topic, polled
from console.models import BulkAction, BulkState, Verb
from console.pages import Crumb, Page, show
from console.paging import PAGE, sheet
from console.roles import needs, role_of
from console.run_filters import NAMES, Filters

MOST_CHOSEN = 4 * PAGE
ORDER = ("-asked_at", "-action_id")
TITLES = {
    Verb.CANCEL: "Cancel runs",
    Verb.ROLL_BACK: "Cancel runs and roll them back",
    Verb.RETRY: "Retry runs",
    Verb.RESTART: "Retry runs from their beginning",
    Verb.DELETE: "Delete runs",
}
DONE = {
    Verb.CANCEL: "Asked to end",
    Verb.ROLL_BACK: "Asked to end",
    Verb.RETRY: "Run again",
    Verb.RESTART: "Run again",
    Verb.DELETE: "Deleted",
}


class Unclear(Exception):
    """What was sent does not say what is to be done; says what is missing."""


# --- asking -----------------------------------------------------------------------------------------------------------


@require_POST
@needs("operator")
def begin(request: HttpRequest) -> HttpResponse:
    """POST /admin/runs/bulk/begin/: `verb`, how (`<verb>-how`), `which` (chosen or all), `run` ids, the list's filters.

    `id` makes a form that is sent twice one action.
    """
    try:
        asked = _asked(request.POST)
    except Unclear as problem:
        messages.error(request, str(problem))
        return _back(request)
    if role_of(request.user) < (least := bulk.NEEDS[asked.verb]):
        raise PermissionDenied(f"This needs the role {least}.")
    action = bulk.begin(uuid_of(request.POST.get("id", "")) or uuid7(), person(request), asked)
    return redirect("console:bulk-action", action.pk)


def _asked(form: QueryDict) -> bulk.Asked:
    """Raises Unclear."""
    named = form.get("verb", "")
    verb = form.get(f"{named}-how", named)
    if verb not in Verb.values:
        raise Unclear("Say what is to be done.")
    if verb == Verb.DELETE and form.get("typed", "").strip() != "delete":
        raise Unclear("Nothing was deleted: type “delete” to go on.")
    filters = Filters(given_of(form, NAMES))
    reason = reason_of(form, f"{named}-reason")
    return bulk.Asked(Verb(verb), _chosen(form, filters), filters, reason)


def _chosen(form: QueryDict, filters: Filters) -> list[UUID] | None:
    """The ids; None for all that the filters find. Raises Unclear."""
    if form.get("which") != "all":
        chosen = [run_id for text in form.getlist("run")[:MOST_CHOSEN] if (run_id := uuid_of(text))]
        if not chosen:
            raise Unclear("Choose the runs first.")
        return chosen
    filters.rows(timezone.now())  # so that they are read
    if filters.problems:
        # Left out, as the list does, they would find more than was meant.
        raise Unclear(f"Nothing was done: {filters.problems[0]}.")
    return None


def _back(request: HttpRequest) -> HttpResponse:
    query = query_of(given_of(request.POST, NAMES))
    return redirect(f"{reverse('console:runs')}{'?' if query else ''}{query}")


@require_POST
@needs("operator")
def stop(request: HttpRequest, action_id: UUID) -> HttpResponse:
    """POST /admin/runs/bulk/<id>/stop/"""
    _found(action_id)
    if bulk.stop(action_id, request.user.get_username()):
        messages.success(request, "Stopped: no further run is touched.")
    else:
        messages.warning(request, "It had ended already.")
    return redirect("console:bulk-action", action_id)


# --- looking ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Progress:
    """An action as people see it."""

    action: BulkAction

    @property
    def title(self) -> str:
        """What is done."""
        return TITLES[Verb(self.action.verb)]

    @property
    def done_title(self) -> str:
        """What became of those it was done to."""
        return DONE[Verb(self.action.verb)]

    @property
    def status(self) -> str:
        """Its state in a word."""
        going = self.action.state == BulkState.RUNNING
        return "waiting" if going and (self.action.note or not self.action.started_at) else str(self.action.state)

    @property
    def is_over(self) -> bool:
        """Whether nothing more happens."""
        return self.action.state != BulkState.RUNNING

    @property
    def expected(self) -> int:
        """How many it will have seen. Some may have left the filters meanwhile; then its end says so."""
        seen = self.action.seen
        return seen if self.action.state == BulkState.DONE else max(self.action.expected, seen)

    @property
    def left_alone(self) -> int:
        """To how many it was not done."""
        return self.action.seen - self.action.done

    @property
    def query(self) -> str:
        """The list's filters, as a query string."""
        return query_of(self.action.filters)


@require_GET
@needs("viewer")
def page(request: HttpRequest) -> HttpResponse:
    """/admin/runs/bulk/: all of them, newest first"""
    found = sheet(request, BulkAction.objects.defer("chosen"), ORDER)
    above = (Crumb("Runs", reverse("console:runs")),)
    return show(
        request,
        "console/bulk/list.html",
        Page("Bulk actions", above),
        sheet=found,
        actions=[Progress(action) for action in found.rows],
    )


@require_GET
@needs("viewer")
def one(request: HttpRequest, action_id: UUID) -> HttpResponse:
    """/admin/runs/bulk/<id>/"""
    progress = Progress(_found(action_id))
    above = (Crumb("Runs", reverse("console:runs")), Crumb("Bulk actions", reverse("console:bulk-actions")))
    return show(
        request,
        "console/bulk/action.html",
        Page(progress.title, above, topic=f"bulk:{action_id}"),
        progress=progress,
        action=progress.action,
        panel=_panel(progress),
    )


def _found(action_id: UUID) -> BulkAction:
    found = BulkAction.objects.filter(pk=action_id).first()
    if found is None:
        raise Http404("There is no such action, or no longer.")
    return found


def _panel(progress: Progress) -> str:
    return render_to_string("console/bulk/progress.html", {"progress": progress, "action": progress.action})


def _look(key: str) -> dict[str, Any]:
    action = BulkAction.objects.filter(pk=key).first() if uuid_of(key) else None
    if action is None:
        return {"over": True}
    progress = Progress(action)
    return {"over": progress.is_over, "panel": _panel(progress)}


TOPIC = Topic(polled(_look, seconds=0.25))
