"""What people fill in about endpoints, checked as the API checks it and refused in plain words."""

import json
from typing import Any, cast
from uuid import UUID

from django import forms

from accounts.models import Tenant
from config import dialect
from config.outbound import UrlRefused, check_url
from config.project import project
from console.failures import refusal
from webhooks.models import Event, WebhookEndpoint

TENANTS = 500  # offered to choose from
EVENTS = {
    Event.SUCCESS: "the graph stopped by itself",
    Event.ERROR: "it raised, or has no attempt left",
    Event.TIMEOUT: "it ran longer than it may",
    Event.INTERRUPTED: "it was cancelled",
    Event.WAITING: "its thread waits for a person",
}


class EndpointForm(forms.Form):
    """A new endpoint, or what one is to be from now on."""

    url = forms.CharField(label="URL", widget=forms.TextInput({"placeholder": "https://", "autocomplete": "off"}))
    description = forms.CharField(required=False, widget=forms.TextInput({"autocomplete": "off"}))
    events = forms.MultipleChoiceField(
        choices=[(str(event), f"{event}: {meaning}") for event, meaning in EVENTS.items()],
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": "Choose one event at least."},
    )
    assistant_id = forms.CharField(
        label="Assistant", required=False, widget=forms.TextInput({"list": "assistants", "autocomplete": "off"})
    )
    metadata = forms.CharField(required=False, widget=forms.Textarea({"rows": 3, "spellcheck": "false"}))
    tenant = forms.ChoiceField(required=False)

    def __init__(self, given: Any, endpoint: WebhookEndpoint | None = None) -> None:
        super().__init__(given, initial=_initial(endpoint))
        tenants = [] if endpoint else list(Tenant.objects.values_list("slug", flat=True)[:TENANTS])
        if tenants:
            choices = [("", "none: runs of no tenant"), *((slug, slug) for slug in tenants)]
            cast("forms.ChoiceField", self.fields["tenant"]).choices = choices
        else:
            del self.fields["tenant"]

    def clean_url(self) -> str:
        """Refused as the API refuses it, with what to do; what it was already is not asked about again."""
        url: str = self.cleaned_data["url"]
        try:
            if url != self.initial.get("url"):
                check_url(url, project().webhooks.policy)
        except UrlRefused as refused:
            raise forms.ValidationError(refusal(refused)) from None
        return url

    def clean_assistant_id(self) -> UUID | None:
        """Its id, or nothing for all assistants."""
        text = self.cleaned_data["assistant_id"]
        try:
            return UUID(text) if text else None
        except ValueError:
            raise forms.ValidationError("This is no id of an assistant.") from None

    def clean_metadata(self) -> dict[str, Any]:
        """An object; nothing means all runs."""
        text = self.cleaned_data["metadata"]
        try:
            found = dialect.loads(text) if text else {}
        except ValueError as error:
            raise forms.ValidationError(f"This is no JSON: {error}.") from None
        if not isinstance(found, dict):
            raise forms.ValidationError('This must be a JSON object such as {"team": "sales"}.')
        return found


def _initial(endpoint: WebhookEndpoint | None) -> dict[str, Any]:
    if endpoint is None:
        return {"events": ["run.error", "run.timeout"]}
    return {
        "url": endpoint.url,
        "description": endpoint.description,
        "events": endpoint.events,
        "assistant_id": endpoint.assistant_id or "",
        "metadata": json.dumps(endpoint.metadata, ensure_ascii=False) if endpoint.metadata else "",
    }


class RotateForm(forms.Form):
    """How long the secret so far signs too."""

    hours = forms.IntegerField(label="Hours in which both secrets sign", initial=24, min_value=0, max_value=720)


class RedeliverForm(forms.Form):
    """From when on failed deliveries of an endpoint are sent again."""

    since = forms.DateTimeField(
        label="Of events since",
        required=False,
        help_text="in UTC; nothing means all that are kept",
        widget=forms.DateTimeInput({"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
    )


class RedeliverAllForm(RedeliverForm):
    """The same, of any receiver."""

    endpoint = forms.ModelChoiceField(
        WebhookEndpoint.objects.order_by("description", "url"),
        label="To",
        required=False,
        empty_label="every receiver that is on",
    )
    field_order = ("endpoint", "since")
