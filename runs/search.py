"""Runs across threads: search, count, retry. Extensions of ours (docs/extensions.md); nothing official is shadowed."""

from typing import Any
from uuid import UUID

from django.db import transaction
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authorizer import Scope, authorize
from accounts.callers import Caller, caller_of, run_caller_of
from config import loop
from config.errors import Conflict, NotFound
from config.paging import Page, only, ordered, page_response, select_field
from config.rest import Body, Choice, Endpoint, Identifier, Object, Text, parse_uuid, read_body
from runs.dispatch import retry_run
from runs.models import IN_FLIGHT, Run, RunQuerySet, RunStatus
from runs.serializers import RUN_FIELDS, RunSerializer
from threads.checkpointer import first_checkpoint_of_run

represent = RunSerializer().to_representation


class RunCountBody(Body):
    """Which runs to count."""

    status = Choice(RunStatus.values, required=False)
    assistant_id = Identifier(required=False)
    thread_id = Identifier(required=False)
    metadata = Object(required=False)
    created_after = serializers.DateTimeField(required=False, help_text="ISO 8601; runs due at or after it.")
    created_before = serializers.DateTimeField(required=False, help_text="ISO 8601; runs due before it.")
    error = Text(required=False, help_text="Part of the error's class name or message, in any case.")


class RunSearchBody(RunCountBody, Page):
    """Which runs to list, and how."""

    sort_by = Choice(["run_id", "created_at", "updated_at", "status"], required=False)
    sort_order = Choice(["asc", "desc"], required=False)
    select = select_field(RUN_FIELDS)


class RetryBody(Body):
    """Where a retry begins."""

    start = Choice(["checkpoint", "beginning"], required=False)


class RunSearch(Endpoint):
    """POST /runs/search"""

    @extend_schema(operation_id="search_runs", request=RunSearchBody, responses=RunSerializer(many=True))
    def post(self, request: Request) -> Response:
        """List runs of all threads."""
        body = read_body(request, RunSearchBody)
        rows = ordered(_matching(caller_of(request), body), body, default="created_at")
        return page_response(rows, body, lambda run: only(represent(run), body.get("select")))


class RunCount(Endpoint):
    """POST /runs/count"""

    @extend_schema(operation_id="count_runs", request=RunCountBody, responses=OpenApiTypes.INT)
    def post(self, request: Request) -> Response:
        """Count runs of all threads."""
        return Response(_matching(caller_of(request), read_body(request, RunCountBody)).count())


def _matching(caller: Caller, body: dict[str, Any]) -> RunQuerySet:
    asked = {"metadata": body.get("metadata", {}), "status": body.get("status")}
    asked |= {"limit": body.get("limit", 10), "offset": body.get("offset", 0)}
    scope = authorize(caller, "threads", "search", asked)
    body |= {name: value for name, value in asked.items() if value is not None}
    found = Run.objects.within(scope)
    if "status" in body:
        found = found.with_status(body["status"])
    for name in ("assistant_id", "thread_id"):
        if name in body:
            found = found.filter(**{name: parse_uuid(body[name], name.replace("_id", " ID"))})
    if body.get("metadata"):
        found = found.filter(metadata__contains=body["metadata"])
    if "created_after" in body:
        found = found.filter(created_at__gte=body["created_after"])
    if "created_before" in body:
        found = found.filter(created_at__lt=body["created_before"])
    return found.with_error(body["error"]) if body.get("error") else found


class RunRetry(Endpoint):
    """POST /runs/{run_id}/retry"""

    creates = True

    @extend_schema(operation_id="retry_run", request=RetryBody, responses=RunSerializer)
    def post(self, request: Request, run_id: str) -> Response:
        """Run an ended run again as a new run, from its thread's last checkpoint or from where it began."""
        wanted = parse_uuid(run_id, "run ID")
        body = read_body(request, RetryBody)
        caller = run_caller_of(request)
        scope = authorize(caller, "threads", "read", {"thread_id": None})
        with transaction.atomic():
            ended = _ended(wanted, scope)
            run = retry_run(ended, _input_checkpoint(ended, body), caller)
        location = f"/threads/{run.thread_id}/runs/{run.run_id}"
        return Response(represent(run), headers={"Content-Location": location})


def _ended(run_id: UUID, scope: Scope) -> Run:
    run = Run.objects.within(scope).filter(run_id=run_id).first()
    if run is None:
        raise NotFound("Run not found")
    if run.status in IN_FLIGHT:
        raise Conflict("The run has not ended yet.")
    return run


def _input_checkpoint(run: Run, body: dict[str, Any]) -> Any:
    """Where the run began: `{"checkpoint_id": ...}` of the state before it; None to go on from the last checkpoint."""
    if body.get("start", "checkpoint") == "checkpoint":
        return None
    return loop.run(first_checkpoint_of_run(run.thread_id, run.run_id))
