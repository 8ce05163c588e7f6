"""What people may do to a thread: change its state in a branch, run it from a checkpoint, copy, prune, delete."""

import json
from uuid import UUID, uuid4

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.defaultfilters import filesizeformat
from django.urls import reverse
from django.views.decorators.http import require_POST
from rest_framework.exceptions import APIException

from accounts.audit import record
from accounts.callers import ANONYMOUS, Caller
from config.rest import check
from console.given import reason_of
from console.inbox import last_run
from console.roles import needs
from console.run_page import creator_of, thread_config
from console.threads import found_thread
from runs.dispatch import create_run
from runs.serializers import StatefulRunBody
from threads import measuring
from threads.copying import copy_thread
from threads.models import Thread
from threads.own_checkpointer import is_own
from threads.removal import delete_threads, prune_to_latest
from threads.writing import write_state


@require_POST
@needs("operator")
def edit(request: HttpRequest, thread_id: UUID) -> HttpResponse:
    """Write values behind a checkpoint, as the API's state update does: what was there stays, as another branch."""
    thread, checkpoint_id = found_thread(thread_id), request.POST.get("checkpoint", "")
    try:
        values = json.loads(request.POST.get("values", ""))
    except ValueError as error:
        messages.error(request, f"The values are not JSON: {error}.")
        return _back(thread, checkpoint_id, "values")
    try:
        with transaction.atomic():
            written = write_state(
                lambda: _locked(thread),
                thread_config,
                values=values,
                as_node=request.POST.get("as_node") or None,
                checkpoint={"checkpoint_id": checkpoint_id} if checkpoint_id else {},
            )
            record(request, "edit state", thread, before={"checkpoint_id": checkpoint_id}, after=written)
    except APIException as error:
        messages.error(request, str(error.detail))
        return _back(thread, checkpoint_id, "values")
    messages.success(request, "Written as a new checkpoint.")
    return _back(thread, str(written.get("checkpoint_id", "")), "values")


@require_POST
@needs("operator")
def run(request: HttpRequest, thread_id: UUID) -> HttpResponse:
    """Run the graph from a checkpoint, without new input."""
    thread, checkpoint_id = found_thread(thread_id), request.POST.get("checkpoint", "")
    body = {"assistant_id": request.POST.get("assistant", ""), "input": None, "multitask_strategy": "reject"}
    if checkpoint_id:
        body["checkpoint_id"] = checkpoint_id
    try:
        with transaction.atomic():
            started = create_run(thread.pk, check(body, StatefulRunBody), caller_on(thread))
            record(
                request,
                "run from checkpoint",
                thread,
                after={"run_id": str(started.pk), "checkpoint_id": checkpoint_id},
            )
    except APIException as error:
        messages.error(request, str(error.detail))
        return _back(thread, checkpoint_id, "values")
    return redirect("console:run", started.pk, "timeline")


def caller_on(thread: Thread) -> Caller:
    """For whom people run something on a thread: for whom its newest run was, so that graphs see the same user."""
    last = last_run(thread.pk)
    return creator_of(last) if last else Caller(user=ANONYMOUS, tenant=thread.tenant, unbound=True)


@require_POST
@needs("operator")
def copy(request: HttpRequest, thread_id: UUID) -> HttpResponse:
    """Make another thread with the same checkpoints, without the runs, as the API's copy does."""
    source, copied = found_thread(thread_id), uuid4()
    with transaction.atomic():
        copy_thread(lambda: _locked(source), thread_config, copied=copied)
        record(request, "copy", source, after={"thread_id": str(copied)})
    messages.success(request, f"This is the copy of {source.pk}: what happens here does not happen there.")
    return redirect("console:thread", copied)


@require_POST
@needs("operator")
def prune(request: HttpRequest, thread_id: UUID) -> HttpResponse:
    """Forget all but the latest checkpoint."""
    thread = found_thread(thread_id)
    before = _size(thread)
    try:
        with transaction.atomic():
            pruned = prune_to_latest([thread.pk])
            after = _size(thread)
            record(request, "prune", thread, before={"bytes": before}, after={"bytes": after})
    except APIException as error:
        messages.error(request, str(error.detail))
        return _back(thread)
    if pruned and is_own():
        messages.success(request, "All but the latest checkpoint is forgotten.")
    elif pruned:
        sizes = f"{filesizeformat(before)} before, {filesizeformat(after)} now"
        messages.success(request, f"{filesizeformat(max(before - after, 0))} freed: {sizes}.")
    else:
        messages.error(request, "The thread is busy: nothing was pruned.")
    return _back(thread)


def _size(thread: Thread) -> int:
    return 0 if is_own() else int(measuring.storage(thread.pk)["total_bytes"])


@require_POST
@needs("admin")
def delete(request: HttpRequest, thread_id: UUID) -> HttpResponse:
    """Delete the thread with its runs and checkpoints."""
    thread = found_thread(thread_id)
    with transaction.atomic():
        record(request, "delete", thread, reason=reason_of(request.POST))
        delete_threads([thread.pk])
    messages.success(request, f"Thread {thread.pk} is deleted.")
    return redirect("console:threads")


def _locked(thread: Thread) -> Thread:
    """Raises Http404."""
    return get_object_or_404(Thread.objects.select_for_update(), pk=thread.pk)


def _back(thread: Thread, checkpoint_id: str = "", tab: str = "values") -> HttpResponse:
    query = f"?checkpoint={checkpoint_id}&tab={tab}" if checkpoint_id else ""
    return redirect(f"{reverse('console:thread', args=[thread.pk])}{query}")
