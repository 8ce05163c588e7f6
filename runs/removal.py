"""Runs deleted one by one, with the checkpoints they wrote. Who may ask is the caller's business."""

from uuid import UUID

from django.db import transaction

from accounts.authorizer import EVERYTHING, Scope
from config import loop
from config.errors import NotFound
from runs.closing import Closing
from runs.dispatch import release_thread
from runs.models import IN_FLIGHT, Run, RunStatus
from runs.ringing import announce_cancel, close_stream
from threads.checkpointer import delete_run_checkpoints
from threads.models import Thread


def delete_run(thread_id: UUID, run_id: UUID, scope: Scope = EVERYTHING) -> None:
    """Delete the row under the thread's lock, and what the run wrote once that is committed.

    Its worker notices within a second and stops; it can write no more. Raises NotFound for one the scope does not show.
    """
    with transaction.atomic():
        Thread.objects.within(scope).select_for_update().filter(thread_id=thread_id).first()
        shown = Run.objects.within(scope).select_for_update(of=("self",))
        run = shown.filter(run_id=run_id, thread_id=thread_id).first()
        if run is None:
            raise NotFound("Run not found")
        Run.objects.filter(pk=run.pk).delete()
        release_thread(thread_id)
        transaction.on_commit(lambda: _forget(run))


def _forget(run: Run) -> None:
    loop.run(delete_run_checkpoints(run.thread_id, run.run_id))
    if run.status in IN_FLIGHT:
        announce_cancel(run.worker)
        close_stream(run, Closing(RunStatus.INTERRUPTED, started=bool(run.attempt)))
