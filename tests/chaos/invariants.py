"""What must hold once all has come to rest, whatever happened before. Reads evidence, never the server.

Each invariant is a function that yields what it checked and, with it, what is wrong about that: "" for nothing.
"""

import itertools
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import psycopg

from tests.chaos import audit
from tests.chaos.audit import CheckpointRow, Transition, Written
from tests.chaos.faults import Chaos, Inflicted, forgetful_between
from tests.chaos.load import Load, Records, expected_log
from tests.chaos.tree import Tree

K = TypeVar("K")
V = TypeVar("V")
TERMINAL = ("success", "error", "timeout", "interrupted", "gone")
SHOWN = 8  # violations of one invariant that are printed
STOPPING_SECONDS = 3.0  # what a process that has lost its lease may take to notice, on a busy machine


@dataclass(frozen=True)
class Step:
    """A line of the journal: an attempt began a step, in the process `pid`."""

    run: str
    attempt: int
    step: int
    at: float
    pid: int


@dataclass
class Evidence:
    """All that was written down, by the database, the graph and the clients."""

    transitions: list[Transition]
    written: list[Written]
    checkpoints: list[CheckpointRow]
    logs: dict[str, list[str]]
    steps: list[Step]
    records: Records
    failures: list[str]
    inflicted: list[Inflicted] = field(default_factory=list)
    stubborn: list[str] = field(default_factory=list)
    lives: dict[str, int] = field(default_factory=dict)  # every life of every part, and its pid
    in_flight: int = 0

    @cached_property
    def of_run(self) -> dict[str, list[Transition]]:
        """Each run's transitions in order."""
        return grouped(self.transitions, lambda one: one.run_id)

    @cached_property
    def steps_of(self) -> dict[str, dict[int, list[Step]]]:
        """Each run's steps by attempt, in order."""
        runs = grouped(self.steps, lambda step: step.run)
        return {run: grouped(steps, lambda step: step.attempt) for run, steps in runs.items()}

    def ends(self, run_id: str) -> list[str]:
        """The terminal statuses a run got, in order; a row that is deleted after its run's end is not one."""
        changes = self.of_run.get(run_id, [])
        return [one.new for one in changes if one.new in TERMINAL and not (one.new == "gone" and one.old in TERMINAL)]


def gathered(tree: Tree, load: Load, chaos: Chaos) -> Evidence:
    """The evidence of a chaos that has come to rest."""
    with psycopg.connect(tree.database, autocommit=True) as connection:
        return Evidence(
            audit.transitions(connection),
            audit.written(connection),
            audit.checkpoints(connection),
            audit.logs(connection),
            [Step(**json.loads(line)) for line in tree.journal.read_text().splitlines()],
            load.records,
            load.client.failures,
            chaos.inflicted,
            chaos.stubborn,
            {life: pid for part in tree.parts.values() for life, pid in part.lives.items()},
            audit.in_flight(connection),
        )


# --- runs -------------------------------------------------------------------------------------------------------------


def accepted_runs_end(evidence: Evidence) -> Iterator[str]:
    """Every run answered with 2xx has reached a terminal status: none is lost."""
    for run in evidence.records.accepted.values():
        last = evidence.of_run.get(run.run_id, [None])[-1]
        yield "" if evidence.ends(run.run_id) else f"{run.tag} {run.run_id}: {last}"


def runs_end_once(evidence: Evidence) -> Iterator[str]:
    """No run has a second terminal status, and none changes after it."""
    for run_id, changes in evidence.of_run.items():
        after = [one.new for one in changes if one.old in TERMINAL]
        ends = evidence.ends(run_id)
        yield "" if len(ends) <= 1 and after in ([], ["gone"]) else f"{run_id}: {ends}, then {after}"


def runs_end_as_they_should(evidence: Evidence) -> Iterator[str]:
    """Faults fail no run; a cancel that was accepted ends it interrupted, or rolled back."""
    for run in evidence.records.accepted.values():
        for end in evidence.ends(run.run_id)[:1]:
            wanted = " or ".join(sorted(run.outcomes))
            yield "" if end in run.outcomes else f"{run.tag} {run.run_id}: {end} instead of {wanted}"


def requests_create_once(evidence: Evidence) -> Iterator[str]:
    """A request that is sent again with its key makes one run; one that nobody heard the answer of at most one."""
    made = grouped((one for one in evidence.transitions if not one.old and one.tag), lambda one: str(one.tag))
    answered = {run.tag for run in evidence.records.accepted.values()}
    for tag in evidence.records.tags:
        count = len(made.get(tag, []))
        yield "" if count == 1 or (count == 0 and tag not in answered) else f"{tag}: {count} runs"


def attempts_are_contiguous(evidence: Evidence) -> Iterator[str]:
    """The attempts of a run are 1, 2, 3 ... without a gap."""
    for run_id, changes in evidence.of_run.items():
        raised = [b.attempt for a, b in itertools.pairwise(changes) if b.attempt != a.attempt]
        yield "" if raised == list(range(1, len(raised) + 1)) else f"{run_id}: {raised}"


