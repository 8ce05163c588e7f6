"""How the items of an event-streaming run become the envelopes clients see, once, in the worker. Does no I/O.

Sources: contract/streaming.md 8.1, 8.3, 8.5 and 8.6.
"""

import time
import warnings
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from typing import Any, cast

import orjson
from langgraph.pregel import Pregel

from config import dialect
from runs.messages_json import INTERRUPT, state_json

try:
    from langgraph.stream import StreamTransformer
except ImportError:  # a langgraph from before its third streaming version
    StreamTransformer = None  # type: ignore[assignment,misc]

# langgraph calls its streaming version experimental wherever it is used. Which version runs here is pinned.
warnings.filterwarnings("ignore", message="The v3 streaming protocol on Pregel is experimental")

# (event name in the log, the envelope as JSON but for what its place in the log says)
Written = tuple[str, bytes]
Namespace = tuple[str, ...]
START = b'{"type":"event",'
WITH_ID = START + b'"event_id":"'
ROOT: Namespace = ()
RUNNING = "running"
PROTOCOL = "v2"  # what the metadata of a run says that writes envelopes
TERMINAL = frozenset({"completed", "failed", "interrupted"})
STATUSES = TERMINAL | {RUNNING}
ABANDONED = "The worker stopped. The run goes on in another attempt."
RECALLED = frozenset({"lifecycle", "messages", "tools", "input.requested", "checkpoints"})


def supported() -> bool:
    """Whether the installed langgraph can stream this way."""
    return StreamTransformer is not None


def _asking_for_checkpoints(scope: tuple[str, ...]) -> Any:
    """A transformer that changes nothing; but for it langgraph would not stream checkpoints."""

    class Checkpoints(StreamTransformer):
        required_stream_modes = ("checkpoints",)

        def init(self) -> dict[str, Any]:
            return {}

        def process(self, event: Any) -> bool:
            return True

    return Checkpoints(scope)


async def stream_envelopes(
    graph: Pregel[Any, Any, Any, Any],
    envelopes: "Envelopes",
    arguments: dict[str, Any],
    transformers: Sequence[Callable[..., Any]] = (),
) -> AsyncIterator["Written"]:
    """Run the graph and yield its envelopes in the order it produces them. Raises what the graph raises."""
    factories = [_asking_for_checkpoints, *transformers]
    async with await graph.astream_events(**arguments, version="v3", transformers=factories) as stream:
        async for item in stream:
            for written in envelopes.take(cast("dict[str, Any]", item)):
                yield written


