"""A2A's tasks, read from the rows of runs and threads. A task is a first run and those that went on with it.

Its id is "<thread>:<first run>"; later runs carry it in `metadata.a2a.task_id`. Synchronous; creates nothing.
Source: contract/platform.md 11.4, 11.6 and 11.8.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from django.conf import settings

from accounts.authorizer import authorize
from accounts.callers import Caller
from config.errors import Invalid
from config.rest import parse_uuid
from interop.dialects import legacy_state
from interop.jsonrpc import INVALID_PARAMS, RpcError
from interop.parts import PROVENANCE, history, text_part
from runs.models import IN_FLIGHT, Run, RunStatus
from threads.models import Thread, ThreadStatus

Json = dict[str, Any]
TASK_NOT_FOUND = -32001
SCANNED_RUNS = 5_000  # the newest of an assistant, among which tasks are listed
SCOPES = ("context", "task")
STATES = {
    RunStatus.PENDING: "submitted",
    RunStatus.RUNNING: "working",
    RunStatus.SUCCESS: "completed",
    RunStatus.INTERRUPTED: "canceled",
    RunStatus.ERROR: "failed",
    RunStatus.TIMEOUT: "failed",
}


@dataclass(frozen=True)
class Shown:
    """How much of the history a client wants: the newest `length` messages (None all, 0 none) of task or context."""

    length: int | None = None
    scope: str = "context"


@dataclass
class Task:
    """One task: its first run and the newest one, which decides its state."""

    task_id: str
    first: Run
    newest: Run

    @property
    def thread(self) -> Thread:
        """The context."""
        return self.newest.thread

    @property
    def state(self) -> str:
        """Its state in the legacy words. A newest run that stopped for a human waits for input."""
        state = STATES[RunStatus(self.newest.shown_status)]
        if state == "completed" and self.thread.status == ThreadStatus.INTERRUPTED and self._is_last():
            return "input-required"
        return state

    def _is_last(self) -> bool:
        last = Run.objects.filter(thread_id=self.newest.thread_id).order_by("-created_at", "-run_id").first()
        return last is not None and last.pk == self.newest.pk


def task_id_of(run: Run) -> str:
    """The task a run belongs to; its own when it began one."""
    origin = run.metadata.get(PROVENANCE)
    found = origin.get("task_id") if isinstance(origin, dict) else None
    return found if isinstance(found, str) and found else f"{run.thread_id}:{run.run_id}"


def find_task(caller: Caller, assistant_id: UUID, task_id: Any, context_id: Any) -> Task:
    """The task, if the caller may read it; a bare run id will do beside its context's.

    Raises RpcError and what `authorize` raises.
    """
    if not isinstance(task_id, str) or not task_id:
        raise RpcError(INVALID_PARAMS, "id must be the id of a task")
    thread_text, _, run_text = task_id.rpartition(":")
    try:
        thread_id = parse_uuid(thread_text or str(context_id), "thread ID")
        run_id = parse_uuid(run_text, "run ID")
    except Invalid:
        raise not_found(task_id) from None
    scope = authorize(caller, "threads", "read", {"thread_id": thread_id})
    rows = Run.objects.within(scope).filter(thread_id=thread_id, assistant_id=assistant_id)
    first = rows.filter(run_id=run_id).select_related("thread").first()
    if first is None or (isinstance(context_id, str) and context_id not in ("", str(thread_id))):
        raise not_found(task_id)
    whole_id = f"{thread_id}:{run_id}"
    later = rows.filter(metadata__contains={PROVENANCE: {"task_id": whole_id}}).select_related("thread")
    newest = later.order_by("-created_at", "-run_id").first()
    return Task(whole_id, first, newest or first)


def not_found(task_id: str) -> RpcError:
    """The refusal of a task that is not there, or not theirs to see."""
    return RpcError(TASK_NOT_FOUND, f"Task not found: {task_id}")


def list_tasks(caller: Caller, assistant_id: UUID, params: Json, shown: Shown) -> Json:
    """A page of the tasks of the assistant that the caller may find, newest first.

    Raises RpcError and what `authorize` raises.
    """
    size, offset = page_of(params)
    state, after = _wanted_state(params.get("status")), _moment(params.get("statusTimestampAfter"))
    asked: Json = {"metadata": {}, "values": {}, "status": None, "limit": size, "offset": offset}
    runs = Run.objects.within(authorize(caller, "threads", "search", asked))
    rows = runs.filter(assistant_id=assistant_id).select_related("thread")
    context = params.get("contextId")
    if context is not None:
        rows = rows.filter(thread_id=_context(context))
    found = [
        task
        for task in _grouped(rows.order_by("-created_at", "-run_id")[:SCANNED_RUNS])
        if (state is None or task.state == state) and (after is None or task.newest.updated_at > after)
    ]
    page = found[offset : offset + size]
    more: Json = {} if params.get("includeArtifacts") else {"artifacts": []}
    tasks = [{**task_object(task, shown), **more} for task in page]
    following = offset + size
    return {
        "tasks": tasks,
        "totalSize": len(found),
        "pageSize": len(tasks),
        "nextPageToken": str(following) if following < len(found) else "",
    }


def _grouped(newest_first: Iterable[Run]) -> list[Task]:
    tasks: dict[str, Task] = {}
    for run in newest_first:
        task_id = task_id_of(run)
        if task_id in tasks:
            tasks[task_id].first = run
        else:
            tasks[task_id] = Task(task_id, run, run)
    return list(tasks.values())


def task_object(task: Task, shown: Shown) -> Json:
    """The task as GetTask answers it: status and history, no artifacts."""
    state = task.state
    status: Json = {"state": state, "timestamp": task.newest.updated_at.isoformat()}
    if state in ("completed", "failed"):
        failed = f"Task failed with status: {task.newest.status}"
        text = failed if state == "failed" else "Task completed successfully"
        status["message"] = agent_message(task.newest, text)
    return {
        "kind": "task",
        "id": task.task_id,
        "contextId": str(task.newest.thread_id),
        "status": status,
        **history_of(task, shown),
    }


def agent_message(run: Run, text: str) -> Json:
    """A message of the agent's about the task the run belongs to."""
    return {
        "kind": "message",
        "role": "agent",
        "messageId": str(uuid4()),
        "contextId": str(run.thread_id),
        "taskId": task_id_of(run),
        "parts": [text_part(text)],
    }


