"""What threads ask of people, and the forms to answer it. Pure functions over a thread's row.

Known forms: a JSON schema (`response_schema`); the request of an action that may be accepted, edited, answered in words
or ignored, as agent inboxes have it; anything else is answered in text or JSON.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from threads.models import Thread

PLAIN_TYPES = {"string": "text", "integer": "number", "number": "number", "boolean": "checkbox"}
EMPTY = {"string": "", "integer": 0, "number": 0, "boolean": False, "array": [], "object": {}}
MOST_FIELDS = 30
SPEAKING = ("question", "title", "message", "description")  # keys that say what is asked


class BadAnswer(Exception):
    """What was filled in is no answer; the message is for the person who did."""


@dataclass(frozen=True)
class Field:
    """One entry of a form made from a JSON schema. `kind` is an input's type, or select or json."""

    name: str
    title: str
    kind: str
    help: str = ""
    required: bool = False
    choices: tuple[Any, ...] = ()
    default: str = ""

    @property
    def choices_text(self) -> str:
        """The choices as JSON, for a script that makes the value itself."""
        return json.dumps(self.choices)


@dataclass(frozen=True)
class Action:
    """What an agent wants to do, and the ways a person may react."""

    name: str
    arguments: dict[str, Any]
    description: str
    may: tuple[str, ...]
    in_list: bool  # the question came in a list, and so must the answer


@dataclass(frozen=True)
class Question:
    """One interrupt that waits."""

    thread: Thread
    interrupt_id: str
    value: Any
    schema: Mapping[str, Any] | None = None
    action: Action | None = None
    fields: tuple[Field, ...] = field(default=())

    @property
    def title(self) -> str:
        """What is asked, in a line."""
        if self.action:
            return f"May it {self.action.name}?"
        value = self.value
        if isinstance(value, Mapping):
            value = next(
                (value[key] for key in ("question", "title", "message", "description") if value.get(key)), value
            )
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
        return text if len(text) <= 120 else f"{text[:119]}…"

    @property
    def suggestion(self) -> str:
        """An answer to begin with, as JSON; empty where nothing is known of its form."""
        if self.schema:
            return json.dumps(sample_of(self.schema), ensure_ascii=False)
        if self.action and self.action.may:
            answer = {"type": self.action.may[0], "args": None}
            return json.dumps([answer] if self.action.in_list else answer)
        return ""


def questions(thread: Thread) -> list[Question]:
    """All that a thread asks."""
    found = thread.interrupts if isinstance(thread.interrupts, dict) else {}
    return [
        _question(thread, interrupt)
        for interrupts in found.values()
        for interrupt in (interrupts if isinstance(interrupts, list) else ())
        if isinstance(interrupt, dict) and interrupt.get("id")
    ]


def _question(thread: Thread, interrupt: Mapping[str, Any]) -> Question:
    schema = interrupt.get("response_schema")
    fields = fields_of(schema) if isinstance(schema, Mapping) else ()
    return Question(
        thread=thread,
        interrupt_id=str(interrupt["id"]),
        value=interrupt.get("value"),
        schema=schema if isinstance(schema, Mapping) else None,
        action=None if fields else action_of(interrupt.get("value")),
        fields=fields,
    )


def action_of(value: Any) -> Action | None:
    """The action a value asks about; None when it has another form."""
    in_list = isinstance(value, list) and len(value) == 1
    one = value[0] if in_list else value
    request = one.get("action_request") if isinstance(one, Mapping) else None
    if not isinstance(request, Mapping) or not isinstance(request.get("action"), str):
        return None
    allowed = one.get("config") if isinstance(one.get("config"), Mapping) else {}
    may = tuple(way for way in ("accept", "edit", "respond", "ignore") if allowed.get(f"allow_{way}", True))
    arguments = request.get("args")
    return Action(
        name=request["action"],
        arguments=dict(arguments) if isinstance(arguments, Mapping) else {},
        description=str(one.get("description") or ""),
        may=may,
        in_list=in_list,
    )


