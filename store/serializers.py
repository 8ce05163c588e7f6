"""Bodies and answers of the store endpoints. Source: contract/platform.md 3."""

from typing import Any

from drf_spectacular.utils import extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from config.rest import AnyValue, Body, Flag, Integer, Moment, Number, Object, Text
from store.items import LAST_ITEM, MOST_ITEMS, MOST_LABELS


class Label(Text):
    """One label of a namespace, NUL included: what it may be is said where it is used."""

    def to_internal_value(self, data: Any) -> str:
        """Only a string will do."""
        super().to_internal_value(data)
        return str(data)


@extend_schema_field({"oneOf": [{"type": "boolean", "enum": [False]}, {"type": "array", "items": {"type": "string"}}]})
class IndexChoice(AnyValue):
    """`false`, or the field paths to embed instead of the configured ones; null means the configured ones."""

    def to_internal_value(self, data: Any) -> Any:
        """Only these will do."""
        if data is None or data is False or (isinstance(data, list) and all(isinstance(path, str) for path in data)):
            return data
        raise serializers.ValidationError("must be false, null or an array of field paths")


@extend_schema_serializer(component_name="StorePutRequest")
class PutBody(Body):
    """An item to store."""

    namespace = serializers.ListField(child=Label())
    key = Text()
    value = Object()
    index = IndexChoice(required=False)
    ttl = Number(required=False, allow_null=True, help_text="Minutes; null means for ever.")


@extend_schema_serializer(component_name="StoreDeleteRequest")
class DeleteBody(Body):
    """The item to delete."""

    namespace = serializers.ListField(child=Label(), required=False)
    key = Text()


@extend_schema_serializer(component_name="StoreSearchRequest")
class ItemSearchBody(Body):
    """Which items to list."""

    namespace_prefix = serializers.ListField(child=Label(), required=False)
    filter = Object(required=False)
    limit = Integer(required=False, min_value=0, max_value=MOST_ITEMS)
    offset = Integer(required=False, min_value=0, max_value=LAST_ITEM)
    query = Text(required=False)
    refresh_ttl = Flag(required=False)


@extend_schema_serializer(component_name="StoreListNamespacesRequest")
class NamespacesBody(Body):
    """Which namespaces to list."""

    prefix = serializers.ListField(child=Label(), required=False, allow_null=True)
    suffix = serializers.ListField(child=Label(), required=False, allow_null=True)
    max_depth = Integer(required=False, min_value=1, max_value=MOST_LABELS)
    limit = Integer(required=False, min_value=0, max_value=MOST_ITEMS)
    offset = Integer(required=False, min_value=0, max_value=LAST_ITEM)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Unlike elsewhere null is no way to say nothing."""
        for name in ("prefix", "suffix"):
            if attrs.get(name, ()) is None:
                raise serializers.ValidationError({name: "must be an array"})
        return attrs


@extend_schema_serializer(component_name="Item")
class ItemSerializer(serializers.Serializer[Any]):
    """A store item."""

    namespace = serializers.ListField(child=serializers.CharField())
    key = serializers.CharField()
    value = Object()
    created_at = Moment()
    updated_at = Moment()


@extend_schema_serializer(component_name="SearchItem")
class FoundItemSerializer(ItemSerializer):
    """A store item in a search."""

    score = serializers.FloatField(allow_null=True)


@extend_schema_serializer(component_name="SearchItemsResponse")
class FoundItemsSerializer(serializers.Serializer[Any]):
    """The items found."""

    items = FoundItemSerializer(many=True)


@extend_schema_serializer(component_name="ListNamespaceResponse")
class NamespacesSerializer(serializers.Serializer[Any]):
    """The namespaces found."""

    namespaces = serializers.ListField(child=serializers.ListField(child=serializers.CharField()))