def history_of(task: Task, shown: Shown) -> Json:
    """`{"history": [...]}`; nothing when the client wants none."""
    if shown.length == 0:
        return {}
    messages = history(
        task.thread.values,
        context_id=str(task.newest.thread_id),
        starts=_starts(task.newest.thread_id),
        task_id=task.task_id if shown.scope == "task" else None,
        tools=settings.A2A_ALLOWED_TOOL_CALL_RESULTS,
    )
    return {"history": messages if shown.length is None else messages[-shown.length :]}


def _starts(thread_id: UUID) -> dict[str, str]:
    """Message id to the task it began."""
    rows = Run.objects.filter(thread_id=thread_id, metadata__has_key=PROVENANCE).only("run_id", "thread_id", "metadata")
    origins = ((run.metadata[PROVENANCE], run) for run in rows.order_by("-created_at"))
    return {
        str(origin.get("task_start_id")): task_id_of(run)
        for origin, run in origins
        if isinstance(origin, dict) and not origin.get("task_id")
    }


def is_in_flight(task: Task) -> bool:
    """Whether a run of it is pending or running."""
    return task.newest.status in IN_FLIGHT


# --- parameters -------------------------------------------------------------------------------------------------------


def shown_of(params: Json, header: str | None = None) -> Shown:
    """`historyLength` and `historyScope`; the header says the scope where the parameters do not. Raises RpcError."""
    length, scope = params.get("historyLength"), params.get("historyScope", header)
    if length is not None and (isinstance(length, bool) or not isinstance(length, int) or length < 0):
        raise RpcError(INVALID_PARAMS, "historyLength must be a whole number from 0")
    if scope is not None and scope not in SCOPES:
        raise RpcError(INVALID_PARAMS, "historyScope must be context or task")
    return Shown(length, scope or "context")


def page_of(params: Json) -> tuple[int, int]:
    """Page size and offset. Raises RpcError."""
    size, token = params.get("pageSize", 50), params.get("pageToken") or "0"
    if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= 100:
        raise RpcError(INVALID_PARAMS, "pageSize must be a whole number from 1 to 100")
    if not isinstance(token, str) or not token.isdecimal() or len(token) > 9:
        raise RpcError(INVALID_PARAMS, "pageToken must be a token of an earlier page")
    return size, int(token)


def _wanted_state(given: Any) -> str | None:
    if given in (None, "", "TASK_STATE_UNSPECIFIED"):
        return None
    state = legacy_state(given)
    if state is None:
        raise RpcError(INVALID_PARAMS, "status must be a task state")
    return state


def _moment(given: Any) -> datetime | None:
    if given is None:
        return None
    try:
        moment = datetime.fromisoformat(given)
    except (TypeError, ValueError):
        raise RpcError(INVALID_PARAMS, "statusTimestampAfter must be an ISO 8601 time") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _context(given: Any) -> UUID:
    try:
        return parse_uuid(given if isinstance(given, str) else "", "context ID")
    except Invalid as error:
        raise RpcError(INVALID_PARAMS, str(error.detail)) from None
