"""Why runs wait: a word for it, and a sentence for people. Changes nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Count, OuterRef, Q, Subquery

from runs import pausing
from runs.models import Pause, Run, RunStatus
from runs.presence import present


@dataclass(frozen=True)
class Reason:
    """`code` is retry_at, scheduled_for, paused, thread_busy, no_worker or no_slot."""

    code: str
    text: str


@dataclass(frozen=True)
class Scene:
    """What pending runs depend on; `ahead` is how many of its thread come before a run."""

    now: datetime
    pause: Pause | None
    ahead: dict[UUID, int]
    any_worker: bool

    def reason(self, run: Run) -> Reason:
        """What holds back a pending run; the first of the reasons that would have to go."""
        if run.retry_at and run.retry_at > self.now:
            text = (
                f"Attempt {run.attempt} failed by the server's fault; the next begins at {run.retry_at:%H:%M:%S} UTC."
            )
            return Reason("retry_at", text)
        if run.created_at > self.now:
            return Reason("scheduled_for", f"It is not due before {run.created_at:%Y-%m-%d %H:%M:%S} UTC.")
        if self.pause:
            return Reason("paused", f"The queue is paused by {self.pause.person}: no run begins.")
        if ahead := self.ahead.get(run.run_id, 0):
            many = f"{ahead} run{'' if ahead == 1 else 's'}"
            return Reason("thread_busy", f"{many} of the same thread come{'s' if ahead == 1 else ''} first.")
        if not self.any_worker:
            return Reason("no_worker", "No worker is seen that takes runs: is one up?")
        return Reason("no_slot", "It waits for a free slot of a worker.")


def scene(runs: Sequence[Run], now: datetime) -> Scene:
    """What these pending runs depend on: a few queries however many they are."""
    return Scene(now, pausing.current(), _ahead(runs), _any_worker(now))


def _any_worker(now: datetime) -> bool:
    """Whether one takes runs, as far as can be seen: without Redis, whether one holds a lease."""
    workers = present()
    if workers is None:
        return Run.objects.filter(status=RunStatus.RUNNING, lease_expires_at__gt=now).exists()
    return any(worker.state == "active" for worker in workers)


def _ahead(runs: Sequence[Run]) -> dict[UUID, int]:
    same = Run.objects.in_flight().filter(thread_id=OuterRef("thread_id")).order_by()
    earlier = same.filter(
        Q(created_at__lt=OuterRef("created_at")) | Q(created_at=OuterRef("created_at"), run_id__lt=OuterRef("run_id"))
    )
    count = Subquery(earlier.values("thread_id").annotate(number=Count("pk")).values("number"))
    found = Run.objects.filter(pk__in=[run.pk for run in runs]).annotate(ahead=count).values_list("pk", "ahead")
    return {run_id: ahead or 0 for run_id, ahead in found}
