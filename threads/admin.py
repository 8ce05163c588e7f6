"""Threads as operators see them, and the way to delete one with everything on it."""

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.contrib.admin import display
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from accounts.auditing import Audited
from config.admin import EMPTY, RecordAdmin, badge, exact_time_of, id_of, json_of, link, moment, time_of
from threads import measuring
from threads.models import Thread, ThreadStatus
from threads.removal import delete_threads

COLOURS = {
    ThreadStatus.IDLE: "",
    ThreadStatus.BUSY: "primary",
    ThreadStatus.INTERRUPTED: "warning",
    ThreadStatus.ERROR: "danger",
}
NAMED = 20


@admin.register(Thread)
class ThreadAdmin(Audited, RecordAdmin):
    """Threads."""

    list_display = ("mono_id", "state", "graph", "created", "updated", "expires")
    list_filter = ("status", "created_at")
    list_deferred = ("config", "values", "interrupts", "error")
    search_fields = ("thread_id",)
    search_help_text = "How a thread's id begins"
    id_fields = ("thread_id",)
    sortable_by = ("created", "updated")
    mono_id = id_of("thread_id", "thread")
    created = time_of("created_at", "created")
    updated = time_of("updated_at", "updated")
    expires = time_of("expires_at", "expires")
    created_exactly = exact_time_of("created_at", "created")
    updated_exactly = exact_time_of("updated_at", "updated")
    state_updated = exact_time_of("state_updated_at", "state updated")
    values_json = json_of("values")
    interrupts_json = json_of("interrupts")
    error_json = json_of("error")
    metadata_json = json_of("metadata")
    config_json = json_of("config")
    fieldsets = (
        (None, {"fields": ("mono_id", "state", "graph", "runs", "checkpoints")}),
        ("Times", {"fields": ("created_exactly", "updated_exactly", "state_updated", "lifetime")}),
        ("State", {"fields": ("interrupts_json", "error_json", "values_json")}),
        ("Configuration", {"fields": ("metadata_json", "config_json")}),
    )
    readonly_fields = (
        "mono_id",
        "state",
        "graph",
        "runs",
        "checkpoints",
        "created_exactly",
        "updated_exactly",
        "state_updated",
        "lifetime",
        "values_json",
        "interrupts_json",
        "error_json",
        "metadata_json",
        "config_json",
    )

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Deleting is a verb of the API; who may is what Django's permissions say."""
        return bool(request.user.has_perm("threads.delete_thread"))

    def delete_model(self, request: HttpRequest, obj: Thread) -> None:
        """As DELETE /threads/{thread_id} does: with runs and checkpoints."""
        delete_threads([obj.pk])

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Thread]) -> None:
        """The same for several."""
        delete_threads(queryset.values_list("pk", flat=True))

    def get_deleted_objects(
        self, objs: Iterable[Thread], request: HttpRequest
    ) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        """What the confirmation names; the rows below a thread are too many to list."""
        threads = [f"Thread {thread.pk}, with its runs and checkpoints" for thread in objs]
        more = [f"… and {len(threads) - NAMED} more"] if len(threads) > NAMED else []
        return threads[:NAMED] + more, {"threads": len(threads)}, set(), []

    @display(description="status")
    def state(self, thread: Thread) -> SafeString:
        """Its status."""
        return badge(thread.status, COLOURS[ThreadStatus(thread.status)])

    @display(description="graph")
    def graph(self, thread: Thread) -> Any:
        """The graph that ran on it last."""
        return thread.metadata.get("graph_id") or EMPTY

    @display(description="runs")
    def runs(self, thread: Thread) -> SafeString:
        """The way to its runs."""
        return link(f"{reverse('admin:runs_run_changelist')}?thread={thread.pk}", "Runs on this thread")

    @display(description="checkpoints")
    def checkpoints(self, thread: Thread) -> str:
        """How many there are and what they take."""
        stored = measuring.storage(thread.pk)
        return f"{stored['checkpoints']['count']} checkpoints, {filesizeformat(stored['total_bytes'])} in all"

    @display(description="expires")
    def lifetime(self, thread: Thread) -> SafeString | str:
        """When its time is up, and what happens then."""
        if thread.expires_at is None:
            return "never"
        return format_html("{}, then {}", moment(thread.expires_at), thread.ttl_strategy)
