"""Assistants and their versions as operators see them."""

from typing import Any

from django.contrib import admin
from django.contrib.admin import display
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import TabularInline

from assistants.models import SYSTEM_METADATA, Assistant, AssistantVersion
from config.admin import RecordAdmin, badge, exact_time_of, id_of, id_starts_with, json_of, link, time_of
from config.project import project


class GraphFilter(admin.SimpleListFilter):
    """By graph, of those this server has; no query finds them out."""

    title = "graph"
    parameter_name = "graph_id"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The registered graphs."""
        return [(graph_id, graph_id) for graph_id in project().graphs]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Assistant]) -> QuerySet[Assistant]:
        """Those of the chosen graph."""
        return queryset.filter(graph_id=self.value()) if self.value() else queryset


class VersionInline(TabularInline):  # type: ignore[misc]
    """What an assistant was before."""

    model = AssistantVersion
    fields = readonly_fields = ("number", "name", "graph_id", "config_json", "context_json", "created")
    ordering = ("-version",)
    config_json = json_of("config")
    context_json = json_of("context")
    created = time_of("created_at", "created")
    extra = max_num = 0
    per_page = 10
    can_delete = False
    hide_title = True
    verbose_name_plural = "versions"

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A change of the assistant makes one."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """What was, was."""
        return False

    @display(description="version")
    def number(self, version: AssistantVersion) -> SafeString:
        """Its number, and whether it is the one in use."""
        current = version.version == version.assistant.version
        return badge(f"{version.version} · current", "success") if current else badge(str(version.version), "")


@admin.register(Assistant)
class AssistantAdmin(RecordAdmin):
    """Assistants."""

    list_display = ("name", "graph", "version", "origin", "mono_id", "created", "updated")
    list_filter = (GraphFilter,)
    list_deferred = ("config", "context")
    search_fields = ("assistant_id",)
    search_help_text = "A name, or how an id begins"
    id_fields = ("assistant_id",)
    sortable_by = ("created",)
    inlines = (VersionInline,)
    mono_id = id_of("assistant_id", "id")
    created = time_of("created_at", "created")
    updated = time_of("updated_at", "updated")
    created_exactly = exact_time_of("created_at", "created")
    updated_exactly = exact_time_of("updated_at", "updated")
    config_json = json_of("config")
    context_json = json_of("context")
    metadata_json = json_of("metadata")
    fieldsets = (
        (None, {"fields": ("mono_id", "name", "graph", "version", "description", "origin", "runs")}),
        ("Times", {"fields": ("created_exactly", "updated_exactly")}),
        ("Configuration", {"fields": ("config_json", "context_json", "metadata_json")}),
    )
    readonly_fields = (
        "mono_id",
        "graph",
        "origin",
        "runs",
        "created_exactly",
        "updated_exactly",
        "config_json",
        "context_json",
        "metadata_json",
    )

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Assistant], search_term: str
    ) -> tuple[QuerySet[Assistant], bool]:
        """By id or by name."""
        text = search_term.strip()
        found = queryset.filter(id_starts_with(self.id_fields, text)) | queryset.filter(name__icontains=text)
        return (found if text else queryset), False

    @display(description="graph")
    def graph(self, assistant: Assistant) -> SafeString:
        """Its graph, and whether this server does not have it."""
        missing = "" if assistant.graph_id in project().graphs else badge("not registered", "danger")
        return format_html("{} {}", assistant.graph_id, missing)

    @display(description="made by")
    def origin(self, assistant: Assistant) -> str:
        """Whether the server made it for its graph, or somebody did."""
        return "server" if assistant.metadata.get("created_by") == SYSTEM_METADATA["created_by"] else "client"

    @display(description="runs")
    def runs(self, assistant: Assistant) -> SafeString:
        """The way to its runs."""
        return link(f"{reverse('admin:runs_run_changelist')}?assistant_id={assistant.pk}", "Runs of this assistant")
