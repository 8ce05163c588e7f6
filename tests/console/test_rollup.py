"""The roll-up of runs: exact, idempotent, bounded, and quick to ask."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from assistants.models import Assistant
from console import rollup
from console.models import Grain, Rollup
from runs.models import Run, StatelessEnd
from threads.models import Thread

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 3, 4, 12, 30, 20, tzinfo=UTC)
Ended = Callable[..., Run]


@pytest.fixture
def ended() -> Ended:
    """Makes a run that ended so long before NOW, waited and took so many seconds."""
    assistant = Assistant.objects.create(graph_id="chat")
    thread = Thread.objects.create()

    def make(ago: timedelta, status: str = "success", waited: float = 0.01, took: float = 1.0) -> Run:
        end = NOW - ago
        start = end - timedelta(seconds=took)
        return Run.objects.create(
            thread=thread,
            assistant_id=assistant.pk,
            status=status,
            created_at=start - timedelta(seconds=waited),
            started_at=start,
            ended_at=end,
        )

    return make


def counts(grain: Grain) -> dict[str, int]:
    rows = Rollup.objects.filter(grain=grain)
    return {f"{row.start:%d %H:%M}": row.total for row in rows if row.total}


def test_runs_are_counted_in_the_minute_and_the_hour_they_ended_in(ended: Ended) -> None:
    for minutes, status in ((0, "success"), (0.2, "error"), (5, "timeout"), (40, "interrupted")):
        ended(timedelta(minutes=minutes), status)
    assert rollup.roll_up(NOW)
    assert counts(Grain.MINUTE) == {"04 12:30": 2, "04 12:25": 1, "04 11:50": 1}
    assert counts(Grain.HOUR) == {"04 12:00": 3, "04 11:00": 1}
    hour = Rollup.objects.get(grain=Grain.HOUR, start=NOW.replace(minute=0, second=0))
    assert (hour.success, hour.error, hour.timeout, hour.interrupted) == (1, 1, 1, 0)


def test_rolling_up_again_changes_nothing_but_what_the_rows_say_now(ended: Ended) -> None:
    ended(timedelta(minutes=40))
    run = ended(timedelta(seconds=30))
    rollup.roll_up(NOW)
    before = list(Rollup.objects.values())
    rollup.roll_up(NOW)
    assert list(Rollup.objects.values()) == before
    ended(timedelta(seconds=40), "error")  # its transaction committed late
    Run.objects.filter(pk=run.pk).delete()
    rollup.roll_up(NOW + timedelta(seconds=30))
    assert counts(Grain.HOUR) == {"04 12:00": 1, "04 11:00": 1}
    assert Rollup.objects.get(grain=Grain.MINUTE, start=NOW.replace(minute=29, second=0)).error == 1


def test_a_long_pause_is_caught_up_in_bounded_pieces(ended: Ended, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollup, "STEPS", 10)
    for hours in (29, 14, 3):
        ended(timedelta(hours=hours))
    ticks = 1
    while not rollup.roll_up(NOW):
        ticks += 1
    assert ticks == 4  # of ten hours each, and each begins again two minutes before the last one's end
    assert sum(counts(Grain.HOUR).values()) == 3


def test_minutes_are_forgotten_and_hours_are_kept(ended: Ended) -> None:
    ended(timedelta(days=3, minutes=7))
    while not rollup.roll_up(NOW):
        pass
    assert counts(Grain.MINUTE) == {}
    assert counts(Grain.HOUR) == {"01 12:00": 1}
    rollup.roll_up(NOW + timedelta(minutes=1))
    assert counts(Grain.HOUR) == {"01 12:00": 1}


def test_a_first_roll_up_begins_with_the_oldest_run_of_thirty_days(ended: Ended) -> None:
    ended(timedelta(days=40))
    ended(timedelta(hours=2))
    assert rollup.roll_up(NOW)
    assert Rollup.objects.filter(grain=Grain.HOUR).order_by("start")[0].start == datetime(2026, 3, 4, 10, tzinfo=UTC)


@pytest.mark.parametrize("share", [0.5, 0.95])
def test_percentiles_are_right_to_within_a_bucket(ended: Ended, share: float) -> None:
    lengths = [0.01 * number for number in range(1, 201)]
    for length in lengths:
        ended(timedelta(seconds=10), took=length, waited=length / 10)
    (row,) = rollup.of_minutes(NOW - timedelta(minutes=1), NOW)
    exact = sorted(lengths)[int(share * 200) - 1]
    for histogram, expected in ((row.times, exact), (row.waits, exact / 10)):
        found = rollup.percentile([histogram], share)
        assert found is not None
        assert 0.75 * expected <= found.total_seconds() <= 1.35 * expected


def test_of_nothing_there_is_no_percentile() -> None:
    assert rollup.percentile([], 0.5) is None


def test_a_run_cancelled_while_it_waited_has_no_times(ended: Ended) -> None:
    Run.objects.filter(pk=ended(timedelta(seconds=5), "interrupted").pk).update(started_at=None)
    (row,) = rollup.of_minutes(NOW - timedelta(minutes=1), NOW)
    assert (row.interrupted, row.waits, row.times) == (1, {}, {})


# --- stateless runs ---------------------------------------------------------------------------------------------------


def stateless(cancelled: str | None = None) -> Run:
    thread, start = Thread.objects.create(), NOW - timedelta(minutes=5)
    return Run.objects.create(
        thread=thread, assistant_id=thread.pk, status="running", attempt=2, started_at=start, cancel_action=cancelled
    )


@pytest.mark.parametrize(
    ("cancelled", "status", "counted"),
    [
        (None, "success", [("success", "")]),
        (None, "error", [("error", "ValueError")]),
        ("interrupt", "success", [("interrupted", "")]),
        ("rollback", "success", []),
        (None, "rollback", []),
    ],
)
def test_a_stateless_run_leaves_how_it_ended(cancelled: str | None, status: str, counted: list[Any]) -> None:
    run = stateless(cancelled)
    late = Run.objects.get(pk=run.pk)
    late.attempt = 1
    error = {"error": "ValueError", "message": "secret"}
    assert not late.remove_with_thread(status, error), "an attempt that has lost the run counts nothing"
    assert run.remove_with_thread(status, error)
    assert not run.remove_with_thread(status, error), "nor does one that comes twice"
    assert list(StatelessEnd.objects.values_list("status", "error")) == counted
    assert not Thread.objects.exists()


def test_ends_of_stateless_runs_are_rolled_up_once_and_forgotten_when_they_are(ended: Ended) -> None:
    ended(timedelta(minutes=5))
    for minutes, status in ((5, "success"), (5, "error"), (200, "success")):
        end = NOW - timedelta(minutes=minutes)
        StatelessEnd.objects.create(
            status=status, created_at=end - timedelta(seconds=3), started_at=end - timedelta(seconds=2), ended_at=end
        )
    for _ in range(2):
        assert rollup.roll_up(NOW)
        assert counts(Grain.MINUTE) == {"04 12:25": 3, "04 09:10": 1}
    assert sum(Rollup.objects.get(grain=Grain.MINUTE, start=NOW.replace(minute=25, second=0)).times.values()) == 3
    assert StatelessEnd.objects.count() == 2, "the old one was rolled up"
    rollup.roll_up(NOW + timedelta(hours=3))
    assert not StatelessEnd.objects.exists()
    assert counts(Grain.HOUR) == {"04 12:00": 3, "04 09:00": 1}
