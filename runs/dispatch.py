"""The verbs that create and cancel runs. Synchronous, one transaction each; never executes a graph.

Lock order: thread row, then runs. Source: contract/core.md 5.3 to 5.9.
"""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from functools import cache
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from uuid_utils.compat import uuid7

from accounts.authorizer import Scope, authorize
from accounts.callers import Caller
from assistants.graphs import default_assistant_ids
from assistants.models import Assistant
from assistants.visible import may_run
from config import loop
from config.database import insert_together
from config.errors import BadRequest, Conflict, Invalid, NotFound
from config.outbound import check_url
from config.project import project
from config.rest import parse_uuid
from runs import endings
from runs.assembly import refuse_both, run_kwargs, run_metadata, thread_config
from runs.closing import Closing
from runs.endings import Ending
from runs.models import CancelAction, MultitaskStrategy, Run, RunStatus
from runs.permission import may_cancel, may_create
from runs.queue_limit import admit, admit_to_thread, room_for
from runs.ringing import after_commit, announce_cancel, close_stream, ring
from threads.checkpointer import delete_run_checkpoints
from threads.expiry import default_expiry
from threads.models import FormerWrite, Thread, ThreadStatus
from threads.removal import delete_threads

# What a retry takes over from the run as it is.
RETRIED = (
    "stream_mode",
    "interrupt_before",
    "interrupt_after",
    "webhook",
    "feedback_keys",
    "durability",
    "timeout_seconds",
)
# With the database's time, by which runs are due (`server_time`): workers compare with no other clock.
ASSISTANT_NOW = "SELECT *, clock_timestamp() AS server_time FROM assistants_assistant WHERE assistant_id = %s"

RUNG = 20  # of runs that come in one statement: with so many waiting, workers look by themselves


class ThreadBusy(Conflict):
    """`multitask_strategy=reject` met another run."""

    default_detail = "Thread is already running a task. Wait for it to finish or choose a different multitask strategy."


class NotCancellable(NotFound):
    """The run has ended already."""

    default_detail = "Run is not pending or running"


def resolve_assistant(text: str) -> UUID:
    """The assistant id behind an id or a registered graph id. Raises Invalid."""
    defaults = default_assistant_ids()
    if text in defaults:
        return defaults[text]
    try:
        return parse_uuid(text, "assistant ID")
    except Invalid:
        names = ", ".join(sorted(defaults))
        raise Invalid(
            f"Invalid assistant: '{text}'. Must be either:\n- A valid assistant UUID, or\n"
            f"- One of the registered graphs: {names}"
        ) from None


def create_run(thread_id: UUID, body: dict[str, Any], caller: Caller) -> Run:
    """Create a run on a thread, by the body's `if_not_exists` and `multitask_strategy`.

    Raises Invalid, BadRequest, NotFound, ThreadBusy and QueueFull; nothing is written then.
    """
    assistant_id, run_id = _checked(body), uuid7()
    scope, body = may_create(caller, thread_id, assistant_id, run_id, body)
    admit(1)
    with room_for(caller.tenant, 1), transaction.atomic():
        assistant = _assistant(assistant_id)
        thread, existed = _lock_or_create(thread_id, assistant, body, scope, caller.tenant)
        strategy = body.get("multitask_strategy", MultitaskStrategy.ENQUEUE)
        others = _others(thread_id, strategy) if existed else []
        run = _new_run(run_id, assistant, thread, body, caller, existed=existed, temporary=False)
        run.save(force_insert=True)
        _ring_if_due(run)
        if others:
            reason = f"superseded by run {run.run_id} (multitask_strategy={strategy})"
            _cancel_all(others, CancelAction(strategy), reason)
        if existed and thread.status != ThreadStatus.BUSY:
            _occupy(thread, assistant, body)
    return run


def create_stateless_run(body: dict[str, Any], caller: Caller) -> Run:
    """Create a run on a thread of its own. Raises as `create_run` does, but for ThreadBusy."""
    admit(1)
    with room_for(caller.tenant, 1):
        return _stateless_run(body, caller)


class Known:
    """What several new runs ask about assistants, asked once; for callers whom nothing but their tenant tells apart."""

    def __init__(self) -> None:
        self.assistant = cache(_assistant)
        self._may_run: dict[tuple[str, UUID], bool] = {}

    def may_run(self, caller: Caller, assistant_id: UUID) -> bool:
        """See assistants/visible.py."""
        asked = caller.tenant, assistant_id
        if asked not in self._may_run:
            self._may_run[asked] = may_run(caller, assistant_id)
        return self._may_run[asked]


def new_stateless_run(body: dict[str, Any], caller: Caller, known: Known) -> Run:
    """A run on a thread of its own, neither of them written. Raises as `create_run` does, but for full queues."""
    assistant_id, run_id = _checked(body), uuid7()
    if (body.get("command") or {}).get("resume"):
        raise BadRequest("You must provide a thread_id when resuming.")
    _, body = may_create(caller, None, assistant_id, run_id, body, may_run=known.may_run)
    temporary = body.get("on_completion", "delete") == "delete"
    assistant = known.assistant(assistant_id)
    thread = _new_thread(uuid7(), assistant, body, caller.tenant)
    return _new_run(run_id, assistant, thread, body, caller, existed=False, temporary=temporary)


