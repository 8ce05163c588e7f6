"""Crons as operators see them: when they fire, what became of it, and the ways to pause them or run them now."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin import display
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from rest_framework.exceptions import APIException
from unfold.decorators import action
from unfold.forms import BaseDialogForm

from accounts.auditing import Audited
from config.admin import (
    EMPTY,
    RecordAdmin,
    ago,
    badge,
    exact_time_of,
    id_of,
    json_of,
    link,
    moment,
    mono,
    tail,
    time_of,
)
from crons.changes import patch
from crons.firing import fire_now
from crons.models import Cron, Firing, Outcome
from runs.models import Run

COLOURS = {Outcome.FIRED: "success", Outcome.SKIPPED: "info", Outcome.MISSED: "warning", Outcome.FAILED: "danger"}
SHOWN = 20  # firings on a cron's page
NEXT = 5
NOW = {
    "title": "Run now",
    "description": "A run of this cron besides its timetable.",
    "form_class": BaseDialogForm,
    "form_submit_text": "Run now",
}


@admin.register(Cron)
class CronAdmin(Audited, RecordAdmin):
    """Crons."""

    list_display = (
        "short_id",
        "state",
        "timetable_text",
        "assistant_link",
        "thread_link",
        "due",
        "failures",
        "created",
    )
    list_filter = ("enabled", "overlap", "created_at")
    list_select_related = ("assistant",)
    list_deferred = ("payload", "metadata")
    search_fields = ("cron_id",)
    search_help_text = "How the id of a cron, a thread or an assistant begins"
    id_fields = ("cron_id", "thread__thread_id", "assistant__assistant_id")
    sortable_by = ("due", "created")
    actions = ("pause_selected", "resume_selected", "run_selected")
    actions_detail = ("run_now",)
    mono_id = id_of("cron_id", "cron")
    due = time_of("next_run_date", "next")
    created = time_of("created_at", "created")
    created_exactly = exact_time_of("created_at", "created")
    end = exact_time_of("end_time", "end")
    paused_exactly = exact_time_of("paused_at", "paused by failures")
    payload_json = json_of("payload")
    metadata_json = json_of("metadata")
    fieldsets = (
        (None, {"fields": ("mono_id", "state", "assistant_link", "thread_link", "on_run_completed")}),
        ("Timetable", {"fields": ("timetable_text", "next_dates", "end", "created_exactly")}),
        ("Policy", {"fields": ("overlap", "catch_up", "pause_after_failures", "failures", "paused_exactly")}),
        ("Firings", {"fields": ("firings_table",)}),
        ("Request", {"fields": ("payload_json", "metadata_json")}),
    )
    readonly_fields = (
        "mono_id",
        "state",
        "assistant_link",
        "thread_link",
        "timetable_text",
        "next_dates",
        "end",
        "created_exactly",
        "paused_exactly",
        "firings_table",
        "payload_json",
        "metadata_json",
    )

    # --- what may be done -----------------------------------------------------------------------------------------

    def has_operate_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        """Who may change crons may pause them and run them."""
        return bool(request.user.has_perm("crons.change_cron"))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Deleting is a verb of the API; who may is what Django's permissions say."""
        return bool(request.user.has_perm("crons.delete_cron"))

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        """What the confirmation names."""
        crons = [f"Cron {cron.pk}, with what became of its slots; its runs stay" for cron in objs]
        return crons, {"crons": len(crons)}, set(), []

    @admin.action(description="Pause", permissions=["operate"])
    def pause_selected(self, request: HttpRequest, queryset: QuerySet[Cron]) -> None:
        """As PATCH with `enabled` false."""
        self._switch(request, queryset, enabled=False)

    @admin.action(description="Resume", permissions=["operate"])
    def resume_selected(self, request: HttpRequest, queryset: QuerySet[Cron]) -> None:
        """As PATCH with `enabled` true."""
        self._switch(request, queryset, enabled=True)

    @admin.action(description="Run now", permissions=["operate"])
    def run_selected(self, request: HttpRequest, queryset: QuerySet[Cron]) -> None:
        """As POST /runs/crons/{cron_id}/run."""
        for cron in queryset:
            self._run(request, cron)

    @action(  # type: ignore[untyped-decorator]
        description="Run now", icon="play_arrow", permissions=["operate"], url_path="run-now", dialog=NOW
    )
    def run_now(self, request: HttpRequest, form: BaseDialogForm, object_id: str) -> HttpResponse:
        """The same for the cron on the page."""
        for cron in Cron.objects.filter(pk=object_id):
            self._run(request, cron)
        return HttpResponse(headers={"HX-Redirect": reverse("admin:crons_cron_change", args=[object_id])})

    def _switch(self, request: HttpRequest, crons: QuerySet[Cron], *, enabled: bool) -> None:
        count = 0
        for chosen in crons:
            with transaction.atomic():
                for cron in Cron.objects.select_for_update(of=("self",)).filter(pk=chosen.pk).exclude(enabled=enabled):
                    change = {"enabled": enabled}
                    patch(cron.pk, change, change)
                    self.note(request, "resume" if enabled else "pause", cron, "Resumed." if enabled else "Paused.")
                    count += 1
        said = f"{'Resumed' if enabled else 'Paused'} {count} cron{'' if count == 1 else 's'}."
        self.message_user(request, said, messages.SUCCESS if count else messages.WARNING)

    def _run(self, request: HttpRequest, cron: Cron) -> None:
        try:
            run = fire_now(cron)
        except APIException as error:
            self.message_user(request, f"Cron {cron.pk} could not run: {error.detail}", messages.ERROR)
            return
        self.note(request, "run", cron, f"Run now ({run.pk}).", after={"run_id": str(run.pk)})
        self.message_user(request, f"Created run {run.pk}.", messages.SUCCESS)

    # --- what is shown --------------------------------------------------------------------------------------------

    @display(description="cron")
    def short_id(self, cron: Cron) -> SafeString:
        """Its id in a list."""
        return format_html('<span class="weft-mono" title="{}">{}</span>', cron.pk, tail(cron.pk))

    @display(description="status")
    def state(self, cron: Cron) -> SafeString:
        """Whether it fires."""
        if cron.enabled:
            return badge("on", "success") if cron.due_at else badge("over", "")
        return badge("paused by failures", "danger") if cron.paused_at else badge("paused", "warning")

    @display(description="timetable")
    def timetable_text(self, cron: Cron) -> SafeString:
        """Its schedule and its zone."""
        return format_html("{} <small>{}</small>", mono(cron.schedule), cron.timezone or "UTC")

    @display(description="assistant")
    def assistant_link(self, cron: Cron) -> SafeString:
        """The way to its assistant."""
        return link(reverse("admin:assistants_assistant_change", args=[cron.assistant_id]), cron.assistant.name)

    @display(description="thread")
    def thread_link(self, cron: Cron) -> SafeString:
        """The way to its thread, if it has one."""
        if cron.thread_id is None:
            return EMPTY
        return link(reverse("admin:threads_thread_change", args=[cron.thread_id]), tail(cron.thread_id))

    @display(description="next dates")
    def next_dates(self, cron: Cron) -> SafeString:
        """When it fires next, in its zone and in UTC."""
        zone = cron.timetable.zone
        rows = ((f"{slot.astimezone(zone):%a %Y-%m-%d %H:%M:%S %Z}", moment(slot)) for slot in cron.upcoming(NEXT))
        return format_html_join("", "<div>{} · {}</div>", rows) or EMPTY

    @display(description="latest")
    def firings_table(self, cron: Cron) -> SafeString:
        """What became of its latest slots, with their runs."""
        firings = list(cron.firings.all()[:SHOWN])
        found = set(Run.objects.filter(pk__in=[f.run_id for f in firings if f.run_id]).values_list("pk", flat=True))
        rows = (
            (ago(f.slot), badge(f.outcome, COLOURS[Outcome(f.outcome)]), _run_of(f, found), f.detail) for f in firings
        )
        return format_html_join("", "<div>{} {} {} {}</div>", rows) or EMPTY


def _run_of(firing: Firing, found: set[Any]) -> SafeString:
    """The way to the run, or how it ended when it is gone."""
    if firing.run_id in found:
        return link(reverse("admin:runs_run_change", args=[firing.run_id]), f"run {tail(firing.run_id)}")
    return format_html("{}", firing.run_status)
