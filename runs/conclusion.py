"""Writes how an attempt ended: run, thread and what follows from it, in one transaction. Never executes anything."""

from django.db import transaction

from runs.dispatch import close_stream, ring, ring_next
from runs.execution import Outcome, Stop
from runs.models import CancelAction, Run, RunStatus
from threads.models import Thread


def conclude(run: Run, outcome: Outcome) -> None:
    """Write the outcome, unless the attempt is no longer live; then close its stream and ring for the next."""
    if outcome.status == Stop.LEASE_LOST:
        return
    if outcome.status == Stop.DRAIN:
        if run.hand_back():
            ring(run)
    elif run.remove_with_thread() if run.temporary else _write(run, outcome):
        # Only now: a client that sees the stream end may rely on the status being visible.
        close_stream(run)
        if not run.temporary:
            ring_next(run.thread_id)


def _write(run: Run, outcome: Outcome) -> bool:
    """The terminal status, and the thread's status and values; False when another attempt has the run."""
    rolled_back = outcome.status == CancelAction.ROLLBACK
    with transaction.atomic():
        thread = Thread.objects.select_for_update().filter(pk=run.thread_id).first()
        error = _explained(run, outcome)
        if thread is None or not (run.remove() if rolled_back else run.end(outcome.status, error)):
            return False
        busy = Run.objects.filter(thread=thread).in_flight().exists()
        thread.settle(
            outcome.head,
            graph_id=run.graph_id,
            error=None if rolled_back else error,
            failed=outcome.status in (RunStatus.ERROR, RunStatus.TIMEOUT),
            busy=busy,
        )
    return True


def _explained(run: Run, outcome: Outcome) -> dict[str, str] | None:
    """The outcome's error; that of a cancelled run says who asked for it (contract/core.md 5.9)."""
    if outcome.status != RunStatus.INTERRUPTED or outcome.error is None:
        return outcome.error
    reason = Run.objects.filter(pk=run.pk).values_list("cancel_reason", flat=True).first()
    return {**outcome.error, "message": reason or outcome.error["message"]}
