"""The threads endpoints: rows, search, copy, prune. Source: contract/core.md 4.4 to 4.12."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from uuid_utils.compat import uuid7

from assistants.graphs import load_all
from config import loop
from config.errors import ApiError, Conflict, Invalid, NotFound
from config.paging import only, ordered, page_response
from config.rest import Endpoint, parse_uuid, read_body
from config.schema import ErrorResponse
from threads import checkpoint_rows, state
from threads.models import Thread, TTLStrategy
from threads.removal import delete_threads, keep_latest
from threads.serializers import (
    PruneBody,
    ThreadBody,
    ThreadCountBody,
    ThreadPatchBody,
    ThreadSearchBody,
    ThreadSerializer,
    extracted,
    ttl_of,
)

represent = ThreadSerializer().to_representation


class SuperstepsFailed(ApiError):
    """The thread was created, but its history was not. 201, as the reference answers."""

    status_code = 201


def existing(thread_id: UUID, *, lock: bool = False) -> Thread:
    """The thread. Raises NotFound."""
    rows = Thread.objects.select_for_update() if lock else Thread.objects
    found = rows.filter(thread_id=thread_id).first()
    if found is None:
        raise NotFound(f"Thread with ID {thread_id} not found")
    return found


class Threads(Endpoint):
    """POST /threads"""

    @extend_schema(
        operation_id="create_thread", request=ThreadBody, responses={200: ThreadSerializer, 409: ErrorResponse}
    )
    def post(self, request: Request) -> Response:
        """Create a thread, with a history if `supersteps` are given."""
        body = read_body(request, ThreadBody)
        thread_id = parse_uuid(body["thread_id"], "thread ID") if "thread_id" in body else uuid7()
        new = Thread(thread_id=thread_id, metadata=body.get("metadata", {}), **_ttl(body.get("ttl")))
        new.updated_at = new.created_at
        with transaction.atomic():
            Thread.objects.bulk_create([new], ignore_conflicts=True)
            thread = existing(thread_id, lock=True)
        if thread.created_at != new.created_at:
            if body.get("if_exists", "raise") == "raise":
                raise Conflict(f"Thread with ID {thread_id} already exists")
            return Response(represent(thread))
        if body.get("supersteps"):
            thread = _with_history(thread, body["supersteps"])
        return Response(represent(thread))


def _with_history(thread: Thread, supersteps: list[dict[str, Any]]) -> Thread:
    graph_id = thread.metadata.get("graph_id")
    if graph_id not in load_all():
        raise SuperstepsFailed(f"Thread {thread.pk} was created, but no registered graph_id in its metadata says how")
    config = {**thread.config, "configurable": thread.config.get("configurable", {})}
    with transaction.atomic():
        locked = existing(thread.thread_id, lock=True)
        head = loop.run(state.apply_supersteps(thread.thread_id, graph_id, config, supersteps))
        locked.settle(head, graph_id=graph_id, busy=False)
    return locked


def _ttl(ttl: dict[str, Any] | None) -> dict[str, Any]:
    """The row's TTL columns for a body's `ttl`."""
    if not ttl or "ttl" not in ttl:
        return {}
    minutes = min(max(float(ttl["ttl"]), 0.0), 5e7)
    return {
        "ttl_strategy": ttl.get("strategy", TTLStrategy.DELETE),
        "ttl_minutes": minutes,
        "expires_at": timezone.now() + timedelta(minutes=minutes),
    }


class ThreadSearch(Endpoint):
    """POST /threads/search"""

    @extend_schema(operation_id="search_threads", request=ThreadSearchBody, responses=ThreadSerializer(many=True))
    def post(self, request: Request) -> Response:
        """List threads."""
        body = read_body(request, ThreadSearchBody)
        ids = [parse_uuid(text, "thread ID") for text in body.get("ids", [])]
        rows = Thread.objects.matching(ids=ids, **_filters(body))
        return page_response(ordered(rows, body, default="created_at"), body, lambda row: _row(row, body))


def _row(thread: Thread, body: dict[str, Any]) -> dict[str, Any]:
    whole = represent(thread)
    row = only(whole, body.get("select"))
    return {**row, "extracted": extracted(whole, body["extract"])} if "extract" in body else row


def _filters(body: dict[str, Any]) -> dict[str, Any]:
    return {name: body.get(name) for name in ("metadata", "values", "status")}


class ThreadCount(Endpoint):
    """POST /threads/count"""

    @extend_schema(operation_id="count_threads", request=ThreadCountBody, responses=OpenApiTypes.INT)
    def post(self, request: Request) -> Response:
        """Count threads."""
        return Response(Thread.objects.matching(**_filters(read_body(request, ThreadCountBody))).count())


class OneThread(Endpoint):
    """/threads/{thread_id}"""

    @extend_schema(
        operation_id="get_thread",
        parameters=[OpenApiParameter("include", OpenApiTypes.STR)],
        responses=ThreadSerializer,
    )
    def get(self, request: Request, thread_id: str) -> Response:
        """Read a thread."""
        thread = existing(parse_uuid(thread_id, "thread ID"))
        included = {name.strip() for name in request.query_params.get("include", "").split(",")}
        return Response({**represent(thread), **(ttl_of(thread) if "ttl" in included else {})})

    @extend_schema(operation_id="update_thread", request=ThreadPatchBody, responses=ThreadSerializer)
    def patch(self, request: Request, thread_id: str) -> Response:
        """Merge metadata, set the TTL."""
        wanted = parse_uuid(thread_id, "thread ID")
        body = read_body(request, ThreadPatchBody)
        with transaction.atomic():
            thread = Thread.objects.select_for_update().filter(thread_id=wanted).first()
            if thread is None:
                raise NotFound
            thread.metadata = {**thread.metadata, **body.get("metadata", {})}
            for name, value in _ttl(body.get("ttl")).items():
                setattr(thread, name, value)
            thread.updated_at = timezone.now()
            thread.save()
        if request.headers.get("Prefer") == "return=minimal":
            return Response(status=204)
        return Response(represent(thread))

    @extend_schema(operation_id="delete_thread", responses={204: None})
    def delete(self, request: Request, thread_id: str) -> Response:
        """Delete a thread with its runs and checkpoints; what runs on it is stopped."""
        thread = existing(parse_uuid(thread_id, "thread ID"))
        delete_threads([thread.thread_id])
        return Response(status=204)


class ThreadCopy(Endpoint):
    """POST /threads/{thread_id}/copy"""

    @extend_schema(operation_id="copy_thread", request=None, responses={200: ThreadSerializer, 409: ErrorResponse})
    def post(self, request: Request, thread_id: str) -> Response:
        """Copy a thread with its checkpoints, without its runs."""
        wanted = parse_uuid(thread_id, "thread ID")
        with transaction.atomic():
            source = Thread.objects.filter(thread_id=wanted).first()
            if source is None:
                raise Conflict
            copy = Thread.objects.create(metadata=source.metadata)
            checkpoint_rows.copy_checkpoints(source.thread_id, copy.thread_id)
        return Response(represent(_derived(copy)))


def _derived(copy: Thread) -> Thread:
    """The copy's status, values and interrupts, from its head checkpoint."""
    graph_id = copy.metadata.get("graph_id")
    if graph_id not in load_all():
        return copy
    head = loop.run(state.refreshed_head(copy.thread_id, graph_id, {"configurable": {}}))
    if head.exists:
        copy.settle(head, graph_id=graph_id, busy=False)
    return copy


class ThreadPrune(Endpoint):
    """POST /threads/prune"""

    @extend_schema(operation_id="prune_threads", request=PruneBody, responses=OpenApiTypes.OBJECT)
    def post(self, request: Request) -> Response:
        """Delete threads, or all but their latest checkpoints."""
        body = read_body(request, PruneBody)
        ids = [parse_uuid(text, "thread ID") for text in body["thread_ids"]]
        if body.get("strategy", TTLStrategy.DELETE) == TTLStrategy.DELETE:
            return Response({"pruned_count": delete_threads(ids)})
        found = list(Thread.objects.filter(thread_id__in=ids).values_list("thread_id", flat=True))
        try:
            loop.run(keep_latest(found))
        except NotImplementedError as error:
            raise Invalid(str(error)) from None
        return Response({"pruned_count": len(found)})


class ThreadStorage(Endpoint):
    """GET /threads/{thread_id}/storage"""

    @extend_schema(operation_id="get_thread_storage", responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, thread_id: str) -> Response:
        """How many bytes a thread's checkpoints take, by channel."""
        return Response(checkpoint_rows.storage(existing(parse_uuid(thread_id, "thread ID")).thread_id))
