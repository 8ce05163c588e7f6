"""Follows a thread's events for one viewer, from wherever it wants to begin, for ever.

Sees to it that a run's end is told even when the log that should tell it is gone, and that no viewer gets a gap without
being told. Source: contract/streaming.md 8.3.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

from django.conf import settings
from redis.exceptions import RedisError

from config.database import in_thread
from config.errors import UNAVAILABLE
from events import log
from events.log import Part
from runs import lookout
from runs.closing import error_text, lifecycle_status
from runs.envelopes import ROOT
from runs.models import IN_FLIGHT, Run, RunStatus
from streaming.translation import Event, Translation, position_before, seq_of
from threads.models import Thread

logger = logging.getLogger(__name__)
Said = dict[str, Any]
AWAY_SECONDS = 1.0  # between two questions to a PostgreSQL that is away


class TooSlow(Exception):
    """The log has dropped events that the viewer had not read yet. It may come again and start afresh."""


class Reader:
    """One viewer's place in the events of a thread. `seq` is the number of the last one it passed.

    Of a run that was removed before the viewer came only its beginning and its end are shown. Where Redis lost the log
    under a viewer, it is shown the ends of the runs it saw begin, and then sent away: it may come again.
    """

    def __init__(self, thread_id: UUID, since: int = 0) -> None:
        self.thread_id = thread_id
        self.seq = since
        self.position = self.end_then = log.BEGINNING  # `end_then` is the log's end when it began to read
        self.translation = Translation()
        self.heard = False  # anything of the log, or what the row says instead
        self.lost = False  # the log it was reading
        self.looked_up: set[str] = set()  # runs of before it began to read
        self.removed: set[str] = set()  # those of them that have no row

    async def follow(self) -> AsyncIterator[list[Event]]:
        """What comes behind its place; an empty list at least every HEARTBEAT_SECONDS.

        Ends with the thread, and when the log was lost. Raises TooSlow.
        """
        await self._find_place()
        while not await self._note_running():
            yield []
            await asyncio.sleep(AWAY_SECONDS)
        stream = str(self.thread_id)
        with lookout.runs().watching_some(stream) as watches:
            async for parts in log.follow(stream, self.position, settings.HEARTBEAT_SECONDS):
                yield await self.translated(parts) if parts else await self._ended_unheard(watches.over())
                watches.keep(self.translation.unended())
                if self.lost and not watches.watched:
                    return

    async def replay(self, until: int) -> AsyncIterator[list[Event]]:
        """What the log has up to the number `until`. Raises RedisError and TooSlow."""
        await self._find_place()
        while parts := await log.read(str(self.thread_id), self.position):
            wanted = [part for part in parts if seq_of(part.id) <= until]
            if wanted:
                yield await self.translated(wanted)
            if len(wanted) < len(parts) or self.lost:
                return

    async def _find_place(self) -> None:
        """Begin near the number it has seen last, not at the log's beginning."""
        with suppress(RedisError):
            self.end_then = await log.tail(str(self.thread_id))
            if self.seq and self.position == log.BEGINNING:
                self.position = position_before(self.seq, self.end_then)

    async def _note_running(self) -> bool:
        """What runs already is to be seen ending, though its beginning lies before the place. False: no PostgreSQL."""
        try:
            running = await in_thread(_running, self.thread_id)
        except UNAVAILABLE as error:
            logger.warning("Who runs on thread %s cannot be asked: %s", self.thread_id, error)
            return False
        for run_id, graph_name in running:
            self.translation.introduce(run_id, graph_name, begun=self.position != log.BEGINNING)
        return True

    async def translated(self, parts: Sequence[Part]) -> list[Event]:
        """The events of the next parts. Raises TooSlow."""
        self.position, self.heard = parts[-1].id, True
        if any(part.event == log.GAP and part.data == log.TRIMMED for part in parts):
            raise TooSlow
        self.lost = self.lost or self._breaks(parts)
        if self.lost:
            parts = [part for part in parts if part.event == log.END]
        await self._introduce(parts)
        found = [event for part in parts for event in self.translation.events(part) if event.seq > self.seq]
        if found:
            self.seq = found[-1].seq
        return [event for event in found if event.run_id not in self.removed or _is_of_root(event)]

    def _breaks(self, parts: Sequence[Part]) -> bool:
        """Whether the log began anew, and not with the beginning of a run while no other was going on."""
        if parts[0].event != log.GAP or parts[0].data not in (log.RESTARTED, log.EXPIRED):
            return False
        first = parts[1]
        return bool(self.translation.unended()) or first.event != "metadata" or b'"attempt":1' not in first.data

    async def _introduce(self, parts: Sequence[Part]) -> None:
        """Classic runs do not say which graph they run, and no run says that it was removed: their rows do."""
        unnamed = {part.run_id for part in parts if self.translation.unknown_run(part)}
        old = {part.run_id for part in parts if part.run_id and self._is_old(part)} - self.looked_up
        if unnamed or old:
            names = await in_thread(_graph_names, unnamed | old)
            self.looked_up |= old
            self.removed |= old - names.keys()
            for run_id in unnamed:
                self.translation.introduce(run_id, names.get(run_id, ""))

    def _is_old(self, part: Part) -> bool:
        return log.ordinal(part.id) <= log.ordinal(self.end_then)

    async def _ended_unheard(self, over: list[str]) -> list[Event]:
        """The ends of runs whose rows say that they are over, but not the log.

        Also, once, that of the thread's last run when the log had nothing at all: it may have been lost.
        """
        first, self.heard = not self.heard, True
        if not over and not first:
            return []
        found: list[Event] = []
        for run_id, said in await in_thread(_endings, self.thread_id, over):
            if said["status"] in IN_FLIGHT:
                self.translation.introduce(run_id, said["graph_name"])
                continue
            for event in self.translation.ended(run_id, said, self.seq):
                self.seq = event.seq
                found.append(event)
        return found


def _is_of_root(event: Event) -> bool:
    return event.method == "lifecycle" and event.namespace == ROOT


def _graph_names(run_ids: set[str]) -> dict[str, str]:
    return {str(run.run_id): run.graph_id for run in Run.objects.filter(run_id__in=run_ids).only("run_id", "kwargs")}


def _running(thread_id: UUID) -> list[tuple[str, str]]:
    found = Run.objects.filter(thread_id=thread_id, status=RunStatus.RUNNING).only("run_id", "kwargs")
    return [(str(run.run_id), run.graph_id) for run in found]


def _endings(thread_id: UUID, run_ids: list[str]) -> list[tuple[str, Said]]:
    """How the runs ended, by their rows; without ids, the thread's last run, ended or not."""
    thread = Thread.objects.filter(thread_id=thread_id).first()
    found = Run.objects.filter(thread_id=thread_id)
    rows = list(found.filter(run_id__in=run_ids) if run_ids else found.order_by("-created_at")[:1])
    ended = [(str(run.run_id), _said(run, thread) | {"lost": bool(run_ids)}) for run in rows]
    gone = set(run_ids) - {str(run.run_id) for run in rows}
    return ended + [(run_id, {"status": "interrupted"}) for run_id in sorted(gone)]


def _said(run: Run, thread: Thread | None) -> Said:
    if run.status in IN_FLIGHT:
        return {"status": run.status, "graph_name": run.graph_id}
    status = lifecycle_status(run.status, asks=bool(thread and thread.interrupts))
    error = {"error": error_text(run.error)} if status == "failed" and run.error else {}
    return {"status": status, "graph_name": run.graph_id, "waited": True, **error}
