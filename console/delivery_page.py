"""One delivery, live: what was sent, how every attempt went, why it failed and what to do; sent again at will.

What is shown of URLs and headers is masked (webhooks.masking).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST
from rest_framework.exceptions import APIException

from accounts.audit import record
from config import dialect
from config.words import span
from console.deliveries import DeliveryRow
from console.failures import Cause, cause_of
from console.live import Topic, polled
from console.pages import Crumb, Page, show
from console.receiver_snippets import LARGEST, VERIFYING, curl
from console.roles import Role, needs, role_of
from webhooks import endpoints
from webhooks.masking import masked_answer, masked_request, masked_text, masked_url
from webhooks.models import WebhookDelivery


@dataclass(frozen=True)
class AttemptRow:
    """An attempt as people see it; `document` is what is kept of it (webhooks.sending.Attempt)."""

    document: dict[str, Any]

    @property
    def at(self) -> datetime | None:
        """When it began."""
        try:
            return datetime.fromisoformat(self.document.get("at", ""))
        except ValueError:
            return None

    @property
    def took(self) -> str:
        """How long it took."""
        return span(timedelta(milliseconds=self.document.get("milliseconds", 0)))

    @property
    def failure(self) -> str:
        """What went wrong; empty when nothing did."""
        return str(self.document.get("failure", ""))

    @property
    def status(self) -> int | None:
        """What it was answered, if it was."""
        return self.document.get("status")

    @property
    def cause(self) -> Cause | None:
        """The same in words."""
        return cause_of(self.failure, self.status) if self.failure else None

    @property
    def detail(self) -> str:
        """What the server wrote down beside."""
        return masked_text(self.document.get("detail", ""))

    @property
    def url(self) -> str:
        """Where it went first."""
        return masked_url(self.document.get("url", ""))

    @property
    def redirects(self) -> list[str]:
        """Where it was sent on to."""
        return [masked_url(url) for url in self.document.get("redirects", [])]

    @property
    def request_headers(self) -> dict[str, str]:
        """As they were sent."""
        return masked_request(self.document.get("request_headers", {}))

    @property
    def answer_headers(self) -> dict[str, str]:
        """As they came."""
        return masked_answer(self.document.get("answer_headers", {}))

    @property
    def answer(self) -> str:
        """The beginning of the answer's body."""
        return str(self.document.get("answer", ""))


@require_GET
@needs("viewer")
def page(request: HttpRequest, delivery_id: UUID) -> HttpResponse:
    """/admin/webhooks/deliveries/<id>/"""
    delivery = _delivery(delivery_id)
    above = (
        Crumb("Webhooks", reverse("console:webhooks")),
        Crumb("Deliveries", reverse("console:deliveries")),
    )
    shown = _shown(delivery)
    return show(
        request,
        "console/webhooks_delivery.html",
        Page(delivery.event, above, str(delivery.pk), topic=f"delivery:{delivery.pk}"),
        **shown,
        delivery=delivery,
        payload=_payload(delivery.body),
        curl=_curl(delivery, in_full=role_of(request.user) >= Role.ADMIN),
        is_large=len(delivery.body) > LARGEST,
        is_off=delivery.endpoint is not None and not delivery.endpoint.enabled,
        verifying=VERIFYING,
        signs=bool(delivery.endpoint or settings.WEBHOOK_SECRETS),
    )


def _delivery(delivery_id: UUID) -> WebhookDelivery:
    found = WebhookDelivery.objects.select_related("endpoint").filter(pk=delivery_id).first()
    if found is None:
        raise Http404(f"There is no such delivery, or no longer: they are kept {settings.WEBHOOK_RETENTION_DAYS} days.")
    return found


def _shown(delivery: WebhookDelivery) -> dict[str, Any]:
    """What changes while it is sent."""
    attempts = [AttemptRow(document) for document in reversed(delivery.attempts)]
    status = attempts[0].status if attempts and attempts[0].failure == delivery.failure else None
    return {
        "row": DeliveryRow(delivery, timezone.now()),
        "attempts": attempts,
        "cause": cause_of(delivery.failure, status) if delivery.failure else None,
        "most": len(settings.WEBHOOK_RETRY_SECONDS) + 1,
    }


def _payload(body: str) -> Any:
    """The body's document; None when it is none, or too large to be shown whole."""
    try:
        return dialect.loads(body)
    except ValueError:
        return None


def _curl(delivery: WebhookDelivery, *, in_full: bool) -> str:
    """The last attempt again; `in_full` with the URL's credentials, for those who may change it anyway."""
    whole = delivery.endpoint.url if delivery.endpoint else delivery.url
    headers = {"content-type": "application/json", "webhook-id": str(delivery.pk)}
    if delivery.attempts:
        headers = masked_request(delivery.attempts[-1].get("request_headers", {}))
    return curl(whole if in_full else masked_url(whole), headers, delivery.body)


@require_GET
@needs("viewer")
def body(request: HttpRequest, delivery_id: UUID) -> HttpResponse:
    """/admin/webhooks/deliveries/<id>/body.json: the body, byte for byte as it is signed."""
    answer = HttpResponse(_delivery(delivery_id).body.encode(), content_type="application/json")
    answer["Content-Disposition"] = 'attachment; filename="body.json"'
    return answer


@require_POST
@needs("operator")
def redeliver(request: HttpRequest, delivery_id: UUID) -> HttpResponse:
    """POST /admin/webhooks/deliveries/<id>/redeliver/: as the API's redeliver."""
    delivery = _delivery(delivery_id)
    try:
        with transaction.atomic():
            endpoints.redeliver(delivery)
            record(request, "redeliver", delivery)
        messages.success(request, "It is sent again; this page shows what becomes of it.")
    except APIException as refused:
        messages.error(request, str(refused.detail))
    return redirect("console:delivery", delivery.pk)


# --- live -------------------------------------------------------------------------------------------------------------


def _look(key: str) -> dict[str, Any]:
    try:
        delivery = WebhookDelivery.objects.select_related("endpoint").defer("body").get(pk=UUID(key))
    except (ValueError, WebhookDelivery.DoesNotExist):
        return {}
    shown = {**_shown(delivery), "delivery": delivery}
    return {name: render_to_string(f"console/webhooks/{name}.html", shown) for name in ("state", "facts", "attempts")}


TOPIC = Topic(polled(_look, seconds=0.5))
