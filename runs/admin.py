"""Runs as operators see them, and the way to cancel them."""

from datetime import datetime, timedelta
from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.contrib.admin import display
from django.contrib.auth.models import AnonymousUser, User
from django.db.models import QuerySet
from django.db.models.fields.json import KT
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.decorators import action
from unfold.enums import ActionVariant
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminSelectWidget

from accounts.auditing import Audited
from config.admin import (
    EMPTY,
    RecordAdmin,
    badge,
    exact_time_of,
    id_of,
    id_starts_with,
    is_list,
    json_block,
    json_of,
    link,
    span,
    tail,
    time_of,
)
from runs.dispatch import cancel_runs
from runs.models import CancelAction, Run, RunQuerySet, RunStatus

COLOURS = {
    RunStatus.PENDING: "info",
    RunStatus.RUNNING: "primary",
    RunStatus.SUCCESS: "success",
    RunStatus.ERROR: "danger",
    RunStatus.TIMEOUT: "danger",
    RunStatus.INTERRUPTED: "warning",
}
CHOICES = (
    (CancelAction.INTERRUPT, "Keep the run and what it did"),
    (CancelAction.ROLLBACK, "Roll back: remove the run and its checkpoints"),
)
PROBLEM = "Problem"
BLOCKED = "Blocked its loop"
SHOWN_IN_LISTS = 90  # characters of an error
MOST_AT_ONCE = 1000  # runs cancelled while a person waits; the console's runs page cancels any number


class CancelForm(BaseDialogForm):  # type: ignore[misc]
    """What a cancelled run leaves behind."""

    action = forms.ChoiceField(label="Afterwards", choices=CHOICES, widget=UnfoldAdminSelectWidget)


