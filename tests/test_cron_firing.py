"""Firing: each slot once whoever ticks, in bounded batches, with what the cron says of overlaps, downtime and failures.

The runs are created in the test database, where nobody executes them.
"""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from assistants.graphs import assistant_id_of
from assistants.startup import start
from config.database import conninfo
from crons import firing
from crons.firing import fire_due, fire_now, forget_old
from crons.models import Cron, Firing, Outcome
from runs import endings
from runs.endings import Ending
from runs.models import Run, RunStatus
from tests.conftest import ROOT
from threads.models import Thread
from threads.removal import delete_threads

pytestmark = pytest.mark.django_db(transaction=True)
ECHO = assistant_id_of("echo")
HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def _assistants(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    start()
    yield
    Run.objects.all().delete()


def new_cron(late: timedelta = timedelta(seconds=1), **fields: Any) -> Cron:
    cron = Cron(assistant_id=ECHO, schedule="0 * * * *", **fields)
    cron.next_run_date = timezone.now() - late
    cron.payload = {"assistant_id": "echo", **fields.get("payload", {})}
    cron.arrange()
    cron.save()
    return cron


def outcomes(cron: Cron) -> list[str]:
    return list(cron.firings.order_by("slot").values_list("outcome", flat=True))


def due_again(cron: Cron) -> None:
    """Let a second slot be due, one second after the first."""
    cron.refresh_from_db()
    cron.next_run_date = timezone.now() - timedelta(milliseconds=500)
    cron.arrange()
    cron.save()


def runs_of(cron: Cron) -> list[Run]:
    return list(Run.objects.filter(kwargs__config__configurable__cron_id=str(cron.pk)).order_by("created_at"))


def test_a_due_cron_fires_once_and_goes_on_to_the_first_slot_after_now() -> None:
    cron = new_cron(late=5 * HOUR)
    slot, updated = cron.next_run_date, cron.updated_at
    assert fire_due() == 1
    assert fire_due() == 0
    cron.refresh_from_db()
    (run,) = runs_of(cron)
    (fired,) = cron.firings.all()
    assert (fired.slot, fired.outcome, fired.run_id) == (slot, Outcome.FIRED, run.pk)
    assert cron.next_run_date and timezone.now() < cron.next_run_date <= timezone.now() + HOUR
    assert cron.due_at == cron.next_run_date
    assert cron.updated_at == updated


def test_the_run_is_an_ordinary_one_that_names_its_cron() -> None:
    payload = {"input": {"text": "hi"}, "metadata": {"b": 2}, "config": {"tags": ["t"], "configurable": {"x": 1}}}
    cron = new_cron(payload=payload, metadata={"a": 1, "b": 1})
    fire_due()
    (run,) = runs_of(cron)
    configurable = run.kwargs["config"]["configurable"]
    assert run.kwargs["input"] == {"text": "hi"}
    assert run.kwargs["config"]["tags"] == ["t"]
    assert run.metadata.items() >= {"a": 1, "b": 2}.items()
    assert (configurable["x"], configurable["cron_id"]) == (1, str(cron.pk))
    assert (configurable["langgraph_request_id"], configurable["langgraph_auth_user_id"]) == (None, "")
    assert configurable["langgraph_auth_permissions"] == []
    assert run.temporary


def test_a_context_is_used_alone() -> None:
    config = {"configurable": {"x": 1}, "tags": ["t"]}
    cron = new_cron(payload={"context": {"style": "pirate"}, "config": config})
    fire_due()
    (run,) = runs_of(cron)
    assert run.kwargs["context"]["style"] == "pirate"
    assert "x" not in run.kwargs["config"]["configurable"]
    assert run.kwargs["config"]["tags"] == ["t"]


def test_keep_leaves_a_thread_behind() -> None:
    cron = new_cron(on_run_completed="keep")
    fire_due()
    assert [run.temporary for run in runs_of(cron)] == [False]


def test_a_cron_on_a_thread_runs_there_by_its_strategy() -> None:
    thread = Thread.objects.create()
    cron = new_cron(thread=thread, payload={"multitask_strategy": "reject"})
    fire_due()
    assert [run.thread_id for run in runs_of(cron)] == [thread.pk]
    due_again(cron)
    fire_due()
    assert outcomes(cron) == ["fired", "skipped"]
    assert Cron.objects.get().failures == 0


@pytest.mark.parametrize("change", [{"enabled": False}, {"end_time": "past"}], ids=str)
def test_a_cron_that_is_paused_or_over_does_not_fire_and_stays_as_it_is(change: dict[str, Any]) -> None:
    other = new_cron()
    if change.get("end_time"):
        change = {"end_time": timezone.now() - timedelta(milliseconds=1)}
    cron = new_cron(late=HOUR, **change)
    fire_due()
    assert not cron.firings.exists()
    kept = Cron.objects.get(pk=cron.pk)
    assert (kept.enabled, kept.next_run_date) == (cron.enabled, cron.next_run_date)
    assert other.firings.count() == 1  # what is over stops nobody else


def test_no_slot_past_the_end_is_due() -> None:
    # Due now; its next slot is up to an hour away, and the end a moment before that one, whatever the minute.
    next_slot = timezone.now().replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    cron = new_cron(end_time=next_slot - timedelta(microseconds=1))
    fire_due()
    cron.refresh_from_db()
    assert cron.next_run_date is not None
    assert (outcomes(cron), cron.due_at) == (["fired"], None)


# --- each slot once ---------------------------------------------------------------------------------------------------


def test_three_tickers_at_once_fire_each_slot_exactly_once() -> None:
    crons = [new_cron(late=timedelta(seconds=second)) for second in range(1, 41)]
    gate, dealt = threading.Barrier(3), []

    def tick() -> None:
        try:
            gate.wait(10)
            while count := fire_due():
                dealt.append(count)
        finally:
            connection.close()

    tickers = [threading.Thread(target=tick) for _ in range(3)]
    for ticker in tickers:
        ticker.start()
    for ticker in tickers:
        ticker.join(60)
    assert sum(dealt) == 40
    assert Firing.objects.count() == Run.objects.count() == 40
    named = Counter(run.kwargs["config"]["configurable"]["cron_id"] for run in Run.objects.all())
    assert named == {str(cron.pk): 1 for cron in crons}


def test_a_slot_that_was_fired_already_cannot_be_fired_again() -> None:
    cron = new_cron()
    slot = cron.next_run_date
    assert fire_due() == 1 and slot is not None
    Cron.objects.update(next_run_date=slot, due_at=slot)
    assert fire_due() == 1
    cron.refresh_from_db()
    assert len(runs_of(cron)) == 1
    assert cron.due_at and cron.due_at > slot
    with pytest.raises(IntegrityError, match="one_firing_per_slot"):
        Firing.objects.create(cron=cron, slot=slot, outcome=Outcome.FIRED)


DIES_BEFORE_COMMIT = """
    import os, signal, sys
    import django
    django.setup()
    from crons import firing
    from crons.models import Cron

    def die(self, moment):
        print("created", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

    Cron.advance = die
    firing.fire_due()
"""


def test_a_ticker_killed_between_claim_and_commit_fires_nothing_and_the_next_fires_once() -> None:
    cron = new_cron()
    environment = {**os.environ, "DATABASE_URI": conninfo(), "DJANGO_SETTINGS_MODULE": "config.settings"}
    killed = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(DIES_BEFORE_COMMIT)],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        timeout=60,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert b"created" in killed.stdout
    assert not runs_of(cron)
    deadline = time.monotonic() + 20
    while not fire_due():  # PostgreSQL takes a moment to notice that the connection is gone
        assert time.monotonic() < deadline
    assert outcomes(cron) == ["fired"]
    assert len(runs_of(cron)) == 1


