"""The routes of this app in the OpenAPI document, which sees only Django REST framework's views."""

from typing import Any

from config.schema import Document

JSON = {"application/json": {"schema": {"type": "object"}}}
ACCEPT = {
    "in": "header",
    "name": "Accept",
    "required": True,
    "schema": {"type": "string", "enum": ["application/json"]},
}
MCP: Document = {
    "operationId": "post_mcp",
    "summary": "Send an MCP message",
    "parameters": [ACCEPT],
    "requestBody": {"required": True, "content": JSON},
    "responses": {
        "200": {"description": "The answer to a request.", "content": JSON},
        "202": {"description": "A notification, or an answer: taken note of."},
        "400": {"description": "No message of the protocol.", "content": JSON},
    },
}


def add_routes(result: Document, generator: Any, request: Any, public: bool) -> Document:
    """drf-spectacular's hook."""
    result["paths"]["/mcp"] = {"post": MCP}
    return result
