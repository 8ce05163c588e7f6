"""Follows a thread's events for one viewer, from wherever it wants to begin, for ever.

Sees to it that a run's end is told even when the log that should tell it is gone. Source: contract/streaming.md 8.3.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

from django.conf import settings
from redis.exceptions import RedisError

from config.database import in_thread
from events import log
from events.log import Part
from runs.closing import lifecycle_status
from runs.models import IN_FLIGHT, Run
from streaming.translation import Event, Translation, position_before
from threads.models import Thread

Said = dict[str, Any]


class TooSlow(Exception):
    """The log has dropped events that the viewer had not read yet. It may come again and start afresh."""


class Reader:
    """One viewer's place in the events of a thread. `seq` is the number of the last one it passed."""

    def __init__(self, thread_id: UUID, since: int = 0) -> None:
        self.thread_id = thread_id
        self.seq = since
        self.position = log.BEGINNING
        self.translation = Translation()
        self.heard = False  # anything of the log, or what the row says instead

    async def follow(self) -> AsyncIterator[list[Event]]:
        """What comes behind its place; an empty list at least every HEARTBEAT_SECONDS. Ends with the thread.

        Raises TooSlow.
        """
        await self._find_place()
        async for parts in log.follow(str(self.thread_id), self.position, settings.HEARTBEAT_SECONDS):
            if any(part.event == log.GAP and part.data == log.TRIMMED for part in parts):
                raise TooSlow
            yield await self.translated(parts) if parts else await self._ended_unheard()

    async def replay(self, until: int) -> AsyncIterator[list[Event]]:
        """What the log has up to the number `until`. Raises RedisError."""
        await self._find_place()
        while parts := await log.read(str(self.thread_id), self.position):
            events = await self.translated(parts)
            yield [event for event in events if event.seq <= until]
            if self.seq > until:
                return

    async def _find_place(self) -> None:
        """Begin near the number it has seen last, not at the log's beginning."""
        if self.seq and self.position == log.BEGINNING:
            with suppress(RedisError):
                self.position = position_before(self.seq, await log.tail(str(self.thread_id)))

    async def translated(self, parts: Sequence[Part]) -> list[Event]:
        """The events of the next parts."""
        await self._introduce(parts)
        found = [event for part in parts for event in self.translation.events(part) if event.seq > self.seq]
        self.position, self.heard = parts[-1].id, True
        if found:
            self.seq = found[-1].seq
        return found

    async def _introduce(self, parts: Sequence[Part]) -> None:
        """Classic runs do not say which graph they run; their rows do."""
        unknown = {part.run_id for part in parts if self.translation.unknown_run(part)}
        if unknown:
            known = await in_thread(_graph_names, unknown)
            for run_id in unknown:
                self.translation.introduce(run_id, known.get(run_id, ""))

    async def _ended_unheard(self) -> list[Event]:
        """Nothing has come for a while: look whether the runs that should write have ended meanwhile.

        Also, once, at the thread's last run when the log had nothing at all: it may have been lost.
        """
        run_ids = [run_id for run_id, run in self.translation.runs.items() if not run.told_end]
        first, self.heard = not self.heard, True
        if not run_ids and not first:
            return []
        endings = await in_thread(_endings, self.thread_id, run_ids)
        found = [event for run_id, said in endings for event in self.translation.ended(run_id, said, self.seq)]
        if found:
            self.seq = found[-1].seq
        return found


def _graph_names(run_ids: set[str]) -> dict[str, str]:
    return {str(run.run_id): run.graph_id for run in Run.objects.filter(run_id__in=run_ids).only("run_id", "kwargs")}


def _endings(thread_id: UUID, run_ids: list[str]) -> list[tuple[str, Said]]:
    """How those of the runs ended that have, by their rows; without ids, the thread's last run."""
    thread = Thread.objects.filter(thread_id=thread_id).first()
    found = Run.objects.filter(thread_id=thread_id)
    rows = list(found.filter(run_id__in=run_ids) if run_ids else found.order_by("-created_at")[:1])
    ended = [(str(run.run_id), _said(run, thread)) for run in rows if run.status not in IN_FLIGHT]
    gone = set(run_ids) - {str(run.run_id) for run in rows}
    return ended + [(run_id, {"status": "interrupted"}) for run_id in sorted(gone)]


def _said(run: Run, thread: Thread | None) -> Said:
    status = lifecycle_status(run.status, asks=bool(thread and thread.interrupts))
    error = {"error": run.error["message"]} if status == "failed" and run.error else {}
    return {"status": status, "graph_name": run.graph_id, "waited": True, **error}
