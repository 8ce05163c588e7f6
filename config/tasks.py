"""Ticks that belong to no app."""

from celery import shared_task

from config import sweeps
from config.idempotency import forget_old


@shared_task(name="config.forget_idempotent_answers")
def forget_idempotent_answers() -> None:
    """Delete the answers nobody will ask for again."""
    sweeps.note("answers", sweeps.in_batches(forget_old))
