"""A run's parts as its viewers get them: from the event log, until the run is over. Knows no HTTP.

Source: contract/streaming.md 3.3 and 3.4, contract/core.md 5.7.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar
from uuid import UUID

import orjson
from django.conf import settings
from redis.exceptions import RedisError

from config import dialect
from config.database import in_thread
from config.errors import UNAVAILABLE
from events import log
from events.log import Part
from runs import lookout
from runs.envelopes import is_envelope
from runs.models import IN_FLIGHT, Run, RunStatus
from threads.models import Thread, ThreadStatus

T = TypeVar("T")
LOST = {"error": "EventsLost", "message": "Events of this run were lost before they could be shown."}
BEHIND = {
    "error": "EventsLost",
    "message": "This viewer is too slow: the event log has dropped events that it had not read yet.",
}


class EventsLost(Exception):
    """Not all parts of the run can be shown, and no more will be; `ending` says what to show instead."""

    def __init__(self, *, gap: bool) -> None:
        super().__init__()
        self.gap = gap  # parts are known to be missing; else only the run's end was not in the log


async def parts_of(
    thread_id: UUID, run_id: UUID, after: str, *, live: bool, whole: bool = False
) -> AsyncIterator[list[Part]]:
    """The run's parts behind `after` until it is over; an empty list at least every HEARTBEAT_SECONDS.

    Not `live` is what the log still has of a run that is over; `whole` says that `after` is the run's beginning. Where
    parts are missing nothing more is shown until the run is over: raises EventsLost then.
    """
    stream, position = str(thread_id), after
    reading = _Reading(str(run_id), whole=whole)
    if live:
        with lookout.runs().watching(run_id, stream, known=True) as watch:
            async for parts in log.follow(stream, after, settings.HEARTBEAT_SECONDS):
                yield reading.shown(parts)
                position = parts[-1].id if parts else position
                if reading.done() or (not parts and watch.over):
                    break
            else:
                return  # the thread is deleted
    # The row may say that the run is over while Redis is away from here; the log knows more.
    if not reading.done():
        try:
            async for parts in log.stored(stream, position):
                yield reading.shown(parts)
                if reading.done():
                    break
        except RedisError:
            reading.lost = True
    if reading.lost or not reading.ended:
        raise EventsLost(gap=reading.lost)


class _Reading:
    """What one viewer of a run has made of the log so far."""

    def __init__(self, run_id: str, *, whole: bool) -> None:
        self.run_id = run_id
        self.begun = not whole
        self.lost = self.behind = self.ended = False

    def done(self) -> bool:
        """Nothing of the log is of interest any more."""
        return self.ended or self.behind

    def shown(self, parts: list[Part]) -> list[Part]:
        """Those of the parts that may be shown: the run's own, before the first gap."""
        return [part for part in parts if self._shows(part)]

    def _shows(self, part: Part) -> bool:
        if part.event == log.GAP and part.run_id in ("", self.run_id):
            self.lost = True
            self.behind = self.behind or part.data == log.TRIMMED
        if part.run_id != self.run_id or part.event == log.GAP:
            return False
        if part.event == log.END:
            self.ended = self.begun = True
            return False
        # A run that is watched from its beginning begins with its metadata, or the log has lost that.
        self.lost = self.lost or not (self.begun or part.event == "metadata")
        self.begun = True
        return not self.lost


async def asked(question: Callable[[], T]) -> AsyncIterator[T | None]:
    """What PostgreSQL answers at a stream's end; before that None, once a second while it is away.

    Raises what the question raises, of an outage after AWAY_SECONDS.
    """
    until = time.monotonic() + log.AWAY_SECONDS
    while True:
        try:
            answer = await in_thread(question)
        except UNAVAILABLE:
            if time.monotonic() >= until:
                raise
            await asyncio.sleep(1.0)
            yield None
        else:
            yield answer
            return


def ending(run_id: UUID, *, gap: bool) -> list[tuple[str, bytes]]:
    """What is shown in place of parts that are lost: event names and data. The run's status and what it left."""
    run = Run.objects.filter(run_id=run_id).select_related("thread").first()
    if run is None:
        return [("error", dialect.dumps(LOST))] if gap else []
    if run.status in IN_FLIGHT:
        return [("error", dialect.dumps(BEHIND))]
    metadata = {"run_id": str(run_id), "attempt": run.attempt, "status": run.shown_status}
    shown = [("metadata", dialect.dumps(metadata))]
    if run.status in (RunStatus.ERROR, RunStatus.TIMEOUT):
        return [*shown, ("error", dialect.dumps(run.error))]
    return [*shown, ("values", _values_of(run.thread))]


def _values_of(thread: Thread) -> bytes:
    values = thread.values if isinstance(thread.values, dict) else {}
    pending = _pending(thread)
    return dialect.dumps({**values, "__interrupt__": pending} if pending else values)


def _pending(thread: Thread) -> list[Any]:
    return [interrupt for interrupts in thread.interrupts.values() for interrupt in interrupts]


class Answer:
    """What `wait` and `join` answer, gathered from the parts as they pass."""

    def __init__(self) -> None:
        self.error: bytes | None = None
        self.values: bytes | None = None
        self.interrupts: dict[str, Any] = {}

    def take(self, part: Part) -> None:
        """Look at one part. The values in an envelope are those of a client that follows the thread's events."""
        if is_envelope(part.data):
            return
        if part.event == "error":
            self.error = part.data
        elif part.event in ("values", "updates"):
            if b'"__interrupt__"' in part.data:
                found = orjson.loads(part.data).get("__interrupt__") or []
                self.interrupts.update({interrupt["id"]: interrupt for interrupt in found})
            if part.event == "values":
                self.values = part.data

    def document(self) -> bytes | None:
        """The JSON document; None when the parts do not say, and the thread's row must."""
        if self.error is not None:
            return b'{"__error__":' + self.error + b"}"
        if self.interrupts:
            values = orjson.loads(self.values) if self.values else {}
            return dialect.dumps({**values, "__interrupt__": list(self.interrupts.values())})
        return self.values


def thread_answer(thread_id: UUID, *, lost: bool = False) -> bytes:
    """What `wait` and `join` answer when the stream did not say: what the thread's row holds.

    `lost` says that the stream has not told the run's end: of a run that left no thread nobody knows it then.
    """
    thread = Thread.objects.filter(thread_id=thread_id).first()
    if thread is None:
        return dialect.dumps({"__error__": LOST} if lost else {})
    if thread.status == ThreadStatus.ERROR:
        return dialect.dumps({"__error__": thread.error})
    if thread.status == ThreadStatus.INTERRUPTED and thread.interrupts:
        return dialect.dumps({"__interrupt__": _pending(thread)})
    return dialect.dumps(thread.values if thread.values is not None else {})
