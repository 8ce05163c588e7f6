"""What a delivery says: the body the reference sends, and ours around it for endpoints. Pure functions.

No body has more than WEBHOOK_MAX_BODY_BYTES. Source: contract/platform.md 5.4.
"""

from collections.abc import Collection
from typing import Any

from django.conf import settings
from django.utils import timezone

from config import dialect
from runs.endings import Ending
from runs.models import CancelAction
from runs.serializers import RunSerializer
from webhooks.models import Event

represent = RunSerializer().to_representation
# What is left out of a body that is too large, in this order.
OMITTED_FIRST = ("values", "interrupts", "kwargs", "metadata", "error")


def events_of(ending: Ending) -> list[Event]:
    """What happened; a rolled back run was cancelled like one that is kept."""
    rolled_back = ending.status == CancelAction.ROLLBACK
    found = [Event.INTERRUPTED if rolled_back else Event(f"run.{ending.status}")]
    return [*found, Event.WAITING] if ending.waits else found


def document_of(ending: Ending, fields: Collection[str] = ()) -> dict[str, Any]:
    """The run with what came out of it; only the `fields` named in langgraph.json, if any are."""
    run = ending.run
    document = {
        **represent(run),
        "status": ending.status,
        "run_started_at": run.started_at,
        "run_ended_at": run.ended_at or timezone.now(),
        "webhook_sent_at": timezone.now(),
        "values": ending.head.values if ending.head.exists and not run.temporary else None,
    }
    if run.error and ending.executed:
        document["error"] = run.error
    return {key: value for key, value in document.items() if key in fields} if fields else document


def run_body(document: dict[str, Any]) -> str:
    """The body for the URL a run was given."""
    return _bounded(document, lambda fitting: fitting)


def event_body(event: Event, document: dict[str, Any]) -> str:
    """The body for an endpoint: type, timestamp and data, as Standard Webhooks advises."""
    envelope = {"type": event, "timestamp": timezone.now()}
    return _bounded(document, lambda fitting: {**envelope, "data": fitting})


def _bounded(document: dict[str, Any], wrapped: Any) -> str:
    """The JSON text; what makes it too large is left out and named in `omitted`."""
    text = dialect.dumps_text(wrapped(document))
    omitted: list[str] = []
    for key in OMITTED_FIRST:
        if len(text.encode()) <= settings.WEBHOOK_MAX_BODY_BYTES:
            break
        if key in document:
            omitted.append(key)
            document = {**document, key: None, "omitted": list(omitted)}
            text = dialect.dumps_text(wrapped(document))
    return text