def threads_run_one_at_a_time(evidence: Evidence) -> Iterator[str]:
    """No two runs of a thread are running at once."""
    for thread_id, changes in grouped(evidence.transitions, lambda one: one.thread_id).items():
        running: set[str] = set()
        for one in changes:
            (running.add if one.new == "running" else running.discard)(one.run_id)
            if len(running) > 1:
                yield f"thread {thread_id}: {running}"
                break
        else:
            yield ""


def queues_are_first_in_first_out(evidence: Evidence) -> Iterator[str]:
    """The runs of a thread start in the order in which they were created."""
    for queue in evidence.records.queues:
        first = [next((one.n for one in evidence.of_run.get(run, []) if one.new == "running"), 0) for run in queue]
        yield "" if first == sorted(first) else f"{queue} started as {first}"


# --- what runs write --------------------------------------------------------------------------------------------------


def checkpoints_are_of_the_live_attempt(evidence: Evidence) -> Iterator[str]:
    """Nothing but the live attempt of a run writes its checkpoints."""
    for one in evidence.written:
        if one.what == "checkpoints" and one.run_id:
            live = (one.live_run, one.live_attempt)
            yield "" if (one.run_id, one.attempt) == live else f"{one.run_id}/{one.attempt} wrote while {live} was live"


def writes_are_of_the_live_worker(evidence: Evidence) -> Iterator[str]:
    """Nothing but the process that holds the lease writes checkpoints or graph tasks' writes on a thread."""
    for one in evidence.written:
        pid = (one.live_worker or "--").split("-")[-2]
        right = pid.isdigit() and evidence.lives.get(one.writer) == int(pid)
        yield ("" if right else f"{one.writer} wrote {one.what} of {one.thread_id}, leased by {one.live_worker}")


def checkpoint_chains_are_whole(evidence: Evidence) -> Iterator[str]:
    """Every checkpoint's parent exists, and none has two children."""
    for thread_id, rows in grouped(evidence.checkpoints, lambda row: row.thread_id).items():
        known = {row.checkpoint_id for row in rows}
        parents = [row.parent for row in rows if row.parent]
        orphans, forks = set(parents) - known, len(parents) - len(set(parents))
        roots = len(rows) - len(parents)
        yield "" if not orphans and not forks and roots == 1 else f"{thread_id}: {roots} roots, {orphans=}, {forks=}"


def inputs_are_applied_once(evidence: Evidence) -> Iterator[str]:
    """A run has one input checkpoint, however many attempts it takes."""
    rows = [row for row in evidence.checkpoints if row.run_id]
    for run_id, own in grouped(rows, lambda row: str(row.run_id)).items():
        inputs = sum(row.source == "input" for row in own)
        yield "" if inputs <= 1 else f"{run_id}: {inputs} inputs"


def states_hold_each_step_once(evidence: Evidence) -> Iterator[str]:
    """A thread's state has, of each run that succeeded, its input and each of its steps once and in order."""
    for run in evidence.records.accepted.values():
        if run.thread_id and evidence.ends(run.run_id) == ["success"]:
            wanted = expected_log(run)
            found = [entry for entry in evidence.logs.get(run.thread_id, []) if entry in wanted]
            yield "" if found == wanted else f"{run.tag}: {found} instead of {wanted}"


# --- side effects -----------------------------------------------------------------------------------------------------


def attempts_go_on_from_the_last_checkpoint(evidence: Evidence) -> Iterator[str]:
    """No attempt skips a step, and none begins before the step its forerunner's forerunner had reached."""
    for run_id, attempts in evidence.steps_of.items():
        reached = -1
        for attempt, steps in sorted(attempts.items()):
            numbers = [step.step for step in steps]
            whole = numbers == list(range(numbers[0], numbers[0] + len(numbers)))
            yield "" if whole and numbers[0] <= reached + 1 else f"{run_id}/{attempt}: {numbers} after {reached}"
            reached = max(reached, numbers[-1])


def old_attempts_stop(evidence: Evidence) -> Iterator[str]:
    """No step of an attempt begins once a later attempt has begun one, but by a process that was stopped or cut off,
    in the moment it takes to notice.
    """
    for run_id, attempts in evidence.steps_of.items():
        for (_, older), (_, newer) in itertools.pairwise(sorted(attempts.items())):
            late = [step for step in older if step.at > newer[0].at]
            allowed = [step for step in late if _had_just_come_back(evidence, step)]
            yield "" if late == allowed else f"{run_id}: {late} after {newer[0]}"


def _had_just_come_back(evidence: Evidence, step: Step) -> bool:
    lives = [life for life, pid in evidence.lives.items() if pid == step.pid]
    stops = [one for one in evidence.inflicted if one.life in lives and one.fault.kind.startswith("stop")]
    return any(one.ended - 0.5 <= step.at <= one.ended + STOPPING_SECONDS for one in stops)


