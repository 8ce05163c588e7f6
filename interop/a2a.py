"""/a2a/{assistant_id} and the agent cards: every assistant is an agent, in both dialects of the protocol.

Reads and writes the envelopes; what they ask is done in turns.py and tasks.py. Source: contract/platform.md 11.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse

from accounts.authorizer import touches_nothing
from accounts.callers import Caller, caller_of, run_caller_of
from config import dialect, sse
from config.database import in_thread
from config.errors import Invalid, error_response, without_body
from config.rest import parse_json
from events import log
from interop import turns
from interop.a2a_stream import events_of
from interop.agent_cards import SCOPE_HEADER, agent_card, base_of, find_agent
from interop.dialects import TERMINAL, Dialect
from interop.jsonrpc import (
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    RpcError,
    failure,
    success,
)
from interop.tasks import Task, find_task, is_in_flight, list_tasks, shown_of, task_object
from interop.turns import Turn
from runs.live import KEEP_ALIVE, View, document

Json = dict[str, Any]
JSON = "application/json"
STREAM = "text/event-stream"
LEGACY, MODERN = Dialect(modern=False), Dialect(modern=True)
# What each method asks for, and in which dialect.
METHODS = {
    "message/send": ("send", LEGACY),
    "SendMessage": ("send", MODERN),
    "message/stream": ("stream", LEGACY),
    "SendStreamingMessage": ("stream", MODERN),
    "tasks/get": ("get", LEGACY),
    "GetTask": ("get", MODERN),
    "tasks/cancel": ("cancel", LEGACY),
    "CancelTask": ("cancel", MODERN),
    "tasks/resubscribe": ("subscribe", LEGACY),
    "SubscribeToTask": ("subscribe", MODERN),
    "ListTasks": ("list", MODERN),
    "GetExtendedAgentCard": ("card", MODERN),
}
STREAMED = ("stream", "subscribe")


@dataclass(frozen=True)
class Call:
    """A request of the protocol whose envelope is in order."""

    request_id: Any
    verb: str
    dialect: Dialect
    params: Json


class Answered(Exception):
    """There is an answer before anything is carried out."""

    def __init__(self, response: HttpResponseBase) -> None:
        super().__init__()
        self.response = response


async def a2a(request: HttpRequest, assistant_id: str) -> HttpResponseBase:
    """POST /a2a/{assistant_id} speaks the protocol, GET shows the card."""
    touches_nothing(caller_of(request))  # what does is asked about where it does
    if request.method == "GET":
        return await card(request, assistant_id)
    if request.method == "DELETE":
        return without_body(405)
    if request.method != "POST":
        return error_response(405, "Method Not Allowed", {"Allow": "GET, POST"})
    try:
        call = read_call(request)
    except Answered as answered:
        return answered.response
    try:
        return await _carry_out(request, assistant_id, call)
    except RpcError as error:
        refusal = dialect.dumps(failure(call.request_id, error))
        return sse.response(_just(_frame(refusal))) if call.verb in STREAMED else _json(refusal)


async def card(request: HttpRequest, assistant_id: str | None = None) -> HttpResponseBase:
    """GET the agent card, by the path or by `?assistant_id=`."""
    if request.method != "GET":
        return error_response(405, "Method Not Allowed", {"Allow": "GET"})
    touches_nothing(caller_of(request))
    wanted = assistant_id or request.GET.get("assistant_id") or settings.DEFAULT_A2A_ASSISTANT_ID
    try:
        if not wanted:
            raise RpcError(INVALID_PARAMS, "assistant_id is required")
        return _json(dialect.dumps(await in_thread(_card, caller_of(request), wanted, base_of(request))))
    except RpcError as error:
        return _json(dialect.dumps({"error": {"code": error.code, "message": error.message}}), 400)


def _card(caller: Caller, assistant_id: str, base: str) -> Json:
    return agent_card(find_agent(caller, assistant_id), base)


# --- envelopes --------------------------------------------------------------------------------------------------------


def read_call(request: HttpRequest) -> Call:
    """The request's call, checked in the contract's order. Raises Answered."""
    try:
        document = parse_json(request.body)
    except Invalid:
        raise _refused(None, RpcError(PARSE_ERROR, "Parse error")) from None
    if not isinstance(document, dict):
        raise _refused(None, RpcError(INVALID_REQUEST, "The request must be an object"))
    request_id = document.get("id")
    if isinstance(request_id, dict | list):
        request_id = None
    if document.get("jsonrpc") != "2.0":
        raise _refused(request_id, RpcError(INVALID_REQUEST, "jsonrpc must be 2.0"))
    if request_id is not document.get("id"):
        raise _refused(None, RpcError(INVALID_REQUEST, "id must be a string or a number"))
    if "method" not in document:
        if request_id is not None and ("result" in document or "error" in document):
            raise Answered(without_body(202))
        raise _refused(request_id, RpcError(INVALID_REQUEST, "method is missing"))
    return _call(request, request_id, document)


def _call(request: HttpRequest, request_id: Any, document: Json) -> Call:
    method, params = document["method"], document.get("params")
    if not isinstance(method, str) or method not in METHODS:
        raise _refused(request_id, RpcError(METHOD_NOT_FOUND, f"Method not found: {method}"))
    verb, spoken = METHODS[method]
    sends = verb in ("send", "stream")
    if not isinstance(params, dict) and (sends or params is not None):
        raise _refused(request_id, RpcError(INVALID_PARAMS, "params must be an object"))
    if sends and not isinstance((params or {}).get("message"), dict):
        raise _refused(request_id, RpcError(INVALID_PARAMS, "params.message must be an object"))
    wanted = STREAM if verb in STREAMED else JSON
    if not _accepts(request.headers.get("Accept", "*/*"), wanted):
        raise Answered(_json(dialect.dumps({"error": f"Accept must include {wanted}"}), 400))
    if request_id is None:
        raise _refused(None, RpcError(INVALID_REQUEST, "Notifications are not supported"))
    return Call(request_id, verb, spoken, params or {})


def _accepts(header: str, wanted: str) -> bool:
    offered = {part.partition(";")[0].strip().lower() for part in header.split(",")}
    return bool(offered & {"*/*", f"{wanted.partition('/')[0]}/*", wanted})


def _refused(request_id: Any, error: RpcError) -> Answered:
    return Answered(_json(dialect.dumps(failure(request_id, error))))


def _json(body: bytes, status: int = 200) -> HttpResponse:
    return HttpResponse(body, status=status, content_type=JSON)


# --- methods ----------------------------------------------------------------------------------------------------------


async def _carry_out(request: HttpRequest, assistant_id: str, call: Call) -> HttpResponseBase:
    """Raises RpcError."""
    if call.verb in ("send", "stream"):
        return await _send(request, assistant_id, call)
    if call.verb == "cancel":
        return await _cancel(request, assistant_id, call)
    if call.verb == "subscribe":
        return await _subscribe(request, assistant_id, call)
    result = await in_thread(_looked_up, request, assistant_id, call)
    return _json(dialect.dumps(success(call.request_id, result)))


def _looked_up(request: HttpRequest, assistant_id: str, call: Call) -> Json:
    """What is answered from rows alone."""
    caller, scope = caller_of(request), request.headers.get(SCOPE_HEADER)
    assistant = find_agent(caller, assistant_id)
    if call.verb == "card":
        return agent_card(assistant, base_of(request))
    if call.verb == "list":
        page = list_tasks(caller, assistant.assistant_id, call.params, shown_of(call.params, scope))
        return {**page, "tasks": [call.dialect.task(task) for task in page["tasks"]]}
    task = find_task(caller, assistant.assistant_id, call.params.get("id"), call.params.get("contextId"))
    return call.dialect.task(task_object(task, shown_of(call.params, scope)))


async def _send(request: HttpRequest, assistant_id: str, call: Call) -> HttpResponseBase:
    """SendMessage and its streaming twin."""
    message = turns.read_message(call.params)
    # The position first: what the run writes before we look again must not be missed.
    after = await _tail(message.task_id.rpartition(":")[0] if message.task_id else message.context_id)
    scope = request.headers.get(SCOPE_HEADER)
    turn = await in_thread(_started, assistant_id, message, call.params, run_caller_of(request), scope)
    view = View(turn.run.thread_id, turn.run.run_id, after, whole=True)
    if call.verb == "stream":
        return _streamed(call, turn, view, [call.dialect.sent(turns.submitted(turn))])
    if _wants_no_wait(call.params):
        return _json(dialect.dumps(success(call.request_id, call.dialect.sent(turns.submitted(turn)))))
    return StreamingHttpResponse(_waited(call, turn, view), content_type=JSON)


def _started(assistant_id: str, message: turns.Message, params: Json, caller: Caller, scope: str | None) -> Turn:
    return turns.start(find_agent(caller, assistant_id), message, params, caller, scope)


async def _tail(thread_id: str | None) -> str:
    """Where the thread's log ends; a text that is no thread's id has none."""
    try:
        return await log.tail(str(UUID(thread_id))) if thread_id else log.BEGINNING
    except ValueError:
        return log.BEGINNING


def _wants_no_wait(params: Json) -> bool:
    configuration = params.get("configuration")
    asked = configuration if isinstance(configuration, dict) else {}
    return asked.get("returnImmediately") is True or asked.get("blocking") is False


async def _waited(call: Call, turn: Turn, view: View) -> AsyncIterator[bytes]:
    """White space now and then, then the JSON-RPC answer."""
    async for chunk in document(view):
        if chunk == KEEP_ALIVE:
            yield chunk
        else:
            task = await in_thread(turns.concluded, turn, chunk)
            yield dialect.dumps(success(call.request_id, call.dialect.sent(task)))


def _streamed(call: Call, turn: Turn, view: View, before: list[Json]) -> HttpResponseBase:
    return sse.response(sse.beating(_frames(call, turn, view, before)))


async def _frames(call: Call, turn: Turn, view: View, before: list[Json]) -> AsyncIterator[bytes]:
    for result in before:
        yield _frame(dialect.dumps(success(call.request_id, result)))
    async for events in events_of(turn, view):
        yield b"".join(_frame(dialect.dumps(success(call.request_id, call.dialect.event(event)))) for event in events)


def _frame(document: bytes) -> bytes:
    """One event. Some clients split lines at separators that JSON allows inside of text."""
    for separator in ("\u0085", "\u2028", "\u2029"):
        document = document.replace(separator.encode(), f"\\u{ord(separator):04x}".encode())
    return sse.frame("message", document)


async def _just(frame: bytes) -> AsyncIterator[bytes]:
    yield frame


async def _cancel(request: HttpRequest, assistant_id: str, call: Call) -> HttpResponseBase:
    """CancelTask: what runs is ended and waited for."""
    shown = shown_of(call.params, request.headers.get(SCOPE_HEADER))
    after = await _tail(str(call.params.get("id")).rpartition(":")[0] or call.params.get("contextId"))
    task = await in_thread(_canceled, assistant_id, call.params, run_caller_of(request))
    view = View(task.newest.thread_id, task.newest.run_id, after) if is_in_flight(task) else None

    async def answer() -> AsyncIterator[bytes]:
        async for chunk in document(view, fall_back=False) if view else _just(b"{}"):
            if chunk == KEEP_ALIVE:
                yield chunk
        result = call.dialect.task(await in_thread(turns.canceled, task, shown))
        yield dialect.dumps(success(call.request_id, result))

    return StreamingHttpResponse(answer(), content_type=JSON)


def _canceled(assistant_id: str, params: Json, caller: Caller) -> Task:
    return turns.cancel(find_agent(caller, assistant_id), params, caller)


async def _subscribe(request: HttpRequest, assistant_id: str, call: Call) -> HttpResponseBase:
    """The stream of a task that goes on, from the beginning of its newest run."""
    task, result = await in_thread(_watched, caller_of(request), assistant_id, call)
    turn = Turn(turns.NOTHING_SAID, task.newest, shown_of(call.params))
    view = View(task.newest.thread_id, task.newest.run_id, whole=True)
    return _streamed(call, turn, view, [result])


def _watched(caller: Caller, assistant_id: str, call: Call) -> tuple[Task, Json]:
    assistant = find_agent(caller, assistant_id)
    task = find_task(caller, assistant.assistant_id, call.params.get("id"), call.params.get("contextId"))
    if task.state in TERMINAL or not is_in_flight(task):
        raise RpcError(turns.UNSUPPORTED, f"Task is {task.state}: there is nothing to stream")
    return task, call.dialect.sent(task_object(task, shown_of(call.params)))
