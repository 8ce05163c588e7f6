"""All runs of a thread over one connection that stays open: GET /threads/{thread_id}/stream. Owns no state.

Source: contract/streaming.md 6.
"""

import re
from collections.abc import AsyncIterator, Iterator, Sequence

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase

from accounts.callers import caller_of
from config import dialect, sse
from config.errors import Invalid
from config.rest import parse_uuid
from events import log
from events.log import Part
from runs import following, lookout
from runs.live import listed
from runs.requests import endpoint
from threads.gate import Gate, gate

RUN_MODES, LIFECYCLE, STATE_UPDATE = "run_modes", "lifecycle", "state_update"
MODES = (RUN_MODES, LIFECYCLE, STATE_UPDATE)
POSITION = re.compile(r"[0-9]+(-([0-9]+|\*))?")
# Redis counts in 64 bits; what is longer lies behind every id there will be.
LONGEST = 19


@endpoint("GET")
async def stream_thread(request: HttpRequest, thread_id: str) -> HttpResponseBase:
    """GET /threads/{thread_id}/stream: never closes by itself; the thread need not exist yet."""
    wanted = parse_uuid(thread_id, "thread ID")
    modes = _modes(request.GET.getlist("stream_modes") + request.GET.getlist("stream_mode"))
    after = _position(request.headers.get("Last-Event-ID", ""))
    entrance = await gate(wanted, caller_of(request))
    return sse.response(sse.beating(_chunks(entrance, after or await log.tail(str(wanted)), modes)))


def _modes(given: list[str]) -> frozenset[str]:
    """The union of what is asked for in any form. Raises Invalid."""
    modes = [mode.strip() for text in listed(given) for mode in text.split(",") if mode.strip()]
    for mode in modes:
        if mode not in MODES:
            raise Invalid(f"Invalid stream mode: {mode}")
    return frozenset(modes or [RUN_MODES])


def _position(last_event_id: str) -> str | None:
    """Where to go on from, `-` being the beginning; None for the end. Raises Invalid."""
    if last_event_id in ("", "-"):
        return log.BEGINNING if last_event_id else None
    if not POSITION.fullmatch(last_event_id):
        raise Invalid("Invalid last-event-id: must be a valid Redis stream ID")
    if max(map(len, last_event_id.split("-"))) > LONGEST:
        return None
    # All of a millisecond: no part has the number 0.
    return last_event_id.replace("*", "0")


async def _chunks(entrance: Gate, after: str, modes: frozenset[str]) -> AsyncIterator[bytes]:
    """Frames until the thread is deleted or events are missing: a viewer is told and sent away, never given a gap."""
    thread_id = entrance.thread_id
    with lookout.threads().watching(thread_id, str(thread_id), known=False) as watch:
        async for parts in log.follow(str(thread_id), after, settings.HEARTBEAT_SECONDS):
            if parts and not await entrance.lets_through():
                return
            yield b"".join(_frames(parts, modes))
            if any(part.event == log.GAP and part.data != log.EXPIRED for part in parts):
                yield sse.frame("error", dialect.dumps(following.LOST))
                return
            if not parts and watch.over:
                return


def _frames(parts: Sequence[Part], modes: frozenset[str]) -> Iterator[bytes]:
    """What of the parts is shown, up to the first gap."""
    for part in parts:
        if part.event == log.GAP:
            if part.data == log.EXPIRED:
                continue
            return
        event, data = part.event, part.data
        if event == log.END:
            event, data = "metadata", dialect.dumps({"status": "run_done", "run_id": part.run_id})
        if _shows(event, modes):
            yield sse.frame(event, data, part.id)


def _shows(event: str, modes: frozenset[str]) -> bool:
    if event == STATE_UPDATE:
        return STATE_UPDATE in modes
    return RUN_MODES in modes or (event == "metadata" and LIFECYCLE in modes)
