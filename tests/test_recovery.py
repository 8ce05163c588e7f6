"""Transitions that decide who owns a run: claim, lease, fence, sweep. In-process, on real PostgreSQL and Redis."""

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from accounts.callers import Caller
from assistants.models import Assistant
from assistants.startup import start
from runs import sweeper
from runs.conclusion import conclude
from runs.dispatch import ThreadBusy, cancel_run, create_run
from runs.execution import Outcome, Stop
from runs.models import CancelAction, Run, RunStatus
from threads.models import HeadState, Thread

pytestmark = pytest.mark.django_db
LEASE = timedelta(seconds=30)


@pytest.fixture(autouse=True)
def project() -> None:
    start()


def new_run(thread_id: uuid.UUID | None = None, **body: Any) -> Run:
    body = {"assistant_id": "counter", "input": {"steps": 2}, "if_not_exists": "create", **body}
    return create_run(thread_id or uuid.uuid4(), body, Caller())


def claimed(run: Run, worker: str = "w1") -> Run:
    found = Run.objects.claim(run.run_id, worker, LEASE)
    assert found is not None
    return found


def let_lease_run_out(run: Run) -> None:
    Run.objects.filter(pk=run.pk).update(lease_expires_at=timezone.now() - timedelta(seconds=1))


def test_a_run_is_claimed_once() -> None:
    run = new_run()
    first = Run.objects.claim(run.run_id, "w1", LEASE)
    assert first is not None and first.attempt == 1 and first.worker == "w1"
    assert Run.objects.claim(run.run_id, "w2", LEASE) is None


def test_the_second_run_of_a_thread_waits_for_the_first() -> None:
    first = new_run()
    second = new_run(first.thread_id)
    assert Run.objects.claim(second.run_id, "w1", LEASE) is None
    conclude(claimed(first), Outcome(RunStatus.SUCCESS))
    assert Run.objects.claim(second.run_id, "w1", LEASE) is not None


def test_the_database_refuses_two_running_runs_on_a_thread() -> None:
    first = new_run()
    second = new_run(first.thread_id)
    claimed(first)
    with pytest.raises(IntegrityError), transaction.atomic():
        Run.objects.filter(pk=second.pk).update(status=RunStatus.RUNNING)


def test_a_delayed_run_is_not_claimed_before_its_time() -> None:
    run = new_run(after_seconds=60)
    assert Run.objects.claim(run.run_id, "w1", LEASE) is None


def test_an_expired_lease_gives_the_run_to_another_worker_as_the_next_attempt() -> None:
    run = claimed(new_run())
    let_lease_run_out(run)
    sweeper.take_back_expired()
    again = claimed(run, "w2")
    assert (again.attempt, again.worker) == (2, "w2")


def test_a_renewed_lease_is_not_taken_back() -> None:
    run = claimed(new_run())
    assert Run.objects.renew("w1", LEASE, [run.run_id]) == {run.run_id}
    assert not run.take_back()


def test_the_old_attempt_cannot_end_a_run_that_was_taken_over() -> None:
    old = claimed(new_run())
    let_lease_run_out(old)
    sweeper.take_back_expired()
    claimed(old, "w2")
    conclude(old, Outcome(RunStatus.ERROR, {"error": "E", "message": "stale"}))
    assert Run.objects.get(pk=old.pk).status == RunStatus.RUNNING
    assert Thread.objects.get(pk=old.thread_id).error is None


def test_a_terminal_status_is_never_overwritten() -> None:
    run = claimed(new_run())
    conclude(run, Outcome(RunStatus.SUCCESS))
    conclude(run, Outcome(RunStatus.ERROR, {"error": "E", "message": "late"}))
    assert Run.objects.get(pk=run.pk).status == RunStatus.SUCCESS


def test_a_lost_lease_writes_nothing() -> None:
    run = claimed(new_run())
    conclude(run, Outcome(Stop.LEASE_LOST))
    assert Run.objects.get(pk=run.pk).status == RunStatus.RUNNING


def test_a_run_out_of_attempts_ends_with_a_reason() -> None:
    run = claimed(new_run())
    Run.objects.filter(pk=run.pk).update(attempt=3)
    let_lease_run_out(run)
    sweeper.take_back_expired()
    ended = Run.objects.get(pk=run.pk)
    assert ended.status == RunStatus.ERROR
    assert "exceeded max attempts" in ended.error["message"]
    assert Thread.objects.get(pk=run.thread_id).status == "error"


def test_a_cancelled_run_whose_worker_died_ends_interrupted() -> None:
    run = claimed(new_run())
    cancel_run(run, CancelAction.INTERRUPT, "asked")
    let_lease_run_out(run)
    sweeper.take_back_expired()
    assert Run.objects.get(pk=run.pk).status == RunStatus.INTERRUPTED


def test_a_cancelled_run_whose_worker_goes_down_ends_there_and_does_not_wait_for_another() -> None:
    run = claimed(new_run())
    cancel_run(run, CancelAction.INTERRUPT, "asked")
    conclude(run, Outcome(Stop.DRAIN))
    assert Run.objects.get(pk=run.pk).status == RunStatus.INTERRUPTED
    assert Thread.objects.get(pk=run.thread_id).status == "idle"


