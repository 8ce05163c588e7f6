"""One attempt of a run on its loop: open the graph, stream it into the event log, say how it ended.

Never touches a row; what it returns is written by tasks.py. Source: contract/core.md 5.4, 5.9 to 5.11.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any
from weakref import WeakKeyDictionary

from django.conf import settings
from langgraph.errors import EmptyInputError
from langgraph.pregel import Pregel
from langgraph.types import Command
from langgraph.version import __version__ as langgraph_version
from redis.exceptions import RedisError

from accounts.callers import UNBOUND, Caller, acting_for, user_from
from assistants.graphs import open_graph, stream_transformers
from config import dialect, loop, tracing
from events import log
from events.writer import LogWriter
from runs.envelopes import PROTOCOL, Envelopes, stream_envelopes
from runs.models import LIVE, CancelAction, Run, RunStatus
from runs.parts import PartNaming, stream_graph
from runs.retries import last_error, next_attempt
from runs.timeline import Timeline
from store.opening import open_store
from threads.checkpointer import delete_run_checkpoints, fenced_saver
from threads.fencing import Fence, Fenced, LeaseLost
from threads.models import HeadState
from threads.state import as_command, read_head

logger = logging.getLogger(__name__)
IGNORED_SECONDS = 5.0  # how long a graph may take to stop
# What becomes of the subgraphs that were open when the graph stopped.
SUBGRAPH_STATUS: dict[str, str] = {
    RunStatus.SUCCESS: "completed",
    RunStatus.ERROR: "failed",
    RunStatus.TIMEOUT: "failed",
}
_known_context: WeakKeyDictionary[type, frozenset[str] | None] = WeakKeyDictionary()


class UserInterrupt(Exception):
    """The run was cancelled; its checkpoints stay."""

    shown_to_clients = True


class UserRollback(Exception):
    """The run was cancelled and leaves nothing behind."""

    shown_to_clients = True


class Stop:
    """Why an execution was told to stop. A cancel action, or one of these."""

    LEASE_LOST = "lease_lost"  # another worker may have the run: write nothing more
    DRAIN = "drain"  # this worker is going down: hand the run back
    TIMEOUT = "timeout"  # its time is up
    RETRY = "retry"  # the attempt failed, and another is to follow


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended. `status` is a RunStatus, or `rollback`, or one of Stop's."""

    status: str
    error: dict[str, str] | None = None
    head: HeadState = field(default_factory=HeadState)
    announced: bool = False  # an event-streaming run has told its viewers that it is interrupted
    retry_in: float = 0.0  # seconds
    timeline: dict[str, Any] | None = None  # of the attempt


@dataclass
class Execution:
    """An attempt in progress, as its worker's watch sees it. `lease_until` is on time.monotonic's scale."""

    run: Run
    lease_until: float
    loop: asyncio.AbstractEventLoop = field(default_factory=loop.graph_loop)
    task: "asyncio.Task[Any] | None" = None  # only while it can be stopped
    stop: str | None = None
    told: asyncio.Event = field(default_factory=asyncio.Event)  # set with `stop`
    saver: Fenced | None = None
    envelopes: Envelopes | None = None  # of an event-streaming run
    timeline: Timeline | None = None

    def tell_to_stop(self, why: str) -> None:
        """Cancel the attempt, once; the first reason counts. Call it on its loop."""
        if self.stop is None:
            self.stop = why
            self.told.set()
            if self.task:
                self.task.cancel()

    def has_lease(self) -> bool:
        """Whether this process may still write for the run."""
        return time.monotonic() < self.lease_until


async def execute(execution: Execution) -> Outcome:
    """Run the attempt to its end, whatever that is. Never raises but for cancellation from outside."""
    with loop.working_for(execution), acting_for(_caller_of(execution.run)):
        outcome = await asyncio.ensure_future(_attempt(execution))
    return replace(outcome, timeline=execution.timeline.stop() if execution.timeline else None)


