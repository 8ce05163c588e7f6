"""Rolls up the runs that ended, by minute and by hour, a bounded piece at a time; and reads it. Idempotent: what is
written again is what the rows say then.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from functools import partial

from django.db import connection
from django.db.models.functions import Now
from django.utils import timezone

from config import sweeps
from console.models import Grain, Rollup
from runs.models import Run, RunStatus, StatelessEnd

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
ENDS = (RunStatus.SUCCESS, RunStatus.ERROR, RunStatus.TIMEOUT, RunStatus.INTERRUPTED)
AGAIN = 2 * MINUTE  # what may still be written by transactions that had not committed
BACK = timedelta(days=30)  # how far back the first roll-up begins
STEPS = 48  # hours rolled up at most by one tick
MINUTES_KEPT, HOURS_KEPT = timedelta(days=2), timedelta(days=400)
ENDS_KEPT = timedelta(hours=2)  # of stateless runs, for the failures of the last hour
FORGET_SECONDS = 5.0
# Upper ends of buckets in milliseconds, about a quarter apart.
BOUNDS = (
    *(1, 2, 3, 5, 7, 10, 14, 20, 28, 40, 56, 80, 112, 160, 225, 320, 450, 640, 900, 1280, 1800, 2560, 3600),
    *(5000, 7000, 10_000, 14_000, 20_000, 28_000, 40_000, 60_000, 90_000, 120_000, 180_000, 300_000, 600_000),
    *(1_200_000, 3_600_000, 14_400_000, 86_400_000),
)
ENDED = """
SELECT date_trunc('minute', ended_at), status,
       width_bucket((1000 * extract(epoch FROM started_at - created_at))::float8, %(bounds)s::float8[]),
       width_bucket((1000 * extract(epoch FROM ended_at - started_at))::float8, %(bounds)s::float8[]), count(*)
  FROM (SELECT ended_at, status, created_at, started_at FROM runs_run
         WHERE ended_at >= %(since)s AND ended_at < %(until)s
        UNION ALL
        SELECT ended_at, status, created_at, started_at FROM runs_statelessend
         WHERE ended_at >= %(since)s AND ended_at < %(until)s) AS ended
 GROUP BY 1, 2, 3, 4
"""
FORGET_ENDS = """
DELETE FROM runs_statelessend WHERE id IN (
    SELECT id FROM runs_statelessend WHERE ended_at < %s ORDER BY ended_at LIMIT %s)
"""

Histogram = Mapping[str, int]


def roll_up(now: datetime | None = None) -> bool:
    """Bring the roll-up up to date, or STEPS hours nearer to it; True once it is."""
    now = now or timezone.now()
    end = _floor(now, MINUTE) + MINUTE
    since = _begin(now)
    for _ in range(STEPS):
        until = min(_floor(since, HOUR) + HOUR, end)
        _write_minutes(since, until)
        _write_hours(_floor(since, HOUR), until)
        if until == end:
            _forget(now)
            return True
        since = until
    return False


def minutes(since: datetime) -> list[Rollup]:
    """The minutes from then on, oldest first; at most those of MINUTES_KEPT."""
    return _rows(Grain.MINUTE, since)


def hours(since: datetime) -> list[Rollup]:
    """The hours from then on, oldest first; at most those of HOURS_KEPT."""
    return _rows(Grain.HOUR, since)


def of_minutes(since: datetime, until: datetime) -> list[Rollup]:
    """The minutes as the runs' own rows say now, unsaved; none that is empty."""
    with connection.cursor() as cursor:
        cursor.execute(ENDED, {"since": since, "until": until, "bounds": list(BOUNDS)})
        found = cursor.fetchall()
    rows: dict[datetime, Rollup] = {}
    for start, status, wait, time, count in found:
        row = rows.setdefault(start, Rollup(grain=Grain.MINUTE, start=start))
        if status in ENDS:
            setattr(row, status, getattr(row, status) + count)
        for histogram, bucket in ((row.waits, wait), (row.times, time)):
            if bucket is not None:
                histogram[str(bucket)] = histogram.get(str(bucket), 0) + count
    return list(rows.values())


