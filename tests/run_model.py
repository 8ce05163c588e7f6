"""What runs and threads do, said as simply as it can be: no database, no clock. test_run_model.py compares."""

import uuid
from dataclasses import dataclass, field

IN_FLIGHT = ("pending", "running")
MOST_ATTEMPTS = 3


@dataclass(eq=False)
class RunModel:
    """A run. `turn` is its place in its thread's line; `lapsed` says its lease has run out."""

    run_id: uuid.UUID
    turn: tuple[object, ...]
    due: bool
    temporary: bool
    status: str = "pending"
    attempt: int = 0
    handed_back: int = 0
    cancel: str | None = None
    worker: str = ""
    lapsed: bool = False


@dataclass(eq=False)
class ThreadModel:
    """A thread. `rest` is its status when nothing is in flight."""

    runs: dict[uuid.UUID, RunModel] = field(default_factory=dict)
    rest: str = "idle"

    @property
    def status(self) -> str:
        return "busy" if self.in_flight else self.rest

    @property
    def in_flight(self) -> list[RunModel]:
        return [run for run in self.runs.values() if run.status in IN_FLIGHT]


class Model:
    """All threads there are. A verb returns whether it was granted; what is refused changes nothing."""

    def __init__(self) -> None:
        self.threads: dict[uuid.UUID, ThreadModel] = {}

    def find(self, run_id: uuid.UUID) -> tuple[ThreadModel, RunModel] | None:
        found = (thread for thread in self.threads.values() if run_id in thread.runs)
        thread = next(found, None)
        return (thread, thread.runs[run_id]) if thread else None

    def is_live(self, run_id: uuid.UUID, attempt: int) -> bool:
        _, run = self.find(run_id) or (None, None)
        return run is not None and (run.status, run.attempt) == ("running", attempt)

    def accepts(self, thread_id: uuid.UUID, strategy: str, if_not_exists: str) -> bool:
        thread = self.threads.get(thread_id)
        if thread is None:
            return if_not_exists == "create"
        return strategy != "reject" or not thread.in_flight

    def create(self, thread_id: uuid.UUID, run: RunModel, strategy: str) -> None:
        thread = self.threads.setdefault(thread_id, ThreadModel())
        if strategy in ("interrupt", "rollback"):
            for other in thread.in_flight:
                self.cancel(other.run_id, strategy)
        thread.runs[run.run_id] = run

    def claim(self, run_id: uuid.UUID, worker: str) -> bool:
        thread, run = self.find(run_id) or (None, None)
        if thread is None or run is None or run.status != "pending" or not run.due:
            return False
        first = min(thread.in_flight, key=lambda other: (other.status != "running", other.turn))
        if first is not run:
            return False
        run.status, run.worker, run.lapsed = "running", worker, False
        run.attempt += 1
        return True

    def cancel(self, run_id: uuid.UUID, action: str) -> bool:
        thread, run = self.find(run_id) or (None, None)
        if thread is None or run is None or run.status not in IN_FLIGHT or run.cancel:
            return False
        if run.status == "running":
            run.cancel = action
        elif action == "rollback":
            del thread.runs[run_id]
        else:
            run.status, run.cancel = "interrupted", action
        return True

    def finish(self, run_id: uuid.UUID, attempt: int, status: str, rest: str) -> None:
        """The attempt ended by itself; unless it is not the live one any more. A cancel that was accepted wins."""
        thread, run = self.find(run_id) or (None, None)
        if thread is None or run is None or not self.is_live(run_id, attempt):
            return
        if run.temporary:
            self.delete_thread_of(run_id)
        elif run.cancel == "rollback":
            del thread.runs[run_id]
            thread.rest = "idle"
        else:
            run.status = "interrupted" if run.cancel else status
            thread.rest = rest

    def hand_back(self, run_id: uuid.UUID, attempt: int) -> None:
        """The worker goes down in good order. What was to be cancelled is; the rest waits for another worker."""
        _, run = self.find(run_id) or (None, None)
        if run is None or not self.is_live(run_id, attempt):
            return
        if run.cancel:
            self.finish(run_id, attempt, "interrupted", "idle")
        else:
            run.status = "pending"
            run.handed_back += 1

    def lose(self, run_id: uuid.UUID, attempt: int) -> None:
        """The worker believes that its lease is lost. It only clears up what was to leave nothing behind."""
        _, run = self.find(run_id) or (None, None)
        if run and run.cancel == "rollback":
            self.finish(run_id, attempt, "", "idle")

    def sweep(self) -> None:
        lapsed = [run for thread in self.threads.values() for run in thread.in_flight if run.lapsed]
        for run in (run for run in lapsed if run.status == "running"):
            if run.cancel or run.attempt - run.handed_back >= MOST_ATTEMPTS:
                run.attempt += 1  # the sweeper's own
                self.finish(run.run_id, run.attempt, "error", "idle" if run.cancel else "error")
            else:
                run.status = "pending"

    def renew(self, worker: str) -> set[uuid.UUID]:
        runs = [run for thread in self.threads.values() for run in thread.runs.values()]
        kept = [run for run in runs if run.status == "running" and run.worker == worker]
        for run in kept:
            run.lapsed = False
        return {run.run_id for run in kept}

    def delete(self, run_id: uuid.UUID) -> bool:
        thread, _ = self.find(run_id) or (None, None)
        return bool(thread and thread.runs.pop(run_id))

    def delete_thread_of(self, run_id: uuid.UUID) -> None:
        self.threads = {key: thread for key, thread in self.threads.items() if run_id not in thread.runs}
