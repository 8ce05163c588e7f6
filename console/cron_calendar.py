"""A week of crons, or a day: what fired and how that ended, and what will fire. Bounded, however often they fire.

Past slots are firings as they were written down; future ones are planned. Who fires often has a band, not marks.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db import connection
from django.db.models import F
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET
from rest_framework.exceptions import APIException

from config.errors import first_problem
from console.crons import filters, matching
from console.given import query_of
from console.pages import Crumb, Page, show
from console.roles import needs
from console.templatetags.console import tone_of
from crons.firing import KEPT_DAYS
from crons.models import Cron
from crons.planning import Quarter, planned
from crons.schedules import Schedule, parse
from crons.wording import in_words

DAY, HOURS = timedelta(days=1), range(24)
CRONS = 200  # those that fire next
FIRINGS = 200_000  # that are counted, of each cron as many of the latest as of any other
OFTEN = 8  # who fires more often on a day has a band
MARKS = {7: 4, 1: 40}  # in a cell, of a week and of a day
BANDS = {7: 5, 1: 50}  # of a day
FARTHEST = timedelta(days=400)
PLANNED = "planned"
WORST = ("bad", "warn", "live", "good", "none", PLANNED)

# The statuses of a cron's slots by quarters of an hour; each cron's firings are found by an index of their own.
PAST = """
SELECT cron_id, min(slot), count(*), word
  FROM unnest(%(crons)s::uuid[]) AS chosen (pk) CROSS JOIN LATERAL (
       SELECT cron_id, slot, coalesce(nullif(run_status, ''), outcome) AS word FROM crons_firing
        WHERE cron_id = chosen.pk AND slot >= %(start)s AND slot < %(end)s ORDER BY slot DESC LIMIT %(most)s) AS fired
 GROUP BY cron_id, floor(extract(epoch FROM slot) / 900), word
"""


@dataclass
class Tally:
    """What a cron does within a cell: an hour on a day."""

    first: datetime
    words: Counter[str] = field(default_factory=Counter)  # statuses, `planned` among them

    @property
    def count(self) -> int:
        """Of slots."""
        return self.words.total()

    @property
    def tone(self) -> str:
        """The worst of its statuses'."""
        return min((_tone(word) for word in self.words), key=WORST.index)

    @property
    def usual(self) -> str:
        """The tone of most."""
        return _tone(_most_first(self.words)[0][0])

    @property
    def worst_of_ten(self) -> float:
        """How many of ten slots have the worst tone; never so few that they are not seen."""
        worst = sum(count for word, count in self.words.items() if _tone(word) == self.tone)
        return max(10 * worst / self.count, 3)

    @property
    def said(self) -> str:
        """`3 success, 1 error`."""
        return _said(self.words)


def _said(words: Counter[str]) -> str:
    return ", ".join(f"{count:,} {word}" for word, count in _most_first(words))


def _most_first(words: Counter[str]) -> list[tuple[str, int]]:
    return sorted(words.items(), key=lambda one: (-one[1], WORST.index(_tone(one[0]))))


def _tone(word: str) -> str:
    tone = PLANNED if word == PLANNED else tone_of(word)
    return tone if tone in WORST else "none"


Cell = tuple[date, int]
Tallies = dict[Cell, Tally]  # of one cron


@dataclass(frozen=True)
class Mark:
    """A cron in a cell."""

    cron: Cron
    tally: Tally
    at: str

    @property
    def title(self) -> str:
        """All there is to say."""
        return f"{in_words(self.cron.schedule)} · {self.cron.assistant.name}: {self.tally.said}"


@dataclass(frozen=True)
class Band:
    """A cron that fires often, on one day."""

    cron: Cron
    hours: list[tuple[int, Tally]]

    @property
    def count(self) -> int:
        """Of slots on the day."""
        return sum(tally.count for _, tally in self.hours)

    @property
    def title(self) -> str:
        """All there is to say."""
        words: Counter[str] = sum((tally.words for _, tally in self.hours), Counter())
        return f"{in_words(self.cron.schedule)} · {self.cron.assistant.name}: {_said(words)}"


