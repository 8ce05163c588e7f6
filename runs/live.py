"""Runs over connections that stay open: create and stream, create and wait, join. Plain async views.

Frames what `following` yields; owns no state. Source: contract/streaming.md 1 to 3 and 7, contract/core.md 5.6, 5.7.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

import orjson
from django.http import HttpRequest, HttpResponseBase, StreamingHttpResponse
from redis.exceptions import RedisError

from accounts.authorizer import authorize
from accounts.callers import Caller, caller_of, run_caller_of
from config import sse
from config.database import in_thread
from config.errors import NotFound, without_body
from config.idempotency import REPLAYED, once_created
from config.rest import is_true, parse_uuid, read_body
from events import log
from events.log import Part
from runs import following
from runs.dispatch import cancel_run, cancel_runs, create_run, create_stateless_run
from runs.models import IN_FLIGHT, CancelAction, Run
from runs.parts import matches
from runs.permission import may_cancel
from runs.requests import endpoint
from runs.serializers import StatefulRunBody, StatelessRunBody, cancel_action

NOT_FOUND_FRAME = sse.frame("error", b'{"error":"HTTPException","message":"404: Run not found"}')
BEGINNINGS = ("-1", "-", "0", "0-0")
EVENT_ID = re.compile(r"[0-9]{1,19}(-[0-9]{1,19})?")
# An id from further ahead is none of ours, however the clocks differ.
FUTURE_MS = 60_000
KEEP_ALIVE = b"\n"  # JSON allows white space before a document
_detached: set["asyncio.Task[Any]"] = set()


@dataclass(frozen=True)
class View:
    """How one client watches one run."""

    thread_id: UUID
    run_id: UUID
    after: str = log.BEGINNING
    live: bool = True  # follow until the run is over; else only what the log has
    modes: Sequence[str] = ()
    show_ids: bool = False
    cancel_on_disconnect: bool = False
    replayed: bool = False  # the request that created the run came before
    whole: bool = False  # `after` is where the run begins

    @property
    def content_location(self) -> str:
        """The run's path, as both SDKs parse it."""
        return f"/threads/{self.thread_id}/runs/{self.run_id}"

    @property
    def replay_headers(self) -> dict[str, str]:
        """What tells a client that its request had been carried out before."""
        return {REPLAYED: "true"} if self.replayed else {}

    def parts(self) -> AsyncIterator[list[Part]]:
        """The run's parts, and an empty list now and then."""
        return following.parts_of(self.thread_id, self.run_id, self.after, live=self.live, whole=self.whole)

    def frame(self, part: Part) -> bytes:
        """One part as a server-sent event."""
        return sse.frame(part.event, part.data, part.id if self.show_ids else None)


@endpoint("POST")
async def stream_thread_run(request: HttpRequest, thread_id: str) -> HttpResponseBase:
    """POST /threads/{thread_id}/runs/stream"""
    view = await _created_on_thread(request, parse_uuid(thread_id, "thread ID"))
    return _sse(view, view.content_location)


@endpoint("POST")
async def wait_thread_run(request: HttpRequest, thread_id: str) -> HttpResponseBase:
    """POST /threads/{thread_id}/runs/wait"""
    return _json(await _created_on_thread(request, parse_uuid(thread_id, "thread ID")))


@endpoint("POST")
async def stream_stateless_run(request: HttpRequest) -> HttpResponseBase:
    """POST /runs/stream"""
    view = await _created_stateless(request)
    return _sse(view, f"/runs/{view.run_id}")


@endpoint("POST")
async def wait_stateless_run(request: HttpRequest) -> HttpResponseBase:
    """POST /runs/wait"""
    return _json(await _created_stateless(request))


@endpoint("GET")
async def join_stream(request: HttpRequest, run_id: str, thread_id: str | None = None) -> HttpResponseBase:
    """GET /threads/{thread_id}/runs/{run_id}/stream, and GET /runs/{run_id}/stream for stateless ones"""
    run_uuid = parse_uuid(run_id, "run ID")
    thread_uuid = parse_uuid(thread_id, "thread ID") if thread_id else None
    since = request.headers.get("Last-Event-ID", "")
    wants_cancel = is_true(request.GET.get("cancel_on_disconnect"))
    run, tail = await _find(caller_of(request), run_uuid, thread_uuid, cancelling=wants_cancel)
    if run is None:
        return sse.response(_just(NOT_FOUND_FRAME))
    return rejoined(
        run, since, tail, modes=listed(request.GET.getlist("stream_mode")), cancel_on_disconnect=wants_cancel
    )


