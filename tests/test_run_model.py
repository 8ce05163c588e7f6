"""Any sequence of creating, claiming, ending, losing, sweeping, cancelling and deleting leaves what the model says.

Against the real transitions on the real database. `WEFT_MODEL_EXAMPLES=2000` looks longer and elsewhere each time.
"""

import os
import uuid
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from django.test import RequestFactory
from django.utils import timezone
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from accounts.callers import SCOPE_KEY, UNBOUND, Caller
from assistants.startup import start
from config.errors import NotFound
from runs.conclusion import conclude
from runs.dispatch import NotCancellable, ThreadBusy, cancel_run, create_run, create_stateless_run
from runs.execution import Outcome, Stop
from runs.models import IN_FLIGHT, CancelAction, Run, RunStatus
from runs.sweeper import take_back_expired
from runs.views import OneRun
from tests.run_model import Model, RunModel
from threads.models import HeadState, Thread
from threads.removal import delete_threads

EXAMPLES = int(os.environ.get("WEFT_MODEL_EXAMPLES", "0"))
LEASE = timedelta(seconds=300)
BODY = {"assistant_id": "counter", "input": {"steps": 2}}
# How a graph may end, and the thread's status after it.
OUTCOMES = {
    "success": (Outcome(RunStatus.SUCCESS, head=HeadState({"count": 1}, exists=True)), "idle"),
    "asks": (Outcome(RunStatus.SUCCESS, head=HeadState({}, has_next=True, exists=True)), "interrupted"),
    "error": (Outcome(RunStatus.ERROR, {"error": "E", "message": "m"}), "error"),
    "timeout": (Outcome(RunStatus.TIMEOUT, {"error": "E", "message": "m"}), "error"),
}
strategies = st.sampled_from(["enqueue", "reject", "interrupt", "rollback"])
actions = st.sampled_from(list(CancelAction))
workers = st.sampled_from(["w1", "w2"])
numbers = st.integers(0, 3)  # which of the latest
cancelled_before = st.sampled_from([None, None, *CancelAction])
rarely = st.integers(0, 4).map(lambda number: number == 4)
seen: Counter[str] = Counter()  # what happened to live attempts, so that it can be asked whether all of it did


