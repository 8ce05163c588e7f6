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


ASSISTANT = {"in": "path", "name": "assistant_id", "required": True, "schema": {"type": "string", "format": "uuid"}}
ENVELOPE = {
    "type": "object",
    "required": ["jsonrpc", "id", "method"],
    "properties": {
        "jsonrpc": {"type": "string", "enum": ["2.0"]},
        "id": {"type": ["string", "integer"]},
        "method": {"type": "string"},
        "params": {"type": "object"},
    },
}
A2A: Document = {
    "operationId": "post_a2a",
    "summary": "Send an A2A message",
    "parameters": [ASSISTANT],
    "requestBody": {"required": True, "content": {"application/json": {"schema": ENVELOPE}}},
    "responses": {
        "200": {
            "description": "The answer in JSON-RPC; a stream of answers for the methods that stream.",
            "content": {**JSON, "text/event-stream": {"schema": {"type": "string"}}},
        },
        "202": {"description": "An answer to something never asked: taken note of."},
        "400": {"description": "The Accept header leaves no way to answer.", "content": JSON},
    },
}


def _card(operation: str, parameter: Document) -> Document:
    return {
        "operationId": operation,
        "summary": "Read an agent card",
        "parameters": [parameter],
        "responses": {
            "200": {"description": "The card.", "content": JSON},
            "400": {"description": "No such agent.", "content": JSON},
        },
    }


def add_routes(result: Document, generator: Any, request: Any, public: bool) -> Document:
    """drf-spectacular's hook."""
    agent, well_known = "/a2a/{assistant_id}", ".well-known/agent-card.json"
    result["paths"] |= {
        "/mcp": {"post": MCP},
        agent: {"post": A2A, "get": _card("get_agent", ASSISTANT)},
        f"{agent}/{well_known}": {"get": _card("get_agent_card", ASSISTANT)},
        f"/{well_known}": {"get": _card("find_agent_card", {**ASSISTANT, "in": "query", "required": False})},
    }
    return result
