"""The assistants endpoints. Source: contract/core.md 3."""

from typing import Any
from uuid import UUID, uuid4

from django.db import IntegrityError, transaction
from django.db.models.functions import Lower
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authorizer import Scope, authorize
from accounts.callers import caller_of
from assistants import introspection
from assistants.deletion import before_delete
from assistants.graphs import default_assistant_ids, load_all
from assistants.models import Assistant, AssistantVersion
from assistants.serializers import (
    AssistantBody,
    AssistantCountBody,
    AssistantPatchBody,
    AssistantSearchBody,
    AssistantSerializer,
    LatestBody,
    VersionsBody,
    VersionSerializer,
    mirrored,
)
from assistants.visible import visible
from config import loop
from config.errors import Conflict, Invalid, NotFound
from config.headers import configurable_headers
from config.paging import only, ordered, page_response
from config.rest import Endpoint, parse_uuid, read_body
from config.schema import ErrorResponse

ANY_CASE = {"name": Lower("name"), "graph_id": Lower("graph_id")}

represent = AssistantSerializer().to_representation
represent_version = VersionSerializer().to_representation


def readable(request: Request, assistant_id: UUID) -> Assistant:
    """The assistant, if the caller may read it and its graph is registered here. Raises NotFound."""
    scope = authorize(caller_of(request), "assistants", "read", {"assistant_id": assistant_id})
    found = visible(scope).filter(assistant_id=assistant_id).first()
    if found is None or found.graph_id not in load_all():
        raise NotFound
    return found


def registered(graph_id: str) -> str:
    """The graph id. Raises NotFound, naming those there are, when it is not registered."""
    if graph_id not in load_all():
        raise NotFound(f"Graph '{graph_id}' not found. Expected one of: {sorted(load_all())}")
    return graph_id


class Assistants(Endpoint):
    """POST /assistants"""

    creates = True

    @extend_schema(
        operation_id="create_assistant",
        request=AssistantBody,
        responses={200: AssistantSerializer, 409: ErrorResponse},
    )
    def post(self, request: Request) -> Response:
        """Create an assistant from a graph."""
        body = read_body(request, AssistantBody)
        registered(body["graph_id"])
        if "assistant_id" in body:
            body["assistant_id"] = parse_uuid(body["assistant_id"], "assistant ID")
        body.setdefault("assistant_id", uuid4())
        caller = caller_of(request)
        asked = _asked(body["assistant_id"], body)
        scope = authorize(caller, "assistants", "create", asked)
        body |= _answered(asked, body)
        now = timezone.now()
        new = Assistant(
            tenant=caller.tenant,
            **{name: body[name] for name in ("assistant_id", "metadata", "description") if name in body},
            **mirrored(body),
            name=body.get("name") or "Untitled",
            created_at=now,
            updated_at=now,
        )
        return Response(represent(_insert(new, scope, if_exists=body.get("if_exists", "raise"))))


def _asked(assistant_id: UUID, body: dict[str, Any]) -> dict[str, Any]:
    """What a handler is shown of an assistant that is created or changed."""
    return {
        "assistant_id": assistant_id,
        "graph_id": body.get("graph_id"),
        "config": body.get("config", {}),
        "context": body.get("context", {}),
        "metadata": body.get("metadata", {}),
        "name": body.get("name"),
    }


