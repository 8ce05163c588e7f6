"""A thread's state as its graph reads it: ThreadState objects, history, updates. Runs on the graph loop.

Knows checkpoints and graphs, never rows. Source: contract/core.md 4.13 to 4.18.
"""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from uuid import UUID

from langgraph.graph import END
from langgraph.pregel import Pregel
from langgraph.types import Command, Interrupt, PregelTask, Send, StateSnapshot, StateUpdate
from langgraph_sdk.runtime import AccessContext

from assistants.graphs import load_all, open_graph
from config import dialect
from config.errors import UNAVAILABLE, BadRequest
from store.opening import open_store
from threads.checkpointer import saver
from threads.models import HeadState

CHECKPOINT_KEYS = ("thread_id", "checkpoint_ns", "checkpoint_id", "checkpoint_map")
AnyGraph = Pregel[Any, Any, Any, Any]


def empty_state(checkpoint: dict[str, Any] | None = None) -> dict[str, Any]:
    """The ThreadState of a thread that has none yet; `checkpoint` echoes one that was asked for and is unknown."""
    return {
        "values": {},
        "next": [],
        "tasks": [],
        "metadata": None,
        "created_at": None,
        "checkpoint": checkpoint,
        "parent_checkpoint": None,
        "interrupts": [],
        "checkpoint_id": checkpoint.get("checkpoint_id") if checkpoint else None,
        "parent_checkpoint_id": None,
    }


@asynccontextmanager
async def thread_graph(
    graph_id: str, config: Mapping[str, Any], access: AccessContext, tenant: str
) -> AsyncIterator[AnyGraph]:
    """The graph that interprets a thread's checkpoints, with the store as the thread's tenant sees it."""
    checkpointer, store = await saver(), await open_store(tenant)
    async with open_graph(graph_id, config, access=access, checkpointer=checkpointer, store=store) as graph:
        yield graph


async def read_state(
    thread_id: UUID,
    graph_id: str | None,
    config: Mapping[str, Any],
    *,
    tenant: str,
    checkpoint: Mapping[str, Any] | None = None,
    subgraphs: bool = False,
) -> dict[str, Any]:
    """The ThreadState at `checkpoint` (the latest one by default)."""
    wanted = _checkpoint_config(thread_id, checkpoint)
    echo = (
        {"checkpoint_id": wanted["checkpoint_id"], "thread_id": str(thread_id)} if "checkpoint_id" in wanted else None
    )
    if graph_id is None or graph_id not in load_all():
        return empty_state(echo)
    async with thread_graph(graph_id, config, "threads.read", tenant) as graph:
        try:
            snapshot = await graph.aget_state({"configurable": wanted}, subgraphs=subgraphs)
        except ValueError as error:
            _expect_unknown_namespace(error)
            return empty_state(echo)
    return thread_state(snapshot) if snapshot.metadata is not None else empty_state(echo)


async def read_head(graph: AnyGraph, thread_id: str) -> HeadState:
    """What the root graph's latest checkpoint says, as plain JSON fit for the thread's row."""
    snapshot = await graph.aget_state({"configurable": {"thread_id": thread_id, "checkpoint_ns": ""}})
    return _head(snapshot)


