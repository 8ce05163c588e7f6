"""The verbs of endpoints and deliveries, for the API and the admin alike. Synchronous; never sends anything itself."""

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from config.errors import Conflict
from config.outbound import check_url
from config.project import project
from webhooks import sender
from webhooks.models import DeliveryQuerySet, DeliveryStatus, WebhookDelivery, WebhookEndpoint
from webhooks.outbox import write_test

MOST = 1000  # endpoints; each is looked at when a run ends
OVERLAP = timedelta(hours=24)


class TooManyEndpoints(Conflict):
    """There are as many endpoints as one server takes."""

    default_detail = f"There are {MOST} webhook endpoints; delete some first."


class EndpointIsOff(Conflict):
    """Nothing is sent to a disabled endpoint."""

    default_detail = "The endpoint is disabled; enable it first."


class InFlight(Conflict):
    """The delivery is being sent right now."""

    default_detail = "The delivery is being sent right now."


def create_endpoint(fields: dict[str, Any]) -> WebhookEndpoint:
    """A new endpoint with a secret. Raises UrlRefused and TooManyEndpoints; nothing is written then."""
    check_url(fields["url"], project().webhooks.policy)
    if WebhookEndpoint.objects.count() >= MOST:
        raise TooManyEndpoints
    return WebhookEndpoint.objects.create(**fields)


def change_endpoint(endpoint: WebhookEndpoint, fields: dict[str, Any]) -> WebhookEndpoint:
    """Change some of its fields; what waits for one that is switched off has failed. Raises UrlRefused."""
    if "url" in fields:
        check_url(fields["url"], project().webhooks.policy)
    kept = {name: value for name, value in fields.items() if name != "enabled"}
    with transaction.atomic():
        WebhookEndpoint.objects.filter(pk=endpoint.pk).update(**kept, updated_at=timezone.now())
        if fields.get("enabled") is True:
            WebhookEndpoint.objects.switch_on(endpoint.pk)
        elif fields.get("enabled") is False:
            WebhookEndpoint.objects.switch_off(endpoint.pk, "")
    endpoint.refresh_from_db()
    return endpoint


def test_endpoint(endpoint: WebhookEndpoint) -> WebhookDelivery:
    """Send it a test event. Raises EndpointIsOff."""
    if not endpoint.enabled:
        raise EndpointIsOff
    return write_test(endpoint)


def redeliver(delivery: WebhookDelivery) -> WebhookDelivery:
    """Send it again now, delivered or not, with a whole schedule of attempts. Raises EndpointIsOff and InFlight."""
    if delivery.endpoint and not delivery.endpoint.enabled:
        raise EndpointIsOff
    if not _again(WebhookDelivery.objects.filter(pk=delivery.pk)):
        raise InFlight
    delivery.refresh_from_db()
    return delivery


def redeliver_failed(endpoint: WebhookEndpoint | None, since: datetime | None = None) -> int:
    """Send again what failed, of events since then; returns how many. Raises EndpointIsOff.

    No endpoint means every receiver: the URLs of runs, and all endpoints that are enabled.
    """
    if endpoint and not endpoint.enabled:
        raise EndpointIsOff
    theirs = Q(endpoint=endpoint) if endpoint else Q(endpoint=None) | Q(endpoint__enabled=True)
    failed = WebhookDelivery.objects.filter(theirs, status=DeliveryStatus.FAILED)
    return _again(failed.filter(created_at__gte=since) if since else failed)


def _again(deliveries: DeliveryQuerySet) -> int:
    with transaction.atomic():
        count = deliveries.redeliver()
        if count:
            transaction.on_commit(sender.ring, robust=True)
    return count
