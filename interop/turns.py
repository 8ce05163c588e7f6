"""One message to an A2A agent: the run it starts, and the task it comes to. Runs are made by runs/dispatch.py.

Source: contract/platform.md 11.5 and 11.7.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone
from langgraph.graph import END
from rest_framework.exceptions import APIException, ValidationError
from uuid_utils.compat import uuid7

from accounts.callers import Caller
from assistants.models import Assistant
from config import dialect, loop
from config.errors import Invalid, NotFound, first_problem
from config.rest import check, parse_uuid
from interop.dialects import TERMINAL, legacy_role
from interop.input_schemas import input_schema
from interop.jsonrpc import INVALID_PARAMS, RpcError
from interop.parts import PROVENANCE, Content, answer_parts, content_of, data_part, graph_input
from interop.tasks import Shown, Task, agent_message, find_task, history_of, not_found, shown_of, task_id_of
from runs.dispatch import cancel_run, cancel_runs, create_run
from runs.models import CancelAction, Run, RunStatus
from runs.permission import may_cancel
from runs.serializers import StatefulRunBody
from threads import state
from threads.models import Thread

Json = dict[str, Any]
NOT_CANCELABLE = -32002
UNSUPPORTED = -32004
LONGEST_HISTORY = 10
CANCELED = "Task was canceled"
NEVER_DUE_SECONDS = 3.0e9  # the run that marks a cancel is never to be picked up


@dataclass(frozen=True)
class Message:
    """A message as it was sent, checked. `raw` is its object, `resume` the answer it is marked as."""

    raw: Json
    role: str
    content: Content
    context_id: str | None
    task_id: str | None
    resume: tuple[Any] | None  # in a tuple, for null is an answer too


NOTHING_SAID = Message({"messageId": "", "parts": []}, "user", Content(), None, None, None)


@dataclass(frozen=True)
class Turn:
    """A message and the run that carries it out."""

    message: Message
    run: Run
    shown: Shown

    @property
    def sent_ids(self) -> list[str]:
        """The ids its messages have in the state."""
        first = self.message.raw["messageId"]
        return [first, *(f"{first}-{number}" for number in range(1, len(self.message.content.texts)))]


def read_message(params: Json) -> Message:
    """`params.message`. Raises RpcError."""
    raw = params.get("message")
    if not isinstance(raw, dict):
        raise RpcError(INVALID_PARAMS, "params.message must be an object")
    if not isinstance(raw.get("messageId"), str) or not raw["messageId"]:
        raise RpcError(INVALID_PARAMS, "message.messageId must be a non-empty string")
    role = legacy_role(raw.get("role"))
    if role is None:
        raise RpcError(INVALID_PARAMS, "message.role must be user or agent")
    if not isinstance(raw.get("parts"), list) or not raw["parts"]:
        raise RpcError(INVALID_PARAMS, "message.parts must be a non-empty array")
    content = content_of(raw["parts"])
    message = Message(raw, role, content, _text(raw, "contextId"), _text(raw, "taskId"), _resume(raw, content))
    if message.resume and not (message.task_id and message.context_id):
        raise RpcError(INVALID_PARAMS, "An answer needs the taskId and the contextId of the task that asked")
    return message


def _text(raw: Json, name: str) -> str | None:
    found = raw.get(name)
    if found is not None and not isinstance(found, str):
        raise RpcError(INVALID_PARAMS, f"message.{name} must be a string")
    return found or None


def _resume(raw: Json, content: Content) -> tuple[Any] | None:
    """The answer that is marked as one."""
    command = raw.get("command")
    if command is not None:
        if not isinstance(command, dict) or set(command) != {"resume"}:
            raise RpcError(INVALID_PARAMS, "message.command must be an object with resume alone")
        return (command["resume"],)
    only_resume = not content.blocks and set(content.data) == {"resume"}
    return (content.data["resume"],) if only_resume else None


def start(assistant: Assistant, message: Message, params: Json, caller: Caller, scope: str | None) -> Turn:
    """Create the run for a message. Raises RpcError; nothing is written then."""
    configuration = params.get("configuration")
    shown = shown_of(configuration if isinstance(configuration, dict) else {}, scope)
    if shown.length is not None and shown.length > LONGEST_HISTORY:
        raise RpcError(INVALID_PARAMS, f"historyLength must be at most {LONGEST_HISTORY}")
    with transaction.atomic():
        task = _locked_task(caller, assistant.assistant_id, message) if message.task_id else None
        thread_id = task.newest.thread_id if task else _context(message.context_id)
        origin = {"task_id": task.task_id} if task else {"task_start_id": message.raw["messageId"]}
        said = _said(assistant, message, task, origin)
        run = _created(assistant, thread_id, {**said, "metadata": {PROVENANCE: origin}}, params, caller)
    return Turn(message, run, shown)


def _locked_task(caller: Caller, assistant_id: UUID, message: Message) -> Task:
    """The task the message goes on with, nobody else answering it meanwhile."""
    task = find_task(caller, assistant_id, message.task_id, message.context_id)
    Thread.objects.select_for_update().filter(pk=task.newest.thread_id).first()
    task = find_task(caller, assistant_id, message.task_id, message.context_id)
    if task.state in TERMINAL:
        raise RpcError(UNSUPPORTED, f"Task is {task.state}. Start a new task in the same context.")
    return task


def _said(assistant: Assistant, message: Message, task: Task | None, origin: Json) -> Json:
    """The run's command when the task waits for an answer, else its input."""
    if task and task.state == "input-required":
        texts = "\n".join(message.content.texts)
        answer = message.resume[0] if message.resume else texts or message.content.data
        return {"command": {"resume": answer}}
    if message.resume:
        raise RpcError(INVALID_PARAMS, "The task waits for no answer")
    return {"input": graph_input(message.raw, message.content, message.role, origin, input_schema(assistant))}


