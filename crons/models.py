"""Cron rows and what became of their slots. Never creates a run; every firing is claimed by an UPDATE or a lock.

Lock order: thread, cron; firing goes the other way and therefore never waits for a thread. contract/platform.md 4.
"""

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Self

from django.conf import settings
from django.contrib.postgres.indexes import GinIndex
from django.db import connection, models
from django.utils.timezone import now
from uuid_utils.compat import uuid7

from accounts.authorizer import EVERYTHING, Scope, ScopedQuerySet
from assistants.models import Assistant
from config.columns import JSONColumn
from crons.schedules import NeverFires, Schedule, parse
from threads.models import Thread


class OnRunCompleted(models.TextChoices):
    """What becomes of the thread of a stateless cron's run."""

    DELETE = "delete", "delete"
    KEEP = "keep", "keep"


class Overlap(models.TextChoices):
    """What happens at a slot while an earlier run of the cron is in flight."""

    ALLOW = "allow", "allow"  # both run; on a thread, its multitask strategy decides
    SKIP = "skip", "skip"  # nothing
    ENQUEUE = "enqueue", "enqueue"  # the slot waits for the run's end; slots that come meanwhile are lost in it


class CatchUp(models.TextChoices):
    """What happens to slots that nobody was there to fire."""

    ONE = "one", "one"  # the first of them fires late, for all of them
    NONE = "none", "none"  # nothing


class Outcome(models.TextChoices):
    """What became of a slot."""

    FIRED = "fired", "fired"  # a run was created
    SKIPPED = "skipped", "skipped"  # an earlier run was in the way
    MISSED = "missed", "missed"  # too late, and the cron does not catch up
    FAILED = "failed", "failed"  # the run could not be created


DUE = """
SELECT *, clock_timestamp() AS server_time FROM crons_cron
 WHERE due_at <= now() AND (%(cron)s::uuid IS NULL OR cron_id = %(cron)s)
 ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED
"""
# Whose slot can be settled without a look at other rows than the assistant's.
SIMPLE = """
SELECT *, clock_timestamp() AS server_time FROM crons_cron
 WHERE due_at <= now() AND next_run_date IS NOT NULL AND thread_id IS NULL AND overlap = 'allow'
   AND (end_time IS NULL OR end_time > clock_timestamp())
 ORDER BY due_at LIMIT %(most)s FOR UPDATE SKIP LOCKED
"""
GO_ON = """
UPDATE crons_cron SET next_run_date = given.slot, due_at = given.due
  FROM unnest(%s::uuid[], %s::timestamptz[], %s::timestamptz[]) AS given (cron_id, slot, due)
 WHERE crons_cron.cron_id = given.cron_id
"""


RECENTLY = timedelta(days=1)


def _is_over_its_own_limit() -> models.Q:
    return models.Q(pause_after_failures__gt=0, pause_after_failures__lte=models.F("failures"))


def _is_over_the_usual_limit() -> models.Q:
    """Of a cron that names none. What succeeded within a day waits out an outage, however often it fires."""
    usual = settings.CRON_PAUSE_AFTER_FAILURES
    if not usual:
        return models.Q(pk__in=())
    succeeded = Firing.objects.filter(cron=models.OuterRef("pk"), run_status="success", ended_at__gt=now() - RECENTLY)
    return models.Q(~models.Exists(succeeded), pause_after_failures=None, failures__gte=usual)


class CronQuerySet(ScopedQuerySet["Cron"]):
    """Queries over crons."""

    def on_threads_within(self, scope: Scope) -> Self:
        """Those whose thread the scope shows, and those that have none."""
        if scope == EVERYTHING:
            return self
        return self.filter(models.Q(thread=None) | scope.condition("thread__"))

    def claim_due(self, cron_id: uuid.UUID | None = None) -> "Cron | None":
        """The one due for longest that nobody else has, locked until the transaction ends; `server_time` is now.

        With an id only that one, if it is due and nobody has it.
        """
        return next(iter(self.raw(DUE, {"cron": cron_id})), None)

    def claim_simple(self, most: int) -> "list[Cron]":
        """Like `claim_due`, but several of those without a thread, whose earlier runs do not matter."""
        return list(self.raw(SIMPLE, {"most": most}))

    def advance(self, crons: "Sequence[Cron]", moment: datetime) -> None:
        """`Cron.advance` for all of them, in one statement and with one look at each timetable."""
        following: dict[Schedule, datetime | None] = {}
        for cron in crons:
            if cron.timetable not in following:
                following[cron.timetable] = cron.following(moment)
            cron.next_run_date = following[cron.timetable]
            cron.arrange()
        columns = zip(*((cron.pk, cron.next_run_date, cron.due_at) for cron in crons), strict=True)
        with connection.cursor() as cursor:
            cursor.execute(GO_ON, [list(column) for column in columns])

    def note_end(self, cron_id: uuid.UUID, *, failed: bool) -> None:
        """A run of the cron ended: count failures in a row, and pause the cron after as many as it puts up with."""
        if not failed:
            self.filter(pk=cron_id, failures__gt=0).update(failures=0)
            return
        self.filter(pk=cron_id).update(failures=models.F("failures") + 1)
        failing = self.filter(pk=cron_id, enabled=True)
        over = failing.filter(_is_over_its_own_limit() | _is_over_the_usual_limit())
        over.update(enabled=False, due_at=None, paused_at=now())


