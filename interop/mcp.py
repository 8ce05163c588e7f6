"""POST /mcp: every assistant is a tool. Streamable HTTP without sessions, each request on its own.

The transport and the envelopes are ours, see docs/decisions. Source: contract/platform.md 10.
"""

from collections.abc import AsyncIterator
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from rest_framework.exceptions import APIException, ValidationError

from accounts.authorizer import authorize, touches_nothing
from accounts.callers import Caller, caller_of, run_caller_of
from config import dialect
from config.database import in_thread
from config.errors import error_response, first_problem, without_body
from config.rest import check
from interop.jsonrpc import INVALID_PARAMS, METHOD_NOT_FOUND, RpcError, failure, success
from interop.tools import find_tool, list_tools
from runs.dispatch import create_stateless_run
from runs.live import KEEP_ALIVE, View, document
from runs.models import Run
from runs.serializers import StatelessRunBody

VERSIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
STRUCTURED = VERSIONS[2:]  # the versions whose results may carry `structuredContent`
JSON = "application/json"
ACCEPTABLE = (JSON, "text/event-stream")


class NotAMessage(Exception):
    """What came is no message of the protocol at all: plain HTTP 400, not JSON-RPC."""


async def mcp(request: HttpRequest) -> HttpResponseBase:
    """POST /mcp; the other methods of the transport (a stream of the server's, a session's end) do not exist here."""
    if request.method in ("GET", "DELETE"):
        return without_body(405 if request.method == "GET" else 404)
    if request.method != "POST":
        return error_response(405, "Method Not Allowed", {"Allow": "POST"})
    try:
        message = read_message(request)
    except NotAMessage as error:
        return _json({"error": str(error)}, 400)
    touches_nothing(caller_of(request))  # what does is asked about where it does
    if message.get("id") is None or "method" not in message:
        return without_body(202)  # a notification, or an answer to something we never ask
    try:
        return await _answer(request, message["id"], message["method"], message.get("params"))
    except RpcError as error:
        return _json(failure(message["id"], error))


def read_message(request: HttpRequest) -> dict[str, Any]:
    """The JSON-RPC message of the body. Raises NotAMessage."""
    try:
        message = dialect.loads(request.body)
    except ValueError:
        raise NotAMessage("Invalid JSON") from None
    accepted = request.headers.get("Accept", "")
    if not any(kind in accepted for kind in ACCEPTABLE):
        raise NotAMessage("Accept must include application/json or text/event-stream.")
    if not isinstance(message, dict):
        raise NotAMessage("Invalid message format.")
    if message.get("jsonrpc") != "2.0":
        raise NotAMessage("Invalid JSON-RPC version.")
    if message.get("id") is None and not message.get("method"):
        raise NotAMessage("Invalid message format.")
    return message


async def _answer(request: HttpRequest, request_id: Any, method: Any, params: Any) -> HttpResponseBase:
    """Carry out a method. Raises RpcError."""
    params = {} if params is None else params
    if not isinstance(params, dict):
        raise RpcError(INVALID_PARAMS, "params must be an object")
    if method == "tools/call":
        run = await in_thread(_started, params, run_caller_of(request))
        structured = request.headers.get("MCP-Protocol-Version") in STRUCTURED
        return StreamingHttpResponse(_called(request_id, run, structured=structured), content_type=JSON)
    if method == "initialize":
        result = _initialized(params.get("protocolVersion"))
    elif method == "ping":
        result = {}
    elif method == "tools/list":
        result = await in_thread(list_tools, caller_of(request), params.get("cursor"))
    else:
        raise RpcError(METHOD_NOT_FOUND, f"Method not found: {method}")
    return _json(success(request_id, result))


async def _called(request_id: Any, run: Run, *, structured: bool) -> AsyncIterator[bytes]:
    """What keeps the connection alive while the tool works, then the answer."""
    async for chunk in document(View(run.thread_id, run.run_id, whole=True)):
        if chunk == KEEP_ALIVE:
            yield chunk
        else:
            yield dialect.dumps(success(request_id, tool_result(chunk, structured=structured)))


def _json(answer: dict[str, Any], status: int = 200) -> HttpResponse:
    return HttpResponse(dialect.dumps(answer), status=status, content_type=JSON)


def _initialized(wanted: Any) -> dict[str, Any]:
    return {
        "protocolVersion": wanted if wanted in VERSIONS else VERSIONS[-1],
        "capabilities": {"tools": {"listChanged": False}},
        "serverInfo": {"name": "Weft", "version": settings.VERSION},
    }


def _started(params: dict[str, Any], caller: Caller) -> Run:
    """The run that carries out a call. Raises RpcError."""
    assistant = find_tool(caller, params.get("name"))
    arguments = params.get("arguments")
    if arguments is not None and not isinstance(arguments, dict):
        raise RpcError(INVALID_PARAMS, "arguments must be an object")
    body = {"assistant_id": str(assistant.pk), "input": arguments or {}, "context": params.get("context")}
    try:
        run = create_stateless_run(check(body, StatelessRunBody), caller)
        authorize(caller, "threads", "read", {"thread_id": run.thread_id})
        return run
    except ValidationError as error:
        raise RpcError(INVALID_PARAMS, first_problem(error.detail)) from None
    except APIException as error:
        raise RpcError(INVALID_PARAMS, str(error.detail)) from None


def tool_result(left: bytes, *, structured: bool) -> dict[str, Any]:
    """A CallToolResult from what a run left, as a waiting client would get it."""
    values = dialect.loads(left)
    error = values.get("__error__") if isinstance(values, dict) else None
    if error is not None:
        # The type alone: a message may hold what is none of the caller's business.
        return {"isError": True, "content": [_text(str(error.get("error", "Error")))]}
    result: dict[str, Any] = {"content": [_text(left.decode())]}
    if structured and isinstance(values, dict):
        result["structuredContent"] = values
    return result


def _text(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}
