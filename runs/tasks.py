"""What Celery calls: execute one run, sweep the table.

Celery carries ids only; the row is the truth, so a task that comes twice or too late finds nothing to do.
"""

import logging
import time
from typing import Any
from uuid import UUID

from celery import shared_task
from celery.signals import worker_init, worker_shutting_down
from django.db import InterfaceError, OperationalError, connection

from assistants.startup import load, spare_the_collector
from config import loop
from config.database import drop_dead_connections
from runs.blocking import block_watch
from runs.conclusion import conclude
from runs.dispatch import EXECUTE, lease
from runs.execution import Execution, Outcome, execute
from runs.leases import watch
from runs.models import Run
from runs.sweeper import ring_again, take_back_expired

logger = logging.getLogger(__name__)
RETRY_SECONDS = 0.5


@worker_init.connect
def prepare(**_: Any) -> None:
    """Before the first run: import what the project names, so that a broken part stops the worker at once; start the
    lease watch.
    """
    load()
    watch()
    block_watch()
    spare_the_collector()


@worker_shutting_down.connect
def drain(**_: Any) -> None:
    """SIGTERM: Celery takes no more messages; runs get their grace period."""
    watch().drain()


@shared_task(name=EXECUTE)
def execute_run(run_id: str) -> None:
    """Claim the run, execute it, write how it ended, ring for the thread's next."""
    claimed = time.monotonic()
    try:
        run = Run.objects.claim(UUID(run_id), watch().worker, lease())
    except OperationalError:
        drop_dead_connections()  # the sweeper rings again
        raise
    if run:
        with watch().holding(run, claimed) as execution:
            _conclude(execution, loop.run_on(execution.loop, execute(execution)))


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


@shared_task(name="runs.sweep")
def sweep() -> None:
    """Take back runs whose worker is gone, and ring for pending ones nobody has come for."""
    take_back_expired()
    ring_again()
