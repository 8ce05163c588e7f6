"""What needs somebody's attention, each with its cause and one thing to do about it. Reads figures, changes nothing."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import quote

from django.urls import reverse

from assistants.graphs import load_all
from config.words import span
from console.figures import Aside, Cause, Queue
from console.models import Rollup
from console.workers import Busy

LATE = timedelta(seconds=60)
LONG_ASKED = timedelta(hours=1)
BEHIND = timedelta(minutes=3)
FAILING, ENOUGH = 0.2, 5  # from which share, of how many runs


@dataclass(frozen=True)
class Need:
    """Something to look after."""

    tone: str  # bad or warn
    text: str
    url: str
    action: str


@dataclass(frozen=True)
class Seen:
    """What was looked at."""

    now: datetime
    queue: Queue
    aside: Aside
    workers: Sequence[Busy] | None  # None when Redis does not answer
    causes: Sequence[Cause]
    last_hour: Rollup


def needs(seen: Seen) -> list[Need]:
    """The most urgent first."""
    return [*_queue(seen), *_graphs(seen), *_failures(seen), *_people(seen)]


def _queue(seen: Seen) -> Iterator[Need]:
    queue, pending = seen.queue, f"{reverse('console:runs')}?status=pending"
    waited = seen.now - queue.oldest if queue.oldest else timedelta()
    if queue.paused:
        text = f"The queue is paused: {_many(queue.due, 'run')} due, and none begins."
        yield Need("warn", text, reverse("console:queue"), "See who paused it")
    elif waited > LATE:
        late = f"{_many(queue.due, 'run')} due, the oldest for {span(waited)}: "
        if queue.running == 0:
            yield Need("bad", late + "no worker takes any. Is one up?", _doctor(), "Look for the cause")
        else:
            why = f"all {queue.running} slots in use are busy, or earlier runs hold their threads."
            yield Need("warn", late + why, pending, "See them")
    if queue.lost:
        text = f"{_many(queue.lost, 'run')} without a live lease: a worker died or hangs. They go on elsewhere shortly."
        yield Need("warn", text, f"{reverse('console:runs')}?status=running", "See them")
    rolled_up = seen.aside.rolled_up
    if seen.aside.any_runs and (rolled_up is None or seen.now - rolled_up > BEHIND):
        since = f"since {span(seen.now - rolled_up)}" if rolled_up else "yet"
        text = f"beat has not ticked {since}: crons do not fire, webhooks are not retried, dead workers' runs stay."
        yield Need("bad", text, _doctor(), "Look for the cause")


def _graphs(seen: Seen) -> Iterator[Need]:
    if lost := sorted(seen.aside.lost_graphs or ()):
        text = f"The project has no graph {_some(lost)} any more, but assistants of it: their runs fail."
        yield Need("warn", text, f"{reverse('console:assistants')}?graph={quote(lost[0])}", "See them")
    served = set(load_all())
    for busy in seen.workers or ():
        if missing := sorted(served - set(busy.worker.graphs)):
            text = f"Worker {busy.worker.name} has not loaded {_some(missing)}: it runs another version of the project."
            yield Need("bad", text, reverse("console:worker", args=[busy.worker.name]), "See it")


def _some(names: Sequence[str]) -> str:
    """The first three of them."""
    rest = len(names) - 3
    return ", ".join(names[:3]) + (f" and {rest} more" if rest > 0 else "")


def _failures(seen: Seen) -> Iterator[Need]:
    hour = seen.last_hour
    failed = hour.error + hour.timeout
    if hour.total >= ENOUGH and failed / hour.total >= FAILING:
        most = f", most with {seen.causes[0].error}" if seen.causes else ""
        url = f"{reverse('console:runs')}?status=error"
        yield Need("bad", f"{failed} of {_many(hour.total, 'run')} of the last hour failed{most}.", url, "See them")


def _people(seen: Seen) -> Iterator[Need]:
    aside = seen.aside
    if aside.asked_since and seen.now - aside.asked_since > LONG_ASKED:
        who = f"{_many(aside.asked, 'thread')} {'waits' if aside.asked == 1 else 'wait'} for somebody's answer"
        text = f"{who}, the oldest is {span(seen.now - aside.asked_since)} old."
        yield Need("warn", text, reverse("console:interrupts"), "Answer")
    if aside.undelivered:
        text = f"{_many(aside.undelivered, 'webhook')} of the last 24 hours not delivered, and no attempt is left."
        yield Need("warn", text, f"{reverse('console:deliveries')}?status=failed&period=24h", "See them")
    if aside.disabled_endpoints:
        text = f"{_many(aside.disabled_endpoints, 'webhook endpoint')} switched off after failing for days."
        yield Need("warn", text, f"{reverse('console:webhooks')}?state=off", "See why")
    if aside.paused_crons:
        text = f"{_many(aside.paused_crons, 'cron')} paused after failing again and again."
        yield Need("warn", text, f"{reverse('console:crons')}?state=auto-paused", "See them")


def _doctor() -> str:
    return reverse("console:doctor")


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
