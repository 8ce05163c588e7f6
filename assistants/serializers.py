"""Bodies and answers of the assistants endpoints. Source: contract/core.md 3."""

from typing import Any

from drf_spectacular.utils import extend_schema_serializer
from rest_framework import serializers

from assistants.models import Assistant, AssistantVersion
from config.errors import BadRequest
from config.paging import Page, select_field
from config.rest import Body, Choice, Identifier, Integer, Moment, Object, Text

ASSISTANT_FIELDS = (
    "assistant_id",
    "graph_id",
    "config",
    "context",
    "metadata",
    "name",
    "created_at",
    "updated_at",
    "version",
    "description",
)


@extend_schema_serializer(component_name="Config")
class ConfigBody(Body):
    """`config`: the keys we read are checked, any other is kept."""

    tags = serializers.ListField(child=Text(), required=False)
    recursion_limit = Integer(required=False)
    configurable = Object(required=False)

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        """The whole object, with the known keys checked."""
        checked = super().to_internal_value(data)
        if not isinstance(data.get("metadata"), dict | None):
            raise serializers.ValidationError({"metadata": "must be an object"})
        known = {*self.fields, "metadata"}
        kept = {name: value for name, value in data.items() if value is not None or name not in known}
        return {**kept, **checked}


@extend_schema_serializer(component_name="AssistantPatch")
class AssistantPatchBody(Body):
    """What can be said of an assistant."""

    writes = True

    graph_id = Text(required=False)
    config = ConfigBody(required=False)
    context = Object(required=False)  # type: ignore[assignment]
    metadata = Object(required=False)
    name = Text(required=False)
    description = Text(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """configurable and context exclude each other. Raises BadRequest (400)."""
        if attrs.get("config", {}).get("configurable") and attrs.get("context"):
            raise BadRequest("Cannot specify both configurable and context. Prefer setting context alone.")
        return attrs


@extend_schema_serializer(component_name="AssistantCreate")
class AssistantBody(AssistantPatchBody):
    """A new assistant."""

    graph_id = Text()
    assistant_id = Identifier(required=False)
    if_exists = Choice(["raise", "do_nothing"], required=False)


@extend_schema_serializer(component_name="AssistantCountRequest")
class AssistantCountBody(Body):
    """Which assistants to count."""

    metadata = Object(required=False)
    graph_id = Text(required=False)
    name = Text(required=False)


@extend_schema_serializer(component_name="AssistantSearchRequest")
class AssistantSearchBody(AssistantCountBody, Page):
    """Which assistants to list, and how."""

    sort_by = Choice(["assistant_id", "created_at", "updated_at", "name", "graph_id"], required=False)
    sort_order = Choice(["asc", "desc"], required=False)
    select = select_field(ASSISTANT_FIELDS)


@extend_schema_serializer(component_name="AssistantVersionsSearchRequest")
class VersionsBody(Page):
    """Which versions to list."""

    metadata = Object(required=False)


@extend_schema_serializer(component_name="AssistantVersionChange")
class LatestBody(Body):
    """The version to go back to."""

    version = Integer(required=False)


@extend_schema_serializer(component_name="AssistantVersion")
class VersionSerializer(serializers.Serializer[Assistant | AssistantVersion]):
    """An assistant as it was in one version."""

    assistant_id = serializers.UUIDField()
    graph_id = serializers.CharField()
    config = Object()
    context = Object()  # type: ignore[assignment]
    metadata = Object()
    name = serializers.CharField()
    created_at = Moment()
    version = serializers.IntegerField()
    description = serializers.CharField(allow_null=True)


@extend_schema_serializer(component_name="Assistant")
class AssistantSerializer(VersionSerializer):
    """The assistant object."""

    updated_at = Moment()


def mirrored(body: dict[str, Any]) -> dict[str, Any]:
    """The body's changes with config.configurable and context copied onto each other (contract/core.md 3.5, 3.6)."""
    changes: dict[str, Any] = {name: body[name] for name in ("graph_id", "config", "context") if name in body}
    config, context = body.get("config") or {}, body.get("context") or {}
    if config.get("configurable"):
        changes["context"] = dict(config["configurable"])
    elif context:
        changes["config"] = {**config, "configurable": dict(context)}
    if not changes.get("config"):
        changes.pop("config", None)
    return changes
