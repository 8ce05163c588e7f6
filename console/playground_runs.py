"""What the playground's page asks for: runs, their streams, what came of them, and the request in other languages.

A person's session opens no door of the API. These views take the body the API takes, call its verb, and frame the
answer by its code: why, is decision 46.
"""

import json
from typing import Any
from uuid import UUID

from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST
from rest_framework.exceptions import APIException

from accounts.audit import record
from accounts.authentication import backend
from accounts.callers import ANONYMOUS, Caller
from assistants.models import Assistant
from config import loop
from config.errors import UNAVAILABLE, Conflict, NotFound, respond, without_body
from config.rest import parse_json, read_body
from console.interrupts import questions
from console.models import Claim
from console.pages import Page, show
from console.roles import needs
from console.run_page import end, found_run, thread_config
from console.snippets import path_of, snippets
from console.thread_actions import caller_on
from events import log
from runs.dispatch import create_run, create_stateless_run, resolve_assistant
from runs.live import created_stream, rejoined
from runs.models import CancelAction, Run
from runs.serializers import RunBody, StatefulRunBody, StatelessRunBody
from threads import state
from threads.models import Thread

REFUSALS = (APIException, *UNAVAILABLE)


@require_POST
@needs("operator")
def start(request: HttpRequest, thread_id: UUID | None = None) -> HttpResponseBase:
    """POST …/threads/<id>/runs/stream and …/runs/stream: as the API answers the same body."""
    try:
        body = read_body(request, StatefulRunBody if thread_id else StatelessRunBody)
        # The position first, as in the API's own view: what the run writes before we look again must not be missed.
        after = loop.run(log.tail(str(thread_id))) if thread_id else log.BEGINNING
        with transaction.atomic():
            run = _created(request, thread_id, body)
    except REFUSALS as error:
        return respond(error)
    return created_stream(run, after, cancel_on_disconnect=body.get("on_disconnect") == "cancel")


def _created(request: HttpRequest, thread_id: UUID | None, body: dict[str, Any]) -> Run:
    """The run, and who started it in the audit log."""
    caller = _caller(thread_id, body)
    answer = (body.get("command") or {}).get("resume")
    if thread_id and answer is not None:
        _refuse_if_taken(request, thread_id)
    run = create_run(thread_id, body, caller) if thread_id else create_stateless_run(body, caller)
    done: dict[str, Any] = {"run_id": str(run.pk), "thread_id": str(run.thread_id)}
    if answer is None:
        record(request, "try", ("assistants.assistant", run.assistant_id), after=done)
    else:
        record(request, "answer", run.thread, after={**done, "answer": answer})
    return run


def _caller(thread_id: UUID | None, body: dict[str, Any]) -> Caller:
    """For whom it runs: whom the thread's newest run was for, or nobody in the tenant. Raises Conflict, NotFound."""
    assistant = Assistant.objects.filter(pk=resolve_assistant(body["assistant_id"])).only("tenant").first()
    if assistant is None:
        raise NotFound("Thread or assistant not found.")
    thread = Thread.objects.filter(pk=thread_id).first() if thread_id else None
    if thread is None:
        return Caller(user=ANONYMOUS, tenant=assistant.tenant, unbound=True)
    if assistant.tenant and assistant.tenant != thread.tenant:
        raise Conflict("The thread is another tenant's than the assistant.")
    return caller_on(thread)


def _refuse_if_taken(request: HttpRequest, thread_id: UUID) -> None:
    """Raises Conflict when somebody else has taken a question of the thread in the inbox."""
    claims = Claim.objects.filter(thread_id=thread_id, expires_at__gt=timezone.now())
    other = claims.exclude(person=request.user.get_username()).first()
    if other:
        raise Conflict(f"{other.person} has taken this question.")


@require_GET
@needs("viewer")
def follow(request: HttpRequest, run_id: UUID, thread_id: UUID | None = None) -> HttpResponseBase:
    """GET …/threads/<id>/runs/<id>/stream and …/runs/<id>/stream: for a page that has lost its connection."""
    run = found_run(run_id)
    if thread_id not in (None, run.thread_id):
        raise Http404
    return rejoined(run, request.headers.get("Last-Event-ID", ""), log.BEGINNING)


@require_POST
@needs("operator")
def stop(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """POST …/runs/<id>/stop: as the API's cancel."""
    try:
        end(request, found_run(run_id), CancelAction.INTERRUPT)
    except REFUSALS as error:
        return respond(error)
    return without_body(202)


@require_GET
@needs("viewer")
def outcome(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """GET …/runs/<id>/outcome: HTML of what came of it, and what may be done now."""
    run = found_run(run_id)
    try:
        now = loop.run(_state(run))
    except Exception as error:  # whatever the project's graph raises
        now, problem = state.empty_state(), f"The state cannot be read: {type(error).__name__}: {error}"
    else:
        problem = ""
    return show(
        request,
        "console/playground/outcome.html",
        Page(""),
        run=run,
        problem=problem,
        values=run.thread.values,
        next=now["next"],
        questions=questions(run.thread),
    )


async def _state(run: Run) -> dict[str, Any]:
    return await state.read_state(run.thread_id, run.graph_id, thread_config(run.thread), tenant=run.tenant)


@require_POST
@needs("operator")
def sent(request: HttpRequest, thread_id: UUID | None = None) -> HttpResponse:
    """POST …/threads/<id>/runs/sent and …/runs/sent: HTML of the request with this body, also in other languages."""
    try:
        read_body(request, RunBody)
    except REFUSALS as error:
        return respond(error)
    body, thread = parse_json(request.body), str(thread_id) if thread_id else None
    return show(
        request,
        "console/playground/sent.html",
        Page(""),
        path=path_of(thread),
        host=request.get_host(),
        body=json.dumps(body, indent=2, ensure_ascii=False),
        needs_key=(key := backend() is not None),
        snippets=snippets(body, thread, f"{request.scheme}://{request.get_host()}", key=key),
    )
