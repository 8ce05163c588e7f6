"""The state and history endpoints of a thread. Source: contract/core.md 4.13 to 4.18."""

from typing import Any

from django.db import transaction
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from langgraph.errors import InvalidUpdateError
from rest_framework.request import Request
from rest_framework.response import Response

from assistants.graphs import load_all
from config import dialect, loop
from config.errors import BadRequest, Conflict, Invalid
from config.rest import Endpoint, parse_uuid, read_body
from config.schema import ErrorResponse
from events import log
from threads import state
from threads.models import Thread, ThreadStatus
from threads.serializers import HistoryBody, StateAtBody, StateSerializer, StateUpdateBody
from threads.views import existing

SUBGRAPHS = OpenApiParameter("subgraphs", OpenApiTypes.BOOL)
STATE_UPDATE = "state_update"


def _graph_of(thread: Thread) -> str | None:
    graph_id: str | None = thread.metadata.get("graph_id")
    return graph_id


def _config_of(thread: Thread) -> dict[str, Any]:
    return {**thread.config, "configurable": thread.config.get("configurable", {})}


def _read(thread: Thread, checkpoint: dict[str, Any] | None, *, subgraphs: bool) -> Response:
    config = _config_of(thread)
    reading = state.read_state(thread.thread_id, _graph_of(thread), config, checkpoint=checkpoint, subgraphs=subgraphs)
    return Response(loop.run(reading))


def _wants_subgraphs(request: Request) -> bool:
    return request.query_params.get("subgraphs") in ("true", "True")


class ThreadState(Endpoint):
    """/threads/{thread_id}/state"""

    @extend_schema(operation_id="get_thread_state", parameters=[SUBGRAPHS], responses=StateSerializer)
    def get(self, request: Request, thread_id: str) -> Response:
        """The latest state."""
        thread = existing(parse_uuid(thread_id, "thread ID"))
        return _read(thread, None, subgraphs=_wants_subgraphs(request))

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
        with transaction.atomic():
            # The row stays locked meanwhile, so that no run starts on a state that is being changed.
            thread = existing(wanted, lock=True)
            graph_id = _updatable_graph(thread)
            written, head, latest = loop.run(
                _update(thread, graph_id, body.get("values"), body.get("as_node"), checkpoint)
            )
            thread.settle(head, graph_id=graph_id, busy=False)
        loop.run(_publish(thread, latest))
        return Response({"checkpoint": written, "configurable": written, "checkpoint_id": written.get("checkpoint_id")})


def _updatable_graph(thread: Thread) -> str:
    if thread.status == ThreadStatus.BUSY:
        raise Conflict("Thread is busy with a running job. Cannot update state.")
    graph_id = _graph_of(thread)
    if graph_id not in load_all():
        raise BadRequest(f"Thread {thread.pk} has no known graph, so its state cannot be updated")
    return str(graph_id)


async def _update(thread: Thread, graph_id: str, values: Any, as_node: str | None, checkpoint: dict[str, Any]) -> Any:
    try:
        return await state.update_state(
            thread.thread_id, graph_id, _config_of(thread), values=values, as_node=as_node, checkpoint=checkpoint
        )
    except (InvalidUpdateError, ValueError, TypeError, KeyError, AttributeError) as error:
        # What a reducer or a node's writers make of unfit values is the caller's to mend.
        raise BadRequest(str(error) or type(error).__name__) from error


async def _publish(thread: Thread, latest: dict[str, Any]) -> None:
    data = dialect.dumps({"state": latest, "thread_id": str(thread.thread_id)})
    await log.append(str(thread.thread_id), "", [log.Part("", STATE_UPDATE, data)], last=True)


class ThreadStateAt(Endpoint):
    """GET /threads/{thread_id}/state/{checkpoint_id}"""

    @extend_schema(operation_id="get_thread_state_at_checkpoint", parameters=[SUBGRAPHS], responses=StateSerializer)
    def get(self, request: Request, thread_id: str, checkpoint_id: str) -> Response:
        """The state at a checkpoint of the root graph."""
        thread = existing(parse_uuid(thread_id, "thread ID"))
        return _read(thread, {"checkpoint_id": checkpoint_id}, subgraphs=_wants_subgraphs(request))


class ThreadStateCheckpoint(Endpoint):
    """POST /threads/{thread_id}/state/checkpoint"""

    @extend_schema(operation_id="post_thread_state_at_checkpoint", request=StateAtBody, responses=StateSerializer)
    def post(self, request: Request, thread_id: str) -> Response:
        """The state at a checkpoint of any namespace."""
        wanted = parse_uuid(thread_id, "thread ID")
        body = read_body(request, StateAtBody)
        return _read(existing(wanted), body["checkpoint"], subgraphs=body.get("subgraphs", False))


class ThreadHistory(Endpoint):
    """/threads/{thread_id}/history"""

    @extend_schema(
        operation_id="list_thread_history",
        parameters=[OpenApiParameter("limit", OpenApiTypes.INT), OpenApiParameter("before", OpenApiTypes.STR)],
        responses=StateSerializer(many=True),
    )
    def get(self, request: Request, thread_id: str) -> Response:
        """Past states, newest first."""
        thread = existing(parse_uuid(thread_id, "thread ID"))
        text = request.query_params.get("limit", "1")
        try:
            limit = int(text)
        except ValueError:
            raise Invalid(f"Invalid limit {text}") from None
        return _history(thread, limit=min(limit, 1000), before=request.query_params.get("before"))

    @extend_schema(operation_id="search_thread_history", request=HistoryBody, responses=StateSerializer(many=True))
    def post(self, request: Request, thread_id: str) -> Response:
        """Past states by metadata, from a checkpoint or of a subgraph."""
        wanted = parse_uuid(thread_id, "thread ID")
        body = read_body(request, HistoryBody)
        return _history(
            existing(wanted),
            limit=body.get("limit", 1),
            before=_checkpoint_id(body.get("before")),
            metadata=body.get("metadata"),
            checkpoint=body.get("checkpoint"),
        )


def _history(thread: Thread, **wanted: Any) -> Response:
    reading = state.read_history(thread.thread_id, _graph_of(thread), _config_of(thread), **wanted)
    return Response(loop.run(reading))


def _checkpoint_id(before: Any) -> str | None:
    """The id in any of the forms clients send: text, a checkpoint object, a config (contract/core.md 4.18)."""
    if isinstance(before, dict):
        configurable = before.get("configurable")
        before = (configurable if isinstance(configurable, dict) else before).get("checkpoint_id")
    if before is not None and not isinstance(before, str):
        raise Invalid("before: must be a checkpoint id, a checkpoint object or a config")
    return before