@dataclass(frozen=True)
class Shown:
    """What there is room for, and how many more there are."""

    items: Sequence[Any]
    more: int
    url: str  # of the day, where there is more room
    is_now: bool = False
    note: str = ""  # on an hour that does not exist, or comes twice


@dataclass(frozen=True)
class Column:
    """A day of the calendar."""

    day: date
    url: str  # of it alone
    in_week: str
    is_today: bool
    is_chosen: bool
    bands: Shown


@dataclass(frozen=True)
class Asked:
    """Which days are looked at, in which zone."""

    zone: ZoneInfo
    days: list[date]
    chosen: date
    now: datetime
    given: dict[str, str]

    @classmethod
    def of(cls, request: HttpRequest, zone: ZoneInfo, now: datetime) -> "Asked":
        """`day` is any day of the week; `span=day` leaves only that."""
        today = now.astimezone(zone).date()
        try:
            chosen = date.fromisoformat(request.GET.get("day", ""))
        except ValueError:
            chosen = today
        if abs(chosen - today) > FARTHEST:
            chosen = today
        monday = chosen - timedelta(days=chosen.weekday())
        days = [chosen] if request.GET.get("span") == "day" else [monday + n * DAY for n in range(7)]
        return cls(zone, days, chosen, now, filters(request))

    @property
    def start(self) -> datetime:
        """Of the first day."""
        return datetime.combine(self.days[0], time(), self.zone).astimezone(UTC)

    @property
    def end(self) -> datetime:
        """Of the last day."""
        return datetime.combine(self.days[-1] + DAY, time(), self.zone).astimezone(UTC)

    def url(self, day: date, *, alone: bool) -> str:
        """Of another day, with the same zone and filters."""
        span = {"span": "day"} if alone else {}
        return f"?{query_of(self.given | {'zone': self.zone.key, 'day': day.isoformat()} | span)}"

    def cell(self, moment: datetime) -> Cell:
        """Where on the calendar a moment is."""
        here = moment.astimezone(self.zone)
        return here.date(), here.hour


@require_GET
@needs("viewer")
def page(request: HttpRequest) -> HttpResponse:
    """/admin/crons/calendar/, with `zone`, `day`, `span=day` and the list's filters."""
    name, problem, now = request.GET.get("zone", "").strip() or "UTC", "", timezone.now()
    try:
        zone = parse("@daily", name).zone
    except APIException as error:
        zone, problem = ZoneInfo("UTC"), first_problem(error.detail)
    asked = Asked.of(request, zone, now)
    crons = list(_soonest(asked))
    tallies = _tallied(crons[:CRONS], asked)
    often = {pk for pk, found in tallies.items() if _most_a_day(found) > OFTEN}
    alone = len(asked.days) == 1
    step = timedelta(days=len(asked.days))
    return show(
        request,
        "console/crons/calendar.html",
        Page("Calendar", (Crumb("Crons", reverse("console:crons")),)),
        asked=asked,
        alone=alone,
        columns=_columns(crons[:CRONS], tallies, often, asked),
        rows=_rows(crons[:CRONS], tallies, often, asked),
        before=asked.url(asked.chosen - step, alone=alone),
        after=asked.url(asked.chosen + step, alone=alone),
        other=asked.url(asked.chosen, alone=not alone),
        today=asked.url(now.astimezone(zone).date(), alone=alone),
        given=asked.given,
        problem=problem,
        zones=sorted({cron.timezone or "UTC" for cron in crons}),
        most=CRONS if len(crons) > CRONS else 0,
        kept_days=KEPT_DAYS,
        any=bool(tallies),
    )


def _soonest(asked: Asked) -> Iterable[Cron]:
    """One more than is shown."""
    rows = matching(asked.given, asked.now).select_related("assistant").defer("payload", "metadata")
    return rows.order_by(F("due_at").asc(nulls_last=True), "-created_at")[: CRONS + 1]


# --- what fires -------------------------------------------------------------------------------------------------------


def _tallied(crons: Sequence[Cron], asked: Asked) -> dict[UUID, Tallies]:
    """By cron, what fired and what will."""
    found: defaultdict[UUID, Tallies] = defaultdict(dict)
    for pk, first, count, word in _past(crons, asked):
        _add(found[pk], asked.cell(first), first, count, word)
    for cron, quarters in _future(crons, asked):
        for quarter in quarters:
            _add(found[cron.pk], asked.cell(quarter.first), quarter.first, quarter.count, PLANNED)
    return found