class RunsAndThreads(RuleBasedStateMachine):
    """What clients, workers and sweepers do, in any order. Claims are kept for ever: an old one may still speak up."""

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.threads: list[uuid.UUID] = []
        self.runs: list[Run] = []
        self.claims: list[Run] = []

    def teardown(self) -> None:
        Thread.objects.filter(pk__in=self.threads).delete()

    @rule(strategy=strategies, refuse=rarely, number=numbers, new=rarely, delayed=rarely)
    def create(self, strategy: str, refuse: bool, number: int, new: bool, delayed: bool) -> None:
        thread_id = uuid.uuid4() if new or not self.threads else latest(self.threads, number)
        if_not_exists = "reject" if refuse else "create"
        body: dict[str, Any] = {**BODY, "multitask_strategy": strategy, "if_not_exists": if_not_exists}
        body |= {"after_seconds": 3600} if delayed else {}
        if not self.model.accepts(thread_id, strategy, if_not_exists):
            refusal = ThreadBusy if thread_id in self.model.threads else NotFound
            with pytest.raises(refusal):
                create_run(thread_id, body, Caller())
            return
        run = create_run(thread_id, body, Caller())
        self._created(run, strategy, due=not delayed)

    @rule(delete=st.booleans())
    def create_stateless(self, delete: bool) -> None:
        run = create_stateless_run({**BODY, "on_completion": "delete" if delete else "keep"}, Caller())
        self._created(run, "enqueue", due=True, temporary=delete)

    def _created(self, run: Run, strategy: str, *, due: bool, temporary: bool = False) -> None:
        self.threads.append(run.thread_id)
        self.runs.append(run)
        self.model.create(run.thread_id, RunModel(run.run_id, (run.created_at, run.run_id), due, temporary), strategy)

    @precondition(lambda self: self.runs)
    @rule(number=numbers, worker=workers, stray=rarely)
    def claim(self, number: int, worker: str, stray: bool) -> None:
        waiting = [run for run in self.runs if self._status_of(run.run_id) == "pending"]
        self._take(latest(self.runs if stray or not waiting else waiting, number).run_id, worker)

    def _take(self, run_id: uuid.UUID, worker: str) -> None:
        claimed = Run.objects.claim(run_id, worker, LEASE)
        assert (claimed is not None) == self.model.claim(run_id, worker)
        if claimed:
            self.claims.append(claimed)

    @rule(number=numbers, stray=rarely, action=cancelled_before, ending=st.sampled_from(list(OUTCOMES)))
    def finish(self, number: int, stray: bool, action: CancelAction | None, ending: str) -> None:
        claim, (outcome, rest) = self._claim("finish", number, stray, action), OUTCOMES[ending]
        conclude(claim, outcome)
        self.model.finish(claim.run_id, claim.attempt, str(outcome.status), rest)

    @rule(number=numbers, stray=rarely, action=cancelled_before)
    def hand_back(self, number: int, stray: bool, action: CancelAction | None) -> None:
        claim = self._claim("hand back", number, stray, action)
        conclude(claim, Outcome(Stop.DRAIN))
        self.model.hand_back(claim.run_id, claim.attempt)

    @rule(number=numbers, stray=rarely, action=cancelled_before)
    def lose(self, number: int, stray: bool, action: CancelAction | None) -> None:
        claim = self._claim("lose", number, stray, action)
        conclude(claim, Outcome(Stop.LEASE_LOST))
        self.model.lose(claim.run_id, claim.attempt)

    @rule(number=numbers, action=cancelled_before, swept=st.booleans())
    def let_lease_run_out(self, number: int, action: CancelAction | None, swept: bool) -> None:
        run_id = self._claim("lapse", number, stray=False, action=action).run_id
        past = timezone.now() - timedelta(seconds=1)
        Run.objects.filter(pk=run_id, status=RunStatus.RUNNING).update(lease_expires_at=past)
        _, run = self.model.find(run_id) or (None, None)
        if run and run.status == "running":
            run.lapsed = True
        if swept:
            self.sweep()

    def _claim(self, what: str, number: int, stray: bool, action: CancelAction | None) -> Run:
        """One of the live claims, a new one when there is none, perhaps cancelled just now; astray, one of all."""
        if not any(self.model.is_live(claim.run_id, claim.attempt) for claim in self.claims):
            self.create_stateless(delete=False)
            self._take(self.runs[-1].run_id, "w1")
        live = [claim for claim in self.claims if self.model.is_live(claim.run_id, claim.attempt)]
        claim: Run = latest(self.claims if stray else live, number)
        if action:
            self._cancel(claim, action)
        _, run = self.model.find(claim.run_id) or (None, None)
        if run and claim in live:
            seen[f"{what} {run.cancel}"] += 1
        return claim

    def _status_of(self, run_id: uuid.UUID) -> str | None:
        _, run = self.model.find(run_id) or (None, None)
        return run.status if run else None

    @rule(worker=workers)
    def renew(self, worker: str) -> None:
        held = [run.run_id for run in self.runs]
        assert Run.objects.renew(worker, LEASE, held) == self.model.renew(worker)

    @rule()
    def sweep(self) -> None:
        take_back_expired()
        self.model.sweep()

    @precondition(lambda self: self.runs)
    @rule(number=numbers, action=actions, stray=rarely)
    def cancel(self, number: int, action: CancelAction, stray: bool) -> None:
        in_flight = [run for run in self.runs if self._status_of(run.run_id) in IN_FLIGHT]
        in_flight.sort(key=lambda run: self._status_of(run.run_id) == RunStatus.RUNNING)
        self._cancel(latest(self.runs if stray or not in_flight else in_flight, number), action)

    def _cancel(self, run: Run, action: CancelAction) -> None:
        try:
            cancel_run(run, action, "asked")
            cancelled = True
        except NotCancellable:
            cancelled = False
        assert cancelled == self.model.cancel(run.run_id, action)

    @precondition(lambda self: len(self.runs) > 3)
    @rule(number=numbers)
    def delete_run(self, number: int) -> None:
        run = latest(self.runs, number)
        request: Any = RequestFactory().delete("/")
        request.scope = {SCOPE_KEY: UNBOUND}
        answer = OneRun.as_view()(request, thread_id=str(run.thread_id), run_id=str(run.run_id))
        assert answer.status_code == (204 if self.model.delete(run.run_id) else 404)

    @precondition(lambda self: len(self.runs) > 6)
    @rule(number=numbers)
    def delete_thread(self, number: int) -> None:
        thread_id = latest(self.threads, number)
        assert delete_threads([thread_id]) == (self.model.threads.pop(thread_id, None) is not None)

    @invariant()
    def threads_are_as_the_model_says(self) -> None:
        found = Thread.objects.filter(pk__in=self.threads).values_list("thread_id", "status")
        assert dict(found) == {thread_id: thread.status for thread_id, thread in self.model.threads.items()}

    @invariant()
    def runs_are_as_the_model_says(self) -> None:
        found = Run.objects.filter(thread__in=self.threads).values_list("run_id", "status", "attempt", "cancel_action")
        assert {row[0]: row[1:] for row in found} == {
            run.run_id: (run.status, run.attempt, run.cancel)
            for thread in self.model.threads.values()
            for run in thread.runs.values()
        }

    @invariant()
    def nothing_cancelled_waits(self) -> None:
        cancelled = Run.objects.filter(thread__in=self.threads, status=RunStatus.PENDING)
        assert not cancelled.exclude(cancel_action=None).exists()


def latest(things: list[Any], number: int) -> Any:
    """The thing so many places from the end, or the first."""
    return things[max(len(things) - 1 - number, 0)]


@pytest.mark.timeout(120 + EXAMPLES)
@pytest.mark.django_db
def test_runs_and_threads_do_what_the_model_says() -> None:
    start()
    run_state_machine_as_test(
        RunsAndThreads,
        settings=settings(
            max_examples=EXAMPLES or 12,
            stateful_step_count=50,
            derandomize=not EXAMPLES,
            print_blob=True,
            deadline=None,
            database=None,
            # The suite has no time to look for the shortest way to fail.
            phases=list(Phase) if EXAMPLES else [Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
    ways = {f"{what} {cancel}" for what in ("finish", "hand back", "lose", "lapse") for cancel in (None, *CancelAction)}
    assert ways == set(seen), f"the sequences never came to {ways - set(seen)}"
