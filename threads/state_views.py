"""The state and history endpoints of a thread. Source: contract/core.md 4.13 to 4.18."""

from functools import partial
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authorizer import authorize
from accounts.callers import caller_of
from config import loop
from config.errors import Invalid
from config.rest import Endpoint, parse_uuid, read_body, without_nul
from config.schema import ErrorResponse
from threads import state
from threads.models import Thread
from threads.serializers import HistoryBody, StateAtBody, StateSerializer, StateUpdateBody
from threads.views import config_for, existing, readable
from threads.writing import write_state

SUBGRAPHS = OpenApiParameter("subgraphs", OpenApiTypes.BOOL)


def _read(request: Request, thread: Thread, checkpoint: dict[str, Any] | None, *, subgraphs: bool) -> Response:
    reading = state.read_state(
        thread.thread_id,
        thread.graph_id,
        config_for(request, thread),
        tenant=thread.tenant,
        checkpoint=checkpoint,
        subgraphs=subgraphs,
    )
    return Response(loop.run(reading))


def _wants_subgraphs(request: Request) -> bool:
    return request.query_params.get("subgraphs") in ("true", "True")


class ThreadState(Endpoint):
    """/threads/{thread_id}/state"""

    @extend_schema(operation_id="get_thread_state", parameters=[SUBGRAPHS], responses=StateSerializer)
    def get(self, request: Request, thread_id: str) -> Response:
        """The latest state."""
        thread = readable(request, parse_uuid(thread_id, "thread ID"))
        return _read(request, thread, None, subgraphs=_wants_subgraphs(request))

    @extend_schema(
        operation_id="update_thread_state",
        request=StateUpdateBody,
        responses={200: OpenApiTypes.OBJECT, 409: ErrorResponse},
    )
    def post(self, request: Request, thread_id: str) -> Response:
        """Write values into the state as a node would, as a new checkpoint."""
        wanted = parse_uuid(thread_id, "thread ID")
        body = read_body(request, StateUpdateBody)
        checkpoint = body.get("checkpoint") or {}
        if "checkpoint" not in body and "checkpoint_id" in body:
            checkpoint = {"checkpoint_id": body["checkpoint_id"]}
        scope = authorize(caller_of(request), "threads", "update", {"thread_id": wanted})
        written = write_state(
            partial(existing, wanted, scope, lock=True),
            partial(config_for, request),
            values=body.get("values"),
            as_node=body.get("as_node"),
            checkpoint=checkpoint,
        )
        return Response({"checkpoint": written, "configurable": written, "checkpoint_id": written.get("checkpoint_id")})


class ThreadStateAt(Endpoint):
    """GET /threads/{thread_id}/state/{checkpoint_id}"""

    @extend_schema(operation_id="get_thread_state_at_checkpoint", parameters=[SUBGRAPHS], responses=StateSerializer)
    def get(self, request: Request, thread_id: str, checkpoint_id: str) -> Response:
        """The state at a checkpoint of the root graph."""
        thread = readable(request, parse_uuid(thread_id, "thread ID"))
        return _read(
            request, thread, {"checkpoint_id": without_nul(checkpoint_id)}, subgraphs=_wants_subgraphs(request)
        )


class ThreadStateCheckpoint(Endpoint):
    """POST /threads/{thread_id}/state/checkpoint"""

    @extend_schema(operation_id="post_thread_state_at_checkpoint", request=StateAtBody, responses=StateSerializer)
    def post(self, request: Request, thread_id: str) -> Response:
        """The state at a checkpoint of any namespace."""
        wanted = parse_uuid(thread_id, "thread ID")
        body = read_body(request, StateAtBody)
        return _read(request, readable(request, wanted), body["checkpoint"], subgraphs=body.get("subgraphs", False))


class ThreadHistory(Endpoint):
    """/threads/{thread_id}/history"""

    @extend_schema(
        operation_id="list_thread_history",
        parameters=[OpenApiParameter("limit", OpenApiTypes.INT), OpenApiParameter("before", OpenApiTypes.STR)],
        responses=StateSerializer(many=True),
    )
    def get(self, request: Request, thread_id: str) -> Response:
        """Past states, newest first."""
        thread = readable(request, parse_uuid(thread_id, "thread ID"))
        text = request.query_params.get("limit", "1")
        try:
            limit = int(text)
        except ValueError:
            raise Invalid(f"Invalid limit {text}") from None
        before = request.query_params.get("before")
        return _history(request, thread, limit=min(limit, 1000), before=before and without_nul(before))

    @extend_schema(operation_id="search_thread_history", request=HistoryBody, responses=StateSerializer(many=True))
    def post(self, request: Request, thread_id: str) -> Response:
        """Past states by metadata, from a checkpoint or of a subgraph."""
        wanted = parse_uuid(thread_id, "thread ID")
        body = read_body(request, HistoryBody)
        return _history(
            request,
            readable(request, wanted),
            limit=body.get("limit", 1),
            before=_checkpoint_id(body.get("before")),
            metadata=body.get("metadata"),
            checkpoint=body.get("checkpoint"),
        )


def _history(request: Request, thread: Thread, **wanted: Any) -> Response:
    config = config_for(request, thread)
    reading = state.read_history(thread.thread_id, thread.graph_id, config, tenant=thread.tenant, **wanted)
    return Response(loop.run(reading))


def _checkpoint_id(before: Any) -> str | None:
    """The id in any of the forms clients send: text, a checkpoint object, a config (contract/core.md 4.18)."""
    if isinstance(before, dict):
        configurable = before.get("configurable")
        before = (configurable if isinstance(configurable, dict) else before).get("checkpoint_id")
    if before is not None and not isinstance(before, str):
        raise Invalid("before: must be a checkpoint id, a checkpoint object or a config")
    return before and without_nul(before)
