"""Finds what fell between: runs whose worker is gone, and pending runs nobody has come for.

Safe with any number of sweepers at once: every step is a conditional UPDATE or a bell.
"""

import logging
import time
from datetime import timedelta

from django.conf import settings
from django.db.models import F, OuterRef, Subquery
from django.db.models.functions import Now

from config import loop
from runs.conclusion import conclude
from runs.dispatch import lease, ring, waiting_messages
from runs.execution import Execution, Outcome, abandoned_outcome
from runs.models import IN_FLIGHT, Run, RunStatus

logger = logging.getLogger(__name__)
LIMIT = 1000
FEW = 20  # so many rings are cheaper than to ask
UNHEARD_SECONDS = 2  # a pending run that waits this long has probably not been heard of


def take_back_expired() -> None:
    """running -> pending for every run whose lease has run out; to its end once cancelled or out of attempts."""
    expired = Run.objects.filter(status=RunStatus.RUNNING, lease_expires_at__lt=Now()).order_by("lease_expires_at")
    for run in expired[:LIMIT]:
        logger.warning("Run %s: worker %s let its lease run out in attempt %d", run.pk, run.worker, run.attempt)
        if run.cancel_action:
            _end(run, run.cancel_action, run.cancel_reason)
        elif run.attempt - run.handed_back >= settings.BG_JOB_MAX_RETRIES:
            _end(run, RunStatus.ERROR, f"exceeded max attempts: {run.attempt} workers took the run and did not return")
        elif run.take_back():
            ring(run)


def ring_again() -> None:
    """Ring for due pending runs that are first on their thread and have waited long enough to be called unheard.

    A long queue behind busy workers is no reason to ring: while the broker still has a message for every second of
    them, what it has lost can wait until the queue is shorter.
    """
    first = Run.objects.filter(thread=OuterRef("thread"), status__in=IN_FLIGHT).in_turn().values("pk")[:1]
    heard = Now() - timedelta(seconds=UNHEARD_SECONDS)
    due = Run.objects.filter(status=RunStatus.PENDING, created_at__lte=Now(), updated_at__lte=heard)
    unheard = list(due.annotate(first=Subquery(first)).filter(pk=F("first")).in_turn()[:LIMIT])
    if len(unheard) > FEW and waiting_messages() * 2 >= len(unheard):
        return
    for run in unheard:
        ring(run)


def _end(run: Run, status: str, reason: str) -> None:
    """End a run nobody executes any more, with the state its last checkpoint left."""
    if not run.seize("sweeper", lease()):
        return
    execution = Execution(run, lease_until=time.monotonic() + settings.RUN_LEASE_SECONDS)
    outcome: Outcome = loop.run(abandoned_outcome(execution, status, reason))
    conclude(run, outcome)
