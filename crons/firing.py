"""Fires crons: claims those that are due and creates their runs through runs/dispatch.

The slot's row, the run and the next date are committed together: a crash leaves all of them or none. Any number of
beats may fire at once. Simple crons are dealt with many in a transaction, all others in one each, and so is every cron
of a batch that came to nothing.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import DatabaseError, InterfaceError, connection, transaction
from django.utils import timezone
from rest_framework.exceptions import APIException

from accounts.callers import ANONYMOUS, Caller, User
from accounts.custom import custom_auth
from accounts.limits import limits_of
from assistants.models import Assistant
from config import encryption
from config.errors import NotFound, first_problem
from config.rest import check
from crons.models import CatchUp, Cron, Firing, Outcome, Overlap
from runs.dispatch import Known, ThreadBusy, create_run, create_stateless_run, insert_runs, new_stateless_run
from runs.endings import Ending, Listener
from runs.models import Run, RunStatus
from runs.serializers import StatefulRunBody, StatelessRunBody
from threads.models import Thread

logger = logging.getLogger(__name__)
FAILED = (RunStatus.ERROR, RunStatus.TIMEOUT)
# After so many slots or seconds a tick begins nothing more; what is left is due at the next one, a second later.
BATCH = 2000
TICK_SECONDS = 2.0
TOGETHER = 200  # crons a transaction
LATE = timedelta(minutes=1)  # a slot nobody fired for longer was missed
AGAIN = timedelta(seconds=1)  # when a slot that has to wait is looked at again
OVERLAPPING = 100  # how many of a cron's latest firings can have a run still in flight
KEPT_DAYS = 3
FORGOTTEN = 5000


class ThreadGone(NotFound):
    """The cron's thread or assistant was deleted beside it, and so is the cron."""

    default_detail = "The cron's thread or assistant is gone."


def fire_due() -> int:
    """Fire what is due, the longest due first, a tick's worth; returns how many slots were dealt with."""
    count, deadline = 0, time.monotonic() + TICK_SECONDS
    for dealt in _steps():
        count += dealt
        if count >= BATCH or time.monotonic() >= deadline:
            break
    return count


def fire_now(cron: Cron) -> Run:
    """Create a run of the cron besides its timetable, paused or not.

    Raises ThreadGone, and whatever the creation of a run raises.
    """
    with transaction.atomic():
        locked = Cron.objects.select_for_update(of=("self",)).filter(pk=cron.pk).first()
        if locked is None:
            raise ThreadGone
        run = _create_run(locked)
        Firing.objects.create(cron=locked, slot=timezone.now(), outcome=Outcome.FIRED, run_id=run.pk, detail="by hand")
    return run


def _is_fired(run: Run) -> bool:
    return "cron_id" in run.kwargs["config"]["configurable"]


def _note_end(ending: Ending) -> None:
    """A cron's run ended: note it beside its slot, and count failures. A run that only says so has no slot."""
    firing = Firing.objects.filter(run_id=ending.run.pk, ended_at=None).first()
    if firing is None:
        return
    Firing.objects.filter(pk=firing.pk).update(run_status=ending.status, ended_at=timezone.now())
    if ending.status in FAILED or ending.status == RunStatus.SUCCESS:
        Cron.objects.note_end(firing.cron_id, failed=ending.status in FAILED)


FIRED = Listener(concerned=_is_fired, told=_note_end)


def forget_old() -> int:
    """Delete a batch of firings older than KEPT_DAYS; returns how many."""
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM crons_firing WHERE id IN (SELECT id FROM crons_firing"
            " WHERE created_at < now() - make_interval(days => %s) LIMIT %s)",
            [KEPT_DAYS, FORGOTTEN],
        )
        return int(cursor.rowcount)


def _steps() -> Iterator[int]:
    """Deal with what is due, many at once and one alone in turn; says after each step how many it were."""
    many = True
    while True:
        if many:
            count, left = _fire_together(min(TOGETHER, BATCH))
            many = count + len(left) > 1
            yield count
            yield from (_fire_next(cron_id) for cron_id in left)
        one = _fire_next()
        yield one
        if not many and not one:
            return


def _fire_together(most: int) -> tuple[int, list[UUID]]:
    """Deal with simple crons in a few statements; returns how many, and who is left for a closer look."""
    if custom_auth() is not None:  # whose handlers are to be asked about each run
        return 0, []
    crons: Sequence[Cron] = ()
    try:
        with transaction.atomic():
            crons = Cron.objects.claim_simple(most)
            settled = _settle_together(crons)
    except Exception:
        logger.warning("%d crons could not fire together, so each does alone", len(crons), exc_info=True)
        settled = set()
    return len(settled), [cron.pk for cron in crons if cron.pk not in settled]


def _settle_together(crons: Sequence[Cron]) -> set[UUID]:
    """Fire their slots and go on to the next ones; returns whose."""
    if len(crons) < 2:
        return set()
    now: datetime = crons[0].server_time  # type: ignore[attr-defined]
    known, firings, runs = Known(), [], []
    for cron in crons:
        run = None if _is_missed(cron, now) else _planned(cron, known)
        if run:
            runs.append(run)
            firings.append(Firing(cron=cron, slot=cron.next_run_date or now, outcome=Outcome.FIRED, run_id=run.pk))
    insert_runs(runs)
    Firing.objects.bulk_create(firings)
    if firings:
        Cron.objects.advance([firing.cron for firing in firings], now)
    return {firing.cron_id for firing in firings}