class Envelopes:
    """The envelopes of one run, in order. Keeps what was announced, so that nothing is announced twice."""

    def __init__(self, run_id: str, graph_name: str) -> None:
        self.run_id = run_id
        self.graph_name = graph_name
        self.running = False
        self.announced_end = False  # the root's lifecycle says `interrupted` already
        self.names: dict[Namespace, str] = {}  # of every subgraph that was announced
        self.shown: dict[Namespace, str] = {}  # the last status of each
        self.requested: set[str] = set()  # interrupt ids
        self.unfinished: dict[Namespace, list[Any]] = {}  # ids of the messages being streamed, per namespace
        self.tools: dict[str, Namespace] = {}  # ids of the tool calls being made
        self.checkpoints: set[str] = set()
        self.held: dict[str, Any] | None = None

    def begin(self) -> Iterator[Written]:
        """The run has started, or goes on in another attempt: half a message is not going to be finished then."""
        if not self.running:
            self.running = True
            yield self._lifecycle(ROOT, {"event": RUNNING, "graph_name": self.graph_name})
        for namespace, messages in self.unfinished.items():
            for message_id in messages:
                end = {"event": "message-finish", "id": message_id, "metadata": {"finish_reason": "abandoned"}}
                yield envelope("messages", namespace, end)
        for call_id, namespace in self.tools.items():
            yield envelope("tools", namespace, {"event": "tool-error", "tool_call_id": call_id, "message": ABANDONED})
        self.unfinished, self.tools = {}, {}

    def take(self, item: dict[str, Any]) -> Iterator[Written]:
        """The envelopes of one item.

        Root values wait for the item behind them: clients expect a checkpoint before its values, langgraph has it
        right after.
        """
        held, self.held = self.held, None
        method, params = item["method"], item["params"]
        root = not params["namespace"]
        if root and method == "checkpoints":
            yield from self._checkpoint(params)
        if held:
            yield from self._values(held)
        if root and method == "values" and not params.get("interrupts"):
            self.held = params
        elif method == "lifecycle":
            yield from self._of_subgraph(params)
        else:
            yield from self._of_other(method, params)

    def finish(self, status: str) -> Iterator[Written]:
        """The graph has ended, and so have its open subgraphs, deepest first. The root's end comes with the row's."""
        held, self.held = self.held, None
        if held:
            yield from self._values(held)
        left = [namespace for namespace, shown in self.shown.items() if shown not in TERMINAL]
        for namespace in sorted(left, key=len, reverse=True):
            yield from self._status(namespace, status)

    def recall(self, event: str, data: bytes) -> None:
        """Learn from what an earlier attempt wrote."""
        method = method_of(event)
        if method not in RECALLED or not is_envelope(data):
            return
        params = orjson.loads(data)["params"]
        namespace, said = tuple(params["namespace"]), params["data"]
        match method:
            case "lifecycle":
                self._recall_status(namespace, said)
            case "messages":
                self._follow_message(namespace, said)
            case "tools":
                self._follow_tool(namespace, said)
            case "input.requested":
                self.requested.add(said["interrupt_id"])
            case _:
                self.checkpoints.add(said["id"])

    def _recall_status(self, namespace: Namespace, said: dict[str, Any]) -> None:
        if namespace:
            self.names.setdefault(namespace, said.get("graph_name", ""))
            self.shown[namespace] = said["event"]
        elif said["event"] == RUNNING:
            self.running = True
        else:
            self.announced_end = True

    # --- one kind of item each ----------------------------------------------------------------------------------------

    def _of_other(self, method: str, params: dict[str, Any]) -> Iterator[Written]:
        match method:
            case "values":
                yield from self._values(params)
            case "messages":
                yield from self._message(params)
            case "updates":
                yield from self._updates(params)
            case "tools":
                yield from self._tool(params)
            case "checkpoints":
                pass
            case _ if method.startswith("custom:") and len(method) > len("custom:"):
                named = {"name": method.partition(":")[2], "payload": params["data"]}
                yield envelope("custom", params["namespace"], named, params["timestamp"], name=method)
            case _:
                yield envelope(method, params["namespace"], params["data"], params["timestamp"], params.get("node"))

    def _values(self, params: dict[str, Any]) -> Iterator[Written]:
        data, namespace = params["data"], tuple(params["namespace"])
        inside = data.get(INTERRUPT) or () if isinstance(data, dict) else ()
        yield from self._interrupts(namespace, (*params.get("interrupts", ()), *inside))
        yield envelope("values", namespace, state_json(data), params["timestamp"])

    def _updates(self, params: dict[str, Any]) -> Iterator[Written]:
        data, namespace = params["data"], tuple(params["namespace"])
        if isinstance(data, dict) and INTERRUPT in data:
            yield from self._interrupts(namespace, data[INTERRUPT] or ())
            return
        node = params.get("node")
        yield envelope("updates", namespace, state_json(data), params["timestamp"], node)
        names = [node] if node else list(data) if isinstance(data, dict) else []
        for name in names:
            child = next((ns for ns, status in self.shown.items() if _is_open_child(ns, status, namespace, name)), None)
            if child:
                yield from self._status(child, "completed")

    def _message(self, params: dict[str, Any]) -> Iterator[Written]:
        data = params["data"]
        if not (isinstance(data, tuple | list) and data and isinstance(data[0], dict) and "event" in data[0]):
            return
        self._follow_message(tuple(params["namespace"]), data[0])
        yield envelope("messages", params["namespace"], data[0], params["timestamp"])

    def _follow_message(self, namespace: Namespace, data: dict[str, Any]) -> None:
        kind, messages = data.get("event"), self.unfinished.setdefault(namespace, [])
        if kind == "message-start":
            messages.append(data.get("id"))
        elif kind in ("message-finish", "error") and messages:
            # The last says nothing of its message's id: of several it is the oldest that is over.
            messages.remove(data["id"] if data.get("id") in messages else messages[0])

    def _follow_tool(self, namespace: Namespace, data: Any) -> None:
        call_id = data.get("tool_call_id") if isinstance(data, dict) else None
        if not isinstance(call_id, str):
            return
        if data.get("event") == "tool-started":
            self.tools[call_id] = namespace
        elif data.get("event") in ("tool-finished", "tool-error"):
            self.tools.pop(call_id, None)

    def _tool(self, params: dict[str, Any]) -> Iterator[Written]:
        data, namespace = dialect.plain(params["data"]), params["namespace"]
        node = data.pop("__node", None) if isinstance(data, dict) else None
        self._follow_tool(tuple(namespace), data)
        yield envelope("tools", namespace, data, params["timestamp"], node or params.get("node"))
        if isinstance(data, dict) and data.get("event") == "tool-finished" and isinstance(data.get("output"), dict):
            below = [*namespace, f"tools:{data.get('tool_call_id')}"]
            for part in _tool_message(data["output"], data.get("tool_call_id")):
                yield envelope("messages", below, part, params["timestamp"])

    def _checkpoint(self, params: dict[str, Any]) -> Iterator[Written]:
        """`{id, parent_id, step, source}`, from the config of langgraph's checkpoint."""
        data = params["data"]
        found = _checkpoint_id(data.get("config"))
        if found is None or found in self.checkpoints:
            return
        self.checkpoints.add(found)
        metadata, parent = data.get("metadata") or {}, _checkpoint_id(data.get("parent_config"))
        said: dict[str, Any] = {"id": found, **({"parent_id": parent} if parent else {})}
        said |= {"step": metadata.get("step"), "source": metadata.get("source")}
        yield envelope(
            "checkpoints", ROOT, said, params["timestamp"], event_id=synthetic(self.run_id, "checkpoint", ROOT, found)
        )

    def _of_subgraph(self, params: dict[str, Any]) -> Iterator[Written]:
        data = dict(params["data"])
        namespace = max(tuple(params["namespace"]), tuple(data.get("namespace") or ()), key=len)
        status = data.get("event")
        if not namespace:
            return
        if status == "started":
            if namespace not in self.names:
                self.names[namespace] = data.get("graph_name", "")
                self.shown[namespace] = "started"
                yield envelope("lifecycle", namespace, data, params["timestamp"])
        elif status in STATUSES:
            if data.get("graph_name"):
                self.names[namespace] = data["graph_name"]
            yield from self._status(namespace, status, data.get("cause"))

    def _status(self, namespace: Namespace, status: str, cause: Any = None) -> Iterator[Written]:
        """A subgraph's status, unless it is known. Not its error: the root shows it, if it may be shown."""
        if self.shown.get(namespace) == status and cause is None:
            return
        self.shown[namespace] = status
        said = {"event": status, "graph_name": self.names.get(namespace, namespace[-1].partition(":")[0])}
        yield self._lifecycle(namespace, said if cause is None else {**said, "cause": cause})

    def _interrupts(self, namespace: Namespace, interrupts: Iterable[Any]) -> Iterator[Written]:
        for interrupt in interrupts:
            found = interrupt if isinstance(interrupt, dict) else {"id": interrupt.id, "value": interrupt.value}
            if not found.get("id") or found["id"] in self.requested:
                continue
            self.requested.add(found["id"])
            yield input_requested(self.run_id, namespace, found)
            if not self.announced_end:
                self.announced_end = True
                yield self._lifecycle(ROOT, {"event": "interrupted", "graph_name": self.graph_name})

    def _lifecycle(self, namespace: Namespace, data: dict[str, Any]) -> Written:
        return lifecycle(self.run_id, namespace, data)


