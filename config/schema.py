"""The OpenAPI document, finished: headings, summaries, error answers. Knows resources by the start of their paths."""

from collections.abc import Iterator
from typing import Any

from rest_framework import serializers

Document = dict[str, Any]
METHODS = ("get", "post", "put", "patch", "delete")
# The first start of a path that fits gives the heading.
TAGS = (
    ("/assistants", "Assistants", "A graph with a configuration, a name and versions."),
    ("/threads/{thread_id}/runs/crons", "Crons", "Runs on a timetable."),
    ("/runs/crons", "Crons", "Runs on a timetable."),
    ("/threads/{thread_id}/runs", "Thread Runs", "Runs on a thread, which keeps their state."),
    ("/threads/{thread_id}/commands", "Event Streaming", "Commands to a thread, and its events as they happen."),
    ("/threads/{thread_id}/stream/events", "Event Streaming", "Commands to a thread, and its events as they happen."),
    ("/threads", "Threads", "Where state lives: values, checkpoints, history."),
    ("/runs", "Stateless Runs", "Runs on a thread of their own."),
    ("/store", "Store", "Long-term memory: items in namespaces, shared by all threads."),
    ("/mcp", "MCP", "Every assistant as a tool."),
    ("/a2a", "A2A", "Every assistant as an agent."),
    ("/.well-known", "A2A", "Every assistant as an agent."),
    ("/webhooks", "Webhooks", "Who is told of events, and what became of each delivery."),
    ("/", "System", "The server itself."),
)
NOTHING = ({"type": "null"}, {"type": "string", "maxLength": 0})
ERRORS = {
    "404": "No such row.",
    "409": "The row's state forbids it.",
    "422": "The path, the query or the body is wrong.",
}


class ErrorResponse(serializers.Serializer[Any]):
    """Every answer that is no success."""

    detail = serializers.CharField()


def error_answer(status: str) -> Document:
    """The response object of an error status."""
    schema = {"$ref": "#/components/schemas/ErrorResponse"}
    return {"description": ERRORS[status], "content": {"application/json": {"schema": schema}}}


def finish(result: Document, generator: Any, request: Any, public: bool) -> Document:
    """drf-spectacular's hook, the last of all: give each operation what all have."""
    for path, operation in operations(result):
        operation["tags"] = [_tag(path)]
        _summarize(operation)
        _add_errors(path, operation)
    _tidy(result)
    used = {_tag(path) for path, _ in operations(result)}
    described = {name: text for _, name, text in TAGS if name in used}
    result["tags"] = [{"name": name, "description": text} for name, text in described.items()]
    return result


def operations(result: Document) -> Iterator[tuple[str, Document]]:
    """Path and operation, for all of the document."""
    for path, item in result["paths"].items():
        for method in METHODS:
            if method in item:
                yield path, item[method]


def _tag(path: str) -> str:
    return next(name for start, name, _ in TAGS if path.startswith(start))


def _summarize(operation: Document) -> None:
    """A docstring's first line is the title; what is left of it is the text."""
    if "summary" in operation or not operation.get("description"):
        return
    first, _, rest = operation.pop("description").partition("\n")
    operation["summary"] = first.rstrip(".")
    if rest.strip():
        operation["description"] = rest.strip()


def _tidy(node: Any) -> None:
    """Take out, in place, what drf-spectacular adds for its own use and alternatives that say nothing.

    "Anything or null" is anything, and a string that may be blank is a string.
    """
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        _tidy(child)
    if isinstance(node, dict):
        node.pop("x-spec-enum-id", None)
        match node.get("oneOf"):
            case [one, other] if other in NOTHING and (one == {} or "maxLength" in other):
                del node["oneOf"]
                node.update(one)


def _add_errors(path: str, operation: Document) -> None:
    """404 and 422 can happen wherever rows are asked for; 409 only where its view says so."""
    answers = operation["responses"]
    if operation["tags"] != ["System"]:
        answers.setdefault("404", error_answer("404"))
        answers.setdefault("422", error_answer("422"))
    for status, answer in answers.items():
        if not answer.get("description"):
            answer["description"] = ERRORS.get(status, "Done." if status == "204" else "The answer.")
    operation["responses"] = dict(sorted(answers.items()))