def _context(context_id: str | None) -> UUID:
    if context_id is None:
        return uuid7()
    try:
        return parse_uuid(context_id, "thread ID")
    except Invalid:
        raise RpcError(INVALID_PARAMS, "Failed to create run: Invalid thread ID") from None


def _created(assistant: Assistant, thread_id: UUID, body: Json, params: Json, caller: Caller) -> Run:
    whole = {
        **body,
        "assistant_id": str(assistant.assistant_id),
        "context": params.get("context"),
        "stream_mode": ["values", "messages-tuple"],
        "if_not_exists": "create",
    }
    try:
        return create_run(thread_id, check(whole, StatefulRunBody), caller)
    except ValidationError as error:
        raise RpcError(INVALID_PARAMS, f"Failed to create run: {first_problem(error.detail)}") from None
    except NotFound as error:
        data = {"thread_id": str(thread_id), "error_type": "thread_not_found"}
        raise RpcError(INVALID_PARAMS, f"Failed to create run: {error.detail}", data) from None
    except APIException as error:
        raise RpcError(INVALID_PARAMS, f"Failed to create run: {error.detail}") from None


# --- what it came to --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outcome:
    """How a turn ended: the task's state, what it answers or asks, and what went wrong."""

    state: str
    artifact: Json | None = None
    error: Json | None = None


def outcome_of(turn: Turn, left: bytes) -> Outcome:
    """From what a waiting client of the run would get (`left`), and the run's row."""
    values = dialect.loads(left)
    if isinstance(values, dict) and isinstance(values.get("__error__"), dict):
        return Outcome("failed", error=values["__error__"])
    status = Run.objects.filter(pk=turn.run.pk).values_list("status", flat=True).first()
    if status in (None, RunStatus.INTERRUPTED):
        return Outcome("canceled")
    if status in (RunStatus.ERROR, RunStatus.TIMEOUT):
        return Outcome("failed", error={"error": str(status).title(), "message": f"Task failed with status: {status}"})
    if isinstance(values, dict) and values.get("__interrupt__"):
        return Outcome("input-required", _question(turn, values["__interrupt__"]))
    description = f"Response from assistant {turn.run.assistant_id}"
    return Outcome("completed", _artifact(turn, "Assistant Response", description, answer_parts(values, turn.sent_ids)))


def _question(turn: Turn, interrupts: list[Json]) -> Json:
    shown = ("id", "value", "response_schema")
    parts = [data_part({name: interrupt[name] for name in shown if name in interrupt}) for interrupt in interrupts]
    return _artifact(turn, "Interrupt", "Agent requires input to continue", parts)


def _artifact(turn: Turn, name: str, description: str, parts: list[Json]) -> Json:
    return {"artifactId": str(turn.run.run_id), "name": name, "description": description, "parts": parts}


