"""What the console keeps for itself: roll-up, sizes of threads, claims of questions, actions on many runs, saved views.

No row of these is needed to execute a run.
"""

from django.conf import settings
from django.db import models
from django.db.models.functions import Now
from uuid_utils.compat import uuid7

from config.columns import JSONColumn


class Grain(models.TextChoices):
    """How long the time is that a row is about."""

    MINUTE = "minute", "minute"
    HOUR = "hour", "hour"


class Rollup(models.Model):
    """The runs that ended in one minute or hour; those that were rolled back are not in it.

    Written by console/rollup.py alone, and may be written again at any time.
    """

    pk = models.CompositePrimaryKey("grain", "start")
    grain = models.TextField(choices=Grain)
    start = models.DateTimeField()
    success = models.PositiveIntegerField(default=0)
    error = models.PositiveIntegerField(default=0)
    timeout = models.PositiveIntegerField(default=0)
    interrupted = models.PositiveIntegerField(default=0)
    # How long they waited for a worker and how long they took: `{number of a bucket of rollup.BOUNDS: runs}`.
    waits = JSONColumn(default=dict)
    times = JSONColumn(default=dict)

    class Meta:
        ordering = ["grain", "start"]

    def __str__(self) -> str:
        return f"{self.grain} {self.start:%Y-%m-%d %H:%M}"

    @property
    def total(self) -> int:
        """All of them."""
        return self.success + self.error + self.timeout + self.interrupted


class ThreadSize(models.Model):
    """One of the threads that take most, as it was when it was measured. Written by console/storage.py alone."""

    thread_id = models.UUIDField(primary_key=True)
    bytes = models.PositiveBigIntegerField()
    checkpoints = models.PositiveBigIntegerField()
    measured_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.thread_id}: {self.bytes}"


class Claim(models.Model):
    """Who has taken a question that a thread asks, so that two people do not answer it. Worth nothing once expired."""

    interrupt_id = models.TextField(primary_key=True)
    thread_id = models.UUIDField()
    person = models.TextField()
    expires_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.person}: {self.interrupt_id}"


class Verb(models.TextChoices):
    """What is done to each of many runs."""

    CANCEL = "cancel", "cancel"  # and keep what it did
    ROLL_BACK = "roll back", "cancel and roll back"
    RETRY = "retry", "run again from where its thread is"
    RESTART = "restart", "run again from its beginning"
    DELETE = "delete", "delete"


class BulkState(models.TextChoices):
    """Where an action on many runs is."""

    RUNNING = "running", "running"  # or about to be
    DONE = "done", "done"  # it has seen all of them
    STOPPED = "stopped", "stopped"  # by a person


class BulkAction(models.Model):
    """Something a person asked for many runs, and how far it has come. Written by console/bulk.py alone."""

    action_id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    person = models.TextField()
    ip = models.GenericIPAddressField(null=True)
    verb = models.TextField(choices=Verb)
    reason = models.TextField(default="", blank=True)
    # Which runs: these, or else all that the filters of the list (`{name: text}`) found at `asked_at`.
    chosen = JSONColumn(null=True)
    filters = JSONColumn(default=dict)
    asked_at = models.DateTimeField(db_default=Now())
    since = models.DateTimeField(null=True)  # the oldest that filters without an index look at
    # How many there were, counted no further than console/bulk.py does.
    expected = models.PositiveIntegerField(default=0)
    is_counted = models.BooleanField(default=True)
    state = models.TextField(choices=BulkState, default=BulkState.RUNNING)
    # The last run it dealt with, in its order: what comes next is beyond it.
    place_at = models.DateTimeField(null=True)
    place_id = models.UUIDField(null=True)
    seen = models.PositiveIntegerField(default=0)
    done = models.PositiveIntegerField(default=0)
    refused = JSONColumn(default=dict)  # `{reason: runs}`
    note = models.TextField(default="", blank=True)  # what it waits for
    started_at = models.DateTimeField(null=True)
    active_at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True)
    stopped_by = models.TextField(default="", blank=True)

    class Meta:
        ordering = ["-asked_at"]
        indexes = [
            models.Index(fields=["-asked_at", "-action_id"], name="bulk_newest"),
            models.Index(fields=["active_at"], name="bulk_running", condition=models.Q(state=BulkState.RUNNING)),
        ]

    def __str__(self) -> str:
        return f"{self.person}: {self.verb} runs"


class SavedView(models.Model):
    """Filters of a list under a name, for the person who saved them or for everybody."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    page = models.TextField()  # runs or threads
    name = models.TextField()
    filters = JSONColumn(default=dict)  # `{name: text}`
    is_shared = models.BooleanField(default=False)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["owner", "page", "name"], name="one_view_of_a_name")]

    def __str__(self) -> str:
        return self.name