def _planned(cron: Cron, known: Known) -> Run | None:
    """The run of a firing, not written yet; None when the cron needs a closer look."""
    if encryption.MARKER in cron.payload or limits_of(cron.tenant).runs_in_flight is not None:
        return None
    if cron.payload.get("webhook"):  # its host is looked up, which may take long: meanwhile the others stay locked
        return None
    body, caller = _asked(cron)
    try:
        return new_stateless_run(check(body, StatelessRunBody), caller, known)
    except (DatabaseError, InterfaceError):
        raise
    except Exception:
        return None  # alone it says what is wrong


def _fire_next(cron_id: UUID | None = None) -> bool:
    """Deal with one due cron, or with this one; False when there is none that nobody else has."""
    with transaction.atomic():
        cron = Cron.objects.claim_due(cron_id)
        if cron is None:
            return False
        now: datetime = cron.server_time  # type: ignore[attr-defined]
        if cron.end_time and cron.end_time < now:
            cron.due_at = None
            cron.save(update_fields=["due_at"])
        elif not _thread_is_free(cron) or (cron.overlap == Overlap.ENQUEUE and _in_flight(cron)):
            cron.postpone(now + AGAIN)
        else:
            _settle_slot(cron, now)
    return True


def _thread_is_free(cron: Cron) -> bool:
    """Lock the cron's thread without waiting: whoever deletes it has it locked, and waits for the cron."""
    if cron.thread_id is None or Thread.objects.select_for_update(skip_locked=True).filter(pk=cron.thread_id).exists():
        return True
    return not Thread.objects.filter(pk=cron.thread_id).exists()


def _settle_slot(cron: Cron, now: datetime) -> None:
    """Fire the slot or say why not, and go on to the next."""
    slot = cron.next_run_date or now
    if cron.firings.filter(slot=slot).exists():  # set back to it, by a clock that was behind
        cron.advance(now)
        return
    if _is_missed(cron, now):
        firing = Firing(outcome=Outcome.MISSED, detail=f"{now - slot} late")
    elif cron.overlap == Overlap.SKIP and _in_flight(cron):
        firing = Firing(outcome=Outcome.SKIPPED, detail="an earlier run was still in flight")
    else:
        firing = _fired(cron)
    if firing.outcome == Outcome.FAILED and firing.detail == ThreadGone.default_detail:
        cron.delete()
        return
    firing.cron, firing.slot = cron, slot
    firing.save(force_insert=True)
    cron.advance(now)
    if firing.outcome == Outcome.FAILED:
        Cron.objects.note_end(cron.pk, failed=True)


def _is_missed(cron: Cron, now: datetime) -> bool:
    return cron.catch_up == CatchUp.NONE and now - (cron.next_run_date or now) > LATE


def _fired(cron: Cron) -> Firing:
    try:
        with transaction.atomic():
            return Firing(outcome=Outcome.FIRED, run_id=_create_run(cron).pk)
    except ThreadBusy:
        return Firing(outcome=Outcome.SKIPPED, detail="the thread was busy")
    except (DatabaseError, InterfaceError):
        raise
    except Exception as error:
        logger.warning("Cron %s could not fire: %s", cron.pk, error, exc_info=not isinstance(error, APIException))
        detail = first_problem(error.detail) if isinstance(error, APIException) else type(error).__name__
        return Firing(outcome=Outcome.FAILED, detail=detail[:1000])


def _create_run(cron: Cron) -> Run:
    """The run of a firing: an ordinary one, whose configurable names the cron. contract/platform.md 4.9"""
    body, caller = _asked(cron)
    try:
        with encryption.within(cron.payload.get(encryption.MARKER)):
            if cron.thread_id is None:
                return create_stateless_run(check(body, StatelessRunBody), caller)
            return create_run(cron.thread_id, check(body, StatefulRunBody), caller)
    except NotFound:
        if _has_all(cron):
            raise  # its creator may not see them any more; that can change again
        raise ThreadGone from None


def _asked(cron: Cron) -> tuple[dict[str, Any], Caller]:
    """The body of a firing's run, unchecked, and on whose behalf: its creator's, who is known by name only.

    Resource handlers are asked anew, as if they had come themselves.
    """
    user = User({"identity": cron.user_id}) if cron.user_id else ANONYMOUS
    return run_body(cron), Caller(user, cron.tenant, configurable={"cron_id": str(cron.pk)})


def _has_all(cron: Cron) -> bool:
    """Whether its assistant and its thread are there."""
    has_thread = cron.thread_id is None or Thread.objects.filter(pk=cron.thread_id).exists()
    return has_thread and Assistant.objects.filter(pk=cron.assistant_id).exists()


def run_body(cron: Cron) -> dict[str, Any]:
    """What a client would have sent to create the run."""
    payload = cron.payload
    body = {
        **{key: value for key, value in payload.items() if value is not None},
        "assistant_id": str(cron.assistant_id),
        "metadata": {**cron.metadata, **(payload.get("metadata") or {})},
        "if_not_exists": "reject",
        "on_completion": cron.on_run_completed or "delete",
    }
    body.pop("after_seconds", None)
    if body.get("context") and isinstance(body.get("config"), dict):
        body["config"] = {key: value for key, value in body["config"].items() if key != "configurable"}
    return body


def _in_flight(cron: Cron) -> bool:
    """Whether a run of the cron has not ended."""
    open_ends = cron.firings.filter(run_id__isnull=False, ended_at=None).values_list("run_id", flat=True)
    latest = [run_id for run_id in open_ends[:OVERLAPPING] if run_id]
    return bool(latest) and Run.objects.in_flight().filter(pk__in=latest).exists()