def concluded(turn: Turn, left: bytes) -> Json:
    """The task as SendMessage answers it."""
    outcome, task = outcome_of(turn, left), task_of(turn.run)
    answer: Json = {"kind": "task", "id": task.task_id, "contextId": str(turn.run.thread_id)}
    if outcome.error is not None:
        kind = outcome.error.get("error", "Error")
        answer["status"] = {"state": "failed", "message": agent_message(turn.run, f"Error executing assistant: {kind}")}
    else:
        answer["status"] = {"state": outcome.state, "timestamp": timezone.now().isoformat()}
        answer["artifacts"] = [outcome.artifact] if outcome.artifact else []
    return {**answer, **history_of(task, turn.shown)}


def submitted(turn: Turn) -> Json:
    """The task before anything has come of it, the user's message its only history."""
    task_id, context_id = task_id_of(turn.run), str(turn.run.thread_id)
    raw = turn.message.raw
    said = {
        "kind": "message",
        "role": turn.message.role,
        "messageId": raw["messageId"],
        "contextId": context_id,
        "taskId": task_id,
        "parts": raw["parts"],
    }
    status = {"state": "submitted", "timestamp": timezone.now().isoformat()}
    history = {} if turn.shown.length == 0 else {"history": [said]}
    return {"kind": "task", "id": task_id, "contextId": context_id, "status": status, **history, "artifacts": []}


def task_of(run: Run) -> Task:
    """The task as this run left it; the thread read anew."""
    thread = Thread.objects.filter(pk=run.thread_id).first() or Thread(thread_id=run.thread_id)
    run.thread = thread
    return Task(task_id_of(run), run, run)


# --- cancelling -------------------------------------------------------------------------------------------------------


def cancel(assistant: Assistant, params: Json, caller: Caller) -> Task:
    """End a task; one that runs is still to be waited for. Raises RpcError."""
    with transaction.atomic():
        task = find_task(caller, assistant.assistant_id, params.get("id"), params.get("contextId"))
        scope = may_cancel(caller, task.newest.thread_id, CancelAction.INTERRUPT, run_ids=[task.newest.run_id])
        if not Run.objects.within(scope).filter(pk=task.newest.pk).exists():
            raise not_found(task.task_id)
        Thread.objects.select_for_update().filter(pk=task.newest.thread_id).first()
        task = find_task(caller, assistant.assistant_id, params.get("id"), params.get("contextId"))
        reason = "A2A CancelTask"
        if task.state in TERMINAL:
            raise RpcError(NOT_CANCELABLE, f"Task is {task.state} and cannot be canceled")
        if task.state == "input-required":
            _end_waiting(assistant, task, caller, reason)
        else:
            cancel_runs(_runs_of(task), CancelAction.INTERRUPT, reason)
    return task


def _runs_of(task: Task) -> list[Run]:
    runs = Run.objects.filter(thread_id=task.newest.thread_id).in_flight().in_turn()
    return [run for run in runs if task_id_of(run) == task.task_id]


def _end_waiting(assistant: Assistant, task: Task, caller: Caller, reason: str) -> None:
    """Take the graph to its end, and leave a cancelled run as the task's newest."""
    thread = Thread.objects.get(pk=task.newest.thread_id)
    configurable = {"thread_id": str(thread.thread_id), "graph_id": assistant.graph_id}
    config = {**thread.config, "configurable": {**thread.config.get("configurable", {}), **configurable}}
    ended: Json = {"values": None, "as_node": END, "checkpoint": None}
    writing = state.update_state(thread.thread_id, assistant.graph_id, config, tenant=thread.tenant, **ended)
    _, head, _ = loop.run(writing)
    thread.settle(head, graph_id=assistant.graph_id, busy=False)
    body = {"metadata": {PROVENANCE: {"task_id": task.task_id}}, "after_seconds": NEVER_DUE_SECONDS}
    marker = _created(assistant, thread.thread_id, body, {}, caller)
    cancel_run(marker, CancelAction.INTERRUPT, reason)


def canceled(task: Task, shown: Shown) -> Json:
    """The task as CancelTask answers it."""
    status = {
        "state": "canceled",
        "timestamp": timezone.now().isoformat(),
        "message": agent_message(task.newest, CANCELED),
    }
    identity = {"kind": "task", "id": task.task_id, "contextId": str(task.newest.thread_id)}
    return {**identity, "status": status, **history_of(task, shown)}
