"""Ticks that belong to no app."""

from celery import shared_task

from config.idempotency import BATCH, forget_old


@shared_task(name="config.forget_idempotent_answers")
def forget_idempotent_answers() -> None:
    """Delete the answers nobody will ask for again, a batch at a time."""
    while forget_old() == BATCH:
        pass
