"""One run, live: what it does, what it said, how it changed the state, why it ended; and what may be done about it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST
from rest_framework.exceptions import APIException

from accounts.audit import record
from accounts.callers import ANONYMOUS, Caller, user_from
from assistants import introspection
from assistants.graphs import load_all
from assistants.models import Assistant
from config import dialect, loop
from config.database import in_thread
from console.deliveries import of_run
from console.difference import difference
from console.drawing import Drawing, draw
from console.given import reason_of
from console.live import LOOK_SECONDS, Topic
from console.pages import Crumb, Page, show
from console.roles import needs
from console.runs import RunRow
from console.snippets import body_of, snippets
from console.waiting import scene
from runs import timeline
from runs.dispatch import cancel_run, retry_run
from runs.models import IN_FLIGHT, CancelAction, Run, RunStatus, RunTimeline
from threads import state
from threads.checkpointer import first_checkpoint_of_run
from threads.models import Thread
from webhooks.models import WebhookDelivery

TABS = (
    ("timeline", "Timeline"),
    ("messages", "Messages"),
    ("state", "State"),
    ("graph", "Graph"),
    ("request", "Request"),
    ("deliveries", "Deliveries"),
)
STATES = 100  # checkpoints of the run to choose from
MESSAGES = 200  # of the thread, its latest
DELIVERIES = 50
ATTEMPTS = 10


@dataclass(frozen=True)
class Tab:
    """A view of the run."""

    name: str
    title: str
    url: str
    count: int | None = None


@require_GET
@needs("viewer")
def page(request: HttpRequest, run_id: UUID, tab: str = "timeline") -> HttpResponse:
    """/admin/runs/<id>/ and its tabs"""
    run = found_run(run_id)
    if tab not in VIEWS:
        raise Http404
    return show(
        request,
        f"console/run/{tab}.html",
        Page(
            f"Run {run.graph_id}", (Crumb("Runs", reverse("console:runs")),), str(run.run_id), topic=f"run:{run.run_id}"
        ),
        run=run,
        row=RunRow(run, timezone.now()),
        tabs=_tabs(run),
        tab=tab,
        in_flight=run.status in IN_FLIGHT,
        assistant=Assistant.objects.filter(pk=run.assistant_id).first(),
        why=why(run),
        **_recorded(run),
        **VIEWS[tab](request, run),
    )


def found_run(run_id: UUID) -> Run:
    """The run with its thread. Raises Http404."""
    found = Run.objects.filter(pk=run_id).select_related("thread").first()
    if found is None:
        raise Http404("There is no such run, or no longer.")
    return found


def _tabs(run: Run) -> list[Tab]:
    counts = {"deliveries": WebhookDelivery.objects.filter(run_id=run.pk).count() or None}
    return [Tab(name, title, reverse("console:run", args=[run.pk, name]), counts.get(name)) for name, title in TABS]


def why(run: Run) -> tuple[str, str]:
    """A sentence on why the run is as it is, and its tone; empty when nothing needs to be said."""
    if run.status == RunStatus.PENDING:
        return scene([run], timezone.now()).reason(run).text, "info"
    if run.status == RunStatus.RUNNING:
        lease = run.lease_expires_at
        if lease is not None and lease < timezone.now():
            return "Its worker has not renewed the lease: another one takes over within seconds.", "warn"
        return ("Asked to end; it does at the next place where it can.", "warn") if run.cancel_action else ("", "")
    return (run.cancel_reason, "warn") if run.cancel_reason else ("", "")


def _recorded(run: Run) -> dict[str, Any]:
    """Of the last attempt: how long after its beginning a model spoke, and where the run's error was raised."""
    rows = RunTimeline.objects.filter(run_id=run.pk).order_by("-attempt")
    kept = rows.values_list("document", flat=True).first() or {}
    said = [span["first"] for span in kept.get("spans", ()) if span.get("first") is not None]
    raised = kept.get("raised") or {}
    ours = run.error and raised.get("error") == run.error.get("error")
    return {
        "first_token": timedelta(milliseconds=min(said)) if said else None,
        "frames": raised["frames"] if ours else [],
    }


