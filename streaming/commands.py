"""The protocol's commands, checked and carried out. Runs are created by runs/dispatch.py, here as everywhere.

Every failure is a ProtocolError, which the wire shows as an envelope. Source: contract/streaming.md 8.1 and 8.4.
"""

import logging
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db import transaction
from redis.exceptions import RedisError
from rest_framework.exceptions import APIException, ValidationError

from accounts.authorizer import Scope, authorize
from accounts.callers import Caller
from config.database import in_thread
from config.errors import UNAVAILABLE, Invalid, first_problem
from config.rest import check, parse_uuid
from events import log
from runs import envelopes
from runs.dispatch import create_run
from runs.models import EVENT_STREAMING, MultitaskStrategy, Run
from runs.serializers import StatefulRunBody
from streaming.filters import natural, unsupported_channels
from threads.models import Thread

logger = logging.getLogger(__name__)
Params = dict[str, Any]
Asked = Mapping[str, set[str]]  # run id to the ids of the interrupts its log shows
# What the run's row says it streams; its envelopes do not depend on it.
STREAM_MODES = ["values", "updates", "messages", "tools", "lifecycle", "custom", "tasks", "checkpoints"]
TRACER_FIELDS = ("project_name", "example_id")
BAD_COMMAND = "Protocol commands must include an integer id and string method."
SEARCHED_PARTS = 10_000  # of the log's newest, for the questions of a run that has not ended


class ProtocolError(Exception):
    """A command that is refused: a code of the protocol, a sentence, and what else the answer says."""

    def __init__(self, code: str, message: str, **more: Any) -> None:
        super().__init__(message)
        self.code, self.message, self.more = code, message, more


class MustLook(Exception):
    """The thread is busy: whether its run has asked something is in the log, not yet in the rows."""


def is_command(document: Any) -> bool:
    """Whether a JSON document has the form of a command."""
    found = isinstance(document, dict) and isinstance(document.get("id"), int)
    return found and isinstance(document.get("method"), str)


def success(command_id: Any, result: Params, applied_through_seq: int) -> Params:
    """The answer to a command that was carried out."""
    return {"type": "success", "id": command_id, "result": result, "meta": {"applied_through_seq": applied_through_seq}}


def failure(command_id: Any, error: ProtocolError) -> Params:
    """The answer to one that was not."""
    return {"type": "error", "id": command_id, "error": error.code, "message": error.message, **error.more}


async def carry_out(thread_id: str, method: str, params: Params, caller: Caller) -> Params:
    """The result of a command that creates a run. Raises ProtocolError."""
    verb = {"run.start": start_run, "input.respond": respond}.get(method)
    if verb is None:
        raise ProtocolError("unknown_command", f"Unknown protocol command: {method}")
    try:
        thread = _thread_uuid(thread_id)
        try:
            return await in_thread(verb, thread, params, caller, None)
        except MustLook:
            return await in_thread(verb, thread, params, caller, await asked_in_log(thread))
    except ProtocolError:
        raise
    except Exception as error:
        raise _refused(error) from error


def start_run(thread_id: UUID, params: Params, caller: Caller, asked: Asked | None) -> Params:
    """`run.start`: a new run, or the answer to what the thread waits for. Raises ProtocolError and MustLook."""
    assistant_id = params.get("assistant_id")
    if not isinstance(assistant_id, str) or not assistant_id:
        raise ProtocolError("invalid_argument", "run.start requires an assistant_id.")
    body = {"assistant_id": assistant_id, "multitask_strategy": _strategy(params), **_common(params)}
    if params.get("langsmith_tracer") is not None:
        body["langsmith_tracer"] = _tracer(params["langsmith_tracer"])
    given = params.get("input")
    scope = authorize(caller, "threads", "read", {"thread_id": thread_id})
    with transaction.atomic():
        if given is not None and _pending(thread_id, scope, asked):
            body["command"] = {"resume": given}
        else:
            body["input"] = given
        run = _created(thread_id, body, caller)
    return {"run_id": str(run.run_id)}


