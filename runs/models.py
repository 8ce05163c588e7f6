"""Run rows and every transition of a run's status, each one conditional UPDATE. Never executes anything.

Lock order wherever both are locked: the thread's row first, then runs. Source: contract/core.md 5.
"""

import uuid
from datetime import timedelta
from typing import Any, Self, cast

from django.contrib.postgres.indexes import GinIndex
from django.db import IntegrityError, connection, models
from django.db.models.functions import Now
from django.utils import timezone
from uuid_utils.compat import uuid7

from accounts.authorizer import ScopedQuerySet
from config import dialect
from config.columns import JSONColumn, sealed
from threads.models import Thread


class RunStatus(models.TextChoices):
    """Where a run is in its life."""

    PENDING = "pending", "pending"  # waits for a worker, for its turn on the thread, or for its due time
    RUNNING = "running", "running"  # a worker holds its lease
    SUCCESS = "success", "success"  # the graph stopped by itself, at its end or at an interrupt
    ERROR = "error", "error"  # the graph raised, or the attempts are used up
    TIMEOUT = "timeout", "timeout"  # it ran longer than BG_JOB_TIMEOUT_SECS
    INTERRUPTED = "interrupted", "interrupted"  # it was cancelled


EVENT_STREAMING = "__event_streaming_v2"  # in config.configurable: set by the server, seen by the graph
LONGEST_NAME = 200  # characters of an error's name that a stateless run leaves
IN_FLIGHT = (RunStatus.PENDING, RunStatus.RUNNING)


class CancelAction(models.TextChoices):
    """What a cancelled run leaves behind."""

    INTERRUPT = "interrupt", "interrupt"  # the run and its checkpoints
    ROLLBACK = "rollback", "rollback"  # nothing


class MultitaskStrategy(models.TextChoices):
    """What a new run does about others in flight on its thread."""

    REJECT = "reject", "reject"
    ROLLBACK = "rollback", "rollback"
    INTERRUPT = "interrupt", "interrupt"
    ENQUEUE = "enqueue", "enqueue"


# Due times and leases are told by the database's clock alone, so that no two machines can disagree about them.
# A run is taken when it is due, is the oldest in flight on its thread, and nothing runs there. One statement: what it
# reads and what it writes cannot be torn apart; the partial unique constraint decides the race that is left.
FIRST_IN_LINE = """NOT EXISTS (
       SELECT FROM runs_run AS other
        WHERE other.thread_id = run.thread_id AND other.run_id <> run.run_id
          AND (other.status = 'running'
               OR other.status = 'pending' AND (other.created_at, other.run_id) < (run.created_at, run.run_id)))
"""

# Asked in the statement itself: a claim that begins after the queue was paused takes nothing.
MAY_BEGIN = f"NOT EXISTS (SELECT FROM runs_pause) AND {FIRST_IN_LINE}"

CLAIM = f"""
UPDATE runs_run AS run
   SET status = 'running', attempt = attempt + 1, worker = %(worker)s, updated_at = clock_timestamp(),
       lease_expires_at = clock_timestamp() + %(lease)s, started_at = coalesce(started_at, clock_timestamp())
 WHERE run_id = %(run_id)s AND status = 'pending' AND greatest(created_at, retry_at) <= clock_timestamp()
   AND {MAY_BEGIN}
RETURNING *
"""  # noqa: S608 - our own text

# A run whose time came after its last change was never rung for; any other gets a moment to be heard of. now(), not
# clock_timestamp(): the index ends the search at runs that are not due only for a time that stands still.
UNHEARD = f"""
SELECT run_id FROM runs_run AS run
 WHERE status = 'pending' AND created_at <= now() AND (retry_at IS NULL OR retry_at <= now())
   AND (updated_at <= now() - %(heard)s OR greatest(created_at, retry_at) > updated_at)
   AND {MAY_BEGIN}
 ORDER BY created_at, run_id LIMIT %(limit)s
"""  # noqa: S608 - our own text

# Finds something while the attempt is its run's live one. Checkpoints are fenced with it: see threads/checkpointer.py.
LIVE = """SELECT FROM runs_run AS live
 WHERE live.run_id = given.run AND live.attempt = given.attempt AND live.status = 'running'"""

