"""Takes back the runs whose worker is gone. Pending runs nobody has come for are the pickers' business.

Safe with any number of sweepers at once: every step is a conditional UPDATE or a bell.
"""

import logging
import time

from django.conf import settings
from django.db.models.functions import Now

from config import loop, metrics
from runs.conclusion import conclude
from runs.dispatch import lease
from runs.execution import Execution, Outcome, abandoned_outcome
from runs.models import Run, RunStatus
from runs.ringing import ring

logger = logging.getLogger(__name__)
LIMIT = 1000


def take_back_expired() -> None:
    """running -> pending for every run whose lease has run out; to its end once cancelled or out of attempts."""
    expired = Run.objects.filter(status=RunStatus.RUNNING, lease_expires_at__lt=Now()).order_by("lease_expires_at")
    for run in expired[:LIMIT]:
        logger.warning("Run %s: worker %s let its lease run out in attempt %d", run.pk, run.worker, run.attempt)
        metrics.LEASES_LOST.labels("sweeper").inc()
        if run.cancel_action:
            _end(run, run.cancel_action, run.cancel_reason)
        elif run.attempt - run.handed_back >= settings.BG_JOB_MAX_RETRIES:
            _end(run, RunStatus.ERROR, f"exceeded max attempts: {run.attempt} workers took the run and did not return")
        elif run.take_back():
            ring(run)


def _end(run: Run, status: str, reason: str) -> None:
    """End a run nobody executes any more, with the state its last checkpoint left."""
    if not run.seize("sweeper", lease()):
        return
    execution = Execution(run, lease_until=time.monotonic() + settings.RUN_LEASE_SECONDS)
    outcome: Outcome = loop.run(abandoned_outcome(execution, status, reason))
    conclude(run, outcome)