# --- many, and late ---------------------------------------------------------------------------------------------------


def test_ten_thousand_due_crons_are_fired_a_tick_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = timezone.now()
    Cron.objects.bulk_create(
        Cron(assistant_id=ECHO, schedule="0 * * * *", next_run_date=now, due_at=now - timedelta(seconds=n % 100))
        for n in range(10_000)
    )
    monkeypatch.setattr(firing, "BATCH", 25)
    assert fire_due() == fire_due() == 25
    monkeypatch.setattr(firing, "BATCH", 10_000)
    monkeypatch.setattr(firing, "TICK_SECONDS", 0.5)
    begun = time.monotonic()
    count = fire_due()
    assert 0 < count < 9_950
    assert time.monotonic() - begun < 10
    assert Firing.objects.count() == Run.objects.count() == 50 + count


def test_after_downtime_a_cron_fires_once_or_not_at_all_as_it_says() -> None:
    one, none = new_cron(late=5 * HOUR), new_cron(late=5 * HOUR, catch_up="none")
    punctual = new_cron(catch_up="none")
    fire_due()
    assert [outcomes(cron) for cron in (one, none, punctual)] == [["fired"], ["missed"], ["fired"]]
    none.refresh_from_db()
    assert none.next_run_date and none.next_run_date > timezone.now()