# With a run's end goes what only a rollback would have needed.
FINISH = """
WITH ended AS (UPDATE runs_run
   SET status = CASE WHEN cancel_action = 'interrupt' THEN 'interrupted' ELSE %(status)s END, error = %(error)s::jsonb,
       ended_at = clock_timestamp(), updated_at = clock_timestamp(), lease_expires_at = NULL
 WHERE run_id = %(run_id)s AND status = 'running' AND attempt = %(attempt)s
   AND cancel_action IS DISTINCT FROM 'rollback'
RETURNING thread_id, run_id, status),
forgotten AS (
    DELETE FROM threads_formerwrite AS former USING ended
     WHERE former.thread_id = ended.thread_id::text AND former.run_id = ended.run_id)
SELECT status FROM ended
"""

# What is left of the run is told in the same statement: it is counted once, and only if it ended so.
REMOVE_WITH_THREAD = """
WITH gone AS (
    DELETE FROM runs_run WHERE run_id = %(run_id)s AND status = 'running' AND attempt = %(attempt)s
    RETURNING thread_id, created_at, started_at,
              CASE cancel_action WHEN 'interrupt' THEN 'interrupted' WHEN 'rollback' THEN 'rollback'
                                 ELSE %(status)s END AS ending),
counted AS (
    INSERT INTO runs_statelessend (status, error, created_at, started_at, ended_at)
    SELECT ending, CASE WHEN ending IN ('error', 'timeout') THEN %(error)s ELSE '' END,
           created_at, started_at, clock_timestamp()
      FROM gone WHERE ending <> 'rollback')
DELETE FROM threads_thread WHERE thread_id IN (SELECT thread_id FROM gone)
"""


class RunQuerySet(ScopedQuerySet["Run"]):
    """Queries over runs and the transitions that concern many."""

    scoped_via = "thread__"  # a filter speaks of the thread's metadata: runs are no resource of their own

    def in_flight(self) -> Self:
        """Those pending or running."""
        return self.filter(status__in=IN_FLIGHT)

    def in_turn(self) -> Self:
        """In the order in which a thread runs them."""
        return self.order_by("created_at", "run_id")

    def with_status(self, status: str) -> Self:
        """Those a client sees in the status: an accepted cancel counts as done (contract/core.md 5.9)."""
        stopping = models.Q(status=RunStatus.RUNNING, cancel_action=CancelAction.INTERRUPT)
        if status == RunStatus.RUNNING:
            return self.filter(status=status).exclude(stopping)
        if status == RunStatus.INTERRUPTED:
            return self.filter(models.Q(status=status) | stopping)
        return self.filter(status=status)

    def with_error(self, text: str) -> Self:
        """Those whose error's class name or message contains the text, in any case."""
        named = models.Q(error__error__icontains=text) | models.Q(error__message__icontains=text)
        # Said in so many words, the first part lets PostgreSQL use the index of the runs that failed.
        return self.filter(error__isnull=False).filter(named)

    def claim(self, run_id: uuid.UUID, worker: str, lease: timedelta) -> "Run | None":
        """pending -> running, with a lease and a new attempt; None when the run is not ours to take."""
        arguments = {"run_id": run_id, "worker": worker, "lease": lease}
        try:
            return next(iter(self.raw(CLAIM, arguments)), None)
        except IntegrityError:
            return None

    def unheard(self, heard: timedelta, limit: int) -> list[uuid.UUID]:
        """Runs that could be claimed, oldest first, but for those rung for less than `heard` ago."""
        return [run.run_id for run in self.raw(UNHEARD, {"heard": heard, "limit": limit})]

    def renew(self, worker: str, lease: timedelta, held: list[uuid.UUID]) -> set[uuid.UUID]:
        """Extend the leases a worker holds, in one statement; returns those it still held."""
        rows = self.raw(
            "UPDATE runs_run SET lease_expires_at = now() + %(lease)s"
            " WHERE worker = %(worker)s AND status = 'running' AND run_id = ANY(%(held)s) RETURNING run_id",
            {"worker": worker, "lease": lease, "held": held},
        )
        return {row.run_id for row in rows}

    def orders(self, worker: str) -> dict[uuid.UUID, str | None]:
        """What was asked of the runs a worker executes: run id to cancel action. A run it lacks is no longer theirs."""
        held = self.filter(worker=worker, status=RunStatus.RUNNING)
        return dict(held.values_list("run_id", "cancel_action"))

    def note_blocked(self, run_id: uuid.UUID, attempt: int, blocked: list[dict[str, Any]]) -> None:
        """Keep what blocked the run's loop, while no later attempt has the run; it may have ended meanwhile."""
        self.filter(run_id=run_id, attempt=attempt).update(blocked=blocked)