def percentile(histograms: Iterable[Histogram], share: float) -> timedelta | None:
    """What so large a share of them took no longer than, to within a bucket; None of nothing."""
    counts = Counter[int]()
    for histogram in histograms:
        counts.update({int(bucket): count for bucket, count in histogram.items()})
    wanted = counts.total() * share
    passed = 0
    for bucket in sorted(counts):
        if passed + counts[bucket] >= wanted:
            low, high = _bucket(bucket)
            return timedelta(milliseconds=low + (high - low) * (wanted - passed) / counts[bucket])
        passed += counts[bucket]
    return None


def _bucket(number: int) -> tuple[float, float]:
    low = BOUNDS[number - 1] if number else 0
    return low, BOUNDS[min(number, len(BOUNDS) - 1)]


# --- writing ----------------------------------------------------------------------------------------------------------


def _begin(now: datetime) -> datetime:
    """Where to go on; with an empty table at the oldest run of the last 30 days."""
    last = Rollup.objects.filter(grain=Grain.MINUTE).order_by("-start").values_list("start", flat=True).first()
    if last is not None:
        return min(last, _floor(now, MINUTE)) - AGAIN
    firsts = [
        rows.filter(ended_at__gte=now - BACK).order_by("ended_at").values_list("ended_at", flat=True).first()
        for rows in (Run.objects.all(), StatelessEnd.objects.all())
    ]
    return _floor(min((first for first in firsts if first), default=now), HOUR)


def _write_minutes(since: datetime, until: datetime) -> None:
    found = {row.start: row for row in of_minutes(since, until)}
    _save(found.get(start) or Rollup(grain=Grain.MINUTE, start=start) for start in _range(since, until, MINUTE))


def _write_hours(since: datetime, until: datetime) -> None:
    rows = Rollup.objects.filter(grain=Grain.MINUTE, start__gte=since, start__lt=_floor(until - MINUTE, HOUR) + HOUR)
    by_hour: dict[datetime, list[Rollup]] = {}
    for row in rows.order_by("start"):
        by_hour.setdefault(_floor(row.start, HOUR), []).append(row)
    _save(together(Grain.HOUR, start, parts) for start, parts in by_hour.items())


def together(grain: Grain, start: datetime, parts: Iterable[Rollup]) -> Rollup:
    """One row, unsaved, for the runs of several."""
    whole, waits, times = Rollup(grain=grain, start=start), Counter[str](), Counter[str]()
    for part in parts:
        for status in ENDS:
            setattr(whole, status, getattr(whole, status) + getattr(part, status))
        waits.update(part.waits)
        times.update(part.times)
    whole.waits, whole.times = dict(waits), dict(times)
    return whole


def _save(rows: Iterable[Rollup]) -> None:
    fields = [*(str(status) for status in ENDS), "waits", "times"]
    Rollup.objects.bulk_create(rows, update_conflicts=True, update_fields=fields, unique_fields=["grain", "start"])


def _forget(now: datetime) -> None:
    """Nothing that was not rolled up: it is called when all is."""
    removed = sweeps.in_batches(partial(_forget_ends, now - ENDS_KEPT), FORGET_SECONDS)
    for grain, kept in ((Grain.MINUTE, MINUTES_KEPT), (Grain.HOUR, HOURS_KEPT)):
        removed += Rollup.objects.filter(grain=grain, start__lt=now - kept).delete()[0]
    sweeps.note("rollup", removed)


def _forget_ends(before: datetime, most: int) -> int:
    with connection.cursor() as cursor:
        cursor.execute(FORGET_ENDS, [before, most])
        return int(cursor.rowcount)


def _rows(grain: Grain, since: datetime) -> list[Rollup]:
    return list(Rollup.objects.filter(grain=grain, start__gte=since, start__lte=Now()).order_by("start"))


def _floor(moment: datetime, unit: timedelta) -> datetime:
    whole = moment.replace(second=0, microsecond=0)
    return whole.replace(minute=0) if unit == HOUR else whole


def _range(since: datetime, until: datetime, step: timedelta) -> Iterator[datetime]:
    while since < until:
        yield since
        since += step