# --- what the readers of the log write in the same way ----------------------------------------------------------------


def lifecycle(run_id: str, namespace: Sequence[str], data: dict[str, Any], timestamp: int | None = None) -> Written:
    """A graph's status. Clients read the run's id from the event id."""
    event_id = synthetic(run_id, "lc", namespace, data["event"])
    return envelope("lifecycle", namespace, data, timestamp, event_id=event_id)


def input_requested(
    run_id: str, namespace: Sequence[str], interrupt: dict[str, Any], timestamp: int | None = None
) -> Written:
    """A question to a person. The Python SDK looks for it under `value`, the protocol has it under `payload`."""
    asked = {"payload": interrupt["value"], "value": interrupt["value"]} if "value" in interrupt else {}
    said = {"interrupt_id": interrupt["id"], **asked}
    event_id = synthetic(run_id, "input", namespace, interrupt["id"])
    return envelope("input.requested", namespace, said, timestamp, event_id=event_id)


def synthetic(run_id: str, kind: str, namespace: Sequence[str], what: str) -> str:
    """The id of an event that is told by what it says, not by its place in the log."""
    return f"synth:{run_id}:{kind}|{'/'.join(namespace)}|{what}"


def envelope(
    method: str,
    namespace: Sequence[str],
    data: Any,
    timestamp: int | None = None,
    node: str | None = None,
    *,
    event_id: str | None = None,
    name: str | None = None,
) -> Written:
    """An event without `seq`, and without `event_id` unless it has one of its own; `name` is the log's, if another."""
    params: dict[str, Any] = {
        "namespace": list(namespace),
        "timestamp": int(time.time() * 1000) if timestamp is None else timestamp,
        "data": data,
    }
    if node:
        params["node"] = node
    known = {} if event_id is None else {"event_id": event_id}
    body = dialect.dumps({"type": "event", **known, "method": method, "params": params})
    return event_name(name or method, namespace), body


