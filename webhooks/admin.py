"""Webhook endpoints and deliveries as operators see them, with the verbs of the API."""

from collections import Counter
from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin import display
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from rest_framework.exceptions import APIException
from unfold.admin import ModelAdmin
from unfold.decorators import action
from unfold.forms import BaseDialogForm
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
)

from accounts.auditing import Audited
from config.admin import EMPTY, RecordAdmin, ago, badge, exact_time_of, id_of, link, moment, tail, time_of
from config.outbound import UrlRefused, check_url
from config.project import project
from webhooks import endpoints
from webhooks.masking import masked_answer, masked_request, masked_text, masked_url
from webhooks.models import SUBSCRIBABLE, DeliveryQuerySet, DeliveryStatus, WebhookDelivery, WebhookEndpoint

COLOURS = {DeliveryStatus.PENDING: "info", DeliveryStatus.DELIVERED: "success", DeliveryStatus.FAILED: "danger"}
COUNTED = 10_000  # deliveries a success rate is made of
NOTICE = "Notice"
SINCE = (("1", "the last hour"), ("24", "the last day"), ("168", "the last week"), ("", "ever"))


class EndpointForm(forms.ModelForm):  # type: ignore[type-arg]
    """What an endpoint is told to be."""

    url = forms.CharField(label="URL", widget=UnfoldAdminTextInputWidget())
    events = forms.MultipleChoiceField(
        choices=[(event, event) for event in SUBSCRIBABLE],
        initial=["run.error", "run.timeout"],
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
    )

    class Meta:
        model = WebhookEndpoint
        fields = ("url", "description", "events", "assistant_id", "metadata", "enabled")
        widgets = {"description": UnfoldAdminTextInputWidget()}

    def clean_url(self) -> str:
        """As the API checks it."""
        url: str = self.cleaned_data["url"]
        try:
            check_url(url, project().webhooks.policy)
        except UrlRefused as refused:
            raise forms.ValidationError(str(refused.detail)) from None
        return url

    def clean_metadata(self) -> dict[str, Any]:
        """An object; empty means all runs."""
        metadata = self.cleaned_data["metadata"] or {}
        if not isinstance(metadata, dict):
            raise forms.ValidationError("This must be a JSON object.")
        return metadata


class RotateForm(BaseDialogForm):  # type: ignore[misc]
    """How long the old secret signs too."""

    hours = forms.IntegerField(
        label="Hours in which both secrets sign",
        initial=24,
        min_value=0,
        max_value=720,
        widget=UnfoldAdminIntegerFieldWidget,
    )


class RedeliverForm(BaseDialogForm):  # type: ignore[misc]
    """Which failed deliveries are sent again."""

    since = forms.ChoiceField(
        label="Events of", choices=SINCE, required=False, initial="24", widget=UnfoldAdminSelectWidget
    )


