"""What Celery calls: wake this worker's sender, hand over what is due, forget what is old."""

import math
from datetime import timedelta
from typing import Any

from celery import shared_task
from celery.signals import worker_init, worker_shutdown, worker_shutting_down
from django.conf import settings
from django.utils import timezone

from config import sweeps
from webhooks import sender
from webhooks.models import WebhookDelivery

UNHEARD = timedelta(seconds=5)  # what is overdue for so long has probably no worker to send it
SHUTDOWN_SECONDS = 5.0


@worker_init.connect
def prepare(**_: Any) -> None:
    """A worker sends what it writes, as soon as it is committed, however busy its threads are."""
    sender.start()


@worker_shutting_down.connect
def drain(**_: Any) -> None:
    """SIGTERM: claim no more."""
    sender.start().drain()


@worker_shutdown.connect
def finish(**_: Any) -> None:
    """What is in flight gets a moment."""
    sender.start().finish(SHUTDOWN_SECONDS)


@shared_task(name=sender.SEND)
def send() -> None:
    """Wake this worker's sender; takes no time, however slow the receivers are."""
    sender.start().wake()


@shared_task(name="webhooks.tick")
def tick() -> None:
    """Ring for due deliveries; send, from the process this runs in, those that no worker has come for."""
    oldest = WebhookDelivery.objects.due().order_by("next_attempt_at").values_list("next_attempt_at", flat=True).first()
    if oldest is None:
        return
    if timezone.now() - oldest > UNHEARD:
        sender.start().wake()
    else:
        sender.ring_workers()


@shared_task(name="webhooks.forget")
def forget() -> None:
    """Delete deliveries older than WEBHOOK_RETENTION_DAYS."""
    sweeps.note("deliveries", forget_old())


def forget_old(seconds: float = math.inf) -> int:
    """Delete those deliveries, or what can be deleted in so many seconds; returns how many."""
    kept = timedelta(days=settings.WEBHOOK_RETENTION_DAYS)
    return sweeps.in_batches(lambda most: WebhookDelivery.objects.forget(kept, most), seconds)
