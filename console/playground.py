"""The playground: an assistant, or two beside each other, tried in the page. This module is what the page offers to
choose from; what is sent is made in the browser, as by any client, and answered by `playground_runs`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_GET

from assistants import introspection
from assistants.graphs import default_assistant_ids
from assistants.models import Assistant, AssistantVersion
from config import loop
from console.drawing import Drawing
from console.given import uuid_of
from console.interrupts import Field, fields_of, sample_of
from console.pages import Page, show
from console.roles import needs
from console.run_page import graph_drawing
from runs.models import MultitaskStrategy
from runs.serializers import STREAM_MODES

MOST = 100  # assistants to choose from, beside those of the graphs
VERSIONS = 50
FIRST_MODES = ("values", "updates", "messages-tuple")  # what a page that shows everything wants to hear
DURABILITIES = ("async", "sync", "exit")


@dataclass(frozen=True)
class Pane:
    """One assistant as it is tried: `name` is `a`, or `b` for the one beside."""

    name: str
    assistant: Assistant
    versions: Sequence[AssistantVersion]
    version: AssistantVersion | None  # the chosen one, when it is not the current one
    drawing: Drawing | None
    problem: str  # why there is no drawing, and so nothing to run
    context_sample: str
    context: str  # JSON that goes with the request, or nothing
    config: str
    note: str = ""

    @property
    def nodes(self) -> list[str]:
        """What a run may stop before or after."""
        return [node.name for node in self.drawing.nodes if not node.is_end] if self.drawing else []

    @property
    def parameter(self) -> str:
        """What the page's address calls the assistant."""
        return "assistant" if self.name == "a" else "beside"


@dataclass(frozen=True)
class Input:
    """What the first assistant's graph takes."""

    takes_messages: bool = False
    fields: tuple[Field, ...] = field(default=())
    sample: str = "{}"

    @property
    def ways(self) -> list[tuple[str, str]]:
        """How it can be put in: name and title, the best first."""
        ways = [("chat", "Chat")] if self.takes_messages else []
        ways += [("form", "Form")] if self.fields and not self._only_messages else []
        return [*ways, ("json", "JSON")]

    @property
    def _only_messages(self) -> bool:
        return self.takes_messages and len(self.fields) == 1


@require_GET
@needs("viewer")
def page(request: HttpRequest) -> HttpResponse:
    """/admin/playground/: `assistant`, `version`, `thread`, `beside`, `beside_version`; `find` narrows the choice."""
    find = request.GET.get("find", "").strip()
    first = _assistant(request.GET.get("assistant")) or _first(find)
    second = _assistant(request.GET.get("beside"))
    schemas = _schemas(first) if first else {}
    panes = [_pane("a", first, request.GET.get("version"), schemas)] if first else []
    if first and second:
        panes.append(_pane("b", second, request.GET.get("beside_version"), _schemas(second)))
    return show(
        request,
        "console/playground.html",
        Page("Playground"),
        panes=panes,
        input=input_of(schemas.get("input_schema")),
        choice=_choice(find, [first, second]),
        find=find,
        thread=uuid_of(request.GET.get("thread")),
        modes=[(mode, mode in FIRST_MODES) for mode in sorted(STREAM_MODES, key=lambda mode: mode not in FIRST_MODES)],
        strategies=MultitaskStrategy.values,
        durabilities=DURABILITIES,
    )


def _assistant(text: str | None) -> Assistant | None:
    pk = uuid_of(text)
    return Assistant.objects.filter(pk=pk).first() if pk else None


def _first(find: str) -> Assistant | None:
    """Where nobody has chosen: the project's first graph, unless something else was looked for."""
    own = list(default_assistant_ids().values())[:1]
    rows = Assistant.objects.filter(name__icontains=find) if find else Assistant.objects.filter(pk__in=own)
    return rows.order_by("-created_at", "-assistant_id").first()


def _choice(find: str, chosen: Sequence[Assistant | None]) -> dict[str, Any]:
    """The graphs' own assistants, and the newest of the others; `more` says that not all are there."""
    own = set(default_assistant_ids().values())
    rows = Assistant.objects.filter(name__icontains=find) if find else Assistant.objects.all()
    others = list(rows.exclude(pk__in=own).order_by("-created_at", "-assistant_id")[: MOST + 1])
    graphs = list(Assistant.objects.filter(pk__in=own).order_by("name"))
    shown = {one.pk for one in (*graphs, *others[:MOST])}
    left_out = [one for one in chosen if one and one.pk not in shown]
    return {"graphs": graphs, "others": [*left_out, *others[:MOST]], "more": len(others) > MOST}


def _schemas(assistant: Assistant) -> dict[str, Any]:
    """What the graph says it takes; nothing where it cannot be opened, which the drawing tells of."""
    try:
        return loop.run(introspection.schemas(assistant.graph_id, assistant.config))
    except Exception:
        return {}


def _pane(name: str, assistant: Assistant, version: str | None, schemas: Mapping[str, Any]) -> Pane:
    versions = list(assistant.versions.all()[:VERSIONS])
    chosen = next((one for one in versions if str(one.version) == version and one.version != assistant.version), None)
    if chosen and chosen.graph_id != assistant.graph_id:
        chosen = None  # no request can ask for another graph
    drawing, problem = graph_drawing(assistant.graph_id, assistant.config)
    config, context, note = as_of(chosen, assistant) if chosen else ({}, {}, "")
    sample = sample_of(schemas.get("context_schema") or {})
    return Pane(
        name=name,
        assistant=assistant,
        versions=versions,
        version=chosen,
        drawing=drawing,
        problem=problem,
        context_sample=_text(sample) or "{}",
        context=_text(context),
        config=_text(config),
        note=note,
    )


def as_of(version: AssistantVersion, current: Assistant) -> tuple[dict[str, Any], dict[str, Any], str]:
    """Config and context of a request that runs an earlier version, and a note about it.

    A run is one of the current version, whose keys a request may replace but not take away: the note names those.
    """
    config, context = dict(version.config), dict(version.context)
    if context:
        config.pop("configurable", None)  # the protocol allows either; a context is mirrored to the other
    names = set(version.context) | set(version.config.get("configurable", {}))
    staying = {*current.context, *current.config.get("configurable", {})} - names
    note = f"Version {version.version} is not the current one: what it configures goes with the request."
    if staying:
        note += f" Of version {current.version} there stays: {', '.join(sorted(staying))}."
    return config, context, note


def input_of(schema: Mapping[str, Any] | None) -> Input:
    """How people may put in what the schema describes."""
    if not isinstance(schema, Mapping):
        return Input()
    sample = sample_of(schema)
    takes_messages = "messages" in (schema.get("properties") or {})
    if takes_messages:
        sample["messages"] = [{"role": "user", "content": ""}]
    return Input(takes_messages, fields_of(schema), _text(sample) or "{}")


def _text(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) if value else ""