def event_name(method: str, namespace: Sequence[str]) -> str:
    """What an envelope is called in the log."""
    return "|".join([segment(part) for part in (method, *namespace)]) if namespace else segment(method)


def segment(text: str) -> str:
    """A part of an event's name: the ids of some providers' tool calls contain the separator."""
    return text.replace("|", "%7C")


def method_of(event: str) -> str:
    """The method of an event in the log, `custom:<name>` for a named one."""
    return event.partition("|")[0]


def interrupt_id_of(data: bytes) -> str:
    """The interrupt an `input.requested` envelope is about."""
    return str(orjson.loads(data)["params"]["data"]["interrupt_id"])


def is_envelope(data: bytes) -> bool:
    """Whether a part's data is an envelope and not what a classic run wrote."""
    return data.startswith(START) and (data.startswith(b'"method":', len(START)) or data.startswith(WITH_ID))


def _checkpoint_id(config: Any) -> str | None:
    found = ((config or {}).get("configurable") or {}).get("checkpoint_id")
    return found if isinstance(found, str) else None


def _is_open_child(namespace: Namespace, status: str, parent: Namespace, node: str) -> bool:
    child = len(namespace) == len(parent) + 1 and namespace[: len(parent)] == parent
    return child and namespace[-1].partition(":")[0] == node and status not in TERMINAL


def _tool_message(output: dict[str, Any], call_id: Any) -> Iterator[dict[str, Any]]:
    """A tool's answer as a streamed message. That its delta is called `content` is the protocol's habit."""
    content = output.get("content")
    text = content if isinstance(content, str) else dialect.dumps_text(content)
    start = {"event": "message-start", "role": "tool", "id": output.get("id") or f"tool-{call_id}"}
    yield {**start, "tool_call_id": call_id}
    yield {"event": "content-block-start", "index": 0, "content": {"type": "text", "text": ""}}
    yield {"event": "content-block-delta", "index": 0, "content": {"type": "text", "text": text}}
    yield {"event": "content-block-finish", "index": 0, "content": {"type": "text", "text": text}}
    yield {"event": "message-finish", "metadata": {}}
