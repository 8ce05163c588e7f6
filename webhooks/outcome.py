"""What follows from an attempt: delivered, another try or none, and what it means for the endpoint. Never sends."""

import logging
import random
from datetime import timedelta

from django.conf import settings
from django.db.models.functions import Now
from django.utils import timezone

from config import metrics
from webhooks.models import GIVE_UP_AFTER, WebhookDelivery, WebhookEndpoint
from webhooks.sending import GONE, Attempt

logger = logging.getLogger(__name__)
JITTER = 0.2
LONGEST_PAUSE = 86400.0  # seconds; no receiver may ask for more


def receiver_of(delivery: WebhookDelivery) -> WebhookEndpoint | None:
    """The endpoint as it is now; None for a URL a run was given. What waits for a disabled one fails here."""
    if delivery.endpoint_id is None:
        return None
    endpoint = WebhookEndpoint.objects.get(pk=delivery.endpoint_id)
    if not endpoint.enabled:
        WebhookDelivery.objects.filter(pk=delivery.pk).fail_for_disabled()
    return endpoint


def record(delivery: WebhookDelivery, endpoint: WebhookEndpoint | None, attempt: Attempt) -> None:
    """Write the attempt down and do what follows from it."""
    metrics.WEBHOOKS.labels(attempt.failure or "delivered").inc()
    document = attempt.document()
    if not attempt.failure:
        delivery.delivered(document)
        if endpoint and endpoint.failing_since:
            WebhookEndpoint.objects.filter(pk=endpoint.pk).update(failing_since=None)
        return
    logger.info("Delivery %s failed: %s %s", delivery.pk, attempt.failure, attempt.detail)
    if delivery.tries >= len(settings.WEBHOOK_RETRY_SECONDS) or attempt.status == GONE:
        delivery.failed(document)
    else:
        delivery.postponed(document, pause(delivery.tries, attempt.retry_after))
    if endpoint:
        _count_against(endpoint, attempt)


def pause(tries: int, retry_after: float | None) -> timedelta:
    """Until the next attempt after `tries` others: the schedule's, give or take a fifth, or what the receiver asked."""
    planned = settings.WEBHOOK_RETRY_SECONDS[tries] * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 (no secret)
    return timedelta(seconds=max(planned, min(retry_after or 0.0, LONGEST_PAUSE)))


def _count_against(endpoint: WebhookEndpoint, attempt: Attempt) -> None:
    """Switch the endpoint off when it is gone, or when nothing but failures came from it for GIVE_UP_AFTER."""
    since = endpoint.failing_since
    if attempt.status == GONE:
        notice = f"Switched off on {timezone.now():%Y-%m-%d %H:%M} UTC: it answered 410 Gone."
    elif since and timezone.now() - since > GIVE_UP_AFTER:
        notice = f"Switched off on {timezone.now():%Y-%m-%d %H:%M} UTC: every attempt failed since {since:%Y-%m-%d}."
    else:
        if since is None:
            WebhookEndpoint.objects.filter(pk=endpoint.pk, failing_since=None).update(failing_since=Now())
        return
    if WebhookEndpoint.objects.switch_off(endpoint.pk, notice):
        logger.warning("Webhook endpoint %s (%s): %s", endpoint.pk, endpoint.url, notice)
