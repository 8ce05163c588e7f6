"""Charts as SVG with attributes only, which the policy of pages allows. Geometry and words; reads no rows."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.template.loader import render_to_string

from console.models import Rollup
from console.rollup import percentile
from runs.models import RunStatus

WIDTH, HEIGHT = 1200, 150
GAP = 0.28  # of a bar's place
# From the bottom up, each with its colour's name in console.css.
STACKED = (
    (RunStatus.SUCCESS, "good"),
    (RunStatus.INTERRUPTED, "warn"),
    (RunStatus.TIMEOUT, "timeout"),
    (RunStatus.ERROR, "bad"),
)


@dataclass(frozen=True)
class Part:
    """A rectangle."""

    tone: str
    y: float
    height: float


@dataclass(frozen=True)
class Bar:
    """The runs of one minute, hour or day."""

    x: float
    width: float
    parts: Sequence[Part]
    title: str
    label: str


def stacked(rows: Iterable[Rollup], first: datetime, step: timedelta, count: int, every: int) -> str:
    """Bars from `first` on, one a step, by how runs ended; HTML. Each `every`-th bar has a label below."""
    by_start = {row.start: row for row in rows}
    found = [by_start.get(first + step * place) or Rollup(start=first + step * place) for place in range(count)]
    highest = max(row.total for row in found)
    form = "%H:%M" if step < timedelta(days=1) else "%d %b"
    place = WIDTH / count
    bars = [
        Bar(
            round(number * place + place * GAP / 2, 1),
            round(place * (1 - GAP), 1),
            _parts(row, highest or 1),
            _title(row, step),
            f"{row.start:{form}}" if number % every == 0 else "",
        )
        for number, row in enumerate(found)
    ]
    context = {"bars": bars, "width": WIDTH, "height": HEIGHT, "place": round(place, 1), "highest": highest}
    return render_to_string("console/parts/bars.html", {**context, "total": sum(row.total for row in found)})


def _parts(row: Rollup, highest: int) -> list[Part]:
    parts, top = [], float(HEIGHT)
    for status, tone in STACKED:
        if count := getattr(row, status):
            height = max(count / highest * HEIGHT, 2.0)
            top -= height
            parts.append(Part(tone, round(max(top, 0), 1), round(height, 1)))
    return parts


def _title(row: Rollup, step: timedelta) -> str:
    form = "%H:%M" if step < timedelta(days=1) else "%d %B"
    counted = [f"{getattr(row, status):,} {status}" for status, _ in STACKED if getattr(row, status)]
    wait, took = percentile([row.waits], 0.95), percentile([row.times], 0.95)
    figures = f"; p95: waited {_ms(wait)}, took {_ms(took)}" if took is not None else ""
    return f"{row.start:{form}} UTC: {', '.join(counted) or 'no runs'}{figures}"


def _ms(length: timedelta | None) -> str:
    return "–" if length is None else f"{length.total_seconds():.2f} s"