def test_a_run_cancelled_while_the_sweeper_looks_is_not_taken_back() -> None:
    run = claimed(new_run())
    let_lease_run_out(run)
    cancel_run(run, CancelAction.ROLLBACK, "asked")
    assert not run.take_back()


def test_an_accepted_cancel_wins_over_success() -> None:
    run = claimed(new_run())
    cancel_run(run, CancelAction.INTERRUPT, "asked")
    conclude(run, Outcome(RunStatus.SUCCESS))
    assert Run.objects.get(pk=run.pk).status == RunStatus.INTERRUPTED


def test_a_pending_run_is_cancelled_here_and_now() -> None:
    run = new_run(after_seconds=60)
    cancel_run(run, CancelAction.INTERRUPT, "asked")
    assert Run.objects.get(pk=run.pk).status == RunStatus.INTERRUPTED
    assert Thread.objects.get(pk=run.thread_id).status == "idle"


def test_reject_counts_delayed_runs_and_changes_nothing() -> None:
    run = new_run(after_seconds=60)
    with pytest.raises(ThreadBusy):
        new_run(run.thread_id, multitask_strategy="reject")
    assert Run.objects.filter(thread_id=run.thread_id).count() == 1


def test_rollback_removes_the_pending_runs_before_the_new_one() -> None:
    old = new_run(after_seconds=60)
    new = new_run(old.thread_id, multitask_strategy="rollback")
    assert list(Run.objects.filter(thread_id=old.thread_id)) == [new]


def test_the_status_at_rest_comes_back_when_a_pending_run_goes_away() -> None:
    run = claimed(new_run())
    conclude(run, Outcome(RunStatus.SUCCESS, head=HeadState({"q": 1}, {}, has_next=True, exists=True)))
    later = new_run(run.thread_id, after_seconds=60)
    assert Thread.objects.get(pk=run.thread_id).status == "busy"
    cancel_run(later, CancelAction.INTERRUPT, "asked")
    assert Thread.objects.get(pk=run.thread_id).status == "interrupted"


def test_default_assistants_are_made_once() -> None:
    start()
    assert Assistant.objects.filter(graph_id="counter").count() == 1


def unheard(limit: int = 10) -> list[uuid.UUID]:
    return Run.objects.unheard(timedelta(seconds=600), limit)


def made_older(created: float, updated: float) -> None:
    """All runs, by so many seconds: many, for within a test's transaction the database's clock stands still."""
    Run.objects.update(
        created_at=F("created_at") - timedelta(seconds=created), updated_at=F("updated_at") - timedelta(seconds=updated)
    )


def test_a_run_counts_as_unheard_once_its_ring_had_a_moment_to_be_heard() -> None:
    run = new_run()
    made_older(300, 300)
    assert unheard() == []
    made_older(600, 600)
    assert unheard() == [run.run_id]


def test_a_delayed_run_was_never_rung_for_and_is_found_when_it_is_due() -> None:
    run = new_run(after_seconds=300)
    made_older(200, 200)
    assert unheard() == []
    made_older(200, 100)
    assert unheard() == [run.run_id]


def test_only_the_first_in_the_line_of_a_thread_is_found_and_none_behind_a_running_one() -> None:
    first = new_run()
    new_run(first.thread_id)
    other = new_run()
    made_older(900, 900)
    assert unheard() == [first.run_id, other.run_id]
    assert unheard(limit=1) == [first.run_id]
    claimed(first)
    assert unheard() == [other.run_id]


def test_a_run_that_is_tried_again_keeps_its_place_and_is_not_claimed_before_its_time() -> None:
    first = claimed(new_run())
    second = new_run(first.thread_id)
    conclude(first, Outcome(Stop.RETRY, retry_in=600))
    made_older(900, 900)
    assert [Run.objects.claim(run.run_id, "w2", LEASE) for run in (first, second)] == [None, None]
    assert unheard() == []
    Run.objects.filter(pk=first.pk).update(retry_at=timezone.now() - timedelta(seconds=60))
    assert unheard() == [first.run_id]
    assert claimed(first, "w2").attempt == 2


@pytest.mark.parametrize("outcome", [Outcome(Stop.DRAIN), Outcome(Stop.RETRY, retry_in=60)], ids=["drain", "retry"])
def test_a_run_whose_cancel_was_accepted_never_waits_again(outcome: Outcome) -> None:
    run = claimed(new_run())
    cancel_run(run, CancelAction.INTERRUPT, "asked")
    conclude(run, outcome)
    assert Run.objects.get(pk=run.pk).status == RunStatus.INTERRUPTED
    assert Thread.objects.get(pk=run.thread_id).status == "idle"


def test_a_cancel_that_comes_while_the_sweeper_looks_is_not_lost() -> None:
    run = claimed(new_run())
    let_lease_run_out(run)
    cancel_run(run, CancelAction.INTERRUPT, "asked")
    assert not run.take_back()
    sweeper.take_back_expired()
    assert Run.objects.get(pk=run.pk).status == RunStatus.INTERRUPTED
