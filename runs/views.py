"""The runs endpoints that answer at once; those that stay open are in live.py. Source: contract/core.md 5.6."""

from typing import Any

import orjson
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authorizer import authorize
from accounts.callers import caller_of, run_caller_of
from config.errors import BadRequest, Invalid, NotFound
from config.paging import only
from config.rest import Endpoint, parse_json, parse_uuid, read_body
from config.schema import ErrorResponse
from runs.dispatch import cancel_runs, create_batch, create_run, create_stateless_run
from runs.models import CancelAction, Run
from runs.permission import may_cancel
from runs.removal import delete_run
from runs.serializers import (
    RUN_FIELDS,
    CancelRunsBody,
    RunSerializer,
    StatefulRunBody,
    StatelessRunBody,
    cancel_action,
    check_batch,
)
from threads.views import existing

represent = RunSerializer().to_representation
ACTION = OpenApiParameter("action", OpenApiTypes.STR, enum=["interrupt", "rollback"])


class StatelessRuns(Endpoint):
    """POST /runs"""

    creates = True

    @extend_schema(operation_id="create_stateless_run", request=StatelessRunBody, responses=RunSerializer)
    def post(self, request: Request) -> Response:
        """Create a run on a thread of its own."""
        run = create_stateless_run(read_body(request, StatelessRunBody), run_caller_of(request))
        return Response(represent(run), headers={"Content-Location": f"/runs/{run.run_id}"})


class RunBatch(Endpoint):
    """POST /runs/batch"""

    creates = True

    @extend_schema(
        operation_id="create_run_batch", request=StatelessRunBody(many=True), responses=RunSerializer(many=True)
    )
    def post(self, request: Request) -> Response:
        """Create several stateless runs, all or none."""
        bodies = check_batch(parse_json(request.body))
        return Response([represent(run) for run in create_batch(bodies, run_caller_of(request))])


class CancelRuns(Endpoint):
    """POST /runs/cancel"""

    @extend_schema(operation_id="cancel_runs", request=CancelRunsBody, parameters=[ACTION], responses={204: None})
    def post(self, request: Request) -> Response:
        """Cancel all runs in a status, or some of a thread."""
        body = read_body(request, CancelRunsBody)
        action = cancel_action(request.query_params.get("action"))
        if not cancel_runs(_chosen(request, body, action), action, f"{action} requested via POST {request.path}"):
            raise NotFound("No runs found to cancel")
        return Response(status=204)


def _chosen(request: Request, body: dict[str, Any], action: CancelAction) -> list[Run]:
    caller, runs = caller_of(request), Run.objects.in_flight().in_turn()
    if "status" in body:
        status = body["status"]
        runs = runs.within(may_cancel(caller, None, action, status=status))
        return list(runs if status == "all" else runs.filter(status=status))
    thread_id = parse_uuid(body["thread_id"], "thread ID")
    run_ids = [parse_uuid(text, "run ID") for text in body["run_ids"]]
    runs = runs.within(may_cancel(caller, thread_id, action, run_ids=run_ids))
    return list(runs.filter(thread_id=thread_id, run_id__in=run_ids))


class ThreadRuns(Endpoint):
    """/threads/{thread_id}/runs"""

    creates = True

    @extend_schema(
        operation_id="list_runs",
        parameters=[
            OpenApiParameter("limit", OpenApiTypes.INT),
            OpenApiParameter("offset", OpenApiTypes.INT),
            OpenApiParameter("status", OpenApiTypes.STR),
            OpenApiParameter("select", OpenApiTypes.STR, many=True, enum=RUN_FIELDS),
        ],
        responses=RunSerializer(many=True),
    )
    def get(self, request: Request, thread_id: str) -> Response:
        """List a thread's runs, newest first."""
        wanted = parse_uuid(thread_id, "thread ID")
        limit, offset = _whole(request, "limit", 10), _whole(request, "offset", 0)
        select = _select(request.query_params.getlist("select"))
        caller = caller_of(request)
        existing(wanted, authorize(caller, "threads", "read", {"thread_id": wanted}))
        scope = authorize(caller, "threads", "search", {"thread_id": wanted, "metadata": {}})
        rows = Run.objects.within(scope).filter(thread_id=wanted).order_by("-created_at", "-run_id")
        if "status" in request.query_params:
            rows = rows.with_status(request.query_params["status"])
        page = rows[max(offset, 0) : max(offset, 0) + min(max(limit, 0), 1000)]
        return Response([only(represent(run), select) for run in page])

    @extend_schema(
        operation_id="create_run", request=StatefulRunBody, responses={200: RunSerializer, 409: ErrorResponse}
    )
    def post(self, request: Request, thread_id: str) -> Response:
        """Create a run on the thread."""
        body = read_body(request, StatefulRunBody)
        run = create_run(parse_uuid(thread_id, "thread ID"), body, run_caller_of(request))
        headers = {"Content-Location": f"/threads/{run.thread_id}/runs/{run.run_id}"}
        return Response(represent(run), headers=headers)


def _whole(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name)
    if text is None:
        return default
    try:
        return min(int(text), 2**62)
    except ValueError:
        raise BadRequest(f"{name} must be an integer") from None


def _select(given: list[str]) -> list[str]:
    """The chosen fields: repeated parameters, comma lists and JSON arrays, as SDKs of all ages send them."""
    names: list[str] = []
    for text in given:
        if text.startswith("["):
            try:
                names += [str(name) for name in orjson.loads(text)]
            except ValueError:
                raise Invalid(f"Invalid select {text}") from None
        else:
            names += [name.strip() for name in text.split(",")]
    unknown = [name for name in names if name not in RUN_FIELDS]
    if unknown:
        raise Invalid(f"Invalid select {unknown[0]}: expected one of {', '.join(RUN_FIELDS)}")
    return names


class OneRun(Endpoint):
    """/threads/{thread_id}/runs/{run_id}"""

    @extend_schema(operation_id="get_run", responses=RunSerializer)
    def get(self, request: Request, thread_id: str, run_id: str) -> Response:
        """Read a run."""
        thread_uuid, run_uuid = parse_uuid(thread_id, "thread ID"), parse_uuid(run_id, "run ID")
        scope = authorize(caller_of(request), "threads", "read", {"thread_id": thread_uuid})
        run = Run.objects.within(scope).filter(run_id=run_uuid, thread_id=thread_uuid).first()
        if run is None:
            existing(thread_uuid, scope)
            raise NotFound
        return Response(represent(run))

    @extend_schema(operation_id="delete_run", responses={204: None})
    def delete(self, request: Request, thread_id: str, run_id: str) -> Response:
        """Delete a run and the checkpoints it wrote; a running one is stopped."""
        thread_uuid, run_uuid = parse_uuid(thread_id, "thread ID"), parse_uuid(run_id, "run ID")
        asked = {"run_id": run_uuid, "thread_id": thread_uuid}
        delete_run(thread_uuid, run_uuid, authorize(caller_of(request), "threads", "delete", asked))
        return Response(status=204)
