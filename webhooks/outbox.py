"""Writes deliveries, in the transaction that ends the run: both are committed or neither. Never sends anything."""

import logging
import time
from dataclasses import dataclass, field
from typing import Any

import httpx
from django.db import transaction

from config.project import project
from runs.endings import Ending
from runs.models import Run
from webhooks import payload, sender
from webhooks.models import Event, WebhookDelivery, WebhookEndpoint

logger = logging.getLogger(__name__)
STALE_SECONDS = 1.0


@dataclass
class Endpoints:
    """This process's copy of the enabled endpoints, so that a run nobody waits for costs no query.

    At most STALE_SECONDS old: a new endpoint hears of what ends later than that after it was committed.
    """

    found: list[WebhookEndpoint] = field(default_factory=list)
    read_at: float = float("-inf")

    def enabled(self) -> list[WebhookEndpoint]:
        """All of them; one query a second at most, however many runs end."""
        now = time.monotonic()
        if now - self.read_at > STALE_SECONDS:
            self.read_at = now
            self.found = list(WebhookEndpoint.objects.filter(enabled=True))
        return self.found


endpoints = Endpoints()


def is_concerned(run: Run) -> bool:
    """Whether the run has a URL of its own or an endpoint asks for runs like it."""
    if project().http.get("disable_webhooks"):
        return False
    return bool(run.kwargs.get("webhook")) or bool(_matching(run))


def write_deliveries(ending: Ending) -> None:
    """One delivery for the run's own URL and one for each endpoint and event. Sent after commit."""
    run, events = ending.run, payload.events_of(ending)
    document = payload.document_of(ending, project().webhooks.allowed_fields)
    rows = []
    # The reference tells nobody of a run that was cancelled before it began (contract/platform.md 5.1).
    if run.kwargs.get("webhook") and ending.executed:
        rows.append(_delivery(events[0], payload.run_body(document), run, run.kwargs["webhook"]))
    matching = WebhookEndpoint.objects.held([endpoint.pk for endpoint in _matching(run)])
    for event in events:
        wanting = [endpoint for endpoint in matching if event in endpoint.events]
        body = payload.event_body(event, _document_for(event, ending, document)) if wanting else ""
        rows += [_delivery(event, body, run, endpoint.url, endpoint) for endpoint in wanting]
    WebhookDelivery.objects.bulk_create(rows)
    if rows:
        transaction.on_commit(sender.ring, robust=True)


def write_test(endpoint: WebhookEndpoint) -> WebhookDelivery:
    """A delivery that only says hello."""
    document = {"endpoint_id": str(endpoint.pk), "message": "This is a test event."}
    delivery = _delivery(Event.TEST, payload.event_body(Event.TEST, document), None, endpoint.url, endpoint)
    delivery.save(force_insert=True)
    transaction.on_commit(sender.ring, robust=True)
    return delivery


def _matching(run: Run) -> list[WebhookEndpoint]:
    return [endpoint for endpoint in endpoints.enabled() if endpoint.wants(run.tenant, run.assistant_id, run.metadata)]


def _document_for(event: Event, ending: Ending, document: dict[str, Any]) -> dict[str, Any]:
    """What a thread waits for is told beside the run that stopped there."""
    return {**document, "interrupts": ending.head.interrupts} if event == Event.WAITING else document


def _delivery(
    event: Event, body: str, run: Run | None, url: str, endpoint: WebhookEndpoint | None = None
) -> WebhookDelivery:
    return WebhookDelivery(
        endpoint=endpoint,
        url=url,
        lane=str(endpoint.pk) if endpoint else httpx.URL(url).host,
        event=event,
        tenant=run.tenant if run else endpoint.tenant if endpoint else "",
        run_id=run.run_id if run else None,
        thread_id=run.thread_id if run else None,
        body=body,
    )
