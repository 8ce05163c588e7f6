"""The routes of live.py in the OpenAPI document, which sees only Django REST framework's views, and its examples."""

from typing import Any

from config.project import project
from config.schema import Document, error_answer
from runs.models import CancelAction
from runs.serializers import STREAM_MODES
from runs.thread_stream import MODES as THREAD_MODES

STREAM = {
    "description": "Server-sent events until the run is over.",
    "content": {"text/event-stream": {"schema": {"type": "string"}}},
}
ENDLESS = {**STREAM, "description": "Server-sent events until the client leaves or the thread is deleted."}
VALUES = {
    "description": "The values the run left, as one JSON document; newlines while it goes on.",
    "content": {"application/json": {"schema": {}}},
}
CANCELLED = {"description": "With `wait`: the run is over; what it left."}
ACCEPTED = {"description": "The run will end."}
BOOLEAN = {"type": "boolean", "default": False}
MODES = {"type": "array", "items": {"type": "string", "enum": list(STREAM_MODES)}}
ON_THREAD = "/threads/{thread_id}/runs"
ON_RUN = f"{ON_THREAD}/{{run_id}}"


def add_live_routes(result: Document, generator: Any, request: Any, public: bool) -> Document:
    """drf-spectacular's hook: add what live.py serves."""
    for (method, path), operation in live_routes().items():
        result["paths"].setdefault(path, {})[method] = operation
    return result


def add_examples(result: Document, generator: Any, request: Any, public: bool) -> Document:
    """drf-spectacular's hook: bodies that work as they are, for whoever tries a request from the page."""
    schemas = result.get("components", {}).get("schemas", {})
    for name, example in examples(next(iter(project().graphs), "agent")).items():
        if name in schemas:
            schemas[name]["example"] = example
    return result


def examples(graph_id: str) -> dict[str, Document]:
    """Component to an example of it."""
    said = {"messages": [{"role": "user", "content": "Hello!"}]}
    page = {"limit": 10, "offset": 0}
    return {
        "AssistantCreate": {"graph_id": graph_id, "name": "My assistant", "metadata": {"team": "support"}},
        "AssistantPatch": {"name": "My assistant", "metadata": {"team": "sales"}},
        "AssistantSearchRequest": {"graph_id": graph_id, **page},
        "AssistantCountRequest": {"graph_id": graph_id},
        "AssistantVersionsSearchRequest": page,
        "AssistantVersionChange": {"version": 1},
        "ThreadCreate": {"metadata": {"user": "ada"}},
        "ThreadPatch": {"metadata": {"user": "ada"}},
        "ThreadSearchRequest": {"status": "idle", **page},
        "ThreadCountRequest": {"status": "idle"},
        "ThreadStateUpdate": {"values": said},
        "ThreadStateSearch": {"limit": 10},
        "RunCreateStateful": {"assistant_id": graph_id, "input": said, "stream_mode": ["values"]},
        "RunCreateStateless": {"assistant_id": graph_id, "input": said, "stream_mode": ["values"]},
        "RunsCancel": {"status": "pending"},
    }


def live_routes() -> dict[tuple[str, str], Document]:
    """(method, path) to operation."""
    stateful, stateless = _body("RunCreateStateful"), _body("RunCreateStateless")
    join = {"200": STREAM}
    return {
        ("post", f"{ON_THREAD}/stream"): _operation(
            "stream_run", "Create a run on the thread and stream it", ON_THREAD, {"200": STREAM}, body=stateful
        ),
        ("post", f"{ON_THREAD}/wait"): _operation(
            "wait_for_run",
            "Create a run on the thread and wait for its values",
            ON_THREAD,
            {"200": VALUES},
            body=stateful,
        ),
        ("get", f"{ON_RUN}/join"): _operation(
            "join_run", "Wait for a run's values", ON_RUN, {"200": VALUES}, _query("cancel_on_disconnect", BOOLEAN)
        ),
        ("get", f"{ON_RUN}/stream"): _operation("join_run_stream", "Stream a run", ON_RUN, join, *_joining()),
        ("post", f"{ON_RUN}/cancel"): _operation(
            "cancel_run", "Cancel a run", ON_RUN, {"200": {**VALUES, **CANCELLED}, "202": ACCEPTED}, *_cancelling()
        ),
        ("get", "/threads/{thread_id}/stream"): _operation(
            "join_thread_stream", "Stream all runs of a thread", "{thread_id}", {"200": ENDLESS}, *_watching()
        ),
        ("post", "/runs/stream"): _operation(
            "stream_stateless_run", "Create a run and stream it", "", {"200": STREAM}, body=stateless
        ),
        ("post", "/runs/wait"): _operation(
            "wait_for_stateless_run", "Create a run and wait for its values", "", {"200": VALUES}, body=stateless
        ),
        ("get", "/runs/{run_id}/stream"): _operation(
            "join_stateless_run_stream", "Stream a stateless run", "/{run_id}", join, *_joining()
        ),
    }


def _operation(
    operation_id: str, summary: str, path: str, answers: Document, *parameters: Document, body: Document | None = None
) -> Document:
    operation: Document = {"operationId": operation_id, "summary": summary, "responses": dict(answers)}
    found = [_in_path(name) for name in ("thread_id", "run_id") if f"{{{name}}}" in path] + list(parameters)
    if found:
        operation["parameters"] = found
    if body:
        operation["requestBody"] = body
        if "thread_id" in path:
            operation["responses"]["409"] = error_answer("409")
    return operation


def _body(component: str) -> Document:
    schema = {"$ref": f"#/components/schemas/{component}"}
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def _in_path(name: str) -> Document:
    return {"in": "path", "name": name, "required": True, "schema": {"type": "string", "format": "uuid"}}


def _query(name: str, schema: Document, text: str = "") -> Document:
    return {"in": "query", "name": name, "schema": schema, **({"description": text} if text else {})}


def _joining() -> list[Document]:
    since = {"in": "header", "name": "Last-Event-ID", "schema": {"type": "string"}}
    return [
        {**since, "description": "Go on after this event; `-1` means from the beginning."},
        _query("stream_mode", MODES, "Show only events of these modes."),
        _query("cancel_on_disconnect", BOOLEAN),
    ]


def _watching() -> list[Document]:
    since = {"in": "header", "name": "Last-Event-ID", "schema": {"type": "string"}}
    modes = {"type": "array", "items": {"type": "string", "enum": list(THREAD_MODES)}, "default": [THREAD_MODES[0]]}
    return [
        {**since, "description": "Go on after this event; `-` means from the beginning."},
        _query("stream_modes", modes, "What to show: runs, only their begin and end, changes of the state."),
    ]


def _cancelling() -> list[Document]:
    action = {"type": "string", "enum": CancelAction.values, "default": str(CancelAction.INTERRUPT)}
    return [_query("wait", BOOLEAN), _query("action", action, "`rollback` also removes the run and its checkpoints.")]