# --- what clients see -------------------------------------------------------------------------------------------------


def streams_have_no_gap_and_no_duplicate(evidence: Evidence) -> Iterator[str]:
    """What a client saw, over all its connections, is what the log has, in that order."""
    for seen in _untroubled(evidence, evidence.records.watched):
        wrong = "" if seen.ids == seen.replayed else f"{_difference(seen.ids, seen.replayed)} of {len(seen.replayed)}"
        yield wrong and f"{seen.run_id}, {seen.connections} connections: {wrong}"


def logs_have_each_part_once(evidence: Evidence) -> Iterator[str]:
    """Each attempt's parts are in the log once and in order, without a gap, and none behind a later attempt's."""
    for seen in _untroubled(evidence, evidence.records.watched):
        order = [attempt for attempt, _ in itertools.groupby(seen.parts, key=lambda part: part[0])]
        numbers = grouped(seen.parts, lambda part: part[0])
        whole = all([n for _, n in own] == list(range(own[0][1], own[0][1] + len(own))) for own in numbers.values())
        yield "" if whole and order == sorted(set(order)) else f"{seen.run_id}: {seen.parts}"


def streams_end_after_their_run(evidence: Evidence) -> Iterator[str]:
    """When a stream has ended, the run's status is terminal."""
    for seen in evidence.records.watched:
        yield "" if seen.status in TERMINAL else f"{seen.run_id} was {seen.status}"


def waits_answer_the_result(evidence: Evidence) -> Iterator[str]:
    """A wait that is answered has the run's result."""
    for one in _untroubled(evidence, evidence.records.answered):
        yield "" if one.log == one.expected else f"{one.run_id}: {one.log} instead of {one.expected}"


def clients_are_told_nothing_wrong(evidence: Evidence) -> Iterator[str]:
    """No answer is a 500, none refuses what is allowed, and every request is answered in the end."""
    yield from [""] * (len(evidence.records.tags) - len(evidence.records.gave_up))
    yield from evidence.failures + evidence.records.broken + evidence.records.gave_up


def nothing_is_left_over(evidence: Evidence) -> Iterator[str]:
    """No run is in flight, and whoever got SIGTERM has ended."""
    yield f"{evidence.in_flight} runs are in flight" if evidence.in_flight else ""
    ended = sum(one.fault.kind.startswith("end ") for one in evidence.inflicted)
    yield from [""] * (ended - len(evidence.stubborn))
    yield from evidence.stubborn


INVARIANTS: tuple[Callable[[Evidence], Iterator[str]], ...] = (
    accepted_runs_end,
    runs_end_once,
    runs_end_as_they_should,
    requests_create_once,
    attempts_are_contiguous,
    threads_run_one_at_a_time,
    queues_are_first_in_first_out,
    checkpoints_are_of_the_live_attempt,
    writes_are_of_the_live_worker,
    checkpoint_chains_are_whole,
    inputs_are_applied_once,
    states_hold_each_step_once,
    attempts_go_on_from_the_last_checkpoint,
    old_attempts_stop,
    streams_have_no_gap_and_no_duplicate,
    logs_have_each_part_once,
    streams_end_after_their_run,
    waits_answer_the_result,
    clients_are_told_nothing_wrong,
    nothing_is_left_over,
)


def verdicts(evidence: Evidence) -> dict[str, tuple[int, list[str]]]:
    """Each invariant's name, how often it was checked, and its violations."""
    found = {}
    for invariant in INVARIANTS:
        checked = list(invariant(evidence))
        found[invariant.__name__.replace("_", " ")] = (len(checked), [wrong for wrong in checked if wrong])
    return found


def table(found: dict[str, tuple[int, list[str]]]) -> str:
    """The verdicts for people, violations beneath."""
    lines = [f"{'invariant':<45} {'checked':>8} {'violations':>10}"]
    lines += [f"{name:<45} {checked:>8} {len(wrong):>10}" for name, (checked, wrong) in found.items()]
    for name, (_, wrong) in found.items():
        lines += [f"\n{name}:", *(f"  {line}" for line in wrong[:SHOWN])] if wrong else []
    return "\n".join(lines)


def grouped(items: Iterable[V], key: Callable[[V], K]) -> dict[K, list[V]]:
    """The items by key, each group in the order given."""
    groups: defaultdict[K, list[V]] = defaultdict(list)
    for item in items:
        groups[key(item)].append(item)
    return dict(groups)


def _untroubled(evidence: Evidence, seen: Iterable[Any]) -> Iterator[Any]:
    """Those during which Redis lost nothing: the log lives there, and only there."""
    return (one for one in seen if not forgetful_between(evidence.inflicted, one.started, one.ended))


def _difference(seen: list[str], logged: list[str]) -> str:
    missed, extra = set(logged) - set(seen), set(seen) - set(logged)
    return f"{len(missed)} missed, {len(extra)} extra, {len(seen) - len(set(seen))} twice"