class Pause(models.Model):
    """While there is a row, no run begins anywhere; there is at most one. Written by pausing.py alone."""

    only = models.BooleanField(primary_key=True, default=True, editable=False)
    since = models.DateTimeField(db_default=Now())
    person = models.TextField()
    reason = models.TextField(default="", blank=True)

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(only=True), name="one_pause")]

    def __str__(self) -> str:
        return f"paused by {self.person}"


class RunTimeline(models.Model):
    """What happened inside one attempt of a run, for people: see timeline.py. Never read to execute anything."""

    # The database has the constraint too, with a cascade of its own: runs are also deleted in SQL (migration 0011).
    run = models.ForeignKey("Run", models.CASCADE, related_name="timelines", db_constraint=False)
    attempt = models.PositiveIntegerField()
    document = JSONColumn(sealed_as="run", default=dict)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "attempt"], name="one_timeline_per_attempt")]

    def __str__(self) -> str:
        return f"{self.run_id} attempt {self.attempt}"


class StatelessEnd(models.Model):
    """What is left of a run that went with its thread, for people who count; gone once it is rolled up.

    Written by the statement that removes the run. `error` is the name of the error's class.
    """

    status = models.TextField(choices=RunStatus)
    error = models.TextField(default="", blank=True)
    created_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField()

    class Meta:
        indexes = [
            models.Index(fields=["ended_at"], name="stateless_ended"),
            models.Index(fields=["ended_at"], name="stateless_failed", condition=~models.Q(error="")),
        ]

    def __str__(self) -> str:
        return f"{self.status} {self.ended_at:%Y-%m-%d %H:%M:%S}"


