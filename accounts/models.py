"""Tenants, their API keys, and the audit log, whose rows a trigger refuses to change. Never holds a secret of a key."""

import uuid
from datetime import datetime, timedelta

from django.contrib.postgres.fields import ArrayField
from django.core.validators import MinValueValidator
from django.db import connection, models, transaction
from django.db.models.functions import Now
from django.utils import timezone
from uuid_utils.compat import uuid7

from config.columns import JSONColumn

FORGET = """
DELETE FROM accounts_auditentry WHERE id IN (
    SELECT id FROM accounts_auditentry WHERE created_at < %s ORDER BY created_at LIMIT %s)
"""


class Tenant(models.Model):
    """Callers who share limits. An empty limit is none."""

    slug = models.SlugField(unique=True)
    name = models.TextField(default="", blank=True)
    runs_in_flight = models.PositiveIntegerField(null=True, blank=True)  # pending and running, delayed ones included
    requests_per_second = models.FloatField(null=True, blank=True, validators=[MinValueValidator(0.001)])
    burst = models.PositiveIntegerField(null=True, blank=True, validators=[MinValueValidator(1)])  # requests at once
    store_bytes = models.PositiveBigIntegerField(null=True, blank=True)  # values put by requests
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["slug"]

    def __str__(self) -> str:
        return self.slug


class KeyState(models.TextChoices):
    """What a key is good for."""

    ACTIVE = "active", "active"
    ROTATED = "rotated", "rotated"  # has a successor, and is good until `overlap_until`
    EXPIRED = "expired", "expired"
    REVOKED = "revoked", "revoked"


class KeyQuerySet(models.QuerySet["ApiKey"]):
    """Queries over keys and the change that requests make."""

    def note_use(self, ids: list[uuid.UUID], apart: timedelta) -> None:
        """They were used just now; a use that was noted less than `apart` ago is noted enough."""
        stale = models.Q(last_used_at=None) | models.Q(last_used_at__lt=Now() - apart)
        self.filter(stale, pk__in=ids).update(last_used_at=Now())


class ApiKey(models.Model):
    """A key. Its text is shown once, when it is made; kept is the SHA-256 of it."""

    key_id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.TextField()
    prefix = models.TextField(unique=True, editable=False)  # how the text begins; no secret
    digest = models.TextField(unique=True, editable=False)
    # Who the caller is. A successor has the identity of the key it was rotated from, and so the same rows.
    identity = models.UUIDField(editable=False)
    tenant = models.ForeignKey(Tenant, models.PROTECT, null=True, blank=True, related_name="keys")
    scopes = ArrayField(models.TextField())  # resource:action, resource:*, *
    requests_per_second = models.FloatField(null=True, blank=True, validators=[MinValueValidator(0.001)])
    burst = models.PositiveIntegerField(null=True, blank=True, validators=[MinValueValidator(1)])
    expires_at = models.DateTimeField(null=True, blank=True)
    rotated_from = models.OneToOneField("self", models.PROTECT, null=True, editable=False, related_name="successor")
    overlap_until = models.DateTimeField(null=True, editable=False)
    revoked_at = models.DateTimeField(null=True, editable=False)
    last_used_at = models.DateTimeField(null=True, editable=False)  # to the minute
    created_by = models.TextField(editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = KeyQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]
        verbose_name = "API key"

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    @property
    def ends_at(self) -> datetime | None:
        """When it stops by itself."""
        return min((end for end in (self.expires_at, self.overlap_until) if end), default=None)

    @property
    def state(self) -> KeyState:
        """Now."""
        if self.revoked_at:
            return KeyState.REVOKED
        if self.ends_at and self.ends_at <= timezone.now():
            return KeyState.EXPIRED
        return KeyState.ROTATED if self.overlap_until else KeyState.ACTIVE


class ActorKind(models.TextChoices):
    """What kind of caller an actor is."""

    PERSON = "person", "person"  # signed in to the admin
    KEY = "key", "API key"
    USER = "user", "user"  # known to the custom authentication
    SYSTEM = "system", "system"  # the server itself, or somebody at its terminal


class AuditQuerySet(models.QuerySet["AuditEntry"]):
    """Queries over the audit log."""

    def about(self, row: models.Model) -> "AuditQuerySet":
        """What was done to one row."""
        return self.filter(object_type=row._meta.label_lower, object_id=str(row.pk))

    def forget(self, before: datetime, most: int) -> int:
        """Delete up to `most` entries older than `before`; returns how many. The only way to delete any.

        The trigger lets a DELETE through whose transaction says in `weft.audit_forget_before` how old its rows are.
        """
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT set_config('weft.audit_forget_before', %s, true)", [before.isoformat()])
            cursor.execute(FORGET, [before, most])
            return int(cursor.rowcount)


class AuditEntry(models.Model):
    """One thing somebody did. See accounts/audit.py, which writes them."""

    actor = models.TextField()  # a login, the name of a key, an identity
    actor_kind = models.TextField(choices=ActorKind.choices)
    action = models.TextField()  # a verb: create, cancel, revoke
    object_type = models.TextField()  # app and model: runs.run
    object_id = models.TextField()
    before = JSONColumn(null=True)
    after = JSONColumn(null=True)
    ip = models.GenericIPAddressField(null=True)
    reason = models.TextField(default="")
    created_at = models.DateTimeField(db_default=Now())

    objects = AuditQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-id"]
        verbose_name, verbose_name_plural = "audit entry", "audit log"
        indexes = [
            models.Index(fields=["-created_at", "-id"], name="audit_newest"),
            models.Index(fields=["object_type", "object_id", "-created_at"], name="audit_object"),
        ]

    def __str__(self) -> str:
        return f"{self.actor}: {self.action} {self.object_type} {self.object_id}"
