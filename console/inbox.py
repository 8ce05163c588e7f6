"""The inbox: what threads wait for people to decide, across all of them; who has taken a question, and the answer."""

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST
from rest_framework.exceptions import APIException

from accounts.audit import record
from config.rest import check
from console.interrupts import BadAnswer, Question, answer_of, questions
from console.live import Topic, polled
from console.models import Claim
from console.pages import Crumb, Page, show
from console.paging import sheet
from console.roles import needs
from console.run_page import creator_of
from runs.dispatch import create_run
from runs.models import Run
from runs.serializers import StatefulRunBody
from threads.models import Thread, ThreadStatus

ORDER = ("-created_at", "-thread_id")
CLAIM_MINUTES = 15
COUNTED = 1000


class Taken(Exception):
    """Somebody else has the question, or has answered it; the message says who."""


@dataclass(frozen=True)
class Waiting:
    """A question in the list, and who has taken it."""

    question: Question
    claim: Claim | None


@require_GET
@needs("viewer")
def page(request: HttpRequest) -> HttpResponse:
    """/admin/interrupts/"""
    rows = waiting_threads()
    graph = request.GET.get("graph", "").strip()
    if graph:
        rows = rows.filter(metadata__contains={"graph_id": graph})
    found = sheet(request, rows, ORDER)
    asked = [question for thread in found.rows for question in questions(thread)]
    claims = _claims(asked)
    return show(
        request,
        "console/inbox.html",
        Page("Interrupts", topic="interrupts"),
        sheet=found,
        waiting=[Waiting(question, claims.get(question.interrupt_id)) for question in asked],
        graph=graph,
    )


def waiting_threads() -> Any:
    """Threads that stopped to ask somebody."""
    rows = Thread.objects.filter(status=ThreadStatus.INTERRUPTED).exclude(interrupts={})
    return rows.defer("values", "config", "error")


def _claims(asked: list[Question]) -> dict[str, Claim]:
    live = Claim.objects.filter(
        interrupt_id__in=[question.interrupt_id for question in asked], expires_at__gt=timezone.now()
    )
    return {claim.interrupt_id: claim for claim in live}


@require_GET
@needs("viewer")
def one(request: HttpRequest, thread_id: UUID, interrupt_id: str) -> HttpResponse:
    """/admin/interrupts/<thread>/<interrupt>/"""
    return _shown(request, _question(thread_id, interrupt_id))


def _shown(request: HttpRequest, question: Question, problem: str = "", status: int = 200) -> HttpResponse:
    claim = _claims([question]).get(question.interrupt_id)
    return show(
        request,
        "console/interrupt.html",
        Page(question.title, (Crumb("Interrupts", reverse("console:interrupts")),), f"thread {question.thread.pk}"),
        status=status,
        question=question,
        claim=claim,
        mine=claim is not None and claim.person == request.user.get_username(),
        problem=problem,
        given=request.POST,
        arguments=request.POST.get("arguments") or json.dumps(asked_arguments(question), indent=2, ensure_ascii=False),
        run=last_run(question.thread.pk),
    )


def asked_arguments(question: Question) -> dict[str, Any]:
    """The arguments of the action that is asked about."""
    return question.action.arguments if question.action else {}


def _question(thread_id: UUID, interrupt_id: str, *, lock: bool = False) -> Question:
    rows = Thread.objects.select_for_update() if lock else Thread.objects.all()
    thread = rows.filter(pk=thread_id).first()
    found = [asked for asked in questions(thread) if asked.interrupt_id == interrupt_id] if thread else []
    if not found:
        raise Http404("Nobody asks this any more: it was answered, or the thread is gone.")
    return found[0]


def last_run(thread_id: UUID) -> Run | None:
    """The newest run of the thread."""
    return Run.objects.filter(thread_id=thread_id).order_by("-created_at", "-run_id").first()


@require_POST
@needs("responder")
def claim(request: HttpRequest, thread_id: UUID, interrupt_id: str) -> HttpResponse:
    """Take a question, so that nobody else answers it meanwhile, or give it back (`release`)."""
    question, person = _question(thread_id, interrupt_id), request.user.get_username()
    if request.POST.get("release"):
        Claim.objects.filter(interrupt_id=question.interrupt_id, person=person).delete()
    else:
        try:
            take(question, person)
        except Taken as taken:
            messages.error(request, str(taken))
    return redirect("console:interrupt", thread_id, interrupt_id)


def take(question: Question, person: str) -> None:
    """Claim the question for some minutes; one's own claim begins anew. Raises Taken."""
    until = timezone.now() + timedelta(minutes=CLAIM_MINUTES)
    with transaction.atomic():
        Claim.objects.filter(interrupt_id=question.interrupt_id, expires_at__lte=timezone.now()).delete()
        kept, made = Claim.objects.get_or_create(
            interrupt_id=question.interrupt_id,
            defaults={"thread_id": question.thread.pk, "person": person, "expires_at": until},
        )
        if kept.person != person:
            raise Taken(f"{kept.person} has taken this question.")
        if not made:
            Claim.objects.filter(pk=kept.pk).update(expires_at=until)


@require_POST
@needs("responder")
def answer(request: HttpRequest, thread_id: UUID, interrupt_id: str) -> HttpResponse:
    """Answer a question: the thread goes on. 409 when somebody else has taken it, 404 when it was answered."""
    asked = _question(thread_id, interrupt_id)
    try:
        given = answer_of(asked, request.POST.dict())
        run = resume(request, asked, given)
    except BadAnswer as bad:
        return _shown(request, asked, str(bad), status=422)
    except Taken as taken:
        return _shown(request, asked, str(taken), status=409)
    except APIException as error:
        return _shown(request, asked, str(error.detail), status=error.status_code)
    messages.success(request, "Answered: the run goes on.")
    return redirect("console:run", run.run_id, "timeline")


def resume(request: HttpRequest, asked: Question, given: Any) -> Run:
    """The run that takes the answer, for whom the asking one was. Raises Taken, Http404 and what `create_run` does."""
    with transaction.atomic():
        question = _question(asked.thread.pk, asked.interrupt_id, lock=True)
        thread = question.thread
        if Run.objects.filter(thread_id=thread.pk).in_flight().exists():
            raise Taken("The thread goes on already: somebody was faster.")
        take(question, request.user.get_username())
        last = last_run(thread.pk)
        if last is None:
            raise Taken("The run that asked is gone, so nobody knows what is to go on.")
        body = {"assistant_id": str(last.assistant_id), "command": {"resume": {question.interrupt_id: given}}}
        body |= {"stream_mode": last.kwargs.get("stream_mode"), "multitask_strategy": "reject"}
        run = create_run(thread.pk, check(body, StatefulRunBody), creator_of(last))
        Claim.objects.filter(interrupt_id=question.interrupt_id).delete()
        what = {"interrupt_id": question.interrupt_id, "answer": given, "run_id": str(run.run_id)}
        record(request, "answer", thread, after=what)
    return run


def _look(key: str) -> dict[str, Any]:
    rows = waiting_threads().order_by("-state_updated_at").values_list("thread_id", "state_updated_at")[:COUNTED]
    found = list(rows)
    return {"count": len(found), "latest": found[0][1].isoformat() if found and found[0][1] else ""}


TOPIC = Topic(polled(_look, seconds=1.0))
