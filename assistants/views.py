"""The assistants endpoints. Source: contract/core.md 3."""

from typing import Any
from uuid import UUID

from django.db import transaction
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

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
from config import loop
from config.errors import Conflict, Invalid, NotFound
from config.paging import only, ordered, page_response
from config.rest import Endpoint, parse_uuid, read_body

represent = AssistantSerializer().to_representation
represent_version = VersionSerializer().to_representation


def existing(assistant_id: UUID, *, lock: bool = False) -> Assistant:
    """The assistant, if its graph is registered here. Raises NotFound."""
    rows = Assistant.objects.select_for_update() if lock else Assistant.objects
    found = rows.filter(assistant_id=assistant_id).first()
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

    @extend_schema(request=AssistantBody, responses=AssistantSerializer)
    def post(self, request: Request) -> Response:
        """Create an assistant from a graph."""
        body = read_body(request, AssistantBody)
        registered(body["graph_id"])
        if "assistant_id" in body:
            body["assistant_id"] = parse_uuid(body["assistant_id"], "assistant ID")
        new = Assistant(
            **{name: body[name] for name in ("assistant_id", "metadata", "description") if name in body},
            **mirrored(body),
            name=body.get("name") or "Untitled",
        )
        with transaction.atomic():
            found, created = _insert_once(new)
            if created:
                new.record_version()
            elif body.get("if_exists", "raise") == "raise":
                raise Conflict(f"Assistant {new.assistant_id} already exists")
        return Response(represent(found))


def _insert_once(new: Assistant) -> tuple[Assistant, bool]:
    """The row under the new one's id, and whether it is the new one."""
    Assistant.objects.bulk_create([new], ignore_conflicts=True)
    found = Assistant.objects.select_for_update().get(pk=new.pk)
    return found, found.created_at == new.created_at and found.name == new.name


class AssistantSearch(Endpoint):
    """POST /assistants/search"""

    @extend_schema(request=AssistantSearchBody, responses=AssistantSerializer(many=True))
    def post(self, request: Request) -> Response:
        """List assistants."""
        body = read_body(request, AssistantSearchBody)
        rows = ordered(_matching(body), body, default="created_at", any_case=("name", "graph_id"))
        return page_response(rows, body, lambda row: only(represent(row), body.get("select")))


class AssistantCount(Endpoint):
    """POST /assistants/count"""

    @extend_schema(request=AssistantCountBody, responses=OpenApiTypes.INT)
    def post(self, request: Request) -> Response:
        """Count assistants."""
        return Response(_matching(read_body(request, AssistantCountBody)).count())


def _matching(body: dict[str, Any]) -> Any:
    if "graph_id" in body:
        registered(body["graph_id"])
    wanted = {name: body.get(name) for name in ("metadata", "graph_id", "name")}
    return Assistant.objects.matching(**wanted).filter(graph_id__in=list(load_all()))


