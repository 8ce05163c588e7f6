"""The crons endpoints. Source: contract/platform.md 4; run, next and preview are ours (docs/extensions.md)."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet, Value
from django.db.models.functions import Coalesce
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from uuid_utils.compat import uuid7

from accounts.authorizer import Scope, authorize, require_scope, touches_nothing
from accounts.callers import Caller, caller_of
from assistants.graphs import default_assistant_ids
from assistants.models import Assistant
from assistants.visible import may_run
from config.errors import BadRequest, NotFound
from config.outbound import check_url
from config.paging import only, ordered, page_response
from config.project import project
from config.rest import Body, Endpoint, check, parse_json, parse_uuid, read_body
from crons.changes import POLICIES, patch, payload_of
from crons.firing import fire_now
from crons.models import Cron, upcoming
from crons.schedules import parse
from crons.serializers import (
    CronBody,
    CronCountBody,
    CronPatchBody,
    CronSearchBody,
    CronSerializer,
    PreviewBody,
    SlotsSerializer,
    ThreadCronBody,
)
from runs.serializers import RunSerializer
from threads.views import existing

represent = CronSerializer().to_representation
represent_run = RunSerializer().to_representation
NO_TIME, NO_ID = Value(datetime(1, 1, 1, tzinfo=UTC)), Value(UUID(int=0))
NULL_FIRST = {
    "thread_id": Coalesce("thread_id", NO_ID),
    "end_time": Coalesce("end_time", NO_TIME),
    "next_run_date": Coalesce("next_run_date", NO_TIME),
}
MOST_SHOWN = 100


class Crons(Endpoint):
    """POST /runs/crons"""

    creates = True

    @extend_schema(operation_id="create_cron", request=CronBody, responses=CronSerializer)
    def post(self, request: Request) -> Response:
        """Create a cron whose runs have threads of their own."""
        raw, body = _read(request, CronBody)
        cron = _new_cron(caller_of(request), None, raw, body)
        cron.on_run_completed = body.get("on_run_completed", "delete")
        cron.save(force_insert=True)
        return Response(represent(cron))


class ThreadCrons(Endpoint):
    """POST /threads/{thread_id}/runs/crons"""

    creates = True

    @extend_schema(operation_id="create_thread_cron", request=ThreadCronBody, responses=CronSerializer)
    def post(self, request: Request, thread_id: str) -> Response:
        """Create a cron on a thread."""
        wanted = parse_uuid(thread_id, "thread ID")
        raw, body = _read(request, ThreadCronBody)
        caller = caller_of(request)
        cron = _new_cron(caller, wanted, raw, body)
        scope = authorize(caller, "threads", "read", {"thread_id": wanted})
        with transaction.atomic():
            cron.thread = existing(wanted, scope, lock=True)
            cron.tenant = cron.thread.tenant
            cron.save(force_insert=True)
        return Response(represent(cron))


class CronSearch(Endpoint):
    """POST /runs/crons/search"""

    @extend_schema(operation_id="search_crons", request=CronSearchBody, responses=CronSerializer(many=True))
    def post(self, request: Request) -> Response:
        """List crons."""
        body = read_body(request, CronSearchBody)
        rows = _matching(caller_of(request), body)
        if "enabled" in body:
            rows = rows.filter(enabled=body["enabled"])
        found = ordered(rows, {"sort_by": "created_at", **body}, default="created_at", columns=NULL_FIRST)
        return page_response(found, body, lambda cron: only(represent(cron), body.get("select")))


class CronCount(Endpoint):
    """POST /runs/crons/count"""

    @extend_schema(operation_id="count_crons", request=CronCountBody, responses=OpenApiTypes.INT)
    def post(self, request: Request) -> Response:
        """Count crons."""
        return Response(_matching(caller_of(request), {**read_body(request, CronCountBody), "limit": 0}).count())


class CronPreview(Endpoint):
    """POST /runs/crons/preview"""

    @extend_schema(operation_id="preview_cron", request=PreviewBody, responses=SlotsSerializer)
    def post(self, request: Request) -> Response:
        """When a timetable would fire next."""
        touches_nothing(caller_of(request))
        body = read_body(request, PreviewBody)
        schedule = parse(body["schedule"], body.get("timezone"))
        now = timezone.now()
        schedule.following(now)
        return Response({"next_run_dates": upcoming(schedule, body.get("limit", 5), now, body.get("end_time"))})


class OneCron(Endpoint):
    """/runs/crons/{cron_id}"""

    @extend_schema(operation_id="get_cron", responses=CronSerializer)
    def get(self, request: Request, cron_id: str) -> Response:
        """Read a cron."""
        return Response(represent(_existing(request, "read", cron_id)))

    @extend_schema(operation_id="update_cron", request=CronPatchBody, responses=CronSerializer)
    def patch(self, request: Request, cron_id: str) -> Response:
        """Change a cron. Its payload takes over what the body says, key by key."""
        wanted = parse_uuid(cron_id, "cron ID")
        raw, body = _read(request, CronPatchBody)
        if not raw:
            raise BadRequest("Request body cannot be empty")
        scope, raw, body = _permitted_change(caller_of(request), wanted, raw, body)
        return Response(represent(patch(wanted, raw, body, scope)))

    @extend_schema(operation_id="delete_cron", responses={204: None})
    def delete(self, request: Request, cron_id: str) -> Response:
        """Delete a cron; its runs go on."""
        wanted = parse_uuid(cron_id, "cron ID")
        scope = authorize(caller_of(request), "crons", "delete", {"cron_id": wanted})
        if not Cron.objects.within(scope).filter(pk=wanted).delete()[0]:
            raise NotFound
        return Response(status=204)


class CronRun(Endpoint):
    """POST /runs/crons/{cron_id}/run"""

    creates = True

    @extend_schema(operation_id="run_cron", request=None, responses=RunSerializer)
    def post(self, request: Request, cron_id: str) -> Response:
        """Create a run of the cron now, besides its timetable."""
        require_scope(caller_of(request), "threads", "create_run")
        return Response(represent_run(fire_now(_existing(request, "update", cron_id))))


class CronNext(Endpoint):
    """GET /runs/crons/{cron_id}/next"""

    @extend_schema(
        operation_id="get_cron_next",
        parameters=[OpenApiParameter("limit", OpenApiTypes.INT)],
        responses=SlotsSerializer,
    )
    def get(self, request: Request, cron_id: str) -> Response:
        """When a cron fires next, paused or not."""
        cron = _existing(request, "read", cron_id)
        text = request.query_params.get("limit", "5")
        if not text.isdecimal() or not 1 <= len(text) <= 3 or not 1 <= int(text) <= MOST_SHOWN:
            raise BadRequest(f"limit must be a whole number from 1 to {MOST_SHOWN}")
        return Response({"next_run_dates": cron.upcoming(int(text))})


def _read(request: Request, kind: type[Body]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The body as it came, without what only the server may set, and what of it is known, checked."""
    raw = parse_json(request.body)
    body = check(raw, kind)
    if "webhook" in body:
        check_url(body["webhook"], project().webhooks.policy)
    return raw, body