# --- tabs -------------------------------------------------------------------------------------------------------------


def _timeline(request: HttpRequest, run: Run) -> dict[str, Any]:
    return {"attempts": _attempts(run)}


def _attempts(run: Run) -> list[dict[str, Any]]:
    """The timelines of the latest attempts, the first of them first; of a run that goes on with what is shown of it."""
    kept = list(
        RunTimeline.objects.filter(run_id=run.pk).order_by("-attempt").values_list("document", flat=True)[:ATTEMPTS]
    )
    if run.status in IN_FLIGHT:
        now = loop.run(timeline.shown(run.pk))
        if now and now["attempt"] not in {document.get("attempt") for document in kept}:
            kept.insert(0, now)
    return list(reversed(kept))


def _messages(request: HttpRequest, run: Run) -> dict[str, Any]:
    values = run.thread.values
    found = values.get("messages") if isinstance(values, dict) else None
    said = [message for message in found if isinstance(message, dict)] if isinstance(found, list) else []
    return {"said": said[-MESSAGES:], "left_out": max(len(said) - MESSAGES, 0), "values": values}


def _state(request: HttpRequest, run: Run) -> dict[str, Any]:
    states = loop.run(_states_of(run))
    ids = [one["checkpoint"]["checkpoint_id"] for one in states]
    after = request.GET.get("after") if request.GET.get("after") in ids else next(iter(ids), None)
    before = request.GET.get("before") if request.GET.get("before") in ids else (ids[-1] if ids else None)
    by_id = dict(zip(ids, states, strict=True))
    compared = difference(by_id[before]["values"], by_id[after]["values"]) if before and after else []
    return {"states": states, "before": before, "after": after, "channels": compared}


async def _states_of(run: Run) -> list[dict[str, Any]]:
    """The checkpoints the run wrote, newest first, and the one it began from."""
    config = thread_config(run.thread)
    found = await state.read_history(
        run.thread_id, run.graph_id, config, limit=STATES, metadata={"run_id": str(run.run_id)}, tenant=run.tenant
    )
    parent = found[-1].get("parent_checkpoint") if found else None
    if parent:
        found.append(await state.read_state(run.thread_id, run.graph_id, config, checkpoint=parent, tenant=run.tenant))
    return [{**one, "values": dialect.plain(one["values"])} for one in found if one.get("checkpoint")]


def thread_config(thread: Thread) -> dict[str, Any]:
    """What a graph factory sees when the thread is looked at from here."""
    known = thread.config.get("configurable", {})
    return {**thread.config, "configurable": {**known, "thread_id": str(thread.pk), "graph_id": thread.graph_id}}


def _graph(request: HttpRequest, run: Run) -> dict[str, Any]:
    drawing, problem = graph_drawing(run.graph_id, run.kwargs["config"])
    return {"drawing": drawing, "problem": problem}


def graph_drawing(graph_id: str, config: dict[str, Any]) -> tuple[Drawing | None, str]:
    """The drawing, or why there is none."""
    if graph_id not in load_all():
        return None, f"The project has no graph {graph_id} any more."
    try:
        return draw(loop.run(introspection.drawing(graph_id, config, xray=False))), ""
    except Exception as error:
        return None, f"The graph cannot be drawn: {type(error).__name__}: {error}"


def _request(request: HttpRequest, run: Run) -> dict[str, Any]:
    base = f"{request.scheme}://{request.get_host()}"
    options = {
        name: value for name, value in run.kwargs.items() if name not in ("input", "command", "config", "context")
    }
    return {"snippets": snippets(body_of(run), str(run.thread_id), base), "options": options}


def _deliveries(request: HttpRequest, run: Run) -> dict[str, Any]:
    return {"rows": of_run(run.pk, DELIVERIES)}