async def read_history(
    thread_id: UUID,
    graph_id: str | None,
    config: Mapping[str, Any],
    *,
    tenant: str,
    limit: int,
    before: str | None = None,
    metadata: dict[str, Any] | None = None,
    checkpoint: Mapping[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """ThreadStates, newest first, older than the checkpoint id `before`."""
    if graph_id is None or graph_id not in load_all() or limit <= 0:
        return []
    wanted: Any = {"configurable": _checkpoint_config(thread_id, checkpoint)}
    earlier: Any = {"configurable": {"checkpoint_id": before}} if before else None
    async with thread_graph(graph_id, config, "threads.read", tenant) as graph:
        states = graph.aget_state_history(wanted, filter=dialect.plain(metadata), before=earlier, limit=limit)
        try:
            return [thread_state(snapshot) async for snapshot in states]
        except ValueError as error:
            _expect_unknown_namespace(error)
            return []


def _expect_unknown_namespace(error: ValueError) -> None:
    """A namespace the graph has no subgraph for is one without checkpoints; langgraph says so by a bare ValueError."""
    if not str(error).startswith("Subgraph "):
        raise error


async def update_state(
    thread_id: UUID,
    graph_id: str,
    config: Mapping[str, Any],
    *,
    tenant: str,
    values: Any,
    as_node: str | None,
    checkpoint: Mapping[str, Any] | None,
) -> tuple[dict[str, Any], HeadState, dict[str, Any]]:
    """Write an update as a new checkpoint: its checkpoint object, the head state after it, the head's ThreadState.

    Raises BadRequest for an update the graph cannot take.
    """
    wanted = _update_config(config, thread_id, checkpoint)
    async with thread_graph(graph_id, config, "threads.update", tenant) as graph:
        if as_node == END and (await graph.aget_state(wanted)).metadata is None:
            raise BadRequest(f"Node {END} does not exist")  # langgraph would write a checkpoint without anything
        with _refusing_unfit():
            written = await graph.aupdate_state(wanted, values, as_node=as_node)
        head, state = await _head_and_state(graph, thread_id)
    return _checkpoint(written) or {}, head, state


async def apply_supersteps(
    thread_id: UUID, graph_id: str, config: Mapping[str, Any], supersteps: list[dict[str, Any]], *, tenant: str
) -> HeadState:
    """Write a history of updates, a checkpoint each. Raises BadRequest at the first the graph cannot take."""
    wanted = _update_config(config, thread_id, None)
    steps = [
        [
            StateUpdate(as_command(u["command"]) if u.get("command") else u.get("values"), u["as_node"])  # type: ignore[arg-type]
            for u in step["updates"]
        ]
        for step in supersteps
    ]
    async with thread_graph(graph_id, config, "threads.update", tenant) as graph:
        with _refusing_unfit():
            await graph.abulk_update_state(wanted, steps)
        return await read_head(graph, str(thread_id))


async def refreshed_head(thread_id: UUID, graph_id: str, config: Mapping[str, Any], *, tenant: str) -> HeadState:
    """The head state of a thread whose checkpoints changed without a run."""
    async with thread_graph(graph_id, config, "threads.read", tenant) as graph:
        return await read_head(graph, str(thread_id))


def _update_config(config: Mapping[str, Any], thread_id: UUID, checkpoint: Mapping[str, Any] | None) -> Any:
    known = {key: value for key, value in config["configurable"].items() if key not in CHECKPOINT_KEYS}
    return {**config, "configurable": {**known, **_checkpoint_config(thread_id, checkpoint)}}


@contextmanager
def _refusing_unfit() -> Iterator[None]:
    """What a reducer or a node's writers make of unfit values is the caller's to mend. Raises BadRequest."""
    try:
        yield
    except UNAVAILABLE:
        raise
    except Exception as error:
        raise BadRequest(dialect.exception_as_json(error)["message"] or type(error).__name__) from error


def as_command(body: dict[str, Any]) -> Command[Any]:
    """langgraph's command for a request's (contract/core.md 5.2)."""
    goto, update = body.get("goto"), body.get("update")
    targets = goto if isinstance(goto, list) else [] if goto is None else [goto]
    return Command(
        update=[tuple(pair) for pair in update] if isinstance(update, list) else update,
        resume=body.get("resume"),
        goto=[Send(t["node"], t.get("input")) if isinstance(t, dict) else t for t in targets],
    )


async def _head_and_state(graph: AnyGraph, thread_id: UUID) -> tuple[HeadState, dict[str, Any]]:
    snapshot = await graph.aget_state({"configurable": {"thread_id": str(thread_id), "checkpoint_ns": ""}})
    return _head(snapshot), thread_state(snapshot)


def thread_state(snapshot: StateSnapshot) -> dict[str, Any]:
    """The wire form of a snapshot, all ten keys."""
    checkpoint = _checkpoint(snapshot.config)
    parent = _checkpoint(snapshot.parent_config)
    return {
        "values": snapshot.values,
        "next": list(snapshot.next),
        "tasks": [_task(task) for task in snapshot.tasks],
        "metadata": {k: v for k, v in (snapshot.metadata or {}).items() if k != "checkpoint_ns" or v},
        "created_at": snapshot.created_at,
        "checkpoint": checkpoint,
        "parent_checkpoint": parent,
        "interrupts": [_interrupt(interrupt) for interrupt in snapshot.interrupts],
        "checkpoint_id": checkpoint.get("checkpoint_id") if checkpoint else None,
        "parent_checkpoint_id": parent.get("checkpoint_id") if parent else None,
    }


def _head(snapshot: StateSnapshot) -> HeadState:
    if snapshot.metadata is None:
        return HeadState()
    interrupts = {task.id: [_interrupt(i) for i in task.interrupts] for task in snapshot.tasks if task.interrupts}
    return HeadState(
        values=dialect.plain(snapshot.values),
        interrupts=dialect.plain(interrupts),
        has_next=bool(snapshot.next),
        exists=True,
    )


def _checkpoint_config(thread_id: UUID, checkpoint: Mapping[str, Any] | None) -> dict[str, Any]:
    """The path's thread id always wins; the root namespace is the default."""
    given = {key: value for key, value in (checkpoint or {}).items() if key in CHECKPOINT_KEYS and value is not None}
    if "checkpoint_map" in given:
        given["checkpoint_map"] = {ns: id for ns, id in dialect.plain(given["checkpoint_map"]).items() if id}
    return {"checkpoint_ns": "", **given, "thread_id": str(thread_id)}


def _checkpoint(config: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """A checkpoint object as clients post it back: no nulls inside; null as a whole without a checkpoint id."""
    configurable = (config or {}).get("configurable") or {}
    found = {key: configurable[key] for key in CHECKPOINT_KEYS if configurable.get(key) is not None}
    if "checkpoint_id" not in found:
        return None
    return {"checkpoint_ns": "", **found}


def _task(task: PregelTask) -> dict[str, Any]:
    state, checkpoint = None, None
    if isinstance(task.state, StateSnapshot):
        state = thread_state(task.state)
    elif task.state is not None:
        configurable = task.state.get("configurable", {})
        checkpoint = {key: configurable[key] for key in CHECKPOINT_KEYS if configurable.get(key) is not None}
    return {
        "id": task.id,
        "name": task.name,
        "path": list(task.path),
        "error": _error_text(task.error),
        "interrupts": [_interrupt(interrupt) for interrupt in task.interrupts],
        "checkpoint": checkpoint,
        "state": state,
        "result": task.result,
    }


def _error_text(error: Any) -> str | None:
    """The repr of an exception; what comes back from a checkpoint is that text already."""
    return error if error is None or isinstance(error, str) else repr(error)


def _interrupt(interrupt: Interrupt) -> dict[str, Any]:
    shown = {"id": interrupt.id, "value": interrupt.value}
    schema = getattr(interrupt, "response_schema", None)
    return shown if schema is None else {**shown, "response_schema": schema}