class Cron(models.Model):
    """An assistant run on a timetable."""

    cron_id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    # Without constraints in the database: stateless runs delete threads all the time, and each would be checked here.
    assistant = models.ForeignKey(Assistant, models.CASCADE, related_name="crons", db_constraint=False)
    thread = models.ForeignKey(Thread, models.CASCADE, related_name="crons", null=True, blank=True, db_constraint=False)
    tenant = models.TextField(default="", db_default="", blank=True, editable=False)
    user_id = models.TextField(default="", blank=True)
    end_time = models.DateTimeField(null=True, blank=True)
    schedule = models.TextField()
    timezone = models.TextField(null=True, blank=True)  # noqa: DJ001 - null means UTC, as clients see it
    payload = JSONColumn(sealed_as="cron", default=dict)
    next_run_date = models.DateTimeField(null=True, blank=True)
    metadata = JSONColumn(sealed_as="cron", default=dict)
    on_run_completed = models.TextField(choices=OnRunCompleted, null=True, blank=True)  # noqa: DJ001 - null on threads
    enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=now)
    updated_at = models.DateTimeField(default=now)
    overlap = models.TextField(choices=Overlap, default=Overlap.ALLOW)
    catch_up = models.TextField(choices=CatchUp, default=CatchUp.ONE)
    pause_after_failures = models.PositiveIntegerField(null=True, blank=True)  # null: as usual; 0: never
    # When a beat looks at it next: the slot, or later for one that waits; null when it fires no more.
    due_at = models.DateTimeField(null=True, blank=True)
    failures = models.PositiveIntegerField(default=0)  # in a row
    paused_at = models.DateTimeField(null=True, blank=True)  # when failures paused it

    objects = CronQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]
        indexes = [
            models.Index(fields=["due_at"], name="cron_due", condition=models.Q(due_at__isnull=False)),
            models.Index(fields=["-created_at"], name="cron_created"),
            models.Index(fields=["tenant", "-created_at"], name="cron_tenant", condition=~models.Q(tenant="")),
            GinIndex(fields=["metadata"], opclasses=["jsonb_path_ops"], name="cron_metadata"),
        ]

    def __str__(self) -> str:
        return f"{self.schedule} ({self.cron_id})"

    @property
    def timetable(self) -> Schedule:
        """Its schedule in its time zone."""
        return parse(self.schedule, self.timezone)

    def upcoming(self, count: int, moment: datetime | None = None) -> list[datetime]:
        """Its next slots in UTC, `count` at most, none past its end."""
        return upcoming(self.timetable, count, moment or now(), self.end_time)

    def following(self, moment: datetime) -> datetime | None:
        """The first slot after the moment, in UTC; None when it fires no more."""
        try:
            return self.timetable.following(moment)
        except NeverFires:
            return None

    def arrange(self) -> None:
        """Set `due_at` by what the row says: never while it is paused or past its end."""
        over = self.next_run_date is None or (self.end_time is not None and self.next_run_date > self.end_time)
        self.due_at = None if over or not self.enabled else self.next_run_date

    def advance(self, moment: datetime) -> None:
        """Go on to the first slot after the moment, whatever was missed. Call it with the row locked."""
        self.next_run_date = self.following(moment)
        self.arrange()
        self.save(update_fields=["next_run_date", "due_at"])

    def postpone(self, moment: datetime) -> None:
        """Look at the slot again at the moment. Call it with the row locked."""
        self.due_at = moment
        self.save(update_fields=["due_at"])

    def switch(self, *, enabled: bool) -> None:
        """Pause it, or let it go on with no failure to its name. Call it with the row locked."""
        self.enabled = enabled
        if enabled:
            self.failures, self.paused_at = 0, None
        self.arrange()


class Firing(models.Model):
    """One slot of a cron and what became of it."""

    cron = models.ForeignKey(Cron, models.CASCADE, related_name="firings")
    slot = models.DateTimeField()
    outcome = models.TextField(choices=Outcome)
    detail = models.TextField(default="", blank=True)
    run_id = models.UUIDField(null=True, blank=True)  # not a foreign key: stateless runs are gone when they end
    run_status = models.TextField(default="", blank=True)  # how the run ended
    created_at = models.DateTimeField(default=now)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-slot"]
        constraints = [models.UniqueConstraint(fields=["cron", "slot"], name="one_firing_per_slot")]
        indexes = [
            models.Index(fields=["run_id"], name="firing_run", condition=models.Q(run_id__isnull=False)),
            models.Index(fields=["created_at"], name="firing_created"),
        ]

    def __str__(self) -> str:
        return f"{self.slot} {self.outcome}"


def upcoming(schedule: Schedule, count: int, moment: datetime, end: datetime | None) -> list[datetime]:
    """The schedule's next slots in UTC, `count` at most, none past the end."""
    found: list[datetime] = []
    try:
        for slot in schedule.slots(moment):
            if len(found) == count or (end and slot > end):
                break
            found.append(slot)
    except NeverFires:
        pass
    return found