def respond(thread_id: UUID, params: Params, caller: Caller, asked: Asked | None) -> Params:
    """`input.respond`: a run that goes on with the answers. Raises ProtocolError and MustLook."""
    answers = answers_of(params)
    scope = authorize(caller, "threads", "read", {"thread_id": thread_id})
    with transaction.atomic():
        thread = Thread.objects.within(scope).select_for_update().filter(thread_id=thread_id).first()
        assistant_id = thread.metadata.get("assistant_id") if thread else None
        if not isinstance(assistant_id, str):
            raise ProtocolError("no_such_run", "No interrupted run is bound to this thread.")
        pending = _pending(thread_id, scope, asked)
        for interrupt_id in answers:
            if interrupt_id not in pending:
                raise ProtocolError("no_such_interrupt", f"Unknown or already-consumed interrupt: {interrupt_id}")
        command = {"resume": answers, "update": params.get("update"), "goto": params.get("goto")}
        command = {name: value for name, value in command.items() if value is not None}
        body = {"assistant_id": assistant_id, "command": command, "multitask_strategy": "enqueue", **_common(params)}
        _created(thread_id, body, caller)
    return {}


def answers_of(params: Params) -> dict[str, Any]:
    """Interrupt id to response, of both forms. Raises ProtocolError."""
    entries, what = [params], "input.respond requires"
    if "responses" in params:
        entries, what = params["responses"], "input.respond responses entries require"
        if not isinstance(entries, list) or not entries:
            raise ProtocolError("invalid_argument", "input.respond requires at least one response.")
    answers: dict[str, Any] = {}
    for entry in entries:
        if not isinstance(entry, dict):
            raise ProtocolError("invalid_argument", "input.respond responses entries must be objects.")
        interrupt_id = entry.get("interrupt_id")
        if not isinstance(interrupt_id, str) or not interrupt_id:
            raise ProtocolError("invalid_argument", f"{what} an interrupt_id.")
        if not _is_namespace(entry.get("namespace")):
            raise ProtocolError("invalid_argument", "input.respond requires namespace to be a list of strings.")
        answers[interrupt_id] = entry.get("response")
    return answers


def namespaces_of(params: Params) -> dict[str, list[str]]:
    """Interrupt id to the namespace that was given with it; the params have been checked."""
    entries = params.get("responses", [params])
    return {entry["interrupt_id"]: entry["namespace"] for entry in entries if entry.get("namespace") is not None}


def check_channels(method: str, params: Params) -> None:
    """Raises ProtocolError unless the params name channels."""
    channels = params.get("channels")
    if not isinstance(channels, list) or not channels:
        raise ProtocolError("invalid_argument", f"{method} requires a non-empty channels array.")
    if unsupported_channels(channels):
        raise ProtocolError("invalid_argument", f"{method} received an unsupported channel.")


def check_reconnect(params: Params) -> int:
    """The number a reconnect goes on from. Raises ProtocolError."""
    check_channels("subscription.reconnect", params)
    since = natural(params.get("since"))
    if since is None:
        raise ProtocolError("invalid_argument", "subscription.reconnect requires since to be a non-negative integer.")
    return since


def no_active_run() -> ProtocolError:
    """The refusal of what asks about a run where none was seen."""
    return ProtocolError("no_such_run", "No active run is bound to this thread.")


def resume_gap(since: int, available: int, applied_through_seq: int) -> ProtocolError:
    """The refusal to go on from a number whose successors the log has no longer."""
    text = "Events behind this position are no longer stored. Read the thread's state and subscribe anew."
    meta = {"applied_through_seq": applied_through_seq}
    return ProtocolError("resume_gap", text, since=since, min_available_seq=available, meta=meta)


def subscription_of(params: Params) -> str:
    """The subscription an unsubscribe names. Raises ProtocolError."""
    found = params.get("subscription_id")
    if not isinstance(found, str) or not found:
        raise ProtocolError("invalid_argument", "subscription.unsubscribe requires a subscription_id.")
    return found


async def asked_in_log(thread_id: UUID) -> Asked:
    """The questions in the newest parts of the thread's log."""
    asked: dict[str, set[str]] = {}
    try:
        parts = await log.newest(str(thread_id), SEARCHED_PARTS)
    except RedisError:
        return asked
    for part in parts:
        if envelopes.method_of(part.event) == "input.requested" and envelopes.is_envelope(part.data):
            asked.setdefault(part.run_id, set()).add(envelopes.interrupt_id_of(part.data))
    return asked