def insert_runs(runs: Sequence[Run]) -> None:
    """Write what `new_stateless_run` made, in a statement for the threads and one for the runs. Raises QueueFull.

    Call it inside a transaction, for tenants without a limit. Workers are told of some and find the others.
    """
    admit(len(runs))
    Thread.objects.bulk_create([run.thread for run in runs])
    Run.objects.bulk_create(runs)
    for run in runs[:RUNG]:
        _ring_if_due(run)


def _stateless_run(body: dict[str, Any], caller: Caller) -> Run:
    run = new_stateless_run(body, caller, Known())
    insert_together(run.thread, run)
    _ring_if_due(run)
    return run


def retry_run(run: Run, checkpoint: dict[str, str] | None, caller: Caller) -> Run:
    """Run an ended run again as a new one: with its input from `checkpoint`, or without input from where it stopped.

    Raises as `create_run` does.
    """
    kwargs, config = run.kwargs, run.kwargs["config"]
    asked = {name: kwargs[name] for name in RETRIED if kwargs.get(name) is not None}
    body = {
        **asked,
        "assistant_id": str(run.assistant_id),
        "metadata": {**run.metadata, "retry_of": str(run.run_id)},
        "config": {name: value for name, value in config.items() if name not in ("configurable", "metadata")},
        "context": kwargs.get("context") or {},
        "stream_subgraphs": kwargs["subgraphs"],
        "stream_resumable": kwargs["resumable"],
    }
    if checkpoint is not None:
        body |= {"input": kwargs["input"], "command": kwargs["command"], "checkpoint": checkpoint}
    return create_run(run.thread_id, body, caller)


def create_batch(bodies: Sequence[dict[str, Any]], caller: Caller) -> list[Run]:
    """Create several stateless runs, all or none. Raises as `create_stateless_run` does."""
    admit(len(bodies))
    with room_for(caller.tenant, len(bodies)), transaction.atomic():
        return [_stateless_run(body, caller) for body in bodies]


def cancel_run(run: Run, action: CancelAction, reason: str) -> None:
    """Ask for the run's end: a pending one ends here and now, a running one at its worker. Raises NotCancellable."""
    with transaction.atomic():
        _lock_threads([run.thread_id])
        found = list(Run.objects.filter(run_id=run.run_id, cancel_action=None).in_flight().select_for_update())
        if not found:
            raise NotCancellable
        _cancel_all(found, action, reason)
        release_thread(run.thread_id)


def cancel_runs(runs: Iterable[Run], action: CancelAction, reason: str) -> int:
    """Ask for the end of those still in flight, a thread at a time; returns how many there were."""
    count = 0
    for run in runs:
        try:
            cancel_run(run, action, reason)
        except NotCancellable:
            continue
        count += 1
    return count


def cancel_for_assistant(assistant_id: UUID, with_threads: bool, caller: Caller) -> None:
    """An assistant is being deleted: end its runs, and delete its threads if that was asked for.

    Only those the caller might end and delete one by one.
    """
    runs = Run.objects.filter(assistant_id=assistant_id).in_flight()
    if runs.exists():
        scope = may_cancel(caller, None, CancelAction.INTERRUPT)
        # In the order in which threads are locked everywhere: two deletions wait for each other, not for ever.
        found = list(runs.within(scope).order_by("thread_id"))
        cancel_runs(found, CancelAction.INTERRUPT, f"assistant {assistant_id} was deleted")
    if with_threads:
        threads = Thread.objects.filter(metadata__contains={"assistant_id": str(assistant_id)})
        ids = list(threads.values_list("thread_id", flat=True))
        delete_threads(ids, authorize(caller, "threads", "delete", {"thread_ids": ids}))


def release_thread(thread_id: UUID) -> None:
    """Recompute a thread's status after a run of it went away unexecuted. Call it inside a transaction."""
    thread = Thread.objects.select_for_update().filter(thread_id=thread_id).first()
    if thread:
        thread.release(busy=Run.objects.filter(thread_id=thread_id).in_flight().exists())


def _checked(body: dict[str, Any]) -> UUID:
    """The assistant's id, once everything that needs no row has been checked."""
    assistant_id = resolve_assistant(body["assistant_id"])
    if "checkpoint_id" in body:
        parse_uuid(body["checkpoint_id"], "checkpoint ID")
    refuse_both(body)
    if "webhook" in body:
        check_url(body["webhook"], project().webhooks.policy)
    return assistant_id


def _assistant(assistant_id: UUID) -> Assistant:
    # Raw, because every run asks this and the ORM takes longer to say it than PostgreSQL to answer it.
    for assistant in Assistant.objects.raw(ASSISTANT_NOW, [assistant_id]):
        return assistant
    raise NotFound("Thread or assistant not found.")