class Run(models.Model):
    """One execution of an assistant on a thread."""

    run_id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    thread = models.ForeignKey(Thread, models.CASCADE, related_name="runs")
    tenant = models.TextField(default="", db_default="", blank=True, editable=False)  # the thread's
    # Not a foreign key: runs outlive their assistant and go on naming it.
    assistant_id = models.UUIDField(db_index=True)
    status = models.TextField(choices=RunStatus, default=RunStatus.PENDING)
    metadata = JSONColumn(sealed_as="run", default=dict)
    kwargs = JSONColumn(sealed_as="run", default=dict)
    multitask_strategy = models.TextField(choices=MultitaskStrategy, default=MultitaskStrategy.ENQUEUE)
    error = JSONColumn(sealed_as="run", null=True, blank=True)
    # The earliest start, `after_seconds` included; threads run in this order.
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)
    # When the next attempt may start, after one that failed. It keeps its place in the thread's line meanwhile.
    retry_at = models.DateTimeField(null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    # The fencing token: raised by each claim, carried by every later write of the run.
    attempt = models.PositiveIntegerField(default=0)
    # How many of the attempts ended with their worker going down in good order; those do not count against the run.
    handed_back = models.PositiveIntegerField(default=0)
    worker = models.TextField(default="", blank=True)
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    cancel_action = models.TextField(choices=CancelAction, null=True, blank=True)  # noqa: DJ001 - null means not asked
    cancel_reason = models.TextField(default="", blank=True)
    # When nodes kept their loop from turning: `[{"at", "attempt", "milliseconds", "stack"}]`, see blocking.py.
    blocked = JSONColumn(default=list, blank=True)

    objects = RunQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["thread"], condition=models.Q(status=RunStatus.RUNNING), name="one_running_run_per_thread"
            ),
        ]
        indexes = [
            models.Index(fields=["thread", "-created_at"], name="run_thread_created"),
            models.Index(fields=["-created_at"], name="run_created"),
            models.Index(fields=["tenant", "-created_at"], name="run_tenant", condition=~models.Q(tenant="")),
            models.Index(fields=["status", "-created_at"], name="run_status_created"),
            models.Index(fields=["created_at"], name="run_pending", condition=models.Q(status=RunStatus.PENDING)),
            models.Index(
                fields=["thread", "created_at", "run_id"],
                name="run_in_flight",
                condition=models.Q(status__in=IN_FLIGHT),
            ),
            models.Index(
                fields=["tenant"],
                name="run_tenant_in_flight",
                condition=models.Q(status__in=IN_FLIGHT) & ~models.Q(tenant=""),
            ),
            models.Index(fields=["lease_expires_at"], name="run_leased", condition=models.Q(status=RunStatus.RUNNING)),
            models.Index(fields=["-created_at"], name="run_failed", condition=models.Q(error__isnull=False)),
            models.Index(fields=["ended_at"], name="run_ended", condition=models.Q(ended_at__isnull=False)),
            GinIndex(fields=["metadata"], opclasses=["jsonb_path_ops"], name="run_metadata"),
        ]

    def __str__(self) -> str:
        return str(self.run_id)

    @property
    def shown_status(self) -> str:
        """The status clients see: an accepted cancel counts as done."""
        stopping = self.status == RunStatus.RUNNING and self.cancel_action == CancelAction.INTERRUPT
        return str(RunStatus.INTERRUPTED if stopping else self.status)

    @property
    def graph_id(self) -> str:
        """The graph it runs, as it was when the run was created."""
        return cast(str, self.kwargs["config"]["configurable"]["graph_id"])

    @property
    def event_streaming(self) -> bool:
        """Whether it was started through the event-streaming protocol, and writes its envelopes."""
        return bool(self.kwargs["config"]["configurable"].get(EVENT_STREAMING))

    @property
    def temporary(self) -> bool:
        """Whether its thread exists only for it."""
        return bool(self.kwargs.get("temporary"))

    def end(self, status: str, error: dict[str, str] | None) -> str | None:
        """running -> terminal, for the attempt this object was claimed as; None when that attempt is no longer live.

        Returns the status written. A cancel that was accepted meanwhile wins over any other end: an interrupt is
        written instead, and for a rollback nothing, see `accepted_cancel`.
        """
        text = None if error is None else dialect.dumps_text(sealed("run", "error", error))
        arguments: dict[str, Any] = {
            "run_id": self.run_id,
            "attempt": self.attempt,
            "status": status,
            "error": text,
        }
        with connection.cursor() as cursor:
            cursor.execute(FINISH, arguments)
            row = cursor.fetchone()
        return row[0] if row else None

    def accepted_cancel(self) -> CancelAction | None:
        """What was asked of this attempt; None when nothing was, or when it is no longer live."""
        action = self._live().values_list("cancel_action", flat=True).first()
        return CancelAction(action) if action else None

    def hand_back(self) -> bool:
        """running -> pending for another worker to take, without using up the attempt; False once cancelled."""
        return self._wait_again(self._live(), handed_back=models.F("handed_back") + 1)

    def put_off(self, seconds: float) -> bool:
        """running -> pending for another attempt in so many seconds; False once cancelled."""
        return self._wait_again(self._live(), retry_at=Now() + timedelta(seconds=seconds))

    def take_back(self) -> bool:
        """running -> pending after the lease ran out; False when it was renewed or the attempt ended meanwhile."""
        return self._wait_again(self._live().filter(lease_expires_at__lt=Now()))

    def _wait_again(self, live: "RunQuerySet", **more: Any) -> bool:
        """A run whose cancel was accepted never waits again: it has an end to come to."""
        pending = {"status": RunStatus.PENDING, "lease_expires_at": None, "updated_at": Now(), **more}
        return bool(live.filter(cancel_action=None).update(**pending))

    def seize(self, worker: str, lease: timedelta) -> bool:
        """Take over a run whose lease ran out, in order to end it; its last worker's writes are fenced off from now."""
        taken = self._live().filter(lease_expires_at__lt=Now())
        seized = taken.update(worker=worker, attempt=self.attempt + 1, lease_expires_at=Now() + lease)
        self.attempt += seized
        return bool(seized)

    def remove(self) -> bool:
        """Delete the row, for the attempt this object was claimed as; False when that attempt is no longer live."""
        return bool(self._live()._raw_delete("default"))

    def remove_with_thread(self, status: str, error: dict[str, str] | None = None) -> bool:
        """`remove`, and the thread that existed only for this run, in one statement; a StatelessEnd tells of it."""
        name = str((sealed("run", "error", error) or {}).get("error", ""))[:LONGEST_NAME] if error else ""
        arguments: dict[str, Any] = {
            "run_id": self.run_id,
            "attempt": self.attempt,
            "status": status,
            "error": name,
        }
        with connection.cursor() as cursor:
            cursor.execute(REMOVE_WITH_THREAD, arguments)
            return bool(cursor.rowcount)

    def _live(self) -> RunQuerySet:
        return Run.objects.filter(run_id=self.run_id, status=RunStatus.RUNNING, attempt=self.attempt)
