"""The switch that holds back all runs: no claim is granted that begins while it is on. On real PostgreSQL."""

import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import F
from django.utils import timezone

from accounts.callers import Caller
from assistants.startup import start
from console.waiting import scene
from runs import pausing, sweeper
from runs.conclusion import conclude
from runs.dispatch import create_run
from runs.execution import Outcome
from runs.models import Pause, Run, RunStatus
from runs.presence import presence

LEASE = timedelta(seconds=30)
NOW = timedelta()


@pytest.fixture(autouse=True)
def project(db: None, settings: Any) -> None:
    settings.REDIS_KEY_PREFIX = f"{uuid.uuid4()}:"  # where no worker says that it is up
    start()


def could_begin() -> set[uuid.UUID]:
    """What a picker would find. A test's transaction is as old as the test, for PostgreSQL's now()."""
    Run.objects.update(created_at=F("created_at") - timedelta(hours=1), updated_at=F("updated_at") - timedelta(hours=1))
    return set(Run.objects.unheard(NOW, 1000))


def new_run(thread_id: uuid.UUID | None = None, **more: object) -> Run:
    body = {"assistant_id": "counter", "input": {"steps": 2}, "if_not_exists": "create", **more}
    return create_run(thread_id or uuid.uuid4(), body, Caller())


def test_while_the_queue_is_paused_runs_are_accepted_and_none_begins() -> None:
    before = new_run()
    assert pausing.pause("ada", "a look at the database")
    after = new_run()
    assert [Run.objects.claim(run.run_id, "w1", LEASE) for run in (before, after)] == [None, None]
    assert not {before.run_id, after.run_id} & could_begin()
    assert pausing.resume()
    assert {before.run_id, after.run_id} <= could_begin()
    assert Run.objects.claim(after.run_id, "w1", LEASE) is not None


def test_what_runs_goes_on_while_the_queue_is_paused() -> None:
    running, lost = (Run.objects.claim(new_run().run_id, "w1", LEASE) for _ in range(2))
    assert running and lost
    pausing.pause("ada", "")
    assert Run.objects.renew("w1", LEASE, [running.run_id]) == {running.run_id}
    conclude(running, Outcome(RunStatus.SUCCESS))
    running.refresh_from_db()
    assert running.status == RunStatus.SUCCESS
    Run.objects.filter(pk=lost.pk).update(lease_expires_at=timezone.now() - timedelta(seconds=1))
    sweeper.take_back_expired()
    lost.refresh_from_db()
    assert lost.status == RunStatus.PENDING
    assert Run.objects.claim(lost.run_id, "w2", LEASE) is None


def test_the_first_who_pauses_is_remembered() -> None:
    assert pausing.pause("ada", "first")
    assert not pausing.pause("bob", "second")
    found = pausing.current()
    assert found and (found.person, found.reason) == ("ada", "first")
    assert pausing.resume()
    assert not pausing.resume()
    assert pausing.current() is None


def test_the_database_refuses_a_second_pause() -> None:
    pausing.pause("ada", "")
    with pytest.raises(IntegrityError), transaction.atomic():
        Pause.objects.create(only=False, person="bob")


@pytest.mark.django_db(transaction=True)
def test_no_claim_that_begins_after_the_pause_is_granted() -> None:
    runs = [new_run().run_id for _ in range(120)]
    paused = threading.Event()
    granted: list[float] = []
    refused: list[float] = []

    def claim(part: list[uuid.UUID]) -> None:
        for run_id in part:
            began = time.monotonic()
            (granted if Run.objects.claim(run_id, "w1", LEASE) else refused).append(began)
            if len(granted) >= 20:
                paused.wait(0.002)
        connection.close()

    with ThreadPoolExecutor(4) as claimers:
        done = [claimers.submit(claim, runs[number::4]) for number in range(4)]
        while len(granted) < 20:
            time.sleep(0.001)
        pausing.pause("ada", "")
        at = time.monotonic()
        paused.set()
        for one in done:
            one.result(30)
    assert max(granted) < at, "a run began after the queue was paused"
    assert refused and len(granted) + len(refused) == len(runs)
    pausing.resume()
    assert len(Run.objects.unheard(NOW, 1000)) == len(refused)


# --- why a run waits --------------------------------------------------------------------------------------------------


def reasons(*runs: Run) -> list[str]:
    known = scene(runs, timezone.now())
    return [known.reason(run).code for run in runs]


def test_a_waiting_runs_reason_is_the_one_that_holds_it_back() -> None:
    first, later = new_run(), new_run(after_seconds=60)
    second = new_run(first.thread_id)
    third = new_run(first.thread_id)
    assert reasons(first, second, third, later) == ["no_worker", "thread_busy", "thread_busy", "scheduled_for"]
    assert scene([third], timezone.now()).reason(third).text.startswith("2 runs of the same thread")
    running = Run.objects.claim(first.run_id, "w1", LEASE)
    other = new_run()
    presence().tell()
    assert reasons(second, other) == ["thread_busy", "no_slot"]
    assert running and running.put_off(60)
    running.refresh_from_db()
    assert reasons(running) == ["retry_at"]
    pausing.pause("ada", "")
    assert reasons(running, second, other, later) == ["retry_at", "paused", "paused", "scheduled_for"]


def test_the_reasons_of_many_runs_cost_two_queries(django_assert_num_queries: object) -> None:
    runs = [new_run() for _ in range(10)]
    with django_assert_num_queries(2):  # type: ignore[operator]
        known = scene(runs, timezone.now())
    assert {known.reason(run).code for run in runs} == {"no_worker"}