def _answered(asked: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
    """The body's part of it as the handler left it; what neither has said stays unsaid."""
    return {name: asked[name] for name in asked if name != "assistant_id" and (name in body or asked[name])}


def _insert(new: Assistant, scope: Scope, *, if_exists: str) -> Assistant:
    """The new row with its first version, or the one that has its id, if the scope shows it. Raises Conflict."""
    try:
        with transaction.atomic():
            new.save(force_insert=True)
            new.record_version()
        return new
    except IntegrityError:
        found = Assistant.objects.within(scope).filter(pk=new.pk).first() if if_exists == "do_nothing" else None
        if found is None:
            raise Conflict(f"Assistant {new.assistant_id} already exists") from None
        return found


class AssistantSearch(Endpoint):
    """POST /assistants/search"""

    @extend_schema(
        operation_id="search_assistants", request=AssistantSearchBody, responses=AssistantSerializer(many=True)
    )
    def post(self, request: Request) -> Response:
        """List assistants."""
        body = read_body(request, AssistantSearchBody)
        rows = ordered(_matching(request, body), body, default="created_at", columns=ANY_CASE)
        return page_response(rows, body, lambda row: only(represent(row), body.get("select")))


class AssistantCount(Endpoint):
    """POST /assistants/count"""

    @extend_schema(operation_id="count_assistants", request=AssistantCountBody, responses=OpenApiTypes.INT)
    def post(self, request: Request) -> Response:
        """Count assistants."""
        return Response(_matching(request, {**read_body(request, AssistantCountBody), "limit": 0}).count())


def _matching(request: Request, body: dict[str, Any]) -> Any:
    """The assistants the caller may see and asks for; its handler may change the body."""
    if "graph_id" in body:
        registered(body["graph_id"])
    asked = {
        "graph_id": body.get("graph_id"),
        "metadata": body.get("metadata", {}),
        "limit": body.get("limit", 10),
        "offset": body.get("offset", 0),
    }
    scope = authorize(caller_of(request), "assistants", "search", asked)
    body |= asked
    wanted = {name: body.get(name) for name in ("metadata", "graph_id", "name")}
    return visible(scope).matching(**wanted).filter(graph_id__in=list(load_all()))


class OneAssistant(Endpoint):
    """/assistants/{assistant_id}"""

    @extend_schema(operation_id="get_assistant", responses=AssistantSerializer)
    def get(self, request: Request, assistant_id: str) -> Response:
        """Read an assistant."""
        return Response(represent(readable(request, parse_uuid(assistant_id, "assistant ID"))))

    @extend_schema(operation_id="update_assistant", request=AssistantPatchBody, responses=AssistantSerializer)
    def patch(self, request: Request, assistant_id: str) -> Response:
        """Change an assistant; every call makes a version."""
        wanted = parse_uuid(assistant_id, "assistant ID")
        body = read_body(request, AssistantPatchBody)
        if "graph_id" in body:
            registered(body["graph_id"])
        asked = _asked(wanted, body)
        scope = authorize(caller_of(request), "assistants", "update", asked)
        body |= _answered(asked, body)
        with transaction.atomic():
            assistant = Assistant.objects.within(scope).select_for_update().filter(assistant_id=wanted).first()
            if assistant is None:
                raise NotFound(f"Assistant {wanted} not found")
            assistant.revise(_changes(assistant, body))
        return Response(represent(assistant))

    @extend_schema(
        operation_id="delete_assistant",
        parameters=[OpenApiParameter("delete_threads", OpenApiTypes.BOOL)],
        request=None,
        responses={204: None},
    )
    def delete(self, request: Request, assistant_id: str) -> Response:
        """Delete an assistant with its versions; its runs in flight are cancelled."""
        wanted = parse_uuid(assistant_id, "assistant ID")
        with_threads = request.query_params.get("delete_threads", "").lower() == "true"
        caller = caller_of(request)
        scope = authorize(caller, "assistants", "delete", {"assistant_id": wanted})
        with transaction.atomic():
            assistant = Assistant.objects.within(scope).select_for_update().filter(assistant_id=wanted).first()
            if assistant is None:
                raise NotFound(f"Assistant with ID {wanted} not found")
            for clean_up in before_delete:
                clean_up(wanted, with_threads, caller)
            assistant.delete()
        return Response(status=204)


def _changes(assistant: Assistant, body: dict[str, Any]) -> dict[str, Any]:
    changes = mirrored(body)
    for name in ("name", "description"):
        if name in body:
            changes[name] = body[name]
    if "metadata" in body:
        changes["metadata"] = {**assistant.metadata, **body["metadata"]}
    return changes


class AssistantVersions(Endpoint):
    """POST /assistants/{assistant_id}/versions"""

    @extend_schema(operation_id="list_assistant_versions", request=VersionsBody, responses=VersionSerializer(many=True))
    def post(self, request: Request, assistant_id: str) -> Response:
        """List an assistant's versions, newest first."""
        wanted = parse_uuid(assistant_id, "assistant ID")
        body = read_body(request, VersionsBody)
        scope = authorize(caller_of(request), "assistants", "read", {"assistant_id": wanted})
        rows = AssistantVersion.objects.filter(assistant__in=visible(scope).filter(pk=wanted))
        if body.get("metadata"):
            rows = rows.filter(metadata__contains=body["metadata"])
        offset = body.get("offset", 0)
        found = [represent_version(row) for row in rows[offset : offset + body.get("limit", 10)]]
        if not found:
            raise NotFound(f"Assistant {wanted} not found")
        return Response(found)


class AssistantLatest(Endpoint):
    """POST /assistants/{assistant_id}/latest"""

    @extend_schema(operation_id="set_latest_assistant_version", request=LatestBody, responses=AssistantSerializer)
    def post(self, request: Request, assistant_id: str) -> Response:
        """Make an earlier version the current one."""
        body = read_body(request, LatestBody)
        wanted = parse_uuid(assistant_id, "assistant ID")
        asked = {"assistant_id": wanted, "version": body.get("version", -1)}
        scope = authorize(caller_of(request), "assistants", "update", asked)
        with transaction.atomic():
            assistant = Assistant.objects.within(scope).select_for_update().filter(assistant_id=wanted).first()
            if assistant is None or assistant.graph_id not in load_all():
                raise NotFound
            version = assistant.versions.filter(version=body.get("version", -1)).first()
            if version is None:
                raise NotFound(f"Version {body.get('version')} not found for assistant {wanted}")
            assistant.restore(version)
        return Response(represent(assistant))


class AssistantGraph(Endpoint):
    """GET /assistants/{assistant_id}/graph"""

    @extend_schema(
        operation_id="get_assistant_graph",
        parameters=[OpenApiParameter("xray", OpenApiTypes.STR)],
        responses=OpenApiTypes.OBJECT,
    )
    def get(self, request: Request, assistant_id: str) -> Response:
        """Draw the assistant's graph; a graph id will do for the assistant's."""
        xray = _xray(request.query_params.get("xray", "false"))
        wanted = default_assistant_ids().get(assistant_id) or parse_uuid(assistant_id, "assistant ID")
        assistant = readable(request, wanted)
        return Response(loop.run(introspection.drawing(assistant.graph_id, _config_for(request, assistant), xray)))


def _config_for(request: Request, assistant: Assistant) -> dict[str, Any]:
    """What a graph factory sees when an assistant is looked at."""
    known = assistant.config.get("configurable", {})
    ids = {"assistant_id": str(assistant.assistant_id), "graph_id": assistant.graph_id}
    own = {**ids, **caller_of(request).auth_configurable()}
    return {**assistant.config, "configurable": {**known, **configurable_headers(request.headers), **own}}


def _xray(text: str) -> bool | int:
    if text in ("true", "True", "false", "False"):
        return text in ("true", "True")
    if text.isdecimal() and len(text) < 10 and int(text) >= 1:
        return int(text)
    raise Invalid("Invalid xray value")


class AssistantSchemas(Endpoint):
    """GET /assistants/{assistant_id}/schemas"""

    @extend_schema(operation_id="get_assistant_schemas", responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, assistant_id: str) -> Response:
        """The schemas of the assistant's graph."""
        assistant = readable(request, parse_uuid(assistant_id, "assistant ID"))
        return Response(loop.run(introspection.schemas(assistant.graph_id, _config_for(request, assistant))))


class AssistantSubgraphs(Endpoint):
    """GET /assistants/{assistant_id}/subgraphs"""

    @extend_schema(
        operation_id="list_assistant_subgraphs",
        parameters=[OpenApiParameter("recurse", OpenApiTypes.BOOL)],
        responses=OpenApiTypes.OBJECT,
    )
    def get(self, request: Request, assistant_id: str, namespace: str | None = None) -> Response:
        """The schemas of the subgraphs of the assistant's graph."""
        assistant = readable(request, parse_uuid(assistant_id, "assistant ID"))
        recurse = request.query_params.get("recurse") in ("true", "True")
        config = _config_for(request, assistant)
        found = introspection.subgraphs(assistant.graph_id, config, namespace, recurse=recurse)
        return Response(loop.run(found))


@extend_schema_view(get=extend_schema(operation_id="list_assistant_subgraphs_in_namespace"))
class AssistantSubgraphsIn(AssistantSubgraphs):
    """GET /assistants/{assistant_id}/subgraphs/{namespace}"""