@endpoint("GET")
async def join_run(request: HttpRequest, thread_id: str, run_id: str) -> HttpResponseBase:
    """GET /threads/{thread_id}/runs/{run_id}/join"""
    run_uuid, thread_uuid = parse_uuid(run_id, "run ID"), parse_uuid(thread_id, "thread ID")
    wants_cancel = is_true(request.GET.get("cancel_on_disconnect"))
    run, tail = await _find(caller_of(request), run_uuid, thread_uuid, cancelling=wants_cancel)
    if run is None:
        raise NotFound("Run not found")
    live = run.status in IN_FLIGHT
    return _json(View(run.thread_id, run.run_id, tail, live=live, cancel_on_disconnect=wants_cancel))


@endpoint("POST")
async def cancel(request: HttpRequest, thread_id: str, run_id: str) -> HttpResponseBase:
    """POST /threads/{thread_id}/runs/{run_id}/cancel"""
    thread_uuid, run_uuid = parse_uuid(thread_id, "thread ID"), parse_uuid(run_id, "run ID")
    action = cancel_action(request.GET.get("action"))
    run, tail = await _find(caller_of(request), run_uuid, thread_uuid, cancelling=action)
    if run is None:
        raise NotFound("Run not found")
    await in_thread(cancel_run, run, action, f"{action} requested via POST {request.path}")
    if not is_true(request.GET.get("wait")):
        return without_body(202)
    return _json(View(thread_uuid, run_uuid, tail), fall_back=False)


# --- creating ---------------------------------------------------------------------------------------------------------


async def _created_on_thread(request: HttpRequest, thread_id: UUID) -> View:
    body = read_body(request, StatefulRunBody)
    # The position first: what the run writes before we look again must not be missed.
    after = await log.tail(str(thread_id))
    caller = run_caller_of(request)
    return await _view_once(request, caller, partial(create_run, thread_id, body, caller), body, after)


async def _created_stateless(request: HttpRequest) -> View:
    body = read_body(request, StatelessRunBody)
    caller = run_caller_of(request)
    return await _view_once(request, caller, partial(create_stateless_run, body, caller), body, log.BEGINNING)


async def _view_once(
    request: HttpRequest, caller: Caller, create: Callable[[], Run], body: dict[str, Any], after: str
) -> View:
    """The view of the new run; of the one it stands for, from its beginning, when the request came before."""
    run, replayed = await in_thread(once_created, request, lambda: _identity(create()))
    if replayed and not caller.unbound:
        await in_thread(_get, caller, UUID(run["run_id"]), UUID(run["thread_id"]), False)
    return View(
        UUID(run["thread_id"]),
        UUID(run["run_id"]),
        log.BEGINNING if replayed else after,
        show_ids=run["resumable"],
        cancel_on_disconnect=body.get("on_disconnect") == "cancel",
        replayed=replayed,
        whole=True,
    )


def _identity(run: Run) -> dict[str, Any]:
    return {"run_id": str(run.run_id), "thread_id": str(run.thread_id), "resumable": run.kwargs["resumable"]}


async def _find(
    caller: Caller, run_id: UUID, thread_id: UUID | None, *, cancelling: CancelAction | bool
) -> tuple[Run | None, str]:
    """The run, if the caller may read it, and the log's end from before we looked, so that nothing falls between.

    `cancelling` says how it is to be ended, or True that the viewer's leaving would: the caller must be allowed that.
    """
    tail = await _tail(thread_id) if thread_id else log.BEGINNING
    run = await in_thread(_get, caller, run_id, thread_id, cancelling)
    if run and thread_id is None:
        tail = await _tail(run.thread_id)
    return run, tail


async def _tail(thread_id: UUID) -> str:
    """Where the thread's log ends; without Redis, behind all there is: whoever joins is told of the end by the row."""
    try:
        return await log.tail(str(thread_id))
    except RedisError:
        return log.NEVER


def _get(caller: Caller, run_id: UUID, thread_id: UUID | None, cancelling: CancelAction | bool) -> Run | None:
    found = Run.objects.filter(run_id=run_id)
    if not isinstance(cancelling, CancelAction):
        found = found.within(authorize(caller, "threads", "read", {"thread_id": thread_id}))
    if cancelling:
        action = CancelAction.INTERRUPT if cancelling is True else cancelling
        found = found.within(may_cancel(caller, thread_id, action, run_ids=[run_id]))
    return (found.filter(thread_id=thread_id) if thread_id else found).first()


def listed(given: list[str]) -> list[str]:
    """The union of repeated parameters, each a word or a JSON array of them."""
    words: list[str] = []
    for text in filter(None, given):
        if text.startswith("["):
            try:
                words += [str(word) for word in orjson.loads(text)]
                continue
            except (ValueError, TypeError):
                pass
        words.append(text)
    return words


