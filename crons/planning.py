"""How often a schedule fires in each quarter of an hour, without a look at every slot. Pure; as `Schedule.slots` says.

Offsets of today's time zones are whole quarters, so that a quarter is one on each zone's clock.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from croniter import croniter
from croniter.croniter import CroniterBadDateError

from crons.schedules import Schedule

DAY, QUARTER, MINUTE = timedelta(days=1), timedelta(minutes=15), timedelta(minutes=1)


@dataclass(frozen=True)
class Quarter:
    """A quarter of an hour in which something fires."""

    first: datetime  # the first slot in it to the minute, in UTC
    count: int


@dataclass(frozen=True)
class Pattern:
    """An expression's times of day: the minutes that fit in each quarter since midnight."""

    quarters: dict[int, tuple[int, ...]]  # the number of the quarter, minutes after its beginning
    per_minute: int

    @classmethod
    def of(cls, expanded: list[list[Any]]) -> "Pattern":
        """From croniter's lists of numbers, in which `*` stands for all."""
        minutes, hours = _numbers(expanded[0], 60), _numbers(expanded[1], 24)
        quarters: defaultdict[int, tuple[int, ...]] = defaultdict(tuple)
        for hour in hours:
            for minute in minutes:
                quarters[hour * 4 + minute // 15] += (minute % 15,)
        return cls(dict(quarters), len(_numbers(expanded[5], 60)) if len(expanded) > 5 else 1)


def _numbers(values: list[Any], all_of_them: int) -> list[int]:
    return list(range(all_of_them)) if values == ["*"] else sorted(values)


def planned(schedule: Schedule, start: datetime, end: datetime) -> list[Quarter]:
    """The quarters from `start` up to, but not with, `end` in which it fires, in order. A few days are meant."""
    parsed = croniter(schedule.expression)
    pattern = Pattern.of(parsed.expanded)
    first, last = (moment.astimezone(schedule.zone).date() for moment in (start - DAY, end))
    found: defaultdict[datetime, set[int]] = defaultdict(set)
    for day in _days(parsed.expressions, first, last):
        times = _in_real_time if schedule.follows_real_time else _by_the_clock
        for quarter, minutes in times(schedule.zone, day, pattern):
            found[quarter].update(minutes)
    return list(_within(found, start, end, pattern.per_minute))


def _within(found: dict[datetime, set[int]], start: datetime, end: datetime, per_minute: int) -> Iterator[Quarter]:
    for quarter in sorted(found):
        slots = [quarter + minute * MINUTE for minute in sorted(found[quarter])]
        inside = [slot for slot in slots if start <= slot < end]
        if inside:
            yield Quarter(inside[0], len(inside) * per_minute)


def _days(fields: list[str], first: date, last: date) -> Iterator[date]:
    """The days that fit."""
    day = " ".join(["0", "0", *fields[2:5], *(["0", *fields[6:]] if len(fields) > 6 else [])])
    dates = croniter(day, datetime.combine(first, time()) - MINUTE)
    while True:
        try:
            found: date = dates.get_next(datetime).date()
        except CroniterBadDateError:
            return
        if found > last:
            return
        yield found


def _in_real_time(zone: ZoneInfo, day: date, pattern: Pattern) -> Iterator[tuple[datetime, tuple[int, ...]]]:
    """Twice in hours that look alike, never in one that does not exist."""
    quarter, end = (datetime.combine(one, time(), zone).astimezone(UTC) for one in (day, day + DAY))
    while quarter < end:
        wall = quarter.astimezone(zone)
        if minutes := pattern.quarters.get(wall.hour * 4 + wall.minute // 15):
            yield quarter, minutes
        quarter += QUARTER


def _by_the_clock(zone: ZoneInfo, day: date, pattern: Pattern) -> Iterator[tuple[datetime, tuple[int, ...]]]:
    """Once, in the first of hours that look alike; what does not exist, once at the end of the gap."""
    for number, minutes in pattern.quarters.items():
        wall = datetime.combine(day, time(number // 4, number % 4 * 15), zone)
        quarter = wall.astimezone(UTC)
        if quarter.astimezone(zone).replace(tzinfo=None) == wall.replace(tzinfo=None):
            yield quarter, minutes
        else:
            yield _end_of_gap(zone, wall), (0,)


def _end_of_gap(zone: ZoneInfo, wall: datetime) -> datetime:
    """When the clocks were put forward over the wall time."""
    later = wall.replace(fold=1)  # read with the offset that holds behind the gap: before it
    moment = later.astimezone(UTC)
    while moment.astimezone(zone).utcoffset() != later.utcoffset():
        moment += QUARTER
    return moment