class OneAssistant(Endpoint):
    """/assistants/{assistant_id}"""

    @extend_schema(responses=AssistantSerializer)
    def get(self, request: Request, assistant_id: str) -> Response:
        """Read an assistant."""
        return Response(represent(existing(parse_uuid(assistant_id, "assistant ID"))))

    @extend_schema(request=AssistantPatchBody, responses=AssistantSerializer)
    def patch(self, request: Request, assistant_id: str) -> Response:
        """Change an assistant; every call makes a version."""
        wanted = parse_uuid(assistant_id, "assistant ID")
        body = read_body(request, AssistantPatchBody)
        if "graph_id" in body:
            registered(body["graph_id"])
        with transaction.atomic():
            assistant = Assistant.objects.select_for_update().filter(assistant_id=wanted).first()
            if assistant is None:
                raise NotFound(f"Assistant {wanted} not found")
            assistant.revise(_changes(assistant, body))
        return Response(represent(assistant))

    @extend_schema(
        parameters=[OpenApiParameter("delete_threads", OpenApiTypes.BOOL)], request=None, responses={204: None}
    )
    def delete(self, request: Request, assistant_id: str) -> Response:
        """Delete an assistant with its versions; its runs in flight are cancelled."""
        wanted = parse_uuid(assistant_id, "assistant ID")
        with_threads = request.query_params.get("delete_threads", "").lower() == "true"
        with transaction.atomic():
            assistant = Assistant.objects.select_for_update().filter(assistant_id=wanted).first()
            if assistant is None:
                raise NotFound(f"Assistant with ID {wanted} not found")
            for clean_up in before_delete:
                clean_up(wanted, with_threads)
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

    @extend_schema(request=VersionsBody, responses=VersionSerializer(many=True))
    def post(self, request: Request, assistant_id: str) -> Response:
        """List an assistant's versions, newest first."""
        wanted = parse_uuid(assistant_id, "assistant ID")
        body = read_body(request, VersionsBody)
        rows = AssistantVersion.objects.filter(assistant_id=wanted)
        if body.get("metadata"):
            rows = rows.filter(metadata__contains=body["metadata"])
        offset = body.get("offset", 0)
        found = [represent_version(row) for row in rows[offset : offset + body.get("limit", 10)]]
        if not found:
            raise NotFound(f"Assistant {wanted} not found")
        return Response(found)


class AssistantLatest(Endpoint):
    """POST /assistants/{assistant_id}/latest"""

    @extend_schema(request=LatestBody, responses=AssistantSerializer)
    def post(self, request: Request, assistant_id: str) -> Response:
        """Make an earlier version the current one."""
        body = read_body(request, LatestBody)
        wanted = parse_uuid(assistant_id, "assistant ID")
        with transaction.atomic():
            assistant = existing(wanted, lock=True)
            version = assistant.versions.filter(version=body.get("version", -1)).first()
            if version is None:
                raise NotFound(f"Version {body.get('version')} not found for assistant {wanted}")
            assistant.restore(version)
        return Response(represent(assistant))


class AssistantGraph(Endpoint):
    """GET /assistants/{assistant_id}/graph"""

    @extend_schema(parameters=[OpenApiParameter("xray", OpenApiTypes.STR)], responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, assistant_id: str) -> Response:
        """Draw the assistant's graph; a graph id will do for the assistant's."""
        xray = _xray(request.query_params.get("xray", "false"))
        wanted = default_assistant_ids().get(assistant_id) or parse_uuid(assistant_id, "assistant ID")
        assistant = existing(wanted)
        return Response(loop.run(introspection.drawing(assistant.graph_id, assistant.config, xray)))


def _xray(text: str) -> bool | int:
    if text in ("true", "True", "false", "False"):
        return text in ("true", "True")
    if text.isdecimal() and len(text) < 10 and int(text) >= 1:
        return int(text)
    raise Invalid("Invalid xray value")


class AssistantSchemas(Endpoint):
    """GET /assistants/{assistant_id}/schemas"""

    @extend_schema(responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, assistant_id: str) -> Response:
        """The schemas of the assistant's graph."""
        assistant = existing(parse_uuid(assistant_id, "assistant ID"))
        return Response(loop.run(introspection.schemas(assistant.graph_id, assistant.config)))


class AssistantSubgraphs(Endpoint):
    """GET /assistants/{assistant_id}/subgraphs and /subgraphs/{namespace}"""

    @extend_schema(parameters=[OpenApiParameter("recurse", OpenApiTypes.BOOL)], responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, assistant_id: str, namespace: str | None = None) -> Response:
        """The schemas of the subgraphs of the assistant's graph."""
        assistant = existing(parse_uuid(assistant_id, "assistant ID"))
        recurse = request.query_params.get("recurse") in ("true", "True")
        found = introspection.subgraphs(assistant.graph_id, assistant.config, namespace, recurse=recurse)
        return Response(loop.run(found))
