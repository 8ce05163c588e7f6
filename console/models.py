"""What is left of the runs of a minute or an hour once nobody looks them up any more: counts and how long they took.

Rows are written by console/rollup.py alone, and may be written again at any time.
"""

from django.db import models

from config.columns import JSONColumn


class Grain(models.TextChoices):
    """How long the time is that a row is about."""

    MINUTE = "minute", "minute"
    HOUR = "hour", "hour"


class Rollup(models.Model):
    """The runs that ended in one minute or hour; those that were rolled back are not in it."""

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
