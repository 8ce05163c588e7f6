"""What beat calls: fire the crons that are due, forget what became of old slots."""

from celery import shared_task

from config import sweeps
from crons.firing import fire_due, forget_old


@shared_task(name="crons.fire")
def fire() -> None:
    """Fire due crons."""
    fire_due()


@shared_task(name="crons.forget")
def forget() -> None:
    """Delete old firings, a batch a tick."""
    sweeps.note("firings", forget_old())
