"""The workers that are up, as they say themselves, and the runs they hold as their rows say. Changes nothing."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from runs.models import Run, RunStatus
from runs.presence import Worker, present

RUNS = 500  # in execution, of all workers


@dataclass(frozen=True)
class Busy:
    """A worker and what it executes."""

    worker: Worker
    seen: datetime
    started: datetime
    runs: list[UUID]


def workers(now: datetime) -> list[Busy] | None:
    """Those that are up; None when Redis does not answer."""
    found = present()
    return None if found is None else _busy(found, now)


def worker(name: str, now: datetime) -> Busy | None:
    """The one with the name, if it is up."""
    found = [one for one in present() or () if one.name == name]
    return next(iter(_busy(found, now)), None)


def _busy(found: list[Worker], now: datetime) -> list[Busy]:
    running = Run.objects.filter(status=RunStatus.RUNNING, worker__in=[worker.name for worker in found])
    held: defaultdict[str, list[UUID]] = defaultdict(list)
    for name, run_id in running.order_by("created_at").values_list("worker", "run_id")[:RUNS]:
        held[name].append(run_id)
    return [
        Busy(one, now - timedelta(seconds=one.age), datetime.fromisoformat(one.started_at), held[one.name])
        for one in found
    ]
