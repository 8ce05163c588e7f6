"""What the OpenAPI document says of the store beyond its views: a DELETE with a body, answers that may be null."""

from typing import Any

from config.schema import Document

BODY: Document = {
    "type": "object",
    "description": "The item to delete.",
    "required": ["key"],
    "properties": {
        "namespace": {"type": "array", "items": {"type": "string"}},
        "key": {"type": "string"},
    },
}


def describe_items(result: Document, generator: Any, request: Any, public: bool) -> Document:
    """drf-spectacular's hook; it takes DELETE for a method without a body."""
    if "/store/items" not in result["paths"]:
        return result
    result["components"]["schemas"]["StoreDeleteRequest"] = BODY
    schema = {"$ref": "#/components/schemas/StoreDeleteRequest"}
    items = result["paths"]["/store/items"]
    items["delete"]["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    found = items["get"]["responses"]["200"]["content"]["application/json"]
    found["schema"] = {"oneOf": [found["schema"], {"type": "null"}]}
    return result
