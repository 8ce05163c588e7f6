"""When a cron fires: expressions of 5, 6 or 7 fields read in a time zone. Pure; croniter knows the expressions.

Daylight saving: a schedule that names its hours fires once a day, though its hour comes twice or is left out (then at
the end of the gap). One whose minutes or hours begin with `*` follows real time: in both of the hours that look alike,
and not in one that does not exist.
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from croniter import croniter
from croniter.croniter import CroniterBadDateError, CroniterError

from config.errors import BadRequest, Invalid

LONGEST = 250  # characters of an expression
SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)


class NeverFires(BadRequest):
    """An expression no day of the next decades fits."""

    default_detail = "failed to find next date"


@dataclass(frozen=True)
class Schedule:
    """An expression in a time zone. Make it with `parse`."""

    expression: str
    zone: ZoneInfo
    follows_real_time: bool

    def following(self, moment: datetime) -> datetime:
        """The first slot after the moment, in UTC. Raises NeverFires."""
        moment = moment.astimezone(UTC).replace(microsecond=0)
        offset = self._offset(moment)
        scanned = moment
        while True:
            slot = self._match(moment + offset) - offset
            change = self._change(scanned, slot, offset)
            if change is None:
                if self.follows_real_time or not slot.astimezone(self.zone).fold:
                    return slot
                moment = scanned = slot
                continue
            new = self._offset(change)
            if not self.follows_real_time and self._match(change + offset - SECOND) < change + new:
                return change
            moment, scanned, offset = change - SECOND, change, new

    def slots(self, moment: datetime) -> Iterator[datetime]:
        """All slots after the moment, in UTC. Raises NeverFires when there are no more."""
        while True:
            moment = self.following(moment)
            yield moment

    def _match(self, wall: datetime) -> datetime:
        """The first time after `wall` that fits, on a clock that is never put forward or back."""
        try:
            found: datetime = croniter(self.expression, wall).get_next(datetime)
        except (CroniterBadDateError, OverflowError):
            raise NeverFires from None
        return found

    def _offset(self, moment: datetime) -> timedelta:
        return moment.astimezone(self.zone).utcoffset() or timedelta()

    def _change(self, start: datetime, end: datetime, offset: timedelta) -> datetime | None:
        """The first moment from `start` to `end` whose offset is another, to the second."""
        known, probe = start - SECOND, start
        while self._offset(probe) == offset:
            if probe >= end:
                return None
            known, probe = probe, min(probe + DAY, end)
        while probe - known > SECOND:
            middle = known + timedelta(seconds=(probe - known) // SECOND // 2)
            if self._offset(middle) == offset:
                known = middle
            else:
                probe = middle
        return probe


@functools.lru_cache(1024)
def parse(expression: str, timezone: str | None) -> Schedule:
    """The schedule; UTC without a time zone. Raises Invalid and BadRequest."""
    zone = _zone(timezone)
    fields = expression.split()
    # `R` stands for a random value, drawn anew at each look: no two looks would agree when it fires.
    random = any(field[0] in "Rr" for field in fields)
    if random or len(expression) > LONGEST or "\0" in expression or not croniter.is_valid(expression):
        raise Invalid(f"Invalid cron schedule: '{expression[:LONGEST]}'.")
    try:
        minute, hour = croniter(expression).expressions[:2]
    except CroniterError as error:
        raise Invalid(f"Invalid cron schedule: '{expression}'. {error}") from None
    return Schedule(expression, zone, minute.startswith("*") or hour.startswith("*"))


def _zone(name: str | None) -> ZoneInfo:
    if name is None:
        return ZoneInfo("UTC")
    if not name:
        raise BadRequest("The timezone must not be empty")
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise Invalid(f"Invalid timezone: '{name[:LONGEST]}'. It must be a name of the IANA database.") from None
