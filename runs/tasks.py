"""What Celery calls: execute one run, sweep the table.

Celery carries ids only; the row is the truth, so a task that comes twice or too late finds nothing to do.
"""

import logging
from typing import Any
from uuid import UUID

from celery import shared_task
from celery.signals import worker_init, worker_shutdown, worker_shutting_down

from assistants.startup import load, spare_the_collector
from config import outage
from config.database import conninfo
from config.environment import ConfigurationError
from config.project import ProjectError
from runs.attempts import attempt
from runs.blocking import block_watch
from runs.leases import watch
from runs.picker import picker
from runs.presence import presence
from runs.ringing import EXECUTE
from runs.sweeper import take_back_expired

logger = logging.getLogger(__name__)


@worker_init.connect
def prepare(**_: Any) -> None:
    """Before the first run: import what the project names, so that a broken part stops the worker at once; start what
    looks after runs. Raises ConfigurationError.
    """
    try:
        load()
    except ProjectError as error:
        raise ConfigurationError(f"The worker does not start: {error}") from None
    except Exception as error:
        # Celery would log it and go on, with a worker that fails each run.
        logger.exception("What the project names cannot be imported")
        raise ConfigurationError(f"The worker does not start: {type(error).__name__}: {error}") from None
    watch()
    block_watch()
    picker()
    presence().tell_for_ever()
    outage.watch(conninfo())
    spare_the_collector()


@worker_shutting_down.connect
def drain(**_: Any) -> None:
    """SIGTERM: nothing more is claimed; runs get their grace period."""
    watch().drain()


@worker_shutdown.connect
def wait_for_the_picked(**_: Any) -> None:
    """Celery has waited for its own threads. The picker's need the process too, or their runs would fail."""
    watch().wait_until_idle()


@shared_task(name=EXECUTE)
def execute_run(run_id: str) -> None:
    """Execute the run whose bell was heard."""
    attempt(UUID(run_id))


@shared_task(name="runs.sweep")
def sweep() -> None:
    """Take back runs whose worker is gone."""
    take_back_expired()
