"""The protocol's two HTTP routes in the OpenAPI document, which sees only Django REST framework's views."""

from typing import Any

from django.conf import settings

from config.schema import Document
from streaming.filters import CHANNELS

THREAD = {"in": "path", "name": "thread_id", "required": True, "schema": {"type": "string", "format": "uuid"}}
INTEGER = {"type": "integer"}
STRING = {"type": "string"}
NAMESPACE = {"type": "array", "items": STRING}
COMPONENTS: Document = {
    "ProtocolCommand": {
        "type": "object",
        "required": ["id", "method"],
        "properties": {"id": INTEGER, "method": STRING, "params": {"type": "object", "additionalProperties": {}}},
        "example": {
            "id": 1,
            "method": "run.start",
            "params": {"assistant_id": "agent", "input": {"messages": [{"role": "user", "content": "Hello!"}]}},
        },
    },
    "ProtocolSuccess": {
        "type": "object",
        "required": ["type", "id", "result"],
        "properties": {
            "type": {"type": "string", "enum": ["success"]},
            "id": INTEGER,
            "result": {"type": "object", "additionalProperties": {}},
            "meta": {"type": "object", "properties": {"applied_through_seq": INTEGER}},
        },
    },
    "ProtocolError": {
        "type": "object",
        "required": ["type", "id", "error", "message"],
        "properties": {
            "type": {"type": "string", "enum": ["error"]},
            "id": {"oneOf": [INTEGER, {"type": "null"}]},
            "error": STRING,
            "message": STRING,
        },
    },
    "ProtocolEventStreamRequest": {
        "type": "object",
        "required": ["channels"],
        "properties": {
            "channels": {
                "type": "array",
                "minItems": 1,
                "items": STRING,
                "description": f"{', '.join(CHANNELS)}, or `custom:<name>`.",
            },
            "namespaces": {"type": "array", "items": NAMESPACE, "description": "Prefixes; all namespaces by default."},
            "depth": {**INTEGER, "minimum": 0, "description": "Levels below a prefix; all by default."},
            "since": {**INTEGER, "minimum": 0, "description": "Show only events with a higher `seq`."},
        },
        "example": {"channels": ["values", "messages", "lifecycle", "input"]},
    },
}


def add_routes(result: Document, generator: Any, request: Any, public: bool) -> Document:
    """drf-spectacular's hook: add what live.py serves."""
    if settings.EVENT_STREAMING:
        result["paths"].setdefault("/threads/{thread_id}/stream/events", {})["post"] = _events()
        result["paths"].setdefault("/threads/{thread_id}/commands", {})["post"] = _command()
        result["components"]["schemas"] |= COMPONENTS
    return result


def _events() -> Document:
    stream = {"content": {"text/event-stream": {"schema": STRING}}}
    return {
        "operationId": "stream_thread_events",
        "summary": "Stream a thread's events",
        "description": "Replays what the thread's log has, then goes on until the client leaves.",
        "parameters": [THREAD],
        "requestBody": _json("ProtocolEventStreamRequest"),
        "responses": {"200": {"description": "Server-sent events.", **stream}, "400": _refusal("ErrorResponse")},
    }


def _command() -> Document:
    answers = {"oneOf": [_reference("ProtocolSuccess"), _reference("ProtocolError")]}
    done = {"description": "The answer, also when the command was refused.", **_content(answers)}
    return {
        "operationId": "send_thread_command",
        "summary": "Send a command to a thread",
        "description": "`run.start` and `input.respond` create runs whose events the thread's event streams show.",
        "parameters": [THREAD],
        "requestBody": _json("ProtocolCommand"),
        "responses": {"200": done, "400": _refusal("ProtocolError")},
    }


def _json(component: str) -> Document:
    return {"required": True, **_content(_reference(component))}


def _refusal(component: str) -> Document:
    return {"description": "The body is malformed.", **_content(_reference(component))}


def _content(schema: Document) -> Document:
    return {"content": {"application/json": {"schema": schema}}}


def _reference(component: str) -> Document:
    return {"$ref": f"#/components/schemas/{component}"}
