"""When a cron fires: against an enumeration of every second, minute or hour, in zones of all habits."""

from datetime import UTC, date, datetime, timedelta
from itertools import islice, takewhile
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.errors import BadRequest, Invalid
from crons.planning import Quarter, planned
from crons.schedules import LONGEST, NeverFires, parse

# Each with days around which its clocks change: half an hour, at midnight, by a day, to the south, never.
CHANGES = {
    "Europe/Berlin": [date(2025, 3, 30), date(2025, 10, 26)],
    "America/New_York": [date(2025, 3, 9), date(2025, 11, 2)],
    "Australia/Lord_Howe": [date(2025, 4, 6), date(2025, 10, 5)],
    "America/Havana": [date(2025, 3, 9), date(2025, 11, 2)],
    "Africa/Cairo": [date(2025, 4, 25), date(2025, 10, 31)],
    "Africa/Casablanca": [date(2025, 2, 23), date(2025, 4, 6)],
    "Pacific/Apia": [date(2011, 12, 30)],
    "America/Santiago": [date(2025, 4, 6), date(2025, 9, 7)],
    "Asia/Kathmandu": [date(2025, 6, 1)],
    "UTC": [date(2025, 6, 1)],
}
MINUTE = timedelta(minutes=1)


def expected(minutes: set[int], hours: set[int], real_time: bool, zone: ZoneInfo, start: datetime) -> list[datetime]:
    """Every slot of the two days after the start, by looking at every minute of both clocks."""
    end = start + timedelta(days=2)
    found = set()
    moment = start + MINUTE
    while moment <= end:
        wall = moment.astimezone(zone)
        if wall.minute in minutes and wall.hour in hours and (real_time or not wall.fold):
            found.add(moment)
        # The clock jumped over what lies between: a fixed time in there is made up for at the end of the gap.
        before = (moment - MINUTE).astimezone(zone).replace(tzinfo=None) + MINUTE
        while not real_time and before < wall.replace(tzinfo=None):
            if before.minute in minutes and before.hour in hours:
                found.add(moment)
            before += MINUTE
        moment += MINUTE
    return sorted(found)


def field(values: set[int], every: int, most: int) -> str:
    return f"*/{every}" if every else ",".join(str(value) for value in sorted(values))


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_slots_are_those_an_enumeration_of_every_minute_finds(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(CHANGES)))
    day = data.draw(st.sampled_from(CHANGES[name]))
    # Mostly times that are fixed, and near those at which clocks change: there the rules are.
    every_minute, every_hour = data.draw(st.sampled_from([(0, 0), (0, 0), (0, 0), (15, 0), (7, 2), (0, 1)]))
    minutes = data.draw(st.sets(st.sampled_from([0, 1, 29, 30, 45]), min_size=2))
    hours = data.draw(st.sets(st.sampled_from([0, 1, 2, 3, 23]), min_size=2))
    start = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(minutes=data.draw(st.integers(600, 1200)))
    schedule = parse(f"{field(minutes, every_minute, 60)} {field(hours, every_hour, 24)} * * *", name)
    wanted = expected(
        set(range(0, 60, every_minute)) if every_minute else minutes,
        set(range(0, 24, every_hour)) if every_hour else hours,
        bool(every_minute or every_hour),
        ZoneInfo(name),
        start,
    )
    end = start + timedelta(days=2)
    found = [slot for slot in islice(schedule.slots(start), len(wanted) + 1) if slot <= end]
    assert found == wanted
    assert schedule.following(start + timedelta(microseconds=1)) in wanted[:2] or not wanted


PLANNED = (
    "*/7 * * * *",
    "30 2 * * *",
    "15,45 0-3 * * *",
    "5 */2 * * *",
    "0-59 2,23 * * *",
    "59 23 l * *",
    "0 0 30 * *",
)


