"""The threads endpoints: rows, search, copy, prune. Source: contract/core.md 4.4 to 4.12."""

from functools import partial
from typing import Any
from uuid import UUID, uuid4

from django.db import IntegrityError, transaction
from django.db.models import F
from django.db.models.functions import Coalesce
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from uuid_utils.compat import uuid7

from accounts.authorizer import EVERYTHING, Scope, authorize
from accounts.callers import Caller, caller_of
from assistants.graphs import load_all
from config import loop
from config.errors import ApiError, BadRequest, Conflict, NotFound
from config.headers import configurable_headers
from config.paging import only, ordered, page_response
from config.rest import Endpoint, parse_uuid, read_body
from config.schema import ErrorResponse
from threads import measuring, state
from threads.copying import copy_thread
from threads.expiry import default_expiry, expiry
from threads.models import Thread, ThreadStatus, TTLStrategy
from threads.own_checkpointer import is_own
from threads.removal import delete_threads, prune_to_latest
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

# A thread whose state never changed shows its row's own time.
LAST_CHANGE = {"state_updated_at": Coalesce(F("state_updated_at"), F("updated_at"))}

represent = ThreadSerializer().to_representation


class SuperstepsFailed(ApiError):
    """The thread was created, but its history was not. 201, as the reference answers."""

    status_code = 201


class NoFigures(ApiError):
    """Checkpoints are where only the project's saver knows how large they are."""

    status_code = 501
    default_detail = "The project's checkpointer does not say how much it stores"


def existing(thread_id: UUID, scope: Scope, *, lock: bool = False) -> Thread:
    """The thread, if the scope shows it. Raises NotFound."""
    rows = Thread.objects.within(scope).filter(thread_id=thread_id)
    found = (rows.select_for_update() if lock else rows).first()
    if found is None:
        raise NotFound(f"Thread with ID {thread_id} not found")
    return found


def readable(request: Request, thread_id: UUID) -> Thread:
    """The thread, if the request's caller may read it. Raises NotFound and what `authorize` does."""
    return existing(thread_id, authorize(caller_of(request), "threads", "read", {"thread_id": thread_id}))


class Threads(Endpoint):
    """POST /threads"""

    creates = True

    @extend_schema(
        operation_id="create_thread", request=ThreadBody, responses={200: ThreadSerializer, 409: ErrorResponse}
    )
    def post(self, request: Request) -> Response:
        """Create a thread, with a history if `supersteps` are given."""
        body = read_body(request, ThreadBody)
        wanted = parse_uuid(body["thread_id"], "thread ID") if "thread_id" in body else uuid7()
        caller, if_exists = caller_of(request), body.get("if_exists", "raise")
        asked = {"thread_id": wanted, "metadata": body.get("metadata", {}), "if_exists": if_exists}
        scope = authorize(caller, "threads", "create", asked)
        now = timezone.now()
        new = Thread(
            thread_id=wanted,
            tenant=caller.tenant,
            metadata=asked["metadata"],
            created_at=now,
            updated_at=now,
            **(expiry(body.get("ttl")) or default_expiry()),
        )
        thread = _insert(new, scope, if_exists=if_exists)
        if thread is new and body.get("supersteps"):
            thread = _with_history(thread, body["supersteps"], config_for(request, thread))
        return Response(represent(thread))


def _insert(new: Thread, scope: Scope, *, if_exists: str) -> Thread:
    """The new row, or the one that has its id, if the scope shows it. Raises Conflict."""
    try:
        with transaction.atomic():
            new.save(force_insert=True)
        return new
    except IntegrityError:
        found = Thread.objects.within(scope).filter(pk=new.pk).first() if if_exists == "do_nothing" else None
        if found is None:
            raise Conflict(f"Thread with ID {new.pk} already exists") from None
        return found


def _with_history(thread: Thread, supersteps: list[dict[str, Any]], config: dict[str, Any]) -> Thread:
    graph_id = thread.graph_id
    if graph_id is None or graph_id not in load_all():
        raise SuperstepsFailed(f"Thread {thread.pk} was created, but no registered graph_id in its metadata says how")
    with transaction.atomic():
        locked = existing(thread.thread_id, EVERYTHING, lock=True)
        writing = state.apply_supersteps(thread.thread_id, graph_id, config, supersteps, tenant=thread.tenant)
        head = loop.run(writing)
        locked.settle(head, graph_id=graph_id, busy=locked.status == ThreadStatus.BUSY)
    return locked


def config_for(request: Request, thread: Thread) -> dict[str, Any]:
    """What a graph factory sees when the thread's state is read or updated (contract/core.md 4.13)."""
    asked = configurable_headers({"x-request-id": str(uuid4()), **request.headers})
    known = thread.config.get("configurable", {})
    own = {"thread_id": str(thread.thread_id), "graph_id": thread.graph_id, **caller_of(request).auth_configurable()}
    return {**thread.config, "configurable": {**known, **asked, **own}}


class ThreadSearch(Endpoint):
    """POST /threads/search"""

    @extend_schema(operation_id="search_threads", request=ThreadSearchBody, responses=ThreadSerializer(many=True))
    def post(self, request: Request) -> Response:
        """List threads."""
        body = read_body(request, ThreadSearchBody)
        ids = [_filter_id(text) for text in body.get("ids", [])]
        asked = {**_filters(body), "limit": body.get("limit", 10), "offset": body.get("offset", 0)}
        scope = authorize(caller_of(request), "threads", "search", asked)
        body |= {name: value for name, value in asked.items() if value is not None}
        rows = Thread.objects.within(scope).matching(ids=ids, **_filters(body))
        found = ordered(rows, body, default="created_at", columns=LAST_CHANGE)
        return page_response(found, body, lambda row: _row(row, body))


