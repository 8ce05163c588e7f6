"""Writes how an attempt ended: run, thread and what follows from it, in one transaction. Never executes anything."""

import time

from django.db import transaction
from django.utils import timezone

from config import loop
from runs import endings
from runs.closing import Closing
from runs.endings import Ending
from runs.execution import Execution, Outcome, Stop, abandoned_outcome
from runs.models import CancelAction, Run, RunStatus, RunTimeline
from runs.ringing import close_stream, ring, ring_next
from threads.checkpointer import delete_run_checkpoints
from threads.models import Thread, ThreadStatus

# How a stateless run ends whose cancel was accepted too late to stop it.
CANCELLED = {CancelAction.INTERRUPT: RunStatus.INTERRUPTED, CancelAction.ROLLBACK: CancelAction.ROLLBACK}


def conclude(run: Run, outcome: Outcome) -> None:
    """Write the outcome, unless the attempt is no longer live; then close its stream and ring for the next."""
    if outcome.status == Stop.LEASE_LOST:
        _clear_up(run)
    elif outcome.status == Stop.DRAIN:
        if run.hand_back():
            _keep_timeline(run, outcome)
            ring(run)
        elif action := run.accepted_cancel():
            _end_cancelled(run, action)
    elif outcome.status == Stop.RETRY:
        # Nobody is rung for: it is not due yet, and then the picker finds it.
        if run.put_off(outcome.retry_in):
            _keep_timeline(run, outcome)
        elif action := run.accepted_cancel():
            _end_cancelled(run, action)
    elif closing := _remove(run, outcome) if run.temporary else _write(run, outcome):
        # Only now: a client that sees the stream end may rely on the status being visible.
        close_stream(run, closing)
    else:
        _clear_up(run)


def _clear_up(run: Run) -> None:
    """The attempt may not write its end. Roll back a run that was to be, and what a deleted one went on writing."""
    if run.accepted_cancel() == CancelAction.ROLLBACK:
        _end_cancelled(run, CancelAction.ROLLBACK)
    elif not run.temporary and not Run.objects.filter(pk=run.pk).exists():
        loop.run(delete_run_checkpoints(run.thread_id, run.run_id))


def _end_cancelled(run: Run, action: CancelAction) -> None:
    execution = Execution(run, lease_until=time.monotonic())
    conclude(run, loop.run(abandoned_outcome(execution, action, "")))


def _remove(run: Run, outcome: Outcome) -> Closing | None:
    """A stateless run goes with its thread: in one statement, unless somebody wants to hear of it."""
    closing = Closing(outcome.status, outcome.error)
    if not endings.is_awaited(run):
        return closing if run.remove_with_thread(outcome.status, outcome.error) else None
    with transaction.atomic():
        Thread.objects.select_for_update().filter(pk=run.thread_id).first()
        asked = Run.objects.filter(pk=run.pk).values_list("cancel_action", flat=True).first()
        if not run.remove_with_thread(outcome.status, outcome.error):
            return None
        run.error, run.ended_at = outcome.error, timezone.now()
        endings.tell(Ending(run, CANCELLED[CancelAction(asked)] if asked else outcome.status))
    return closing


def _write(run: Run, outcome: Outcome) -> Closing | None:
    """The terminal status, and the thread's status and values; None when another attempt has the run."""
    rolled_back = outcome.status == CancelAction.ROLLBACK
    with transaction.atomic():
        thread = Thread.objects.select_for_update().filter(pk=run.thread_id).first()
        error = _explained(run, outcome)
        if thread is None:
            return None
        status = _rolled_back(run) if rolled_back else run.end(outcome.status, error)
        if status is None:
            return None
        if not rolled_back:
            _keep_timeline(run, outcome)
        busy = Run.objects.filter(thread=thread).in_flight().exists()
        thread.settle(
            outcome.head,
            graph_id=run.graph_id,
            error=None if rolled_back else error,
            failed=outcome.status in (RunStatus.ERROR, RunStatus.TIMEOUT),
            busy=busy,
        )
        if endings.is_awaited(run):
            endings.tell(_ending(run, outcome, thread))
    if busy:
        ring_next(run.thread_id)
    return Closing(status, error, asks=bool(outcome.head.interrupts), announced=outcome.announced)


def _keep_timeline(run: Run, outcome: Outcome) -> None:
    if outcome.timeline is not None:
        kept = RunTimeline(run_id=run.run_id, attempt=run.attempt, document=outcome.timeline)
        RunTimeline.objects.bulk_create([kept], ignore_conflicts=True)


def _rolled_back(run: Run) -> str | None:
    return RunStatus.INTERRUPTED if run.remove() else None


def _ending(run: Run, outcome: Outcome, thread: Thread) -> Ending:
    if outcome.status == CancelAction.ROLLBACK:
        return Ending(run, outcome.status, outcome.head)
    written = Run.objects.get(pk=run.pk)  # a cancel may have won
    waits = written.status == RunStatus.SUCCESS and thread.status == ThreadStatus.INTERRUPTED
    return Ending(written, written.status, outcome.head, waits=waits)


def _explained(run: Run, outcome: Outcome) -> dict[str, str] | None:
    """The outcome's error; that of a cancelled run says who asked for it (contract/core.md 5.9)."""
    if outcome.status != RunStatus.INTERRUPTED or outcome.error is None:
        return outcome.error
    reason = Run.objects.filter(pk=run.pk).values_list("cancel_reason", flat=True).first()
    return {**outcome.error, "message": reason or outcome.error["message"]}