@admin.register(Run)
class RunAdmin(Audited, RecordAdmin):
    """Runs."""

    list_display = ("short_id", "state", "graph", "short_thread_link", "created", "waited", "took", "problem")
    list_filter = ("status", "created_at")
    list_deferred = ("kwargs", "metadata", "blocked")
    search_fields = ("run_id",)
    search_help_text = "How the id of a run, a thread or an assistant begins"
    id_fields = ("run_id", "thread__thread_id", "assistant_id")
    sortable_by = ("created",)
    actions = ("cancel_selected", "roll_back_selected")
    actions_detail = ("cancel",)
    mono_id = id_of("run_id", "run")
    created = time_of("created_at", "created")
    due = exact_time_of("created_at", "created or due")
    started = exact_time_of("started_at", "started")
    ended = exact_time_of("ended_at", "ended")
    lease = exact_time_of("lease_expires_at", "lease expires")
    metadata_json = json_of("metadata")
    fieldsets = (
        (
            None,
            {"fields": ("mono_id", "state", ("graph", "assistant"), "thread_link", ("attempts", "worker"), "strategy")},
        ),
        (PROBLEM, {"fields": ("error_block", "cancelled")}),
        (BLOCKED, {"fields": ("blocked_block",)}),
        ("Times", {"fields": ("due", ("started", "waited"), ("ended", "took"), "lease")}),
        ("Request", {"fields": ("input_json", "config_json", "options_json", "metadata_json")}),
    )
    readonly_fields = (
        "mono_id",
        "state",
        "graph",
        "thread_link",
        "assistant",
        "attempts",
        "strategy",
        "error_block",
        "cancelled",
        "blocked_block",
        "due",
        "waited",
        "started",
        "ended",
        "took",
        "lease",
        "input_json",
        "config_json",
        "options_json",
        "metadata_json",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Run]:
        """The rows; in a list with the one thing it needs of `kwargs`."""
        rows = super().get_queryset(request)
        return rows.annotate(graph_name=KT("kwargs__config__configurable__graph_id")) if is_list(request) else rows

    def get_fieldsets(self, request: HttpRequest, obj: Run | None = None) -> Any:
        """What went wrong only where something did."""
        sections = super().get_fieldsets(request, obj)
        smooth = obj is not None and not obj.error and not obj.cancel_action
        absent = {PROBLEM} if smooth else set()
        if obj is not None and not obj.blocked:
            absent.add(BLOCKED)
        return [section for section in sections if section[0] not in absent]

    # --- what may be done -----------------------------------------------------------------------------------------

    def has_cancel_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        """Who may change runs may cancel them."""
        return bool(request.user.has_perm("runs.change_run"))

    @admin.action(description="Cancel, keeping what they did", permissions=["cancel"])
    def cancel_selected(self, request: HttpRequest, queryset: RunQuerySet) -> None:
        """As POST /runs/cancel."""
        self._cancel(request, queryset, CancelAction.INTERRUPT)

    @admin.action(description="Cancel and roll back", permissions=["cancel"])
    def roll_back_selected(self, request: HttpRequest, queryset: RunQuerySet) -> None:
        """As POST /runs/cancel?action=rollback."""
        self._cancel(request, queryset, CancelAction.ROLLBACK)

    @action(  # type: ignore[untyped-decorator]
        description="Cancel run",
        icon="stop_circle",
        variant=ActionVariant.DANGER,
        permissions=["cancel"],
        url_path="cancel",
        dialog={
            "title": "Cancel this run",
            "description": "It ends now if it waits, within a second or so if it runs.",
            "form_class": CancelForm,
            "form_submit_text": "Yes, cancel the run",
        },
    )
    def cancel(self, request: HttpRequest, form: CancelForm, object_id: str) -> HttpResponse:
        """The same for the run on the page."""
        self._cancel(request, Run.objects.filter(pk=object_id), CancelAction(form.cleaned_data["action"]))
        kept = Run.objects.filter(pk=object_id).exists()
        url = reverse("admin:runs_run_change", args=[object_id]) if kept else reverse("admin:runs_run_changelist")
        return HttpResponse(headers={"HX-Redirect": url})

    def get_actions_detail(self, request: HttpRequest, object_id: str) -> list[Any]:
        """A run that has ended cannot be cancelled."""
        found: list[Any] = super().get_actions_detail(request, object_id)
        return found if Run.objects.in_flight().filter(id_starts_with(["run_id"], object_id)).exists() else []

    def _cancel(self, request: HttpRequest, runs: RunQuerySet, action: CancelAction) -> None:
        chosen = list(runs.in_flight().in_turn()[: MOST_AT_ONCE + 1])
        if len(chosen) > MOST_AT_ONCE:
            text = f"Nothing was cancelled: these are more than {MOST_AT_ONCE} runs. The page Runs cancels any number."
            self.message_user(request, text, messages.ERROR)
            return
        count = cancel_runs(chosen, action, f"{action} requested in the admin by {_name(request.user)}")
        for run in chosen:
            self.note(request, "cancel", run, f"Cancelled ({action}).", after={"action": action})
        if count:
            self.message_user(request, f"Asked {count} run{'' if count == 1 else 's'} to end.", messages.SUCCESS)
        else:
            self.message_user(request, "Nothing to cancel: no chosen run is pending or running.", messages.WARNING)

    # --- what is shown --------------------------------------------------------------------------------------------

    @display(description="run")
    def short_id(self, run: Run) -> SafeString:
        """Its id in a list."""
        return format_html('<span class="weft-mono" title="{}">{}</span>', run.run_id, tail(run.run_id))

    @display(description="status")
    def state(self, run: Run) -> SafeString:
        """Its status; a cancel that was asked for beside it."""
        shown = badge(run.status, COLOURS[RunStatus(run.status)])
        stopping = run.status == RunStatus.RUNNING and run.cancel_action
        return format_html("{} {}", shown, badge("cancelling", "warning") if stopping else "")

    @display(description="graph")
    def graph(self, run: Run) -> str:
        """The graph it runs."""
        return cast(str, getattr(run, "graph_name", None) or run.graph_id)

    @display(description="thread")
    def thread_link(self, run: Run) -> SafeString:
        """The way to its thread."""
        url = reverse("admin:threads_thread_change", args=[run.thread_id])
        return format_html('<a class="weft-link weft-mono" href="{}">{}</a>', url, run.thread_id)

    @display(description="thread")
    def short_thread_link(self, run: Run) -> SafeString:
        """The same in a list."""
        url = reverse("admin:threads_thread_change", args=[run.thread_id])
        html = '<a class="weft-link weft-mono" href="{}" title="{}">{}</a>'
        return format_html(html, url, run.thread_id, tail(run.thread_id))

    @display(description="assistant")
    def assistant(self, run: Run) -> SafeString:
        """The way to its assistant."""
        return link(reverse("admin:assistants_assistant_change", args=[run.assistant_id]), str(run.assistant_id))

    @display(description="waited")
    def waited(self, run: Run) -> SafeString:
        """From when it could start to when it did."""
        due = run.status == RunStatus.PENDING and run.created_at <= timezone.now()
        return _length(_between(run.created_at, run.started_at, waiting=due))

    @display(description="took")
    def took(self, run: Run) -> SafeString:
        """From its first start to its end."""
        return _length(_between(run.started_at, run.ended_at, waiting=run.status == RunStatus.RUNNING))

    @display(description="attempts")
    def attempts(self, run: Run) -> int:
        """How often a worker took it."""
        return run.attempt

    @display(description="when busy")
    def strategy(self, run: Run) -> str:
        """What it did about others on its thread."""
        return run.multitask_strategy

    @display(description="problem")
    def problem(self, run: Run) -> SafeString:
        """The error in a line."""
        text = error_line(run.error)
        return format_html('<span class="weft-problem" title="{}">{}</span>', text, text) if text else EMPTY

    @display(description="error")
    def error_block(self, run: Run) -> SafeString:
        """The error in full."""
        if not isinstance(run.error, dict) or not run.error.get("error"):
            return json_block(run.error)
        html = '<strong>{}</strong><pre class="weft-json">{}</pre>'
        return format_html(html, run.error["error"], run.error.get("message") or "no message")

    @display(description="cancelled")
    def cancelled(self, run: Run) -> SafeString:
        """Why it was cancelled, if it was."""
        if not run.cancel_action:
            return EMPTY
        return format_html("{} <small>{}</small>", badge(run.cancel_action, "warning"), run.cancel_reason)

    @display(description="where")
    def blocked_block(self, run: Run) -> SafeString:
        """The stacks of nodes that kept other runs of the worker waiting; `asyncio.to_thread` would not."""
        html = '<strong>{}</strong> <small>attempt {}</small><pre class="weft-json">{}</pre>'
        notes = ((span(timedelta(milliseconds=n["milliseconds"])), n["attempt"], n["stack"]) for n in run.blocked)
        return format_html_join("", html, notes)

    @display(description="input")
    def input_json(self, run: Run) -> SafeString:
        """What it was given: input or command."""
        return json_block(run.kwargs.get("command") or run.kwargs.get("input"))

    @display(description="config")
    def config_json(self, run: Run) -> SafeString:
        """How it was configured."""
        return json_block(run.kwargs.get("config"))

    @display(description="options")
    def options_json(self, run: Run) -> SafeString:
        """The rest of what it was asked."""
        return json_block({k: v for k, v in run.kwargs.items() if k not in ("input", "command", "config")})


def error_line(error: Any) -> str:
    """`ValueError: no such order`, cut to fit a list."""
    if not isinstance(error, dict):
        return ""
    text = ": ".join(str(error[key]) for key in ("error", "message") if error.get(key))
    return text if len(text) <= SHOWN_IN_LISTS else f"{text[: SHOWN_IN_LISTS - 1]}…"


def _length(length: timedelta | None) -> SafeString:
    return EMPTY if length is None else format_html('<span class="weft-time">{}</span>', span(length))


def _between(start: datetime | None, end: datetime | None, *, waiting: bool) -> timedelta | None:
    """How long; until now while it goes on."""
    if end is None and waiting:
        end = timezone.now()
    return end - start if start and end else None


def _name(user: User | AnonymousUser) -> str:
    return user.get_username()
