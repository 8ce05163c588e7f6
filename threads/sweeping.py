"""What happens to threads whose time is up: deleted, or pruned to their latest state. Never touches a busy one.

Safe with any number of sweepers: each locks what it takes, and leaves what others have. contract/platform.md 9.2
"""

import logging
import time
from datetime import timedelta

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from config import loop
from threads.models import Thread, ThreadQuerySet, ThreadStatus, TTLStrategy
from threads.removal import delete_threads, keep_latest

logger = logging.getLogger(__name__)
BATCH = 100  # threads deleted in one transaction
MINUTE = timedelta(minutes=1)


def sweep_expired(limit: int, seconds: float) -> int:
    """Deal with expired threads, those that expired first, until there are no more, or `limit`, or it takes `seconds`.

    Returns how many.
    """
    done, deadline = 0, time.monotonic() + seconds
    for sweep in (_delete_some, _prune_one):
        while done < limit and time.monotonic() < deadline and (count := sweep(limit - done)):
            done += count
    return done


def _delete_some(most: int) -> int:
    with transaction.atomic():
        expired = list(_expired(TTLStrategy.DELETE).values_list("pk", flat=True)[: min(most, BATCH)])
        return delete_threads(expired) if expired else 0


def _prune_one(most: int) -> int:
    """While its row is locked no run begins on it, so nothing but the prune writes checkpoints."""
    with transaction.atomic():
        thread = _expired(TTLStrategy.KEEP_LATEST).first()
        if thread is None:
            return 0
        try:
            loop.run(keep_latest([thread.pk]))
        except NotImplementedError as error:
            logger.warning("Thread %s keeps its history: %s", thread.pk, error)
        Thread.objects.filter(pk=thread.pk).update(expires_at=Now() + F("ttl_minutes") * MINUTE)
    return 1


def _expired(strategy: str) -> ThreadQuerySet:
    """Those at rest whose time is up, locked; what somebody else has locked is left for another time."""
    over = Thread.objects.filter(expires_at__lte=Now(), ttl_strategy=strategy).exclude(status=ThreadStatus.BUSY)
    return over.order_by("expires_at").select_for_update(skip_locked=True)