def _add(tallies: Tallies, cell: Cell, first: datetime, count: int, word: str) -> None:
    tally = tallies.setdefault(cell, Tally(first))
    tally.first = min(tally.first, first)
    tally.words[word] += count


def _past(crons: Sequence[Cron], asked: Asked) -> list[tuple[UUID, datetime, int, str]]:
    most = FIRINGS // max(len(crons), 1)
    given: dict[str, Any] = {"crons": [cron.pk for cron in crons], "start": asked.start, "end": asked.end, "most": most}
    with connection.cursor() as cursor:
        cursor.execute(PAST, given)
        found: list[tuple[UUID, datetime, int, str]] = cursor.fetchall()
    return found


def _future(crons: Sequence[Cron], asked: Asked) -> Iterator[tuple[Cron, list[Quarter]]]:
    """Of those that will fire, with one look at each timetable."""
    start, known = max(asked.start, asked.now), dict[Schedule, list[Quarter]]()
    for cron in crons if start < asked.end else ():
        if not cron.due_at:
            continue
        timetable = cron.timetable
        if timetable not in known:
            known[timetable] = planned(timetable, start, asked.end)
        end = cron.end_time
        yield cron, [quarter for quarter in known[timetable] if end is None or quarter.first <= end]


def _most_a_day(tallies: Tallies) -> int:
    a_day: Counter[date] = Counter()
    for (day, _), tally in tallies.items():
        a_day[day] += tally.count
    return max(a_day.values())


# --- where it is shown ------------------------------------------------------------------------------------------------


def _columns(crons: Sequence[Cron], tallies: dict[UUID, Tallies], often: set[UUID], asked: Asked) -> list[Column]:
    today, room = asked.cell(asked.now)[0], BANDS[len(asked.days)]
    columns = []
    for day in asked.days:
        url, found = asked.url(day, alone=True), []
        for cron in crons:
            if cron.pk in often:
                hours = [(hour, tallies[cron.pk][day, hour]) for hour in HOURS if (day, hour) in tallies[cron.pk]]
                found += [Band(cron, hours)] if hours else []
        shown = Shown(found[:room], max(len(found) - room, 0), url)
        columns.append(Column(day, url, asked.url(day, alone=False), day == today, day == asked.chosen, shown))
    return columns


def _rows(
    crons: Sequence[Cron], tallies: dict[UUID, Tallies], often: set[UUID], asked: Asked
) -> list[tuple[int, list[tuple[date, Shown]]]]:
    """By hour, the cells of the days."""
    found: defaultdict[Cell, list[tuple[Cron, Tally]]] = defaultdict(list)
    for cron in crons:
        if cron.pk not in often:
            for cell, tally in tallies.get(cron.pk, {}).items():
                found[cell].append((cron, tally))
    return [(hour, [(day, _shown(found[day, hour], (day, hour), asked)) for day in asked.days]) for hour in HOURS]


def _shown(found: list[tuple[Cron, Tally]], cell: Cell, asked: Asked) -> Shown:
    room, note = MARKS[len(asked.days)], _note(cell, asked.zone)
    shape = "%H:%M %Z" if note else "%H:%M"
    found.sort(key=lambda one: one[1].first)
    marks = [Mark(cron, tally, f"{tally.first.astimezone(asked.zone):{shape}}") for cron, tally in found[:room]]
    return Shown(marks, max(len(found) - room, 0), asked.url(cell[0], alone=True), asked.cell(asked.now) == cell, note)


def _note(cell: Cell, zone: ZoneInfo) -> str:
    """What clocks do to the hour."""
    first, last = (datetime.combine(cell[0], time(cell[1], minute), zone) for minute in (0, 59))
    if first.utcoffset() == first.replace(fold=1).utcoffset() and last.utcoffset() == last.replace(fold=1).utcoffset():
        return ""
    there = [one.astimezone(UTC).astimezone(zone).timetuple()[:5] == one.timetuple()[:5] for one in (first, last)]
    return "comes twice" if all(there) else "partly left out" if any(there) else "does not exist"
