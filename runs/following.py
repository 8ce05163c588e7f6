"""A run's parts as its viewers get them: from the event log, until the run is over. Knows no HTTP.

Source: contract/streaming.md 3.3 and 3.4, contract/core.md 5.7.
"""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import orjson
from django.conf import settings

from config import dialect
from config.database import in_thread
from events import log
from events.log import Part
from runs.models import IN_FLIGHT, Run
from threads.models import Thread, ThreadStatus


def in_flight(run_id: UUID) -> bool:
    """Whether the run is pending or running; a run that is gone is not."""
    return Run.objects.filter(run_id=run_id, status__in=IN_FLIGHT).exists()


async def parts_of(thread_id: UUID, run_id: UUID, after: str) -> AsyncIterator[list[Part]]:
    """The run's parts behind `after` until it is over; an empty list at least every HEARTBEAT_SECONDS."""
    wanted = str(run_id)
    async for parts in log.follow(str(thread_id), after, settings.HEARTBEAT_SECONDS):
        mine = [part for part in parts if part.run_id == wanted]
        ended = bool(mine) and mine[-1].event == log.END
        yield mine[:-1] if ended else mine
        if ended or (not parts and not await in_thread(in_flight, run_id)):
            return


async def stored_parts(thread_id: UUID, run_id: UUID, after: str) -> AsyncIterator[list[Part]]:
    """What the log still has of a run that is over."""
    wanted = str(run_id)
    while parts := await log.read(str(thread_id), after):
        after = parts[-1].id
        mine = [part for part in parts if part.run_id == wanted]
        yield [part for part in mine if part.event != log.END]
        if mine and mine[-1].event == log.END:
            return


class Answer:
    """What `wait` and `join` answer, gathered from the parts as they pass."""

    def __init__(self) -> None:
        self.error: bytes | None = None
        self.values: bytes | None = None
        self.interrupts: dict[str, Any] = {}

    def take(self, part: Part) -> None:
        """Look at one part."""
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


def thread_answer(thread_id: UUID) -> bytes:
    """What `wait` and `join` answer when the stream did not say: what the thread's row holds."""
    thread = Thread.objects.filter(thread_id=thread_id).first()
    if thread is None:
        return b"{}"
    if thread.status == ThreadStatus.ERROR:
        return dialect.dumps({"__error__": thread.error})
    if thread.status == ThreadStatus.INTERRUPTED and thread.interrupts:
        pending = [interrupt for interrupts in thread.interrupts.values() for interrupt in interrupts]
        return dialect.dumps({"__interrupt__": pending})
    return dialect.dumps(thread.values if thread.values is not None else {})
