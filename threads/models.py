"""Thread rows and every change of a thread's status. Never reads a checkpoint; knows runs only by counting them."""

import uuid
from dataclasses import dataclass, field
from typing import Any, Self

from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.utils import timezone
from uuid_utils.compat import uuid7

from accounts.authorizer import ScopedQuerySet
from config.columns import JSONColumn

SETTLED = [
    "status",
    "status_at_rest",
    "error",
    "values",
    "interrupts",
    "metadata",
    "updated_at",
    "state_updated_at",
]


class ThreadStatus(models.TextChoices):
    """What a thread is doing."""

    IDLE = "idle", "idle"  # nothing to do
    BUSY = "busy", "busy"  # a run is pending or running
    INTERRUPTED = "interrupted", "interrupted"  # its last checkpoint has nodes still to run
    ERROR = "error", "error"  # its last run failed


class TTLStrategy(models.TextChoices):
    """What happens to a thread whose time is up."""

    DELETE = "delete", "delete"
    KEEP_LATEST = "keep_latest", "keep_latest"


@dataclass(frozen=True)
class HeadState:
    """What the root graph's last checkpoint says of a thread.

    `values` is plain JSON; `interrupts` maps graph task id to `[{"id", "value"}]`; `has_next` says nodes wait to run.
    """

    values: Any = None
    interrupts: dict[str, Any] = field(default_factory=dict)
    has_next: bool = False
    exists: bool = False

    @property
    def status(self) -> ThreadStatus:
        """The thread's status when no run is in flight and none failed."""
        return ThreadStatus.INTERRUPTED if self.has_next else ThreadStatus.IDLE


class ThreadQuerySet(ScopedQuerySet["Thread"]):
    """Queries over threads."""

    def matching(
        self,
        *,
        ids: list[uuid.UUID] | None = None,
        metadata: dict[str, Any] | None = None,
        values: dict[str, Any] | None = None,
        status: str | None = None,
    ) -> Self:
        """Those with one of the ids, containing the metadata and values, in the status; null values never match."""
        found = self
        if ids:
            found = found.filter(thread_id__in=ids)
        if metadata:
            found = found.filter(metadata__contains=metadata)
        if values:
            found = found.filter(values__contains=values)
        if status:
            found = found.filter(status=status)
        return found


class Thread(models.Model):
    """A conversation's row: its metadata, and the last state its runs left. Source: contract/core.md 4."""

    thread_id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.TextField(default="", db_default="", blank=True, editable=False)
    status = models.TextField(choices=ThreadStatus, default=ThreadStatus.IDLE)
    # What `status` goes back to when the last run in flight goes away without having touched the state.
    status_at_rest = models.TextField(choices=ThreadStatus, default=ThreadStatus.IDLE)
    metadata = JSONColumn(sealed_as="thread", default=dict)
    config = JSONColumn(sealed_as="thread", default=dict)
    values = JSONColumn(sealed_as="thread", null=True, blank=True)
    interrupts = JSONColumn(sealed_as="thread", default=dict)
    error = JSONColumn(sealed_as="thread", null=True, blank=True)
    ttl_strategy = models.TextField(choices=TTLStrategy, null=True, blank=True)  # noqa: DJ001 - null means no TTL
    ttl_minutes = models.FloatField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)
    state_updated_at = models.DateTimeField(null=True, blank=True)

    objects = ThreadQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]
        indexes = [
            models.Index(fields=["-created_at"], name="thread_created"),
            models.Index(fields=["-updated_at"], name="thread_updated"),
            models.Index(fields=["tenant", "-created_at"], name="thread_tenant", condition=~models.Q(tenant="")),
            models.Index(fields=["status", "-created_at"], name="thread_status_created"),
            models.Index(fields=["expires_at"], name="thread_expires", condition=models.Q(expires_at__isnull=False)),
            GinIndex(fields=["metadata"], opclasses=["jsonb_path_ops"], name="thread_metadata"),
            GinIndex(fields=["values"], opclasses=["jsonb_path_ops"], name="thread_values"),
        ]

    def __str__(self) -> str:
        return str(self.thread_id)

    @property
    def graph_id(self) -> str | None:
        """The graph that reads its checkpoints, if its metadata names one."""
        graph_id = self.metadata.get("graph_id")
        return graph_id if isinstance(graph_id, str) else None

    def occupy(self, *, metadata: dict[str, Any], config: dict[str, Any]) -> None:
        """A run was created while the thread was not busy. Call it with the row locked."""
        self.status = ThreadStatus.BUSY
        self.metadata = {**self.metadata, **metadata}
        self.config = config
        self.updated_at = timezone.now()
        self.save(update_fields=["status", "metadata", "config", "updated_at"])

    def settle(
        self, head: HeadState, *, graph_id: str, error: dict[str, str] | None = None, failed: bool = False, busy: bool
    ) -> None:
        """A run ended or the state was updated: take over what the head state says (contract/core.md 4.2).

        `failed` makes the status `error`; `busy` says runs are in flight. Call it with the row locked.
        """
        self.status_at_rest = ThreadStatus.ERROR if failed else head.status
        self.status = ThreadStatus.BUSY if busy else self.status_at_rest
        self.error = error
        if head.exists:
            self.values, self.interrupts = head.values, head.interrupts
        self.metadata = {**self.metadata, "graph_id": graph_id}
        self.updated_at = self.state_updated_at = timezone.now()
        self.save(update_fields=SETTLED)

    def release(self, *, busy: bool) -> None:
        """A run went away without having touched the state. Call it with the row locked."""
        self.status = ThreadStatus.BUSY if busy else self.status_at_rest
        self.save(update_fields=["status"])


class FormerWrite(models.Model):
    """What stood in langgraph's table of writes before a run in flight wrote there, on a checkpoint not its own.

    A null channel says that there was nothing. Written and read by checkpointer.py; gone once the run has ended.
    """

    pk = models.CompositePrimaryKey("thread_id", "run_id", "checkpoint_ns", "checkpoint_id", "task_id", "idx")
    thread_id = models.TextField()  # as langgraph's tables have it, and like theirs without a foreign key
    run_id = models.UUIDField()
    checkpoint_ns = models.TextField()
    checkpoint_id = models.TextField()
    task_id = models.TextField()
    idx = models.IntegerField()
    task_path = models.TextField(null=True)  # noqa: DJ001 - null means there was nothing
    channel = models.TextField(null=True)  # noqa: DJ001
    type = models.TextField(null=True)  # noqa: DJ001
    blob = models.BinaryField(null=True)

    def __str__(self) -> str:
        return f"{self.checkpoint_id} {self.task_id} {self.idx}"