@admin.register(WebhookEndpoint)
class EndpointAdmin(Audited, ModelAdmin):  # type: ignore[misc]
    """Endpoints."""

    form = EndpointForm
    list_display = ("name", "state", "subscribed", "failing", "created")
    list_filter = ("enabled",)
    search_fields = ("url", "description")
    list_per_page = 50
    list_fullwidth = True
    actions_detail = ("send_test", "redeliver", "rotate")
    created = time_of("created_at", "created")
    failing = time_of("failing_since", "only failures since")
    mono_id = id_of("endpoint_id", "id")
    created_exactly = exact_time_of("created_at", "created")
    readonly_fields = (
        "notice_block",
        "mono_id",
        "success_rate",
        "deliveries_link",
        "secret_state",
        "created_exactly",
        "masked",
    )
    fieldsets = (
        (NOTICE, {"fields": ("notice_block",)}),
        (None, {"fields": ("url", "description", "events", "enabled")}),
        ("Only these runs", {"fields": ("assistant_id", "metadata")}),
        ("State", {"fields": ("mono_id", "success_rate", "deliveries_link", "secret_state", "created_exactly")}),
    )

    def get_fieldsets(self, request: HttpRequest, obj: WebhookEndpoint | None = None) -> Any:
        """The state of what exists, a notice where there is one."""
        hidden = {NOTICE} if obj and not obj.notice else set() if obj else {NOTICE, "State"}
        sections = [section for section in super().get_fieldsets(request, obj) if section[0] not in hidden]
        if obj is None or self.has_change_permission(request, obj):
            return sections
        # Who cannot change the URL does not see what its query may hold.
        return [
            (name, {**options, "fields": ["masked" if one == "url" else one for one in options["fields"]]})
            for name, options in sections
        ]

    def save_model(self, request: HttpRequest, obj: WebhookEndpoint, form: Any, change: bool) -> None:
        """As the API does; a new endpoint's secret is shown this once."""
        if change:
            endpoints.change_endpoint(obj, {name: form.cleaned_data[name] for name in form.changed_data})
            return
        endpoints.create_endpoint({**form.cleaned_data, "endpoint_id": obj.pk, "secret": obj.secret})
        self._show_secret(request, obj)

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        """What the confirmation names; the deliveries are too many to list."""
        named = [f"Endpoint {endpoint}, with its deliveries" for endpoint in objs]
        return named, {"endpoints": len(named)}, set(), []

    # --- what may be done -----------------------------------------------------------------------------------------

    def has_use_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        """Who may change endpoints may use them."""
        return bool(request.user.has_perm("webhooks.change_webhookendpoint"))

    @action(description="Send test event", icon="send", permissions=["use"], url_path="send-test")  # type: ignore[untyped-decorator]
    def send_test(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """As POST /webhooks/endpoints/{endpoint_id}/test; leads to the delivery."""
        try:
            endpoint = WebhookEndpoint.objects.get(pk=object_id)
            delivery = endpoints.test_endpoint(endpoint)
            self.note(request, "test", endpoint, "Sent a test event.", after={"delivery_id": str(delivery.pk)})
        except APIException as refused:
            self.message_user(request, str(refused.detail), messages.ERROR)
            return HttpResponseRedirect(_page("webhookendpoint", object_id))
        self.message_user(request, "The test event is on its way. Reload to see what became of it.", messages.SUCCESS)
        return HttpResponseRedirect(_page("webhookdelivery", delivery.pk))

    @action(  # type: ignore[untyped-decorator]
        description="Redeliver failed",
        icon="replay",
        permissions=["use"],
        url_path="redeliver",
        dialog={
            "title": "Send failed deliveries again",
            "description": "Each gets a whole schedule of attempts.",
            "form_class": RedeliverForm,
            "form_submit_text": "Send them again",
        },
    )
    def redeliver(self, request: HttpRequest, form: RedeliverForm, object_id: str) -> HttpResponse:
        """As POST /webhooks/endpoints/{endpoint_id}/redeliver."""
        hours = form.cleaned_data["since"]
        since = timezone.now() - timedelta(hours=int(hours)) if hours else None
        try:
            endpoint = WebhookEndpoint.objects.get(pk=object_id)
            count = endpoints.redeliver_failed(endpoint, since)
            self.note(request, "redeliver", endpoint, f"Redelivered {count}.", after={"deliveries": count})
            self.message_user(request, _counted(count), messages.SUCCESS if count else messages.WARNING)
        except APIException as refused:
            self.message_user(request, str(refused.detail), messages.ERROR)
        return HttpResponse(headers={"HX-Redirect": _page("webhookendpoint", object_id)})

    @action(  # type: ignore[untyped-decorator]
        description="Rotate secret",
        icon="key",
        permissions=["use"],
        url_path="rotate",
        dialog={
            "title": "Give this endpoint a new secret",
            "description": "It is shown once. Until the time is over, deliveries are signed with the old one too.",
            "form_class": RotateForm,
            "form_submit_text": "Rotate",
        },
    )
    def rotate(self, request: HttpRequest, form: RotateForm, object_id: str) -> HttpResponse:
        """As POST /webhooks/endpoints/{endpoint_id}/rotate."""
        endpoint = WebhookEndpoint.objects.get(pk=object_id)
        endpoint.rotate(timedelta(hours=form.cleaned_data["hours"]))
        self.note(request, "rotate", endpoint, "Rotated the secret.")
        self._show_secret(request, endpoint)
        return HttpResponse(headers={"HX-Redirect": _page("webhookendpoint", object_id)})

    def _show_secret(self, request: HttpRequest, endpoint: WebhookEndpoint) -> None:
        html = 'The secret, shown this once: <code class="weft-mono">{}</code>'
        self.message_user(request, format_html(html, endpoint.secret), messages.WARNING)

    # --- what is shown --------------------------------------------------------------------------------------------

    @display(description="endpoint", ordering="url")
    def name(self, endpoint: WebhookEndpoint) -> SafeString:
        """What it is for, and where it leads."""
        return format_html("{} <small>{}</small>", endpoint.description, masked_url(endpoint.url))

    @display(description="URL")
    def masked(self, endpoint: WebhookEndpoint) -> str:
        """Where it leads, without credentials."""
        return masked_url(endpoint.url)

    @display(description="state")
    def state(self, endpoint: WebhookEndpoint) -> SafeString:
        """Whether it is told, and if not, whether the server decided so."""
        if endpoint.enabled:
            return badge("failing", "warning") if endpoint.failing_since else badge("enabled", "success")
        return badge("switched off", "danger") if endpoint.notice else badge("disabled", "")

    @display(description="events")
    def subscribed(self, endpoint: WebhookEndpoint) -> str:
        """What it asked for."""
        return ", ".join(endpoint.events)

    @display(description="notice")
    def notice_block(self, endpoint: WebhookEndpoint) -> SafeString:
        """Why the server switched it off."""
        return format_html("{} {}", badge("switched off", "danger"), endpoint.notice)

    @display(description="last 24 hours")
    def success_rate(self, endpoint: WebhookEndpoint) -> str:
        """How many of the deliveries arrived."""
        since = timezone.now() - timedelta(hours=24)
        recent = endpoint.deliveries.filter(created_at__gte=since).order_by("-created_at")
        counts = Counter(recent.values_list("status", flat=True)[:COUNTED])
        ended = counts[DeliveryStatus.DELIVERED] + counts[DeliveryStatus.FAILED]
        rate = f"{counts[DeliveryStatus.DELIVERED] / ended:.1%} arrived" if ended else "none has ended"
        named = ", ".join(f"{counts[status]:,} {status}" for status in DeliveryStatus.values if counts[status])
        return f"{rate} ({named})" if named else "no deliveries"

    @display(description="deliveries")
    def deliveries_link(self, endpoint: WebhookEndpoint) -> SafeString:
        """The way to them."""
        url = reverse("admin:webhooks_webhookdelivery_changelist")
        return link(f"{url}?endpoint__endpoint_id__exact={endpoint.pk}", "Deliveries to this endpoint")

    @display(description="secret")
    def secret_state(self, endpoint: WebhookEndpoint) -> SafeString:
        """Its end, and whether another signs too."""
        shown = format_html('<span class="weft-mono">whsec_…{}</span>', endpoint.secret[-4:])
        if len(endpoint.secrets()) == 1:
            return shown
        return format_html("{}, and the old one until {}", shown, moment(endpoint.old_secret_expires_at))


@admin.register(WebhookDelivery)
class DeliveryAdmin(Audited, RecordAdmin):
    """Deliveries."""

    list_display = ("short_id", "state", "event", "receiver", "run", "created", "tries", "next_attempt", "problem")
    list_filter = ("status", "event", "endpoint", "created_at")
    list_deferred = ("body", "attempts")
    list_select_related = ("endpoint",)
    search_fields = ("delivery_id",)
    search_help_text = "How the id of a delivery, a run or a thread begins"
    id_fields = ("delivery_id", "run_id", "thread_id")
    sortable_by = ("created",)
    actions = ("redeliver_selected",)
    actions_detail = ("redeliver",)
    mono_id = id_of("delivery_id", "webhook-id")
    created = time_of("created_at", "created")
    created_exactly = exact_time_of("created_at", "created")
    ended = exact_time_of("ended_at", "ended")
    fieldsets = (
        (None, {"fields": ("mono_id", "state", "event", "receiver", "run", "problem")}),
        ("Times", {"fields": ("created_exactly", "ended", "tries", "next_attempt")}),
        ("Attempts", {"fields": ("attempts_block",)}),
    )
    readonly_fields = (
        "mono_id",
        "state",
        "receiver",
        "run",
        "problem",
        "created_exactly",
        "ended",
        "next_attempt",
        "attempts_block",
    )

    # --- what may be done -----------------------------------------------------------------------------------------

    def has_redeliver_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        """Who may change deliveries may send them again."""
        return bool(request.user.has_perm("webhooks.change_webhookdelivery"))

    @admin.action(description="Redeliver", permissions=["redeliver"])
    def redeliver_selected(self, request: HttpRequest, queryset: DeliveryQuerySet) -> None:
        """As POST /webhooks/deliveries/{delivery_id}/redeliver, for each."""
        self._redeliver(request, list(queryset.select_related("endpoint")))

    @action(description="Redeliver", icon="replay", permissions=["redeliver"], url_path="redeliver")  # type: ignore[untyped-decorator]
    def redeliver(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The same for the delivery on the page."""
        self._redeliver(request, list(WebhookDelivery.objects.select_related("endpoint").filter(pk=object_id)))
        return HttpResponseRedirect(_page("webhookdelivery", object_id))

    def _redeliver(self, request: HttpRequest, chosen: list[WebhookDelivery]) -> None:
        count, refusals = 0, set()
        for delivery in chosen:
            try:
                endpoints.redeliver(delivery)
                count += 1
                self.note(request, "redeliver", delivery, "Redelivered.")
            except APIException as refused:
                refusals.add(str(refused.detail))
        if count:
            self.message_user(request, _counted(count), messages.SUCCESS)
        for reason in refusals:
            self.message_user(request, reason, messages.ERROR)

    # --- what is shown --------------------------------------------------------------------------------------------

    @display(description="delivery")
    def short_id(self, delivery: WebhookDelivery) -> SafeString:
        """Its id in a list."""
        return format_html('<span class="weft-mono" title="{}">{}</span>', delivery.pk, tail(delivery.pk))

    @display(description="status")
    def state(self, delivery: WebhookDelivery) -> SafeString:
        """Its status."""
        return badge(delivery.status, COLOURS[DeliveryStatus(delivery.status)])

    @display(description="to")
    def receiver(self, delivery: WebhookDelivery) -> SafeString:
        """The endpoint, or the URL of a run."""
        if delivery.endpoint:
            return link(_page("webhookendpoint", delivery.endpoint.pk), str(delivery.endpoint))
        return format_html('<span class="weft-problem">{}</span>', masked_url(delivery.url))

    @display(description="run")
    def run(self, delivery: WebhookDelivery) -> SafeString:
        """The way to its run, which may be gone."""
        if delivery.run_id is None:
            return EMPTY
        return link(reverse("admin:runs_run_change", args=[delivery.run_id]), tail(delivery.run_id))

    @display(description="next attempt")
    def next_attempt(self, delivery: WebhookDelivery) -> SafeString:
        """When, if there is one."""
        return ago(delivery.next_attempt_at) if delivery.status == DeliveryStatus.PENDING else EMPTY

    @display(description="problem")
    def problem(self, delivery: WebhookDelivery) -> SafeString:
        """What went wrong last."""
        return badge(delivery.failure, "warning") if delivery.failure else EMPTY

    @display(description="attempts")
    def attempts_block(self, delivery: WebhookDelivery) -> SafeString:
        """Request and answer of each, side by side, the latest first."""
        context = {"attempts": [_masked(kept) for kept in reversed(delivery.attempts)], "body": delivery.body}
        return SafeString(render_to_string("admin/webhook_attempts.html", context))


def _masked(attempt: dict[str, Any]) -> dict[str, Any]:
    shown = {
        "url": masked_url(attempt["url"]),
        "detail": masked_text(attempt["detail"]),
        "request_headers": masked_request(attempt["request_headers"]),
        "answer_headers": masked_answer(attempt["answer_headers"]),
    }
    return {**attempt, **shown}


def _page(model: str, object_id: object) -> str:
    return reverse(f"admin:webhooks_{model}_change", args=[object_id])


def _counted(count: int) -> str:
    return f"{count:,} deliver{'y is' if count == 1 else 'ies are'} sent again." if count else "Nothing has failed."
