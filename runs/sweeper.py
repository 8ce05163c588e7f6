"""Takes back the runs whose worker is gone. Pending runs nobody has come for are the pickers' business.

Beat does it, and every worker, so that no process has to be there. Safe with any number of them at once: every step is
a conditional UPDATE or a bell.
"""

import logging
import time

from django.conf import settings
from django.db.models.functions import Now

from config import encryption, loop, metrics
from runs.conclusion import conclude
from runs.dispatch import lease
from runs.execution import Execution, Outcome, abandoned_outcome
from runs.models import Run, RunQuerySet, RunStatus
from runs.ringing import ring

logger = logging.getLogger(__name__)
LIMIT = 1000


def take_back_expired() -> None:
    """running -> pending for every run whose lease has run out; to its end once cancelled or out of attempts."""
    for run in _expired():
        if run.cancel_action:
            _end(run, run.cancel_action, run.cancel_reason)
        elif _is_used_up(run):
            _end(run, RunStatus.ERROR, f"exceeded max attempts: {run.attempt} workers took the run and did not return")
        else:
            _take_back(run)


def pass_on_expired() -> None:
    """The part of `take_back_expired` that takes no time: no run is ended, and no graph opened for that."""
    for run in _expired():
        if not run.cancel_action and not _is_used_up(run):
            _take_back(run)


def _expired() -> RunQuerySet:
    expired = Run.objects.filter(status=RunStatus.RUNNING, lease_expires_at__lt=Now())
    return expired.order_by("lease_expires_at")[:LIMIT]


def _is_used_up(run: Run) -> bool:
    return run.attempt - run.handed_back >= settings.BG_JOB_MAX_RETRIES


def _take_back(run: Run) -> None:
    if run.take_back():
        logger.warning("Run %s: worker %s let its lease run out in attempt %d", run.pk, run.worker, run.attempt)
        metrics.LEASES_LOST.labels("sweeper").inc()
        ring(run)


def _end(run: Run, status: str, reason: str) -> None:
    """End a run nobody executes any more, with the state its last checkpoint left."""
    if not run.seize("sweeper", lease()):
        return
    logger.warning("Run %s: its worker let its lease run out, and the run ends", run.pk)
    metrics.LEASES_LOST.labels("sweeper").inc()
    execution = Execution(run, lease_until=time.monotonic() + settings.RUN_LEASE_SECONDS)
    with encryption.within(run.kwargs.get(encryption.MARKER)):
        outcome: Outcome = loop.run(abandoned_outcome(execution, status, reason))
        conclude(run, outcome)
