"""One verb for many runs, a run at a time in the background: beat's tick does a piece, a row says how far it has come.

Each run is dealt with by the verb of its own page. That and the step of the action's place beyond the run are one
transaction, which has the action's row locked. So whoever is killed in the middle leaves each run either dealt with and
passed, or neither: the next tick, in any beat, goes on there, and no run is ever run again twice. A run that was run
again before, by whomever, is left alone too.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.db import InterfaceError, OperationalError, transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone
from rest_framework.exceptions import APIException

from accounts.audit import Actor, record
from accounts.models import ActorKind
from config.errors import first_problem
from console.models import BulkAction, BulkState, Verb
from console.roles import Role
from console.run_filters import Filters
from console.run_page import retried
from runs.dispatch import cancel_run
from runs.models import IN_FLIGHT, CancelAction, Run, RunQuerySet
from runs.queue_limit import QueueFull
from runs.removal import delete_run

logger = logging.getLogger(__name__)
PIECE_SECONDS = 0.8  # of work a tick; beat has other ticks to execute
BATCH = 100  # runs found by one query
COUNTED = 100_000  # of the runs an action is for, at most
KEPT = timedelta(days=90)
NEEDS = {verb: Role.ADMIN if verb == Verb.DELETE else Role.OPERATOR for verb in Verb}
STEPPED = ("place_at", "place_id", "seen", "done", "refused", "note", "active_at", "started_at")
OLDEST_FIRST = (Verb.RETRY, Verb.RESTART)  # as their threads ran them; the others begin where nothing is waiting


class LeftAlone(Exception):
    """The run is not one for this verb; says why."""


@dataclass(frozen=True)
class Asked:
    """What somebody wants done: to the `chosen` runs, or to all that the filters find."""

    verb: Verb
    chosen: Sequence[UUID] | None
    filters: Filters
    reason: str = ""


def begin(action_id: UUID, by: Actor, asked: Asked) -> BulkAction:
    """Write down what is to be done, for the next tick to begin with. An id that is known already begins nothing."""
    values = {
        "person": by.name,
        "ip": by.ip,
        "verb": asked.verb,
        "reason": asked.reason,
        "chosen": None if asked.chosen is None else [str(run_id) for run_id in asked.chosen],
        "filters": asked.filters.given if asked.chosen is None else {},
    }
    with transaction.atomic():
        action, is_new = BulkAction.objects.get_or_create(action_id=action_id, defaults=values)
        action.refresh_from_db()  # when it was asked for
        if is_new:
            if asked.chosen is None:
                action.since = asked.filters.floor(action.asked_at)
            counted = rows_of(action).order_by()[: COUNTED + 1].count()
            action.expected, action.is_counted = min(counted, COUNTED), counted <= COUNTED
            action.save(update_fields=["since", "expected", "is_counted"])
    return action


def stop(action_id: UUID, person: str) -> bool:
    """End it before its next run; False when it has ended already."""
    with transaction.atomic():
        action = BulkAction.objects.select_for_update().filter(pk=action_id, state=BulkState.RUNNING).first()
        if action is None:
            return False
        action.stopped_by = person
        _end(action, BulkState.STOPPED)
    return True


def rows_of(action: BulkAction) -> RunQuerySet:
    """The runs it is for: those there were when it was asked for, as they are now."""
    if action.chosen is not None:
        return Run.objects.filter(pk__in=action.chosen)
    rows = Filters(action.filters).rows_from(action.since, action.asked_at)
    # One that is due later has a date of its own; it was there if nothing has happened to it since.
    rows = rows.filter(Q(created_at__lte=action.asked_at) | Q(updated_at__lte=action.asked_at))
    if action.verb in (Verb.CANCEL, Verb.ROLL_BACK):
        return rows.in_flight().filter(cancel_action=None)
    return rows.exclude(status__in=IN_FLIGHT) if action.verb in OLDEST_FIRST else rows


# --- the work ---------------------------------------------------------------------------------------------------------


def work(seconds: float = PIECE_SECONDS) -> int:
    """Do a piece of what is to be done, the action that has rested longest first; returns how many runs were seen."""
    deadline, seen = time.monotonic() + seconds, 0
    running = BulkAction.objects.filter(state=BulkState.RUNNING)
    for action_id in running.order_by("active_at").values_list("pk", flat=True)[:BATCH]:
        while True:
            dealt, goes_on = _work_on(action_id, deadline)
            seen += dealt
            if time.monotonic() >= deadline:
                return seen
            if not goes_on:
                break
    return seen


def _work_on(action_id: UUID, deadline: float) -> tuple[int, bool]:
    """Deal with a batch; says with how many runs, and whether there is more to be done at once."""
    action = BulkAction.objects.get(pk=action_id)
    found = list(_beyond(action).only("run_id", "thread_id", "created_at")[:BATCH])
    if not found:
        _finish(action)
        return 0, False
    for count, run in enumerate(found):
        if time.monotonic() >= deadline or not _step(action, run):
            return count, False
    return len(found), True


def _beyond(action: BulkAction) -> RunQuerySet:
    rows, order = rows_of(action), ("created_at", "run_id")
    upwards = action.verb in OLDEST_FIRST
    if action.place_at is not None:
        comparison = "gt" if upwards else "lt"
        same = Q(created_at=action.place_at, **{f"run_id__{comparison}": action.place_id})
        # The first part lets PostgreSQL begin at the place in its index.
        rows = rows.filter(**{f"created_at__{comparison}e": action.place_at})
        rows = rows.filter(same | Q(**{f"created_at__{comparison}": action.place_at}))
    return rows.order_by(*(order if upwards else (f"-{name}" for name in order)))


def _step(action: BulkAction, run: Run) -> bool:
    """Deal with one run and go beyond it; False when that is not to be done here and now."""
    with transaction.atomic():
        locked = _locked(action)
        if locked is None:
            return False
        try:
            refusal = _refusal(locked, run)
        except QueueFull as full:
            BulkAction.objects.filter(pk=action.pk).update(note=str(full.detail), active_at=Now())
            return False
        locked.place_at, locked.place_id = run.created_at, run.run_id
        locked.seen += 1
        if refusal:
            locked.refused[refusal] = locked.refused.get(refusal, 0) + 1
        else:
            locked.done += 1
        locked.note, locked.active_at = "", timezone.now()
        locked.started_at = locked.started_at or locked.active_at
        locked.save(update_fields=STEPPED)
    action.place_at, action.place_id = locked.place_at, locked.place_id
    return True


def _locked(action: BulkAction) -> BulkAction | None:
    """Its row, locked; None when it was stopped, or when another process is at it or has brought it further."""
    here = {"pk": action.pk, "state": BulkState.RUNNING, "place_at": action.place_at, "place_id": action.place_id}
    return BulkAction.objects.select_for_update(skip_locked=True).filter(**here).first()


def _refusal(action: BulkAction, run: Run) -> str:
    """Do it to the run; returns why it was not done. Raises QueueFull, and what a broken connection raises."""
    try:
        with transaction.atomic():
            VERBS[Verb(action.verb)](action, run)
    except (QueueFull, OperationalError, InterfaceError):
        raise
    except LeftAlone as reason:
        return str(reason)
    except APIException as error:
        return first_problem(error.detail)[:200]
    except Exception as error:
        # One broken run must not hold up all that come after it.
        logger.warning("The action %s failed for run %s", action.pk, run.pk, exc_info=True)
        return type(error).__name__
    return ""


def _finish(action: BulkAction) -> None:
    with transaction.atomic():
        locked = _locked(action)
        if locked is not None:
            _end(locked, BulkState.DONE)
            BulkAction.objects.filter(ended_at__lt=timezone.now() - KEPT).delete()


def _end(action: BulkAction, state: BulkState) -> None:
    """Write its end and, for the person who asked for it, its one entry in the audit log."""
    action.state, action.note, action.ended_at = state, "", timezone.now()
    action.save(update_fields=["state", "note", "ended_at", "stopped_by"])
    asked = {"filters": action.filters} if action.chosen is None else {"chosen": len(action.chosen)}
    counts = {"seen": action.seen, "done": action.done, "refused": action.refused}
    stopped = {"stopped_by": action.stopped_by} if action.stopped_by else {}
    record(
        Actor(action.person, ActorKind.PERSON, action.ip),
        f"{action.verb} runs",
        action,
        before=asked,
        after={**counts, **stopped},
        reason=action.reason,
    )


# --- the verbs --------------------------------------------------------------------------------------------------------


def _cancel(action: BulkAction, run: Run) -> None:
    how = CancelAction.ROLLBACK if action.verb == Verb.ROLL_BACK else CancelAction.INTERRUPT
    cancel_run(run, how, f"{how} by {action.person}{': ' + action.reason if action.reason else ''}")


def _retry(action: BulkAction, run: Run) -> None:
    whole = Run.objects.filter(pk=run.pk).first()
    if whole is None:
        raise LeftAlone("The run is gone")
    if whole.status in IN_FLIGHT:
        raise LeftAlone("The run has not ended yet")
    if Run.objects.filter(metadata__contains={"retry_of": str(run.pk)}).exists():
        raise LeftAlone("The run was run again already")
    retried(whole, from_beginning=action.verb == Verb.RESTART)


def _delete(action: BulkAction, run: Run) -> None:
    delete_run(run.thread_id, run.run_id)


VERBS: dict[Verb, Callable[[BulkAction, Run], None]] = {
    Verb.CANCEL: _cancel,
    Verb.ROLL_BACK: _cancel,
    Verb.RETRY: _retry,
    Verb.RESTART: _retry,
    Verb.DELETE: _delete,
}
