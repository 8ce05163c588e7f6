"""What resource handlers are shown of a run that is to be created or cancelled, and what they made of it.

Source: contract/platform.md 6.5.
"""

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from accounts.authorizer import EVERYTHING, Scope, authorize
from accounts.callers import Caller
from assistants.visible import may_run
from config.errors import NotFound
from runs.models import CancelAction, MultitaskStrategy, RunStatus

# The body's names for what handlers, like clients, see as `kwargs`.
KWARGS = {
    "input": "input",
    "command": "command",
    "config": "config",
    "context": "context",
    "stream_mode": "stream_mode",
    "interrupt_before": "interrupt_before",
    "interrupt_after": "interrupt_after",
    "webhook": "webhook",
    "feedback_keys": "feedback_keys",
    "stream_subgraphs": "subgraphs",
    "stream_resumable": "resumable",
    "durability": "durability",
}
CHANGEABLE = ("multitask_strategy", "if_not_exists", "after_seconds")


def may_create(
    caller: Caller,
    thread_id: UUID | None,
    assistant_id: UUID,
    run_id: UUID,
    body: dict[str, Any],
    *,
    may_run: Callable[[Caller, UUID], bool] = may_run,
) -> tuple[Scope, dict[str, Any]]:
    """Which threads the caller may create the run on, and the body as the handler left it; no thread, a new one.

    `may_run` is for those who have asked before.
    Raises NotFound for an assistant the caller does not see, and what `authorize` raises.
    """
    if caller.unbound:
        return authorize(caller, "threads", "create_run"), body
    if not may_run(caller, assistant_id):
        raise NotFound("Thread or assistant not found.")
    strategy = body.get("multitask_strategy", MultitaskStrategy.ENQUEUE)
    kwargs = {shown: body.get(name) for name, shown in KWARGS.items()}
    asked: dict[str, Any] = {
        "thread_id": thread_id,
        "assistant_id": assistant_id,
        "run_id": run_id,
        "status": str(RunStatus.PENDING),
        "metadata": body.get("metadata", {}),
        "prevent_insert_if_inflight": strategy == MultitaskStrategy.REJECT,
        "multitask_strategy": strategy,
        "if_not_exists": body.get("if_not_exists", "reject") if thread_id else "create",
        "after_seconds": body.get("after_seconds", 0),
        "kwargs": kwargs,
    }
    scope = authorize(caller, "threads", "create_run", asked)
    changed = {name: kwargs[shown] for name, shown in KWARGS.items() if kwargs.get(shown) is not None}
    taken = {name: asked[name] for name in ("metadata", *CHANGEABLE) if asked.get(name) is not None}
    return scope, {**body, **changed, **taken}


def may_cancel(
    caller: Caller,
    thread_id: UUID | None,
    action: CancelAction,
    *,
    run_ids: Sequence[UUID] | None = None,
    status: str | None = None,
) -> Scope:
    """The threads whose runs the caller may cancel. Raises what `authorize` raises."""
    if caller.unbound:
        caller.asked.add(("threads", "update"))
        return EVERYTHING
    about = {"run_ids": list(run_ids) if run_ids is not None else None, "status": status}
    asked = {"thread_id": thread_id, "action": str(action), "metadata": about}
    return authorize(caller, "threads", "update", asked)
