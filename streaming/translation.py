"""A thread's log as the events of the protocol: numbers, ids, ends, and classic runs translated. Pure functions.

Envelopes come ready from the worker; what is derived here is derived from the log alone, so that every viewer on every
connection sees the same. Source: contract/streaming.md 8.3 and 8.6.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

from events import log
from events.log import Part
from events.writer import TOO_LARGE
from runs import envelopes
from runs.envelopes import ROOT, START, WITH_ID, Namespace, Written
from runs.following import LOST
from runs.messages_json import INTERRUPT, state_json

# seq = milliseconds since 2026, times 2^13, plus 8 for each part the log has had, plus 1 for each envelope of a part.
# Both numbers of an id only grow; when a log begins anew its parts are counted anew, and by then the milliseconds have
# outgrown them: 1024 parts each. JavaScript's integers last until 2060.
EPOCH_MS = 1_767_225_600_000
SLOTS_PER_MS = 2**13
SLOTS_PER_PART = 8
EVENTS_LOST = "events_lost"  # the status that tells of a gap


@dataclass(frozen=True, slots=True)
class Event:
    """One event of the protocol. `namespace` and `name` are as the log has them; `wire` is the whole JSON document."""

    seq: int
    event_id: str
    run_id: str
    method: str
    namespace: Namespace
    wire: bytes
    name: str | None = None  # of a named custom event

    @property
    def params(self) -> dict[str, Any]:
        """`{namespace, timestamp, data}`, parsed."""
        found: dict[str, Any] = orjson.loads(self.wire)["params"]
        return found

    def custom_name(self) -> str | None:
        """The name of a custom event, wherever it stands."""
        if self.method != "custom" or self.name is not None:
            return self.name
        data = self.params["data"]
        name = data.get("name") if isinstance(data, dict) else None
        return name if isinstance(name, str) else None


@dataclass
class RunView:
    """What a viewer has been told of a run whose end it has not seen."""

    graph_name: str = ""
    begun: bool = False  # before the place this viewer begins at
    told_running: bool = False
    told_end: bool = False
    requested: set[str] = field(default_factory=set)


def seq_of(part_id: str, index: int = 0) -> int:
    """The number of a part's envelope; grows with the log, whoever reads it."""
    milliseconds, number = log.ordinal(part_id)
    place = (milliseconds - EPOCH_MS) * SLOTS_PER_MS + number * SLOTS_PER_PART
    return place + min(index, SLOTS_PER_PART - 1)


def position_before(seq: int, tail: str) -> str:
    """A log id behind which lies everything with a higher number, given the log's end; a little more may lie there."""
    _, number = log.ordinal(tail)
    milliseconds = (seq - (number + 1) * SLOTS_PER_PART) // SLOTS_PER_MS
    return f"{milliseconds + EPOCH_MS}-0" if milliseconds > 0 else log.BEGINNING