def _lock_or_create(
    thread_id: UUID, assistant: Assistant, body: dict[str, Any], scope: Scope, tenant: str
) -> tuple[Thread, bool]:
    """The thread, locked, and whether it existed before. Raises NotFound for one that the scope does not show."""
    for _ in range(2):
        found = Thread.objects.within(scope).select_for_update().filter(thread_id=thread_id).first()
        if found:
            return found, True
        if body.get("if_not_exists", "reject") == "reject":
            raise NotFound("Thread or assistant not found.")
        new = _new_thread(thread_id, assistant, body, tenant)
        # Somebody may create it between our look and our insert: then theirs is the one, and we look again.
        if Thread.objects.bulk_create([new], ignore_conflicts=True) and _is_ours(new):
            return new, False
    raise NotFound("Thread or assistant not found.")


def _others(thread_id: UUID, strategy: str) -> list[Run]:
    """The runs in flight on a locked thread that a new one supersedes. Raises ThreadBusy and ThreadQueueFull."""
    in_flight = Run.objects.filter(thread_id=thread_id).in_flight()
    if strategy == MultitaskStrategy.ENQUEUE:
        admit_to_thread(thread_id)
        return []
    if strategy == MultitaskStrategy.REJECT:
        if in_flight.exists():
            raise ThreadBusy
        return []
    return list(in_flight.in_turn().select_for_update())


def _is_ours(thread: Thread) -> bool:
    return Thread.objects.select_for_update().filter(pk=thread.pk, created_at=thread.created_at).exists()


def _new_thread(thread_id: UUID, assistant: Assistant, body: dict[str, Any], tenant: str) -> Thread:
    metadata = {
        "graph_id": assistant.graph_id,
        "assistant_id": str(assistant.assistant_id),
        **body.get("config", {}).get("metadata", {}),
        **body.get("metadata", {}),
    }
    return Thread(
        thread_id=thread_id,
        tenant=tenant,
        status=ThreadStatus.BUSY,
        metadata=metadata,
        config=thread_config(assistant, None, body),
        **default_expiry(),
    )


def _occupy(thread: Thread, assistant: Assistant, body: dict[str, Any]) -> None:
    thread.occupy(
        metadata={"graph_id": assistant.graph_id, "assistant_id": str(assistant.assistant_id)},
        config=thread_config(assistant, thread, body),
    )


def _new_run(
    run_id: UUID,
    assistant: Assistant,
    thread: Thread,
    body: dict[str, Any],
    caller: Caller,
    *,
    existed: bool,
    temporary: bool,
) -> Run:
    now = assistant.server_time  # type: ignore[attr-defined]
    kwargs = run_kwargs(assistant, thread, body, caller, run_id=run_id, existed=existed, temporary=temporary)
    return Run(
        run_id=run_id,
        thread=thread,
        tenant=thread.tenant,
        assistant_id=assistant.assistant_id,
        metadata=run_metadata(assistant, thread if existed else None, body),
        kwargs=kwargs,
        multitask_strategy=body.get("multitask_strategy", MultitaskStrategy.ENQUEUE),
        created_at=now + timedelta(seconds=_delay(body)),
        updated_at=now,
    )


def _ring_if_due(run: Run) -> None:
    if run.created_at <= run.updated_at:
        ring(run)


def _delay(body: dict[str, Any]) -> float:
    """Seconds until the earliest start; a past one means now, and no more than a century is believed."""
    return min(max(float(body.get("after_seconds", 0)), 0.0), 3.2e9)


def _lock_threads(thread_ids: Iterable[UUID]) -> None:
    list(Thread.objects.select_for_update().filter(thread_id__in=thread_ids).order_by("thread_id").values_list("pk"))


def _cancel_all(runs: Iterable[Run], action: CancelAction, reason: str) -> None:
    """Cancel locked runs: end the pending ones, mark the running ones for their workers."""
    for run in runs:
        if run.status == RunStatus.RUNNING:
            Run.objects.filter(pk=run.pk, cancel_action=None).update(cancel_action=action, cancel_reason=reason)
            after_commit(announce_cancel, run.worker)
        else:
            _end_pending(run, action, reason)
            after_commit(close_stream, run, Closing(RunStatus.INTERRUPTED, started=bool(run.attempt)))


def _end_pending(run: Run, action: CancelAction, reason: str) -> None:
    if action == CancelAction.ROLLBACK:
        if run.attempt:
            # It ran before and was handed back: what it wrote goes with it.
            loop.run(delete_run_checkpoints(run.thread_id, run.run_id))
        # Not run.delete(): it would take away the id under which the run's viewers are told.
        Run.objects.filter(pk=run.pk).delete()
    else:
        Run.objects.filter(pk=run.pk).update(
            status=RunStatus.INTERRUPTED,
            cancel_action=action,
            cancel_reason=reason,
            ended_at=timezone.now(),
            updated_at=timezone.now(),
        )
        FormerWrite.objects.filter(thread_id=str(run.thread_id), run_id=run.run_id).delete()
    if endings.is_awaited(run):
        kept = Run.objects.filter(pk=run.pk).first()
        endings.tell(Ending(kept or run, kept.status if kept else action, executed=False))


def lease() -> timedelta:
    """How long a claim or a renewal holds."""
    return timedelta(seconds=settings.RUN_LEASE_SECONDS)