# --- checking and creating --------------------------------------------------------------------------------------------


def _pending(thread_id: UUID, scope: Scope, asked: Asked | None) -> set[str]:
    """The ids of the interrupts nobody has answered. Locks the thread. Raises MustLook.

    The rows know them once the asking run has ended; of a run that asked and goes on, the log knows.
    """
    thread = Thread.objects.within(scope).select_for_update().filter(thread_id=thread_id).first()
    if thread is None:
        return set()
    pending = {interrupt["id"] for interrupts in thread.interrupts.values() for interrupt in interrupts}
    for run in Run.objects.filter(thread_id=thread_id).in_flight().in_turn():
        if asked is None:
            raise MustLook
        resume = (run.kwargs.get("command") or {}).get("resume")
        if isinstance(resume, dict):
            pending -= resume.keys()
        else:
            pending.clear()  # new input, or an answer to everything
        pending |= asked.get(str(run.run_id), set())
    return pending


def _created(thread_id: UUID, body: Params, caller: Caller) -> Run:
    if not envelopes.supported():
        raise ProtocolError("unsupported", "The installed langgraph is too old for event streaming. Upgrade it.")
    checked = check(body, StatefulRunBody)
    config = checked.get("config", {})
    configurable = {**config.get("configurable", {}), "thread_id": str(thread_id), EVENT_STREAMING: True}
    checked |= {
        "config": {**config, "configurable": configurable},
        "stream_mode": STREAM_MODES,
        "stream_subgraphs": True,
        "stream_resumable": True,
        "if_not_exists": "create",
    }
    return create_run(thread_id, checked, caller)


def _common(params: Params) -> Params:
    """What both commands take besides."""
    config = params.get("config")
    _check_checkpoint(config)
    metadata = params.get("metadata")
    return {**({} if config is None else {"config": config}), **({} if metadata is None else {"metadata": metadata})}


def _check_checkpoint(config: Any) -> None:
    configurable = config.get("configurable") if isinstance(config, dict) else None
    if not isinstance(configurable, dict) or configurable.get("checkpoint_id") is None:
        return
    found = configurable["checkpoint_id"]
    if not isinstance(found, str) or not found:
        raise ProtocolError("invalid_argument", "config.configurable.checkpoint_id must be a non-empty string.")
    try:
        parse_uuid(found, "checkpoint ID")
    except Invalid:
        raise ProtocolError("invalid_argument", f"Invalid config.configurable.checkpoint_id: {found!r}.") from None


def _tracer(given: Any) -> Params:
    if not isinstance(given, dict):
        raise ProtocolError("invalid_argument", "langsmith_tracer must be an object.")
    unknown = sorted(set(given) - set(TRACER_FIELDS))
    if unknown:
        raise ProtocolError("invalid_argument", f"langsmith_tracer has unsupported fields: {unknown}.")
    for name, value in given.items():
        if not isinstance(value, str):
            raise ProtocolError("invalid_argument", f"langsmith_tracer.{name} must be a string.")
    return given


def _strategy(params: Params) -> str:
    found = params.get("multitaskStrategy", params.get("multitask_strategy"))
    return found if isinstance(found, str) and found in MultitaskStrategy.values else str(MultitaskStrategy.ENQUEUE)


def _is_namespace(value: Any) -> bool:
    return value is None or (isinstance(value, list) and all(isinstance(part, str) for part in value))


def _thread_uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise Invalid("Invalid thread ID") from None


def _refused(error: Exception) -> ProtocolError:
    """What the protocol says instead of an HTTP error."""
    if isinstance(error, ValidationError):
        return ProtocolError("unknown_error", f"422: {first_problem(error.detail)}")
    if isinstance(error, APIException):
        return ProtocolError("unknown_error", f"{error.status_code}: {error.detail}")
    if isinstance(error, UNAVAILABLE):
        logger.warning("A service did not answer: %s", error)
        return ProtocolError("unknown_error", "503: The database or Redis is not available. Try again.")
    logger.error("A command failed", exc_info=error)
    return ProtocolError("unknown_error", "500: Internal Server Error")
