"""What was done, by whom. Rows of the audit log are written once: a trigger refuses to change them."""

from datetime import datetime

from django.db import connection, models, transaction
from django.db.models.functions import Now

from config.columns import JSONColumn

FORGET = """
DELETE FROM accounts_auditentry WHERE id IN (
    SELECT id FROM accounts_auditentry WHERE created_at < %s ORDER BY created_at LIMIT %s)
"""


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