# --- overlaps ---------------------------------------------------------------------------------------------------------


def end(run: Run, status: str) -> None:
    """End the run as runs/conclusion.py does, for those who listen."""
    Run.objects.filter(pk=run.pk).update(status=status)
    with transaction.atomic():
        endings.tell(Ending(run, status))


def test_overlapping_runs_are_allowed_unless_the_cron_says_otherwise() -> None:
    cron = new_cron()
    fire_due()
    due_again(cron)
    fire_due()
    assert len(runs_of(cron)) == 2


def test_skip_leaves_a_slot_out_while_an_earlier_run_is_in_flight() -> None:
    cron = new_cron(overlap="skip")
    fire_due()
    due_again(cron)
    fire_due()
    assert outcomes(cron) == ["fired", "skipped"]
    end(runs_of(cron)[0], RunStatus.SUCCESS)
    due_again(cron)
    fire_due()
    assert outcomes(cron) == ["fired", "skipped", "fired"]


def test_enqueue_lets_a_slot_wait_for_the_earlier_run_and_holds_up_no_other_cron() -> None:
    cron = new_cron(overlap="enqueue")
    fire_due()
    due_again(cron)
    slot = Cron.objects.get(pk=cron.pk).next_run_date
    other = new_cron(late=timedelta(milliseconds=1))
    fire_due()
    assert (outcomes(cron), outcomes(other)) == (["fired"], ["fired"])
    waiting = Cron.objects.get(pk=cron.pk)
    assert waiting.next_run_date == slot
    assert waiting.due_at and slot and waiting.due_at > slot
    end(runs_of(cron)[0], RunStatus.SUCCESS)
    deadline = time.monotonic() + 20
    while len(outcomes(cron)) < 2:
        fire_due()
        assert time.monotonic() < deadline
    assert outcomes(cron) == ["fired", "fired"]


# --- failures ---------------------------------------------------------------------------------------------------------


def test_failures_in_a_row_pause_a_cron_and_a_success_forgives_them() -> None:
    cron = new_cron(pause_after_failures=2)

    def fire_and_end(status: str) -> Cron:
        due_again(cron)
        assert fire_due() == 1
        end(runs_of(cron)[-1], status)
        return Cron.objects.get(pk=cron.pk)

    assert fire_and_end(RunStatus.ERROR).failures == 1
    assert fire_and_end(RunStatus.INTERRUPTED).failures == 1
    assert fire_and_end(RunStatus.SUCCESS).failures == 0
    assert fire_and_end(RunStatus.TIMEOUT).enabled
    paused = fire_and_end(RunStatus.ERROR)
    assert (paused.enabled, paused.failures, paused.due_at) == (False, 2, None)
    assert paused.paused_at is not None
    assert list(cron.firings.order_by("slot").values_list("run_status", flat=True)) == [
        "error",
        "interrupted",
        "success",
        "timeout",
        "error",
    ]


