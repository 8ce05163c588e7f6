"""Tenants, API keys and the audit log as operators see them. A key's text is on one page, once, and in no session."""

from datetime import timedelta
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin import display
from django.db.models import QuerySet
from django.forms.models import model_to_dict
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from rest_framework.exceptions import APIException
from unfold.admin import ModelAdmin
from unfold.decorators import action
from unfold.forms import BaseDialogForm
from unfold.widgets import (
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from accounts.audit import person, record
from accounts.issuing import EVERYTHING, Issued, check_scopes, create_key, revoke_key, rotate_key
from accounts.models import ApiKey, AuditEntry, KeyState, Tenant
from config.admin import EMPTY, RecordAdmin, badge, exact, exact_time_of, id_of, json_of, moment, mono, tail, time_of
from config.errors import Invalid

COLOURS = {
    KeyState.ACTIVE: "success",
    KeyState.ROTATED: "info",
    KeyState.EXPIRED: "warning",
    KeyState.REVOKED: "danger",
}
REVOKE = {
    "title": "Revoke this key",
    "description": "Whoever uses it is refused within seconds, and for good.",
    "form_submit_text": "Revoke",
}


class KeyForm(forms.ModelForm):  # type: ignore[type-arg]
    """What a key is made of."""

    name = forms.CharField(help_text="Who or what will use it.", widget=UnfoldAdminTextInputWidget())
    scopes = forms.CharField(
        initial=EVERYTHING,
        help_text="One a line: resource:action, resource:* or *.",
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
    )

    class Meta:
        model = ApiKey
        fields = ("name", "tenant", "scopes", "expires_at", "requests_per_second", "burst")
        labels = {"requests_per_second": "Requests a second", "expires_at": "Expires"}
        widgets = {
            "requests_per_second": UnfoldAdminDecimalFieldWidget(),
            "burst": UnfoldAdminIntegerFieldWidget(),
        }

    def clean_scopes(self) -> list[str]:
        """As every other way to make a key checks them."""
        try:
            return check_scopes(self.cleaned_data["scopes"].split())
        except Invalid as refused:
            raise forms.ValidationError(str(refused.detail)) from None

    def clean_expires_at(self) -> Any:
        """Not in the past."""
        expires = self.cleaned_data["expires_at"]
        if expires and expires <= timezone.now():
            raise forms.ValidationError("This is over already.")
        return expires


class RotateForm(forms.Form):
    """How long the old key is good."""

    hours = forms.FloatField(
        label="Hours for which the old key is good, too",
        min_value=0,
        max_value=8760,
        widget=UnfoldAdminIntegerFieldWidget,
    )


class RevokeForm(BaseDialogForm):  # type: ignore[misc]
    """Why."""

    reason = forms.CharField(label="Reason, for the audit log", required=False, widget=UnfoldAdminTextInputWidget)


@admin.register(ApiKey)
class KeyAdmin(RecordAdmin):
    """Keys: made, rotated and revoked, never edited and never deleted."""

    form = KeyForm
    list_display = ("shown_name", "state_badge", "tenant", "scopes_text", "used", "ends", "created")
    list_filter = ("tenant", "revoked_at")
    list_select_related = ("tenant",)
    search_fields = ("name", "prefix")
    search_help_text = "A part of a name, or how a key begins"
    sortable_by = ("used", "created")
    actions = ("revoke_selected",)
    actions_detail = ("rotate", "revoke")
    used = time_of("last_used_at", "last used")
    created = time_of("created_at", "created")
    created_exactly = exact_time_of("created_at", "created")
    used_exactly = exact_time_of("last_used_at", "last used")
    revoked_exactly = exact_time_of("revoked_at", "revoked")
    mono_prefix = id_of("prefix", "begins with")
    mono_identity = id_of("identity", "identity")
    fieldsets = (
        (None, {"fields": ("name", "mono_prefix", "state_badge", "tenant", "scopes_text")}),
        ("Limits of its own", {"fields": ("requests_per_second", "burst")}),
        ("Life", {"fields": ("created_exactly", "created_by", "used_exactly", "ends", "revoked_exactly")}),
        ("Who it is to the API", {"fields": ("mono_identity", "rotated_from")}),
    )
    add_fieldsets = (
        (None, {"fields": ("name", "tenant", "scopes", "expires_at")}),
        ("Limits of its own", {"fields": ("requests_per_second", "burst")}),
    )
    readonly_fields = (
        "mono_prefix",
        "state_badge",
        "scopes_text",
        "created_exactly",
        "created_by",
        "used_exactly",
        "ends",
        "revoked_exactly",
        "mono_identity",
        "rotated_from",
    )

    def get_fieldsets(self, request: HttpRequest, obj: ApiKey | None = None) -> Any:
        """What there is to say about a key, or to ask for a new one."""
        return super().get_fieldsets(request, obj) if obj else self.add_fieldsets

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """By name and prefix: keys are few."""
        found: tuple[QuerySet[Any], bool] = ModelAdmin.get_search_results(self, request, queryset, search_term)
        return found

    # --- what may be done -----------------------------------------------------------------------------------------

    def has_add_permission(self, request: HttpRequest) -> bool:
        """As Django's permissions say."""
        return bool(request.user.has_perm("accounts.add_apikey"))

    def has_operate_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        """Who may change keys may rotate and revoke them."""
        return bool(request.user.has_perm("accounts.change_apikey"))

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        """Make the key; its page follows in `response_add`."""
        issued = create_key(person(request), **form.cleaned_data)
        # Django logs and answers for the object it knows.
        obj.pk, obj.prefix = issued.key.pk, issued.key.prefix
        request.issued = issued  # type: ignore[attr-defined]

    def response_add(self, request: HttpRequest, obj: ApiKey, post_url_continue: str | None = None) -> HttpResponse:
        """The page with the key, instead of a way to anywhere else."""
        return self._key_page(request, request.issued)  # type: ignore[attr-defined]

    @action(description="Rotate", icon="autorenew", permissions=["operate"], url_path="rotate")  # type: ignore[untyped-decorator]
    def rotate(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask for how long the old key is good, then make the new one and show it."""
        key = get_object_or_404(ApiKey, pk=object_id)
        form = RotateForm(request.POST or None, initial={"hours": f"{settings.API_KEY_OVERLAP_HOURS:g}"})
        if not form.is_valid():
            context = {**self.admin_site.each_context(request), "title": "Rotate", "key": key, "form": form}
            return TemplateResponse(request, "admin/key_rotate.html", context)
        try:
            issued = rotate_key(person(request), key, timedelta(hours=form.cleaned_data["hours"]))
        except APIException as refused:
            self.message_user(request, str(refused.detail), messages.ERROR)
            return HttpResponseRedirect(_page(key))
        return self._key_page(request, issued)

    @action(  # type: ignore[untyped-decorator]
        description="Revoke",
        icon="block",
        permissions=["operate"],
        url_path="revoke",
        dialog={**REVOKE, "form_class": RevokeForm},
    )
    def revoke(self, request: HttpRequest, form: RevokeForm, object_id: str) -> HttpResponse:
        """End the key on the page."""
        self._revoke(request, list(ApiKey.objects.filter(pk=object_id)), form.cleaned_data["reason"])
        return HttpResponse(headers={"HX-Redirect": reverse("admin:accounts_apikey_change", args=[object_id])})

    @admin.action(description="Revoke", permissions=["operate"])
    def revoke_selected(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        """End the keys chosen in the list."""
        self._revoke(request, list(queryset), "")

    def _revoke(self, request: HttpRequest, keys: list[ApiKey], reason: str) -> None:
        count = sum(revoke_key(person(request), key, reason) for key in keys)
        said = f"Revoked {count} key{'' if count == 1 else 's'}." if count else "Revoked already."
        self.message_user(request, said, messages.SUCCESS if count else messages.WARNING)

    def _key_page(self, request: HttpRequest, issued: Issued) -> HttpResponse:
        """Answered to the POST itself: a redirect would have to keep the text somewhere."""
        before = issued.key.rotated_from
        until = before.overlap_until if before else None
        shown = {
            "key": issued.key,
            "text": issued.text,
            "url": _page(issued.key),
            "until": exact(until) if until else "",
        }
        context = {**self.admin_site.each_context(request), "title": "New API key", **shown}
        return TemplateResponse(request, "admin/key_made.html", context, headers={"Cache-Control": "no-store"})

    # --- what is shown --------------------------------------------------------------------------------------------

    @display(description="key", ordering="name")
    def shown_name(self, key: ApiKey) -> SafeString:
        """Its name and how it begins."""
        return format_html('{} <small class="weft-mono">{}…</small>', key.name, key.prefix)

    @display(description="state")
    def state_badge(self, key: ApiKey) -> SafeString:
        """Now."""
        return badge(key.state.label, COLOURS[key.state])

    @display(description="scopes")
    def scopes_text(self, key: ApiKey) -> str:
        """All of them."""
        return ", ".join(key.scopes)

    @display(description="ends")
    def ends(self, key: ApiKey) -> SafeString:
        """When it stops by itself."""
        return moment(key.ends_at) if key.ends_at else EMPTY


@admin.register(Tenant)
class TenantAdmin(ModelAdmin):  # type: ignore[misc]
    """Tenants and their limits."""

    list_display = ("slug", "name", "runs_in_flight", "requests_per_second", "burst", "store_bytes")
    search_fields = ("slug", "name")
    fieldsets = (
        (None, {"fields": ("slug", "name")}),
        ("Limits; an empty one is none", {"fields": ("runs_in_flight", "requests_per_second", "burst", "store_bytes")}),
    )
    formfield_overrides: dict[Any, Any] = {}

    def get_readonly_fields(self, request: HttpRequest, obj: Tenant | None = None) -> tuple[str, ...]:
        """Rows bear the slug, so it stays."""
        return ("slug",) if obj else ()

    def save_model(self, request: HttpRequest, obj: Tenant, form: Any, change: bool) -> None:
        """With an audit entry of what changed."""
        before = {name: form.initial.get(name) for name in form.changed_data} if change else None
        super().save_model(request, obj, form, change)
        after = {name: form.cleaned_data[name] for name in form.changed_data} if change else model_to_dict(obj)
        record(request, "change" if change else "create", obj, before=before, after=after)

    def delete_model(self, request: HttpRequest, obj: Tenant) -> None:
        """With an audit entry. One that has keys cannot be deleted."""
        record(request, "delete", obj, before=model_to_dict(obj))
        super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Tenant]) -> None:
        """Each with an audit entry."""
        for tenant in queryset:
            self.delete_model(request, tenant)


@admin.register(AuditEntry)
class AuditAdmin(RecordAdmin):
    """The audit log."""

    list_display = ("when", "who", "action", "subject", "reason", "ip")
    list_filter = ("actor_kind", "action", "object_type", "created_at")
    list_deferred = ("before", "after")
    search_fields = ("actor", "object_id")
    search_help_text = "Who did it, or the id of what it was done to, in full"
    sortable_by = ()
    when = time_of("created_at", "when")
    exactly = exact_time_of("created_at", "when")
    before_json = json_of("before")
    after_json = json_of("after")
    fieldsets = (
        (None, {"fields": ("exactly", "actor", "actor_kind", "ip", "action", "object_type", "object_id", "reason")}),
        ("What changed", {"fields": ("before_json", "after_json")}),
    )
    readonly_fields = ("exactly", "before_json", "after_json")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """What one actor did, or what was done to one object."""
        text = search_term.strip()
        if not text:
            return queryset, False
        return queryset.filter(actor=text) | queryset.filter(object_id=text), False

    @display(description="who")
    def who(self, entry: AuditEntry) -> SafeString:
        """The actor and their kind."""
        return format_html("{} <small>{}</small>", entry.actor, entry.get_actor_kind_display())

    @display(description="what")
    def subject(self, entry: AuditEntry) -> SafeString:
        """Type and id of what it was done to."""
        name = entry.object_id if len(entry.object_id) <= 12 else tail(entry.object_id)
        return format_html('{} <span title="{}">{}</span>', entry.object_type, entry.object_id, mono(name))


def _page(key: ApiKey) -> str:
    return reverse("admin:accounts_apikey_change", args=[key.pk])