def fields_of(schema: Mapping[str, Any]) -> tuple[Field, ...]:
    """The entries of a form for an object; nothing when the schema is of another form."""
    properties = schema.get("properties")
    if not isinstance(properties, Mapping) or not properties:
        return ()
    required = schema.get("required") or ()
    known = schema.get("$defs")
    return tuple(
        _field(str(name), _resolved(part, known if isinstance(known, Mapping) else {}), name in required)
        for name, part in list(properties.items())[:MOST_FIELDS]
    )


def _resolved(part: Any, known: Mapping[str, Any]) -> Mapping[str, Any]:
    """A property's schema with what it refers to; of one that may be null, what else it may be."""
    if not isinstance(part, Mapping):
        return {}
    ways = part.get("anyOf")
    others = [way for way in ways if way != {"type": "null"}] if isinstance(ways, list) else [part]
    if len(others) != 1 or not isinstance(others[0], Mapping):
        return part
    referred = known.get(str(others[0].get("$ref", "")).removeprefix("#/$defs/"))
    return {**(referred if isinstance(referred, Mapping) else {}), **others[0], **part}


def _field(name: str, part: Mapping[str, Any], required: bool) -> Field:
    choices = part.get("enum")
    kind = "select" if isinstance(choices, list) and choices else PLAIN_TYPES.get(str(part.get("type")), "json")
    default = part.get("default")
    return Field(
        name=name,
        title=str(part.get("title") or name),
        kind=kind,
        help=str(part.get("description") or ""),
        required=required,
        choices=tuple(choices) if isinstance(choices, list) else (),
        default="" if default is None else default if isinstance(default, str) else json.dumps(default),
    )


def sample_of(schema: Mapping[str, Any]) -> dict[str, Any]:
    """An object of the schema's form: its defaults, else what is empty."""
    properties = schema.get("properties")
    found = properties.items() if isinstance(properties, Mapping) else ()
    return {str(name): _sample(part) for name, part in found if isinstance(part, Mapping)}


def _sample(part: Mapping[str, Any]) -> Any:
    if "default" in part:
        return part["default"]
    choices = part.get("enum")
    return choices[0] if isinstance(choices, list) and choices else EMPTY.get(str(part.get("type")))


# --- answers ----------------------------------------------------------------------------------------------------------


def answer_of(question: Question, given: Mapping[str, str]) -> Any:
    """What resumes the graph, from what was filled in. Raises BadAnswer."""
    if question.fields:
        return {part.name: value for part in question.fields if (value := _value(part, given)) is not _ABSENT}
    if question.action and given.get("way"):
        answer = _reaction(question.action, given)
        return [answer] if question.action.in_list else answer
    return free(given.get("answer", ""))


_ABSENT = object()


def _value(part: Field, given: Mapping[str, str]) -> Any:
    text = given.get(f"field-{part.name}", "").strip()
    if part.kind == "checkbox":
        return bool(text)
    if not text:
        if part.required:
            raise BadAnswer(f"{part.title} is missing.")
        return _ABSENT
    if part.kind == "select":
        return next((choice for choice in part.choices if str(choice) == text), text)
    if part.kind == "text":
        return text
    try:
        return json.loads(text)
    except ValueError:
        what = "a number" if part.kind == "number" else "JSON"
        raise BadAnswer(f"{part.title} must be {what}.") from None


def _reaction(action: Action, given: Mapping[str, str]) -> dict[str, Any]:
    way = given["way"]
    if way not in action.may:
        raise BadAnswer("This question cannot be answered in that way.")
    if way == "edit":
        try:
            arguments = json.loads(given.get("arguments", ""))
        except ValueError:
            raise BadAnswer("The arguments must be JSON.") from None
        if not isinstance(arguments, dict):
            raise BadAnswer("The arguments must be an object.")
        return {"type": "edit", "args": {"action": action.name, "args": arguments}}
    if way == "respond":
        if not given.get("words", "").strip():
            raise BadAnswer("Say what the agent is to know.")
        return {"type": "response", "args": given["words"].strip()}
    return {"type": way, "args": None}


def free(text: str) -> Any:
    """JSON where it is some, else the text. Raises BadAnswer for none."""
    if not text.strip():
        raise BadAnswer("The answer is empty.")
    try:
        return json.loads(text)
    except ValueError:
        return text.strip()