def _caller_of(run: Run) -> Caller:
    """Whom the graph acts for when it asks this server something in-process."""
    user = user_from(run.kwargs["config"]["configurable"].get("langgraph_auth_user"))
    return Caller(user, run.tenant) if user else UNBOUND


async def abandoned_outcome(execution: Execution, status: str, reason: str) -> Outcome:
    """How a run ends that no worker executes any more: by its cancel request, or as an error with `reason`."""
    if status in CancelAction.values:
        execution.stop = status
        status, error = _cancelled(status)
    else:
        error = RuntimeError(reason)
    writer = _writer_of(execution)
    return await _concluded(execution, writer, status, error, HeadState())


async def _attempt(execution: Execution) -> Outcome:
    writer = _writer_of(execution)
    status, error, head = str(RunStatus.SUCCESS), None, HeadState()
    execution.task = asyncio.ensure_future(_stream(execution, writer))
    if execution.stop:
        execution.task.cancel()
    try:
        head = await _ended(execution, execution.task)
    except asyncio.CancelledError:
        status, error = _stopped(execution)
    except Exception as raised:
        # Without the lease the run is not ours to fail: whoever has it next goes on with it.
        lost = isinstance(raised, LeaseLost) or not execution.has_lease()
        status, error = (Stop.LEASE_LOST if lost else RunStatus.ERROR), raised
    # From here on it is too late to stop the attempt; what is asked for now is seen when its end is written.
    execution.task = None
    return await _concluded(execution, writer, status, error, head)