def fail(cron: Cron, times: int) -> bool:
    """Whether the cron is enabled after so many failures more."""
    for _ in range(times):
        Cron.objects.note_end(cron.pk, failed=True)
    return Cron.objects.get(pk=cron.pk).enabled


def test_a_cron_without_a_limit_is_paused_by_ten_failures_unless_it_succeeded_within_a_day(settings: Any) -> None:
    broken, shaken, never = new_cron(), new_cron(), new_cron(pause_after_failures=0)
    now = timezone.now()
    success = Firing.objects.create(
        cron=shaken, slot=now, outcome=Outcome.FIRED, run_status="success", ended_at=now - timedelta(hours=23)
    )
    assert fail(broken, 9) and not fail(broken, 1)
    assert fail(shaken, 50)
    Firing.objects.filter(pk=success.pk).update(ended_at=now - timedelta(hours=25))
    assert not fail(shaken, 1)
    assert fail(never, 50)
    settings.CRON_PAUSE_AFTER_FAILURES = 0
    assert fail(new_cron(), 50)


def test_a_run_that_cannot_be_created_counts_as_failed_and_stops_no_other() -> None:
    broken = new_cron(late=HOUR, payload={"stream_mode": "nonsense"}, pause_after_failures=1)
    fine = new_cron()
    fire_due()
    assert (outcomes(broken), outcomes(fine)) == (["failed"], ["fired"])
    assert "stream_mode" in broken.firings.get().detail
    assert not Cron.objects.get(pk=broken.pk).enabled


# --- threads and assistants that go -----------------------------------------------------------------------------------


def test_a_threads_crons_go_with_it() -> None:
    thread = Thread.objects.create()
    cron = new_cron(thread=thread)
    delete_threads([thread.pk])
    assert not Cron.objects.filter(pk=cron.pk).exists()


def test_a_cron_whose_thread_vanished_beside_it_goes_at_its_next_slot() -> None:
    thread = Thread.objects.create()
    cron = new_cron(thread=thread)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM threads_thread WHERE thread_id = %s", [thread.pk])
    assert fire_due() == 1
    assert not Cron.objects.filter(pk=cron.pk).exists()


def test_firing_does_not_wait_for_a_locked_thread() -> None:
    thread = Thread.objects.create()
    cron, other = new_cron(late=HOUR, thread=thread), new_cron()
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            Thread.objects.select_for_update().get(pk=thread.pk)
            held.set()
            done.wait(30)
        connection.close()

    holder = threading.Thread(target=hold)
    holder.start()
    try:
        assert held.wait(20)
        fire_due()
        assert (outcomes(cron), outcomes(other)) == ([], ["fired"])
    finally:
        done.set()
        holder.join(20)
    deadline = time.monotonic() + 20
    while not outcomes(cron):
        fire_due()
        assert time.monotonic() < deadline
    assert outcomes(cron) == ["fired"]


# --- by hand, and afterwards ------------------------------------------------------------------------------------------


def test_by_hand_a_cron_runs_besides_its_timetable_even_when_paused() -> None:
    cron = new_cron(enabled=False)
    run = fire_now(cron)
    kept = Cron.objects.get(pk=cron.pk)
    assert (kept.next_run_date, kept.enabled) == (cron.next_run_date, False)
    assert [fired.run_id for fired in cron.firings.all()] == [run.pk]


def test_old_firings_are_forgotten() -> None:
    cron = new_cron()
    fire_due()
    old = Firing.objects.create(cron=cron, slot=timezone.now(), outcome=Outcome.FIRED)
    Firing.objects.filter(pk=old.pk).update(created_at=timezone.now() - timedelta(days=firing.KEPT_DAYS, seconds=1))
    assert forget_old() == 1
    assert cron.firings.count() == 1