class Translation:
    """Reads the log of one thread for one viewer."""

    def __init__(self) -> None:
        self.runs: dict[str, RunView] = {}

    def unknown_run(self, part: Part) -> bool:
        """Whether the part is of a classic run whose graph's name must be looked up first."""
        return part.run_id not in self.runs and part.event not in (log.END, log.GAP) and not _of_protocol(part)

    def introduce(self, run_id: str, graph_name: str, *, begun: bool = False) -> None:
        """Tell the name of a run's graph, and whether its beginning lies before what will be read."""
        self.runs[run_id] = RunView(graph_name, begun)

    def unended(self) -> set[str]:
        """The runs whose end is still to be told."""
        return {run_id for run_id, run in self.runs.items() if not run.told_end}

    def events(self, part: Part) -> Iterator[Event]:
        """The events of one part, in order."""
        if envelopes.is_envelope(part.data):
            self._follow(part)
            yield _event(part, (part.event, part.data), 0)
            return
        told = {log.END: self._end, log.GAP: self._gap, "error": self._error}.get(part.event, self._classic)
        for index, envelope in enumerate(told(part)):
            yield _event(part, envelope, index)

    def ended(self, run_id: str, said: dict[str, Any], seq: int) -> Iterator[Event]:
        """The end of a run that the log does not have; numbered behind `seq`, the last the viewer saw."""
        written = list(self._ending(run_id, said, None))
        if written and said.get("lost"):
            written.insert(-1, _lost(run_id, said["graph_name"], LOST["message"], None))
        for index, (_, data) in enumerate(written, start=1):
            wire = b'%b"seq":%d,%b' % (START, seq + index, data[len(START) :])
            yield Event(seq + index, orjson.loads(data)["event_id"], run_id, "lifecycle", ROOT, wire)

    # --- runs that write envelopes ------------------------------------------------------------------------------------

    def _follow(self, part: Part) -> None:
        if part.event == "lifecycle":
            run = self.runs.setdefault(part.run_id, RunView())
            said = orjson.loads(part.data)["params"]["data"]
            run.graph_name = said.get("graph_name") or run.graph_name
            if said["event"] == envelopes.RUNNING:
                run.told_running = True
            else:
                run.told_end = True

    def _end(self, part: Part) -> Iterator[Written]:
        return self._ending(part.run_id, orjson.loads(part.data), _timestamp(part))

    def _ending(self, run_id: str, said: dict[str, Any], timestamp: int | None) -> Iterator[Written]:
        """The root's terminal event, unless it has been told."""
        run = self.runs.pop(run_id, None) or RunView()
        if run.told_end or said.get("announced"):
            return
        graph_name = said.get("graph_name") or run.graph_name
        if said.get("waited") and not (run.told_running or run.begun):
            yield _status(run_id, graph_name, envelopes.RUNNING, timestamp)
        error = {"error": said["error"]} if "error" in said else {}
        yield _status(run_id, graph_name, said.get("status", "completed"), timestamp, **error)

    def _gap(self, part: Part) -> Iterator[Written]:
        """What a run wrote while Redis was away is missing; gaps in the log itself are its reader's to tell."""
        if part.data == log.UNWRITTEN:
            yield self._missing(part, LOST["message"])

    def _error(self, part: Part) -> Iterator[Written]:
        """An event was too large for the log; of a run's own error its end tells."""
        error = orjson.loads(part.data)
        if error.get("error") == TOO_LARGE:
            yield self._missing(part, error["message"])

    def _missing(self, part: Part, text: str) -> Written:
        graph_name = self.runs[part.run_id].graph_name if part.run_id in self.runs else ""
        return _lost(part.run_id, graph_name, text, part)

    # --- classic runs -------------------------------------------------------------------------------------------------

    def _classic(self, part: Part) -> Iterator[Written]:
        """Path 1: what can be told in the protocol's words (contract/streaming.md 8.6, rule 4)."""
        method, *names = part.event.split("|")
        run = self.runs.get(part.run_id) or RunView()
        match method:
            case "metadata":
                if not run.told_running and not _of_protocol(part):
                    run.told_running = True
                    yield _status(part.run_id, run.graph_name, envelopes.RUNNING, _timestamp(part))
            case "values":
                yield from self._values(part, run, tuple(names))
            case "updates":
                yield from self._updates(part, run, tuple(names))
            case "custom":
                yield envelopes.envelope("custom", names, {"payload": orjson.loads(part.data)}, _timestamp(part))
            case "tasks":
                yield envelopes.envelope("tasks", names, orjson.loads(part.data), _timestamp(part))

    def _values(self, part: Part, run: RunView, namespace: Namespace) -> Iterator[Written]:
        data = orjson.loads(part.data)
        yield from _interrupts(part, run, namespace, data)
        yield envelopes.envelope("values", namespace, state_json(data), _timestamp(part))

    def _updates(self, part: Part, run: RunView, namespace: Namespace) -> Iterator[Written]:
        data = orjson.loads(part.data)
        if isinstance(data, dict) and INTERRUPT in data:
            yield from _interrupts(part, run, namespace, data)
        elif isinstance(data, dict) and len(data) == 1:
            ((node, update),) = data.items()
            yield envelopes.envelope("updates", namespace, state_json(update), _timestamp(part), node)
        else:
            yield envelopes.envelope("updates", namespace, state_json(data), _timestamp(part))


def _interrupts(part: Part, run: RunView, namespace: Namespace, data: Any) -> Iterator[Written]:
    found = data.get(INTERRUPT) if isinstance(data, dict) else None
    for interrupt in found or ():
        if interrupt["id"] in run.requested:
            continue
        run.requested.add(interrupt["id"])
        yield envelopes.input_requested(part.run_id, namespace, interrupt, _timestamp(part))
        if not run.told_end:
            run.told_end = True
            yield _status(part.run_id, run.graph_name, "interrupted", _timestamp(part))


def _status(run_id: str, graph_name: str, status: str, timestamp: int | None, **more: Any) -> Written:
    return envelopes.lifecycle(run_id, ROOT, {"event": status, "graph_name": graph_name, **more}, timestamp)


def _lost(run_id: str, graph_name: str, text: str, part: Part | None) -> Written:
    """Tells that events of a run are missing here. Clients that do not know this status go on."""
    said = {"event": EVENTS_LOST, "graph_name": graph_name, "error": text}
    timestamp = _timestamp(part) if part else None
    event_id = envelopes.synthetic(run_id, "lc", ROOT, f"{EVENTS_LOST}|{part.id if part else ''}")
    return envelopes.envelope("lifecycle", ROOT, said, timestamp, event_id=event_id)


def _event(part: Part, written: Written, index: int) -> Event:
    name, data = written
    method, *namespace = name.split("|")
    method, _, custom = method.partition(":")
    seq = seq_of(part.id, index)
    if data.startswith(WITH_ID):
        event_id = data[len(WITH_ID) : data.index(b'"', len(WITH_ID))].decode()
        wire = b'%b"seq":%d,%b' % (START, seq, data[len(START) :])
    else:
        event_id = f"{part.id}.{index}" if index else part.id
        wire = b'%b"event_id":"%b","seq":%d,%b' % (START, event_id.encode(), seq, data[len(START) :])
    return Event(seq, event_id, part.run_id, method, tuple(namespace), wire, custom or None)


def _timestamp(part: Part) -> int:
    return int(part.id.partition("-")[0])


def _of_protocol(part: Part) -> bool:
    return envelopes.is_envelope(part.data) or (part.event == "metadata" and b'"protocol"' in part.data)