@pytest.mark.parametrize("name", CHANGES)
def test_planned_quarters_hold_the_slots_and_nothing_else(name: str) -> None:
    for day in CHANGES[name]:
        start = datetime(day.year, day.month, day.day, 5, 7, tzinfo=UTC) - timedelta(days=1)
        end = start + timedelta(days=3)
        for expression in PLANNED:
            schedule = parse(expression, name)
            wanted: dict[datetime, Quarter] = {}
            for slot in takewhile(end.__gt__, schedule.slots(start - MINUTE)):
                quarter = slot.replace(minute=slot.minute // 15 * 15)
                known = wanted.get(quarter, Quarter(slot, 0))
                wanted[quarter] = Quarter(known.first, known.count + 1)
            assert planned(schedule, start, end) == list(wanted.values()), (name, day, expression)


def test_planned_quarters_count_seconds_and_know_years() -> None:
    start = datetime(2026, 6, 1, tzinfo=UTC)
    of_seconds = planned(parse("7 9 * * * */10", None), start, start + timedelta(days=2))
    assert of_seconds == [Quarter(start + timedelta(days=n, hours=9, minutes=7), 6) for n in (0, 1)]
    assert planned(parse("0 9 * * * 0 2027", None), start, start + timedelta(days=7)) == []
    assert len(planned(parse("0 9 * * * 0 2026", None), start, start + timedelta(days=7))) == 7


@settings(max_examples=50, deadline=None)
@given(
    zone=st.sampled_from(sorted(CHANGES)),
    expression=st.sampled_from(["* * * * *", "*/5 * * * * */20", "30 2 * * *", "0 0 1 * *", "@weekly", "0 9 L * *"]),
    start=st.datetimes(datetime(2011, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC)),
)
def test_slots_go_on_one_after_the_other_wherever_one_begins(zone: str, expression: str, start: datetime) -> None:
    schedule = parse(expression, zone)
    slots = list(islice(schedule.slots(start), 4))
    assert start < slots[0]
    assert slots == sorted(set(slots))
    for slot in slots:
        assert slot.tzinfo is UTC and slot.microsecond == 0
        assert schedule.following(slot - timedelta(microseconds=1)) == slot


def local(expression: str, zone: str, start: str, count: int = 3) -> list[str]:
    schedule = parse(expression, zone)
    first = datetime.fromisoformat(start).replace(tzinfo=ZoneInfo(zone))
    return [f"{slot.astimezone(schedule.zone):%d %H:%M:%S%z}" for slot in islice(schedule.slots(first), count)]


def test_a_fixed_hour_that_is_left_out_fires_at_the_end_of_the_gap() -> None:
    assert local("30 2 * * *", "Europe/Berlin", "2025-03-29T12:00", 2) == ["30 03:00:00+0200", "31 02:30:00+0200"]


def test_a_fixed_hour_that_comes_twice_fires_once() -> None:
    """No double in autumn."""
    assert local("30 2 * * *", "Europe/Berlin", "2025-10-25T12:00", 2) == ["26 02:30:00+0200", "27 02:30:00+0100"]


@pytest.mark.parametrize(
    ("zone", "before", "slots"),
    [
        ("Europe/Berlin", "2025-03-29", ["29 02:30:00+0100", "30 03:00:00+0200", "31 02:30:00+0200"]),
        ("Europe/Berlin", "2025-10-25", ["25 02:30:00+0200", "26 02:30:00+0200", "27 02:30:00+0100"]),
        ("America/New_York", "2025-03-08", ["08 02:30:00-0500", "09 03:00:00-0400", "10 02:30:00-0400"]),
        ("America/New_York", "2025-11-01", ["01 02:30:00-0400", "02 02:30:00-0500", "03 02:30:00-0500"]),
        ("America/Los_Angeles", "2025-03-08", ["08 02:30:00-0800", "09 03:00:00-0700", "10 02:30:00-0700"]),
        ("America/Los_Angeles", "2025-11-01", ["01 02:30:00-0700", "02 02:30:00-0800", "03 02:30:00-0800"]),
    ],
)
def test_half_past_two_is_once_a_day_through_both_changes_of_the_clocks(
    zone: str, before: str, slots: list[str]
) -> None:
    """In America the hour that comes twice is the one from one to two; half past one is below."""
    assert local("30 2 * * *", zone, f"{before}T00:00") == slots


def test_in_america_half_past_one_comes_twice_and_fires_once() -> None:
    found = local("30 1 * * *", "America/New_York", "2025-11-01T12:00", 2)
    assert found == ["02 01:30:00-0400", "03 01:30:00-0500"]


def test_every_half_hour_is_half_an_hour_whatever_the_clocks_do() -> None:
    autumn = ["26 02:30:00+0200", "26 02:00:00+0100", "26 02:30:00+0100", "26 03:00:00+0100"]
    assert local("*/30 * * * *", "Europe/Berlin", "2025-10-26T02:00", 4) == autumn
    spring = ["30 01:30:00+0100", "30 03:00:00+0200", "30 03:30:00+0200"]
    assert local("*/30 * * * *", "Europe/Berlin", "2025-03-30T01:00") == spring


@pytest.mark.parametrize(
    ("expression", "first"),
    [
        ("*/5 * * * *", "01 00:05:00"),
        ("0 12 * * * 30", "01 12:00:30"),
        ("* * * * * *", "01 00:00:01"),
        ("0 0 1 2 * 0 2026", "01 00:00:00"),
        ("@hourly", "01 01:00:00"),
        ("@daily", "02 00:00:00"),
        ("0 0 L * *", "31 00:00:00"),
        ("0 0 * * mon-fri", "01 00:00:00"),
        ("0 8 * jan sun#2", "11 08:00:00"),
    ],
)
def test_every_form_of_an_expression_is_understood(expression: str, first: str) -> None:
    slot = parse(expression, None).following(datetime(2026, 1, 1, tzinfo=UTC))
    assert f"{slot:%d %H:%M:%S}" == first or (expression.endswith("mon-fri") and slot.weekday() < 5)


@pytest.mark.parametrize(
    "expression",
    ["", "x", "* * * *", "60 * * * *", "* * * * * * * *", "@reboot", "H H * * *", "R R * * *", "* " * LONGEST, "\0"],
)
def test_what_is_no_expression_is_refused_by_name(expression: str) -> None:
    with pytest.raises(Invalid, match="Invalid cron schedule: '"):
        parse(expression, None)


@pytest.mark.parametrize("expression", ["0 0 31 2 *", "0 0 1 1 * 0 2020", "0 0 1 1 * 0 2099"])
def test_what_never_occurs_is_said(expression: str) -> None:
    with pytest.raises(NeverFires, match="failed to find next date"):
        parse(expression, "Europe/Berlin").following(datetime(2026, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize("name", ["Mars/Olympus", "../../etc/passwd", "/etc/localtime", "\0", "x" * 500, "Europe"])
def test_what_is_no_zone_is_refused(name: str) -> None:
    with pytest.raises(Invalid, match="Invalid timezone"):
        parse("* * * * *", name)
    with pytest.raises(BadRequest):
        parse("* * * * *", "")