def _new_cron(caller: Caller, thread_id: UUID | None, raw: dict[str, Any], body: dict[str, Any]) -> Cron:
    """The row, not yet saved. Raises Invalid, BadRequest, NotFound and what `authorize` raises."""
    require_scope(caller, "threads", "create_run")  # what it fires later has no key any more
    assistant_id, cron_id = _assistant_id(caller, body["assistant_id"]), uuid7()
    asked = {
        "payload": raw,
        "schedule": body["schedule"],
        "cron_id": cron_id,
        "thread_id": thread_id,
        "user_id": caller.user.identity,
        "end_time": body.get("end_time"),
        "metadata": body.get("metadata", {}),
    }
    authorize(caller, "crons", "create", asked)
    raw, body = asked["payload"], {**body, "metadata": asked["metadata"]}
    now = timezone.now()
    cron = Cron(
        cron_id=cron_id,
        tenant=caller.tenant,
        user_id=caller.user.identity,
        assistant_id=assistant_id,
        end_time=body.get("end_time"),
        schedule=body["schedule"],
        timezone=body.get("timezone"),
        metadata=body.get("metadata", {}),
        enabled=body.get("enabled", True),
        created_at=now,
        updated_at=now,
        **{name: body[name] for name in POLICIES if name in body},
    )
    cron.next_run_date = cron.timetable.following(now)
    cron.payload = payload_of(cron, raw)
    cron.arrange()
    return cron


def _assistant_id(caller: Caller, text: str) -> UUID:
    try:
        wanted = default_assistant_ids().get(text) or UUID(text)
    except ValueError:
        raise NotFound(f"Assistant '{text}' not found") from None
    if not Assistant.objects.filter(pk=wanted).exists() or not may_run(caller, wanted):
        raise NotFound(f"Assistant '{text}' not found")
    return wanted


def _permitted_change(
    caller: Caller, cron_id: UUID, raw: dict[str, Any], body: dict[str, Any]
) -> tuple[Scope, dict[str, Any], dict[str, Any]]:
    """Which crons the caller may change, and the change as the handler left it."""
    asked: dict[str, Any] = {"cron_id": cron_id, "payload": raw}
    asked |= {name: body.get(name) for name in ("schedule", "end_time", "enabled", "on_run_completed")}
    if "metadata" in body:
        asked["metadata"] = body["metadata"]
    scope = authorize(caller, "crons", "update", asked)
    changed = {"metadata": asked["metadata"]} if "metadata" in asked else {}
    return scope, asked["payload"], {**body, **changed}


def _matching(caller: Caller, body: dict[str, Any]) -> QuerySet[Cron]:
    asked = {name: body.get(name) for name in ("assistant_id", "thread_id", "enabled")}
    asked |= {"metadata": body.get("metadata", {}), "limit": body.get("limit", 10), "offset": body.get("offset", 0)}
    scope = authorize(caller, "crons", "search", asked)
    body |= {name: asked[name] for name in ("metadata", "limit", "offset")}
    action, about = ("read", {"thread_id": body["thread_id"]}) if "thread_id" in body else ("search", {})
    rows = Cron.objects.within(scope).on_threads_within(authorize(caller, "threads", action, about))
    for name, what in (("assistant_id", "assistant ID"), ("thread_id", "thread ID")):
        if name in body:
            rows = rows.filter(**{name: parse_uuid(body[name], what)})
    return rows.filter(metadata__contains=body["metadata"]) if body.get("metadata") else rows


def _existing(request: Request, action: str, cron_id: str) -> Cron:
    wanted = parse_uuid(cron_id, "cron ID")
    cron = (
        Cron.objects.within(authorize(caller_of(request), "crons", action, {"cron_id": wanted}))
        .filter(pk=wanted)
        .first()
    )
    if cron is None:
        raise NotFound
    return cron