def _position(last_event_id: str) -> str | None:
    """Where to go on from: `-1`, `-`, `0` mean the beginning; None for nothing, no id, and one still to come."""
    if last_event_id in BEGINNINGS:
        return log.BEGINNING
    if not EVENT_ID.fullmatch(last_event_id):
        return None
    milliseconds, _ = log.ordinal(last_event_id)
    return None if milliseconds > time.time() * 1000 + FUTURE_MS else last_event_id


# --- framing ----------------------------------------------------------------------------------------------------------


def created_stream(run: Run, after: str, *, cancel_on_disconnect: bool = False) -> StreamingHttpResponse:
    """The answer to a request that has just created the run, for views that do so themselves.

    `after` is the end of the thread's log from before. A stateless run is named without its thread, as everywhere.
    """
    resumable = run.kwargs["resumable"]
    view = View(
        run.thread_id,
        run.run_id,
        after,
        show_ids=resumable,
        cancel_on_disconnect=cancel_on_disconnect,
        whole=True,
    )
    return _sse(view, f"/runs/{run.run_id}" if run.kwargs["temporary"] else view.content_location)


def rejoined(
    run: Run, since: str, tail: str, *, modes: Sequence[str] = (), cancel_on_disconnect: bool = False
) -> StreamingHttpResponse:
    """The run's stream for somebody who may see it, from behind `since`, a Last-Event-ID; else from `tail` on."""
    position, live = _position(since), run.status in IN_FLIGHT
    view = View(
        run.thread_id,
        run.run_id,
        after=position or tail,
        live=live,
        modes=modes,
        show_ids=bool(since) or run.kwargs["resumable"],
        cancel_on_disconnect=cancel_on_disconnect,
        whole=position == log.BEGINNING,
    )
    if position is None and not live:
        return _sse_with(_just(b""), view.content_location)
    return _sse(view, view.content_location)


def _sse(view: View, content_location: str) -> StreamingHttpResponse:
    return _sse_with(sse.beating(_chunks(view)), content_location, view.replay_headers)


def _sse_with(
    body: AsyncIterator[bytes], content_location: str, more: dict[str, str] | None = None
) -> StreamingHttpResponse:
    locations = {"Location": f"{content_location}/stream", "Content-Location": content_location}
    return sse.response(body, {**(more or {}), **locations})


def _json(view: View, *, fall_back: bool = True) -> StreamingHttpResponse:
    headers = {"Location": f"{view.content_location}/join", "Content-Location": view.content_location}
    body = document(view, fall_back=fall_back)
    return StreamingHttpResponse(body, content_type="application/json", headers={**headers, **view.replay_headers})


async def _chunks(view: View) -> AsyncIterator[bytes]:
    """The run's events as frames; those read at once go out in one chunk. Where events are lost, how the run ended."""
    finished = False
    try:
        async for parts in view.parts():
            yield b"".join([view.frame(part) for part in parts if matches(part.event, view.modes)])
        finished = True
    except following.EventsLost as lost:
        finished = True
        async for ending in following.asked(partial(following.ending, view.run_id, gap=lost.gap)):
            yield b"".join(sse.frame(event, data) for event, data in ending or ())
    finally:
        if not finished:
            _disconnected(view)


async def document(view: View, *, fall_back: bool = True) -> AsyncIterator[bytes]:
    """KEEP_ALIVE now and then while the run goes on, then one JSON document: what it came to."""
    finished, answer, pulse, lost = False, following.Answer(), sse.Pulse(), False
    try:
        try:
            async for parts in view.parts() if view.live else _nothing():
                for part in parts:
                    answer.take(part)
                if pulse.due():
                    yield KEEP_ALIVE
        except following.EventsLost:
            answer, lost, fall_back = following.Answer(), True, True
        found = answer.document()
        if found is None and fall_back:
            async for found in following.asked(partial(following.thread_answer, view.thread_id, lost=lost)):
                if found is None and pulse.due():
                    yield KEEP_ALIVE
        finished = True
        yield found or b"{}"
    finally:
        if not finished:
            _disconnected(view)


async def _nothing() -> AsyncIterator[list[Part]]:
    for parts in list[list[Part]]():
        yield parts


async def _just(body: bytes) -> AsyncIterator[bytes]:
    if body:
        yield body


def _disconnected(view: View) -> None:
    """The client went away. What it asked for then is done by a task of its own: ours is being cancelled."""
    if view.cancel_on_disconnect:
        task = asyncio.create_task(in_thread(_cancel_for_disconnect, view.run_id))
        _detached.add(task)
        task.add_done_callback(_detached.discard)


def _cancel_for_disconnect(run_id: UUID) -> None:
    cancel_runs(Run.objects.filter(run_id=run_id).in_flight(), CancelAction.INTERRUPT, "client disconnected")
