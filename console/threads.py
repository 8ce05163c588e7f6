"""Threads for people: the list, and one thread with its checkpoints as a rail of branches. Looks; actions are apart."""

import json
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db.models import Count, QuerySet
from django.db.models.fields.json import KT
from django.http import Http404, HttpRequest, HttpResponse
from django.template.defaultfilters import filesizeformat
from django.urls import reverse
from django.views.decorators.http import require_GET

from assistants.models import Assistant
from config import dialect, loop
from console.difference import difference
from console.given import given_of
from console.pages import Crumb, Page, show
from console.paging import sheet
from console.rail import Step, parent_of, rail
from console.roles import needs
from console.run_filters import PAIR
from console.run_page import thread_config
from console.saved import LISTS, views
from runs.models import Run
from threads import measuring, state
from threads.models import Thread, ThreadStatus
from threads.own_checkpointer import is_own

ORDER = ("-created_at", "-thread_id")
STATES = 60  # checkpoints on the rail
RUNS = 20
ASSISTANTS = 100
MESSAGES = 200
CHANNELS = 50
TABS = ("values", "chat", "changes", "tasks")


@require_GET
@needs("viewer")
def page(request: HttpRequest) -> HttpResponse:
    """/admin/threads/"""
    given = given_of(request.GET, LISTS["threads"].names)
    found = sheet(request, _with_previews(_matching(given)), ORDER)
    return show(
        request,
        "console/threads.html",
        Page("Threads"),
        sheet=found,
        threads=found.rows,
        given=given,
        statuses=ThreadStatus.values,
        runs=_run_counts(found.rows),
        views=views(request, "threads", given),
    )


def _matching(given: dict[str, str]) -> QuerySet[Thread]:
    wanted: dict[str, Any] = {"graph_id": given["graph"]} if "graph" in given else {}
    if pair := PAIR.fullmatch(given.get("metadata", "")):
        wanted[pair[1]] = pair[2]
    status = given.get("status")
    return Thread.objects.matching(metadata=wanted, status=status if status in ThreadStatus.values else None)


def _with_previews(rows: QuerySet[Thread]) -> QuerySet[Thread]:
    """With the last message's text instead of the whole state."""
    return rows.annotate(last_said=KT("values__messages__-1__content")).defer("values", "config", "interrupts")


def _run_counts(threads: Sequence[Thread]) -> dict[UUID, int]:
    rows = Run.objects.filter(thread_id__in=[thread.pk for thread in threads]).order_by()
    return dict(rows.values_list("thread_id").annotate(count=Count("pk")))


@require_GET
@needs("viewer")
def one(request: HttpRequest, thread_id: UUID) -> HttpResponse:
    """/admin/threads/<id>/: `checkpoint` says which one is looked at, `tab` how, `with` what it is compared to.

    The rail shows the newest checkpoints, or those older than the one `before` names.
    """
    thread, before = found_thread(thread_id), request.GET.get("before", "")
    steps = rail(loop.run(_history(thread, before)))
    chosen = _chosen(steps, request.GET.get("checkpoint")) or (steps[0] if steps else None)
    tab = request.GET.get("tab") if request.GET.get("tab") in TABS else "values"
    values = chosen.state["values"] if chosen else thread.values
    return show(
        request,
        "console/thread.html",
        Page(f"Thread {thread.graph_id or ''}", (Crumb("Threads", reverse("console:threads")),), str(thread.pk)),
        thread=thread,
        steps=steps,
        chosen=chosen,
        tab=tab,
        tabs=TABS,
        values=values,
        said=_messages(values),
        **(_comparison(steps, chosen, request.GET.get("with")) if chosen and tab == "changes" else {}),
        editable=json.dumps(values, indent=2, ensure_ascii=False) if values else "{}",
        older=steps[-1].checkpoint_id if len(steps) == STATES else "",
        before=before,
        **_storage(thread),
        runs=Run.objects.filter(thread_id=thread.pk)
        .defer("kwargs", "metadata")
        .order_by("-created_at", "-run_id")[:RUNS],
        assistants=Assistant.objects.filter(graph_id=thread.graph_id or "")[:ASSISTANTS],
    )


def found_thread(thread_id: UUID) -> Thread:
    """The thread. Raises Http404."""
    thread = Thread.objects.filter(pk=thread_id).first()
    if thread is None:
        raise Http404("There is no such thread, or no longer.")
    return thread


async def _history(thread: Thread, before: str) -> list[dict[str, Any]]:
    found = await state.read_history(
        thread.pk, thread.graph_id, thread_config(thread), limit=STATES, tenant=thread.tenant, before=before or None
    )
    return [{**one, "values": dialect.plain(one["values"])} for one in found if one.get("checkpoint")]


def _chosen(steps: Sequence[Step], checkpoint_id: str | None) -> Step | None:
    return next((step for step in steps if step.checkpoint_id == checkpoint_id), None)


def _comparison(steps: Sequence[Step], chosen: Step, compared: str | None) -> dict[str, Any]:
    """What differs from another checkpoint, by default from the one before."""
    other = _chosen(steps, compared) or _chosen(steps, parent_of(chosen.state))
    return {"other": other, "channels": difference(other.state["values"] if other else None, chosen.state["values"])}


def _storage(thread: Thread) -> dict[str, Any]:
    """What the thread takes, by channel, and what a prune would free."""
    if is_own():
        return {"storage": None, "frees": "The project's own checkpointer does not say how much that frees."}
    storage, prunable = measuring.storage(thread.pk), measuring.prunable(thread.pk)
    frees = f"That frees about {filesizeformat(prunable)} of {filesizeformat(storage['total_bytes'])}."
    return {"storage": storage, "takers": measuring.channels(thread.pk, CHANNELS), "frees": frees}


def _messages(values: Any) -> list[dict[str, Any]]:
    found = values.get("messages") if isinstance(values, dict) else None
    return [one for one in found if isinstance(one, dict)][-MESSAGES:] if isinstance(found, list) else []