VIEWS = {
    "timeline": _timeline,
    "messages": _messages,
    "state": _state,
    "graph": _graph,
    "request": _request,
    "deliveries": _deliveries,
}


# --- actions ----------------------------------------------------------------------------------------------------------


@require_POST
@needs("operator")
def cancel(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """POST /admin/runs/<id>/cancel/: as the API's cancel; `action` is interrupt or rollback."""
    run = found_run(run_id)
    action = CancelAction.ROLLBACK if request.POST.get("action") == "rollback" else CancelAction.INTERRUPT
    try:
        end(request, run, action, reason_of(request.POST))
        messages.success(request, "The run was asked to end.")
    except APIException as error:
        messages.error(request, str(error.detail))
    return _back(run)


def end(request: HttpRequest, run: Run, action: CancelAction, reason: str = "") -> None:
    """Ask for the run's end on behalf of whoever is signed in. Raises as `cancel_run` does."""
    with transaction.atomic():
        cancel_run(run, action, f"{action} by {request.user.get_username()}{': ' + reason if reason else ''}")
        record(request, "cancel" if action == CancelAction.INTERRUPT else "roll back", run, reason=reason)


@require_POST
@needs("operator")
def retry(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """POST /admin/runs/<id>/retry/: as the API's retry; `start` is checkpoint or beginning."""
    run = found_run(run_id)
    if run.status in IN_FLIGHT:
        messages.error(request, "The run has not ended yet.")
        return _back(run)
    try:
        with transaction.atomic():
            new = retried(run, from_beginning=request.POST.get("start") == "beginning")
            record(request, "retry", run, after={"run_id": str(new.run_id)}, reason=reason_of(request.POST))
    except APIException as error:
        messages.error(request, str(error.detail))
        return _back(run)
    messages.success(request, "The run was started again as a new one: this page shows it.")
    return redirect("console:run", new.run_id, "timeline")


def retried(run: Run, *, from_beginning: bool) -> Run:
    """A new run that does the work of an ended one, for whom that one did. Raises as `retry_run` does."""
    checkpoint = loop.run(first_checkpoint_of_run(run.thread_id, run.run_id)) if from_beginning else None
    return retry_run(run, checkpoint, creator_of(run))


def creator_of(run: Run) -> Caller:
    """For whom a run was created; nobody asks again whether they may."""
    user = user_from(run.kwargs["config"]["configurable"].get("langgraph_auth_user"))
    return Caller(user=user or ANONYMOUS, tenant=run.tenant, unbound=True)


def _back(run: Run) -> HttpResponseRedirect:
    kept = Run.objects.filter(pk=run.pk).exists()
    return redirect("console:run", run.pk, "timeline") if kept else redirect("console:runs")


# --- live -------------------------------------------------------------------------------------------------------------


async def _source(key: str) -> AsyncIterator[dict[str, Any]]:
    """The run's row and timelines, until it has ended."""
    try:
        run_id = UUID(key)
    except ValueError:
        return
    while True:
        value = await in_thread(_look, run_id)
        yield value
        if value.get("ended"):
            return
        await asyncio.sleep(LOOK_SECONDS)


def _look(run_id: UUID) -> dict[str, Any]:
    run = Run.objects.filter(pk=run_id).defer("metadata", "blocked").first()
    if run is None:
        return {"ended": True, "status": "deleted"}
    row, now = RunRow(run, timezone.now()), timezone.now()
    lease = run.lease_expires_at
    return {
        "status": row.status,
        "ended": run.status not in IN_FLIGHT,
        "attempt": run.attempt,
        "worker": run.worker,
        "lease": max(round((lease - now).total_seconds()), 0) if lease else None,
        "took": row.took.total_seconds() if row.took else None,
        "waited": row.waited.total_seconds() if row.waited else None,
        "problem": row.problem,
        "attempts": _attempts(run),
    }


TOPIC = Topic(_source)
