"""From a pending row to the end of one attempt, in the calling thread: a slot, the claim, the execution, the outcome.

Whoever learns of a run calls it, Celery or the picker; together they execute no more than N_JOBS_PER_WORKER at once.
"""

import logging
import threading
import time
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection
from django.utils import timezone

from config import encryption, logs, loop, metrics, tracing
from config.database import drop_dead_connections
from config.once import once
from runs.conclusion import conclude
from runs.dispatch import lease
from runs.execution import Execution, Outcome, Stop, execute
from runs.leases import watch
from runs.models import Run, RunStatus

logger = logging.getLogger(__name__)
RETRY_SECONDS = 0.5


class Slots:
    """How many runs this process may execute at once."""

    def __init__(self, size: int) -> None:
        self.free = size
        self.freed = threading.Event()  # set whenever one is given back
        self.lock = threading.Lock()
        metrics.WORKERS_MAX.set(size)
        metrics.WORKERS_AVAILABLE.set(size)

    def take(self) -> bool:
        """Take one; False when none is free."""
        with self.lock:
            if not self.free:
                return False
            self.free -= 1
        metrics.WORKERS_ACTIVE.inc()
        metrics.WORKERS_AVAILABLE.dec()
        return True

    def give_back(self) -> None:
        """Give back one that was taken."""
        with self.lock:
            self.free += 1
        metrics.WORKERS_ACTIVE.dec()
        metrics.WORKERS_AVAILABLE.inc()
        self.freed.set()


@once
def slots() -> Slots:
    """This process's slots."""
    return Slots(settings.N_JOBS_PER_WORKER)


def attempt(run_id: UUID) -> None:
    """Claim the run, execute it, write how it ended. Without a free slot, on the way down or
    while quiet, it is left to others.

    So is a run of which an earlier attempt is still under way here, having lost its lease: it will be stopped first.
    """
    if not watch().claims or run_id in watch().held or not slots().take():
        return
    try:
        claimed = time.monotonic()
        run = _claim(run_id)
        if run:
            with logs.bound(**_shown(run)), encryption.within(run.kwargs.get(encryption.MARKER)):
                _execute(run, claimed)
    finally:
        connection.close()
        slots().give_back()


def _execute(run: Run, claimed: float) -> None:
    _count_start(run)
    about = {**_shown(run), "graph_id": run.graph_id}
    with (
        tracing.run_span(run.kwargs["config"]["configurable"], about) as span,
        watch().holding(run, claimed) as execution,
    ):
        outcome = loop.run_on(execution.loop, execute(execution))
        _conclude(execution, outcome)
        failed = outcome.status in (RunStatus.ERROR, RunStatus.TIMEOUT)
        tracing.close(span, f"run {run.graph_id}", {"weft.outcome": outcome.status}, failed=failed)
    _count_end(run, outcome)


def _claim(run_id: UUID) -> Run | None:
    try:
        return Run.objects.claim(run_id, watch().worker, lease())
    except (OperationalError, InterfaceError):
        drop_dead_connections()
        raise
    finally:
        # A run may take hours, and there are fewer connections than slots.
        connection.close()


def _shown(run: Run) -> dict[str, Any]:
    """What every line logged for the attempt carries, those of its graph too."""
    request_id = run.kwargs["config"]["configurable"].get("langgraph_request_id")
    return {
        "run_id": str(run.run_id),
        "thread_id": str(run.thread_id),
        "assistant_id": str(run.assistant_id),
        "attempt": run.attempt,
        **({"request_id": request_id} if request_id else {}),
    }


def _count_start(run: Run) -> None:
    if run.attempt == 1 and run.started_at:
        waited = (run.started_at - run.created_at).total_seconds()
        metrics.RUN_WAIT.labels(run.graph_id).observe(waited)


def _count_end(run: Run, outcome: Outcome) -> None:
    metrics.ATTEMPTS.labels(outcome.status).inc()
    if outcome.status == Stop.LEASE_LOST:
        metrics.LEASES_LOST.labels("worker").inc()
    elif outcome.status not in (Stop.DRAIN, Stop.RETRY) and run.started_at:
        seconds = max(0.0, (timezone.now() - run.started_at).total_seconds())
        metrics.RUN_DURATION.labels(run.graph_id, outcome.status).observe(seconds)


def _conclude(execution: Execution, outcome: Outcome) -> None:
    """Write how it ended, once PostgreSQL is there; past the lease that is another worker's business.

    The connection may have died while the graph ran. Writing twice does no harm: the second time finds it written.
    """
    while True:
        try:
            return conclude(execution.run, outcome)
        except (OperationalError, InterfaceError):
            if not execution.has_lease():
                raise
            logger.warning("The end of run %s is not written yet", execution.run.pk, exc_info=True)
            connection.close()
            drop_dead_connections()
            time.sleep(RETRY_SECONDS)
