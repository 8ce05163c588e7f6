"""How a graph's stream becomes the parts clients see: names, payloads, message accumulation. Does no I/O.

Source: contract/streaming.md section 4.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from langchain_core.messages import BaseMessage, BaseMessageChunk, message_chunk_to_message
from langgraph.pregel import Pregel

# (event name on the wire, payload)
Named = tuple[str, Any]
HIDDEN = "langsmith:hidden"
CHECKPOINT_KEYS = ("checkpoint_id", "thread_id", "checkpoint_ns", "checkpoint_map")


class PartNaming:
    """Names the chunks of one run by the modes its client asked for."""

    def __init__(self, modes: Sequence[str], *, subgraphs: bool) -> None:
        self.modes = frozenset(modes)
        self.subgraphs = subgraphs
        self.accumulated: dict[str, BaseMessageChunk] = {}
        self.announced: set[str] = set()

    @property
    def graph_modes(self) -> list[Any]:
        """The modes to ask of langgraph."""
        asked = {"messages" if mode == "messages-tuple" else mode for mode in self.modes} - {"events"}
        return sorted(asked) or ["values"]

    def name(self, namespace: tuple[str, ...], mode: str, chunk: Any) -> Iterator[Named]:
        """The parts of one `(namespace, mode, chunk)` of the graph."""
        if mode == "messages" and "messages-tuple" not in self.modes:
            if "messages" in self.modes:
                yield from self._accumulate(*chunk)
        elif mode in self.modes or mode == "messages":
            payload = _with_checkpoint(chunk) if mode == "debug" else chunk
            yield "|".join((mode, *namespace)), payload

    def _accumulate(self, message: BaseMessage, metadata: dict[str, Any]) -> Iterator[Named]:
        """Mode `messages`: what there is of the message so far, never a namespace."""
        key = message.id or ""
        if key not in self.announced:
            self.announced.add(key)
            yield "messages/metadata", {key: {"metadata": metadata}}
        if isinstance(message, BaseMessageChunk):
            before = self.accumulated.get(key)
            whole = message if before is None else before + message
            self.accumulated[key] = whole
            yield "messages/partial", [message_chunk_to_message(whole)]
        else:
            yield "messages/complete", [message]


async def stream_graph(
    graph: Pregel[Any, Any, Any, Any], naming: PartNaming, run_id: str, arguments: dict[str, Any]
) -> AsyncIterator[Named]:
    """Run the graph and yield its parts in the order it produces them. Raises what the graph raises."""
    if "events" in naming.modes:
        async for named in _from_events(graph, naming, run_id, arguments):
            yield named
        return
    async for chunk in graph.astream(**arguments, stream_mode=naming.graph_modes, subgraphs=naming.subgraphs):
        for named in naming.name(*_split(chunk, naming.subgraphs)):
            yield named


async def _from_events(
    graph: Pregel[Any, Any, Any, Any], naming: PartNaming, run_id: str, arguments: dict[str, Any]
) -> AsyncIterator[Named]:
    """Mode `events`: the root's own stream is unpacked, every other event is passed on."""
    events = graph.astream_events(**arguments, version="v2", stream_mode=naming.graph_modes, subgraphs=naming.subgraphs)
    async for event in events:
        if HIDDEN in event.get("tags", ()):
            continue
        if event["event"] == "on_chain_stream" and event["run_id"] == run_id:
            for named in naming.name(*_split(event["data"]["chunk"], naming.subgraphs)):
                yield named
        else:
            yield "events", event


def _split(chunk: Any, subgraphs: bool) -> tuple[tuple[str, ...], str, Any]:
    if subgraphs:
        namespace, mode, payload = chunk
        return namespace, mode, payload
    mode, payload = chunk
    return (), mode, payload


def _with_checkpoint(chunk: dict[str, Any]) -> dict[str, Any]:
    """Debug checkpoints carry checkpoint objects beside the configs they are made from."""
    if chunk.get("type") != "checkpoint":
        return chunk
    payload = dict(chunk["payload"])
    payload["checkpoint"] = _pointer(payload.get("config"))
    payload["parent_checkpoint"] = _pointer(payload.get("parent_config"))
    payload["tasks"] = [_task_pointer(task) for task in payload.get("tasks", ())]
    return {**chunk, "payload": payload}


def _pointer(config: dict[str, Any] | None) -> dict[str, Any] | None:
    configurable = (config or {}).get("configurable", {})
    found = {key: configurable[key] for key in CHECKPOINT_KEYS if configurable.get(key) is not None}
    return found or None


def _task_pointer(task: dict[str, Any]) -> dict[str, Any]:
    state = task.get("state")
    if isinstance(state, dict) and "configurable" in state:
        rest = {key: value for key, value in task.items() if key != "state"}
        return {**rest, "checkpoint": state["configurable"]}
    return task


def matches(event: str, modes: Sequence[str]) -> bool:
    """Whether a joined stream asked for `modes` shows the event; errors are always shown (contract 2.3, SAFE+)."""
    if not modes or event in modes or event == "error":
        return True
    if event.startswith("messages") and ("messages" in modes or "messages-tuple" in modes):
        return True
    return "|" in event and event.split("|", 1)[0] in modes
