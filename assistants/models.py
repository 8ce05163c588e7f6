"""Rows of what can run: Assistant and its versions, with every change to them. Never imports a graph."""

import uuid
from typing import Any, Self

from django.contrib.postgres.indexes import GinIndex
from django.db import models, transaction
from django.db.models.functions import Lower, Now
from django.utils import timezone

from accounts.authorizer import ScopedQuerySet
from config.columns import JSONColumn

SYSTEM_METADATA = {"created_by": "system"}
VERSIONED = ("graph_id", "config", "context", "metadata", "name", "description")


class AssistantQuerySet(ScopedQuerySet["Assistant"]):
    """Queries over assistants."""

    def matching(
        self, *, metadata: dict[str, Any] | None = None, graph_id: str | None = None, name: str | None = None
    ) -> Self:
        """Those containing the metadata, of the graph, whose name contains the text in any case."""
        found = self
        if metadata:
            found = found.filter(metadata__contains=metadata)
        if graph_id is not None:
            found = found.filter(graph_id=graph_id)
        if name:
            found = found.filter(name__icontains=name)
        return found


class Assistant(models.Model):
    """A graph with a configuration, a name and a history of versions. Source: contract/core.md 3."""

    assistant_id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.TextField(default="", db_default="", blank=True, editable=False)
    graph_id = models.TextField()
    name = models.TextField(default="Untitled")
    description = models.TextField(null=True, blank=True)  # noqa: DJ001 - null and "" differ on the wire
    config = JSONColumn(sealed_as="assistant", default=dict)
    context = JSONColumn(sealed_as="assistant", default=dict)
    metadata = JSONColumn(sealed_as="assistant", default=dict)
    version = models.PositiveIntegerField(default=1)
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)

    objects = AssistantQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]
        indexes = [
            models.Index(fields=["-created_at"], name="assistant_created"),
            models.Index(fields=["tenant", "-created_at"], name="assistant_tenant", condition=~models.Q(tenant="")),
            models.Index(fields=["graph_id", "-created_at"], name="assistant_graph"),
            models.Index(Lower("name"), name="assistant_name"),
            GinIndex(fields=["metadata"], opclasses=["jsonb_path_ops"], name="assistant_metadata"),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.graph_id})"

    def record_version(self) -> None:
        """Write the current fields down as the version they are."""
        AssistantVersion.objects.create(
            assistant=self,
            version=self.version,
            created_at=self.updated_at,
            **{name: getattr(self, name) for name in VERSIONED},
        )

    def revise(self, changes: dict[str, Any]) -> None:
        """Apply the changes as a new version, one above the highest there is. Call it inside a transaction, with
        the row locked.
        """
        highest = self.versions.aggregate(highest=models.Max("version"))["highest"] or 0
        for name, value in changes.items():
            setattr(self, name, value)
        self.version = highest + 1
        self.updated_at = timezone.now()
        self.save()
        self.record_version()

    def restore(self, version: "AssistantVersion") -> None:
        """Make an earlier version the current one; no new version is written."""
        for name in VERSIONED:
            setattr(self, name, getattr(version, name))
        self.version = version.version
        self.updated_at = timezone.now()
        self.save()


class AssistantVersion(models.Model):
    """An assistant as it was from one change to the next."""

    assistant = models.ForeignKey(Assistant, models.CASCADE, related_name="versions")
    version = models.PositiveIntegerField()
    graph_id = models.TextField()
    name = models.TextField()
    description = models.TextField(null=True, blank=True)  # noqa: DJ001 - null and "" differ on the wire
    config = JSONColumn(sealed_as="assistant", default=dict)
    context = JSONColumn(sealed_as="assistant", default=dict)
    metadata = JSONColumn(sealed_as="assistant", default=dict)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["-version"]
        constraints = [models.UniqueConstraint(fields=["assistant", "version"], name="assistant_version_once")]

    def __str__(self) -> str:
        return f"{self.assistant_id} v{self.version}"


def sync_default_assistants(defaults: list[Assistant]) -> None:
    """Make sure each graph's default assistant exists and carries the project's name and description.

    Called at every start; a difference becomes a new version, a user's own changes to other fields stay.
    """
    for wanted in defaults:
        with transaction.atomic():
            found, created = Assistant.objects.select_for_update().get_or_create(
                assistant_id=wanted.assistant_id,
                defaults={
                    "graph_id": wanted.graph_id,
                    "name": wanted.name,
                    "description": wanted.description,
                    "config": wanted.config,
                    "metadata": SYSTEM_METADATA,
                },
            )
            changes = {
                name: getattr(wanted, name)
                for name in ("name", "description")
                if getattr(found, name) != getattr(wanted, name)
            }
            if created:
                found.record_version()
            elif changes:
                found.revise(changes)
