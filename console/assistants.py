"""Assistants for people: their graph drawn, schemas, versions, addresses for MCP and A2A."""

from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from accounts.audit import record
from assistants import introspection
from assistants.graphs import load_all
from assistants.models import Assistant, AssistantVersion
from config import loop
from console.difference import difference
from console.pages import Crumb, Page, show
from console.paging import sheet
from console.roles import needs
from console.run_page import graph_drawing
from interop.agent_cards import base_of
from interop.tools import tool_name

ORDER = ("-created_at", "-assistant_id")
TABS = ("versions", "schemas")
VERSIONS = 50


@require_GET
@needs("viewer")
def page(request: HttpRequest) -> HttpResponse:
    """/admin/assistants/"""
    rows = Assistant.objects.all()
    if graph := request.GET.get("graph", "").strip():
        rows = rows.filter(graph_id=graph)
    if name := request.GET.get("name", "").strip():
        rows = rows.filter(name__icontains=name)
    found = sheet(request, rows, ORDER)
    return show(
        request,
        "console/assistants.html",
        Page("Assistants"),
        sheet=found,
        assistants=found.rows,
        graph=graph,
        name=name,
        served=set(load_all()),
    )


@require_GET
@needs("viewer")
def one(request: HttpRequest, assistant_id: UUID) -> HttpResponse:
    """/admin/assistants/<id>/: `tab` says what is looked at, `version` which one is compared to the current."""
    assistant = _assistant(assistant_id)
    drawing, problem = graph_drawing(assistant.graph_id, assistant.config)
    tab = request.GET.get("tab") if request.GET.get("tab") in TABS else TABS[0]
    base, versions = base_of(request), list(assistant.versions.all()[:VERSIONS])
    chosen = next((one for one in versions if str(one.version) == request.GET.get("version")), None)
    return show(
        request,
        "console/assistant.html",
        Page(assistant.name, (Crumb("Assistants", reverse("console:assistants")),), str(assistant.pk)),
        assistant=assistant,
        tab=tab,
        tabs=TABS,
        drawing=drawing,
        problem=problem,
        versions=versions,
        chosen=chosen,
        channels=difference(_content(chosen), _content(assistant)) if chosen else [],
        schemas=_schemas(assistant) if tab == "schemas" and drawing else {},
        mcp="" if "mcp" in settings.DISABLED else f"{base}/mcp",
        tool=tool_name(assistant.name),
        a2a="" if "a2a" in settings.DISABLED else f"{base}/a2a/{assistant.pk}",
    )


def _assistant(assistant_id: UUID) -> Assistant:
    found = Assistant.objects.filter(pk=assistant_id).first()
    if found is None:
        raise Http404("There is no such assistant, or no longer.")
    return found


def _content(version: Assistant | AssistantVersion) -> dict[str, Any]:
    names = ("name", "description", "graph_id", "config", "context", "metadata")
    return {name: getattr(version, name) for name in names}


def _schemas(assistant: Assistant) -> dict[str, Any]:
    found = loop.run(introspection.schemas(assistant.graph_id, assistant.config))
    return {name.removesuffix("_schema"): schema for name, schema in found.items() if isinstance(schema, dict)}


@require_POST
@needs("operator")
def set_latest(request: HttpRequest, assistant_id: UUID) -> HttpResponse:
    """Make an earlier version the current one, as the API does."""
    with transaction.atomic():
        assistant = Assistant.objects.select_for_update().filter(pk=assistant_id).first()
        version = assistant and assistant.versions.filter(version=_number(request.POST.get("version"))).first()
        if assistant is None or not version:
            raise Http404("There is no such version.")
        before = assistant.version
        assistant.restore(version)
        record(request, "set latest", assistant, before={"version": before}, after={"version": version.version})
    messages.success(request, f"Version {version.version} is the current one.")
    return redirect("console:assistant", assistant_id)


def _number(text: str | None) -> int:
    return int(text) if text and text.isdecimal() and len(text) < 10 else -1
