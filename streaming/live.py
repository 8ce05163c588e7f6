"""The protocol over HTTP: one command a request, and a thread's events as server-sent events. Plain async views.

Source: contract/streaming.md 8.
"""

import logging
import uuid
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse, HttpResponseBase

from accounts.authorizer import touches_nothing
from accounts.callers import caller_of, run_caller_of
from config import dialect, sse
from config.errors import BadRequest
from config.rest import parse_uuid
from runs.requests import endpoint
from streaming import commands
from streaming.commands import ProtocolError
from streaming.filters import ALLOWED, SHOWN_ENTRIES, Filter, filter_of, natural, unsupported_channels
from streaming.reader import Reader, TooSlow
from threads.gate import Gate, gate

logger = logging.getLogger(__name__)


@endpoint("POST")
async def command(request: HttpRequest, thread_id: str) -> HttpResponseBase:
    """POST /threads/{thread_id}/commands. A refused command is answered with 200 too."""
    given = _json(request)
    if not commands.is_command(given):
        error = ProtocolError("invalid_argument", commands.BAD_COMMAND)
        command_id = given.get("id") if isinstance(given, dict) else None
        return _answer(commands.failure(command_id, error), status=400)
    await _admit(request, thread_id)
    try:
        result = await _result(request, thread_id, given["method"], given.get("params"))
    except ProtocolError as error:
        return _answer(commands.failure(given["id"], error))
    # 0 says that the answer orders nothing: events come over other connections (contract/streaming.md 15, trap 3).
    return _answer(commands.success(given["id"], result, 0))


@endpoint("POST")
async def events(request: HttpRequest, thread_id: str) -> HttpResponseBase:
    """POST /threads/{thread_id}/stream/events. The thread need not exist yet."""
    thread_uuid = parse_uuid(thread_id, "thread ID")
    body = _json(request)
    wanted = _filter(body)
    entrance = await gate(thread_uuid, caller_of(request))
    reader = Reader(thread_uuid, natural(body.get("since")) or 0)
    return sse.response(sse.beating(_chunks(entrance, reader, wanted)))


async def _admit(request: HttpRequest, thread_id: str) -> None:
    """Raises NotFound for somebody else's thread; what is no id names none, and its command will say so."""
    try:
        wanted = UUID(thread_id)
    except ValueError:
        touches_nothing(caller_of(request))
        return
    await gate(wanted, caller_of(request))


async def _result(request: HttpRequest, thread_id: str, method: str, given: Any) -> dict[str, Any]:
    """A request is a connection of its own: nothing is subscribed on it, and no run bound to it."""
    params = given if isinstance(given, dict) else {}
    match method:
        case "subscription.subscribe":
            commands.check_channels(method, params)
            return {"subscription_id": str(uuid.uuid4()), "replayed_events": 0}
        case "subscription.unsubscribe":
            found = commands.subscription_of(params)
            raise ProtocolError("no_such_subscription", f"Unknown subscription: {found}")
        case "subscription.reconnect":
            commands.check_reconnect(params)
            raise commands.no_active_run()
        case "agent.getTree":
            raise commands.no_active_run()
    return await commands.carry_out(thread_id, method, params, run_caller_of(request))


def _filter(body: Any) -> Filter:
    """Raises BadRequest unless the body names channels."""
    channels = body.get("channels") if isinstance(body, dict) else None
    if not isinstance(channels, list) or not channels:
        raise BadRequest("channels is required and must be a non-empty array")
    wrong = unsupported_channels(channels)
    if wrong:
        shown = ", ".join(wrong[:SHOWN_ENTRIES])
        raise BadRequest(f"channels contains unsupported entries: {shown}. Allowed: {ALLOWED}.")
    return filter_of(body)


async def _chunks(entrance: Gate, reader: Reader, wanted: Filter) -> AsyncIterator[bytes]:
    """The events as frames, those read at once in one chunk, until the client leaves or the thread is deleted."""
    try:
        async for found in reader.follow():
            if found and not await entrance.lets_through():
                return
            shown = [sse.frame(event.method, event.wire, str(event.seq)) for event in found if wanted.shows(event)]
            yield b"".join(shown)
    except TooSlow:
        logger.info("A viewer of thread %s is too slow", reader.thread_id)


def _json(request: HttpRequest) -> Any:
    try:
        return dialect.loads(request.body)
    except ValueError:
        raise BadRequest("Invalid JSON body") from None


def _answer(document: dict[str, Any], status: int = 200) -> HttpResponse:
    return HttpResponse(dialect.dumps(document), status=status, content_type="application/json")