def _filter_id(text: str) -> UUID:
    """400 here, where other places answer 422 (contract/core.md 1.4)."""
    try:
        return UUID(text)
    except ValueError:
        raise BadRequest(f"Invalid thread ID {text}") from None


def _row(thread: Thread, body: dict[str, Any]) -> dict[str, Any]:
    whole = represent(thread)
    row = only(whole, body.get("select"))
    return {**row, "extracted": extracted(whole, body["extract"])} if "extract" in body else row


def _filters(body: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": body.get("metadata", {}), "values": body.get("values", {}), "status": body.get("status")}


class ThreadCount(Endpoint):
    """POST /threads/count"""

    @extend_schema(operation_id="count_threads", request=ThreadCountBody, responses=OpenApiTypes.INT)
    def post(self, request: Request) -> Response:
        """Count threads."""
        asked = {**_filters(read_body(request, ThreadCountBody)), "limit": 0, "offset": 0}
        scope = authorize(caller_of(request), "threads", "search", asked)
        return Response(Thread.objects.within(scope).matching(**_filters(asked)).count())


class OneThread(Endpoint):
    """/threads/{thread_id}"""

    @extend_schema(
        operation_id="get_thread",
        parameters=[OpenApiParameter("include", OpenApiTypes.STR)],
        responses=ThreadSerializer,
    )
    def get(self, request: Request, thread_id: str) -> Response:
        """Read a thread."""
        thread = readable(request, parse_uuid(thread_id, "thread ID"))
        included = {name.strip() for name in request.query_params.get("include", "").split(",")}
        return Response({**represent(thread), **(ttl_of(thread) if "ttl" in included else {})})

    @extend_schema(operation_id="update_thread", request=ThreadPatchBody, responses=ThreadSerializer)
    def patch(self, request: Request, thread_id: str) -> Response:
        """Merge metadata, set the TTL."""
        wanted = parse_uuid(thread_id, "thread ID")
        body = read_body(request, ThreadPatchBody)
        asked = {"thread_id": wanted, **({"metadata": body["metadata"]} if "metadata" in body else {})}
        scope = authorize(caller_of(request), "threads", "update", asked)
        with transaction.atomic():
            thread = Thread.objects.within(scope).select_for_update().filter(thread_id=wanted).first()
            if thread is None:
                raise NotFound
            thread.metadata = {**thread.metadata, **asked.get("metadata", {})}
            thread.updated_at = timezone.now()
            lifetime = expiry(body.get("ttl"))
            for name, value in lifetime.items():
                setattr(thread, name, value)
            thread.save(update_fields=["metadata", "updated_at", *lifetime])
        if request.headers.get("Prefer") == "return=minimal":
            return Response(status=204)
        return Response(represent(thread))

    @extend_schema(operation_id="delete_thread", responses={204: None})
    def delete(self, request: Request, thread_id: str) -> Response:
        """Delete a thread with its runs and checkpoints; what runs on it is stopped."""
        wanted = parse_uuid(thread_id, "thread ID")
        scope = authorize(caller_of(request), "threads", "delete", {"thread_id": wanted})
        if not delete_threads([wanted], scope):
            raise NotFound(f"Thread with ID {wanted} not found")
        return Response(status=204)


class ThreadCopy(Endpoint):
    """POST /threads/{thread_id}/copy"""

    creates = True

    @extend_schema(operation_id="copy_thread", request=None, responses={200: ThreadSerializer, 409: ErrorResponse})
    def post(self, request: Request, thread_id: str) -> Response:
        """Copy a thread with its checkpoints, without its runs."""
        wanted, copied = parse_uuid(thread_id, "thread ID"), uuid4()
        caller = caller_of(request)
        asked: dict[str, Any] = {"thread_id": copied}
        scope = authorize(caller, "threads", "read", {"thread_id": wanted})
        authorize(caller, "threads", "create", asked)

        def lock() -> Thread:
            source = Thread.objects.within(scope).select_for_update().filter(thread_id=wanted).first()
            if source is None:
                raise Conflict
            return source

        metadata = asked.get("metadata")
        copy = copy_thread(lock, partial(config_for, request), copied=copied, metadata=metadata)
        return Response(represent(copy))


class ThreadPrune(Endpoint):
    """POST /threads/prune"""

    @extend_schema(operation_id="prune_threads", request=PruneBody, responses=OpenApiTypes.OBJECT)
    def post(self, request: Request) -> Response:
        """Delete threads, or all but the latest checkpoints of those that are not busy."""
        body = read_body(request, PruneBody)
        ids = _prunable(caller_of(request), [parse_uuid(text, "thread ID") for text in body["thread_ids"]])
        if body.get("strategy", TTLStrategy.DELETE) == TTLStrategy.DELETE:
            return Response({"pruned_count": delete_threads(ids)})
        return Response({"pruned_count": prune_to_latest(ids)})


def _prunable(caller: Caller, ids: list[UUID]) -> list[UUID]:
    """The ids, if the caller may delete all of them: one that is not theirs, or is none at all, is 404 for the call."""
    authorize(caller, "threads", "delete", {"thread_ids": ids})
    for thread_id in ids:
        scope = authorize(caller, "threads", "delete", {"thread_id": thread_id})
        if scope != EVERYTHING:
            existing(thread_id, scope)
    return ids


class ThreadStorage(Endpoint):
    """GET /threads/{thread_id}/storage"""

    @extend_schema(operation_id="get_thread_storage", responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, thread_id: str) -> Response:
        """How many bytes a thread's checkpoints take, by channel."""
        thread = readable(request, parse_uuid(thread_id, "thread ID"))
        if is_own():
            raise NoFigures
        return Response(measuring.storage(thread.thread_id))