async def _ended(execution: Execution, work: "asyncio.Task[HeadState]") -> HeadState:
    """What the work returns or raises, once it is over, its time is up, or it has ignored for too long that it is to
    stop: CancelledError then, and what it still does is refused by saver and log.
    """
    limit = min(execution.run.kwargs.get("timeout_seconds") or math.inf, settings.BG_JOB_TIMEOUT_SECS)
    up = asyncio.get_running_loop().call_later(limit, execution.tell_to_stop, Stop.TIMEOUT)
    told = asyncio.ensure_future(execution.told.wait())
    try:
        await asyncio.wait((work, told), return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            await asyncio.wait((work,), timeout=IGNORED_SECONDS)
    finally:
        up.cancel()
        told.cancel()
    if work.done():
        return work.result()
    logger.warning("Run %s does not stop (%s); its graph is left to itself", execution.run.run_id, execution.stop)
    raise asyncio.CancelledError


def _writer_of(execution: Execution) -> LogWriter:
    """Where the attempt's parts go."""
    run = execution.run
    return LogWriter(str(run.thread_id), str(run.run_id), run.attempt, execution.has_lease)


def _stopped(execution: Execution) -> tuple[str, Exception]:
    """What a cancellation means: ours, with its reason, or one a node raised by itself."""
    if execution.stop is None:
        return RunStatus.ERROR, RuntimeError("A node was cancelled from inside the graph")
    return _cancelled(execution.stop)


def _cancelled(why: str) -> tuple[str, Exception]:
    if why == CancelAction.INTERRUPT:
        return RunStatus.INTERRUPTED, UserInterrupt("The run was interrupted")
    if why == CancelAction.ROLLBACK:
        return CancelAction.ROLLBACK, UserRollback("The run was rolled back")
    if why == Stop.TIMEOUT:
        return RunStatus.TIMEOUT, TimeoutError()
    return why, RuntimeError(why)


async def _concluded(
    execution: Execution, writer: LogWriter, status: str, error: Exception | None, head: HeadState
) -> Outcome:
    """Publish an error, put the state in order, and report."""
    run = execution.run
    if execution.saver and error:
        await execution.saver.close()
    retry_in = next_attempt(run, error) if status == RunStatus.ERROR and error else None
    if retry_in is not None:
        logger.warning("Run %s failed in attempt %d and is tried again", run.run_id, run.attempt, exc_info=error)
        status = Stop.RETRY
    if status in (Stop.LEASE_LOST, Stop.DRAIN, Stop.RETRY):
        with suppress(Exception):
            await writer.finish()
        return Outcome(status, retry_in=retry_in or 0.0)
    error = last_error(run, error) if error else None
    shown = dialect.exception_as_json(error) if error else None
    if execution.envelopes:
        for event, data in execution.envelopes.finish(SUBGRAPH_STATUS.get(status, "interrupted")):
            await writer.put(event, data)
    if status == RunStatus.ERROR and error:
        logger.info("Run %s failed", run.run_id, exc_info=error)
        await writer.put("error", dialect.dumps(shown))
    await writer.finish()
    if status == CancelAction.ROLLBACK and not run.temporary:
        await loop.at_home(delete_run_checkpoints(run.thread_id, run.run_id))
    if error and not run.temporary:
        head = await _head_after_failure(execution)
    return Outcome(status, shown, head, announced=bool(execution.envelopes and execution.envelopes.announced_end))


async def _head_after_failure(execution: Execution) -> HeadState:
    """The state the attempt left behind; nothing when the graph cannot even be opened."""
    try:
        head: HeadState = await _with_graph(execution, lambda graph: read_head(graph, str(execution.run.thread_id)))
    except Exception:
        logger.warning("The state of run %s cannot be read", execution.run.run_id, exc_info=True)
        return HeadState()
    return head


async def _with_graph(execution: Execution, use: Callable[[Pregel[Any, Any, Any, Any]], Any]) -> Any:
    """`use` the graph of the run, opened as its execution needs it."""
    run = execution.run
    fence = Fence(run.run_id, run.attempt, LIVE, execution.has_lease)
    checkpointer = None if run.temporary else await loop.at_home(fenced_saver(fence))
    execution.saver = checkpointer
    config, context = runtime_config(run), run.kwargs.get("context")
    async with open_graph(
        run.graph_id,
        config,
        access="threads.create_run",
        checkpointer=checkpointer,
        store=await open_store(run.tenant),
        context=context,
    ) as graph:
        return await use(graph)


async def _stream(execution: Execution, writer: LogWriter) -> HeadState:
    """Announce the attempt, stream the graph, read the head state it leaves."""
    run = execution.run
    about: dict[str, Any] = {"run_id": str(run.run_id), "attempt": run.attempt}
    if run.event_streaming:
        about["protocol"] = PROTOCOL
    await writer.put("metadata", dialect.dumps(about))
    if run.event_streaming:
        await _announce(execution, writer)

    async def use(graph: Pregel[Any, Any, Any, Any]) -> HeadState:
        await _require_state(run, graph)
        execution.timeline = Timeline(run.run_id, run.attempt)
        arguments = stream_arguments(run, graph, [*tracing.callbacks(), execution.timeline])
        if run.attempt > 1 and isinstance(arguments["input"], Command) and await _has_begun(run, graph):
            arguments["input"] = None
        if execution.envelopes:
            transformers = stream_transformers(run.graph_id)
            async for event, data in stream_envelopes(graph, execution.envelopes, arguments, transformers):
                await writer.put(event, data)
        else:
            naming = PartNaming(run.kwargs["stream_mode"], subgraphs=run.kwargs["subgraphs"])
            arguments["output_keys"] = graph.output_channels
            async for event, payload in stream_graph(graph, naming, str(run.run_id), arguments):
                await writer.put(event, dialect.dumps(payload))
        return HeadState() if run.temporary else await read_head(graph, str(run.thread_id))

    head: HeadState = await _with_graph(execution, use)
    return head


async def _announce(execution: Execution, writer: LogWriter) -> None:
    """Begin an event-streaming run, or go on where an earlier attempt of it broke off."""
    run = execution.run
    envelopes = Envelopes(str(run.run_id), run.graph_id)
    if run.attempt > 1:
        await loop.at_home(_recall(run, envelopes))
    execution.envelopes = envelopes
    for event, data in envelopes.begin():
        await writer.put(event, data)


async def _recall(run: Run, envelopes: Envelopes) -> None:
    """Show the envelopes what the log has of the run. Without Redis they start afresh."""
    after = log.BEGINNING
    with suppress(RedisError):
        while parts := await log.read(str(run.thread_id), after):
            after = parts[-1].id
            for part in parts:
                if part.run_id == str(run.run_id):
                    envelopes.recall(part.event, part.data)


async def _has_begun(run: Run, graph: Pregel[Any, Any, Any, Any]) -> bool:
    """Whether an earlier attempt got as far as a checkpoint: langgraph sees that for an input, not for a command."""
    if run.temporary:
        return False
    head = await graph.aget_state({"configurable": {"thread_id": str(run.thread_id)}})
    return (head.metadata or {}).get("run_id") == str(run.run_id)


async def _require_state(run: Run, graph: Pregel[Any, Any, Any, Any]) -> None:
    """Raises EmptyInputError when a command resumes a thread that has no state: the graph would start from nothing."""
    resumes = (run.kwargs.get("command") or {}).get("resume") is not None
    if resumes and not run.temporary and not (await read_head(graph, str(run.thread_id))).exists:
        raise EmptyInputError("There is nothing to resume: the thread has no state yet")


def stream_arguments(run: Run, graph: Pregel[Any, Any, Any, Any], callbacks: list[Any]) -> dict[str, Any]:
    """The keyword arguments of the graph's astream, but for modes, subgraphs and output keys."""
    kwargs = run.kwargs
    config = runtime_config(run)
    context = context_for(graph, kwargs.get("context") or {}, config)
    arguments = {
        "input": graph_input(kwargs),
        "config": {**config, "callbacks": callbacks},
        "context": context,
        "interrupt_before": kwargs.get("interrupt_before"),
        "interrupt_after": kwargs.get("interrupt_after"),
    }
    return arguments if run.temporary else {**arguments, "durability": kwargs.get("durability")}


def runtime_config(run: Run) -> dict[str, Any]:
    """The stored config with what only execution knows."""
    stored = run.kwargs["config"]
    metadata = {
        **stored.get("metadata", {}),
        "run_attempt": run.attempt,
        "langgraph_version": langgraph_version,
        "langgraph_api_version": settings.VERSION,
        "langgraph_plan": "enterprise",
        "langgraph_host": "self-hosted",
        "langgraph_api_url": settings.LANGGRAPH_API_URL or None,
    }
    user = user_from(stored["configurable"].get("langgraph_auth_user"))
    configurable = {**stored["configurable"], "langgraph_auth_user": user}
    config = {**stored, "configurable": configurable, "metadata": metadata}
    # The trace id is the run's id on the first attempt only: a second trace under one id would be mixed into it.
    return {**config, "run_id": run.run_id} if run.attempt == 1 else config


def context_for(graph: Pregel[Any, Any, Any, Any], context: dict[str, Any], config: dict[str, Any]) -> Any:
    """The context without the keys the graph's schema does not know; their mirror in configurable goes too."""
    known = _context_keys(graph)
    if known is None:
        return context or None
    unknown = context.keys() - known
    if config["configurable"].get("__context_provided__"):
        for key in unknown:
            config["configurable"].pop(key, None)
    return {key: value for key, value in context.items() if key not in unknown} or None


def _context_keys(graph: Pregel[Any, Any, Any, Any]) -> frozenset[str] | None:
    """The keys of the graph's context schema; None when it has none. Made once a schema: pydantic takes its time."""
    schema = graph.context_schema
    if schema is None:
        return None
    if schema not in _known_context:
        properties = (graph.get_context_jsonschema() or {}).get("properties")
        _known_context[schema] = None if properties is None else frozenset(properties)
    return _known_context[schema]


def graph_input(kwargs: dict[str, Any]) -> Any:
    """The run's command when it says anything, else its input."""
    command = kwargs.get("command") or {}
    says = command.get("resume") is not None or command.get("update") or command.get("goto")
    return as_command(command) if says else kwargs.get("input")
