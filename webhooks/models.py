"""Endpoints, deliveries and every transition of a delivery's status, each one conditional UPDATE. Never sends anything.

A delivery is sent at least once: whoever sends it holds it until `claimed_until`, and carries `claims` as its token.
"""

from datetime import timedelta
from typing import Any, Self, cast
from uuid import UUID

from django.contrib.postgres.fields import ArrayField
from django.db import connection, models
from django.db.models.functions import Now
from django.utils import timezone
from uuid_utils.compat import uuid7

from accounts.authorizer import ScopedQuerySet
from config.columns import JSONColumn
from webhooks.masking import masked_url
from webhooks.signing import new_secret

KEPT_ATTEMPTS = 20
GIVE_UP_AFTER = timedelta(days=5)  # an endpoint that only failed for so long is switched off


class Event(models.TextChoices):
    """What a delivery tells of."""

    SUCCESS = "run.success", "run.success"
    ERROR = "run.error", "run.error"
    TIMEOUT = "run.timeout", "run.timeout"
    INTERRUPTED = "run.interrupted", "run.interrupted"  # the run was cancelled
    WAITING = "thread.interrupted", "thread.interrupted"  # its thread waits for a person
    TEST = "webhook.test", "webhook.test"  # somebody pressed the button


SUBSCRIBABLE = [str(event) for event in Event if event != Event.TEST]


class DeliveryStatus(models.TextChoices):
    """Where a delivery is in its life."""

    PENDING = "pending", "pending"  # waits for its next attempt, or is being sent
    DELIVERED = "delivered", "delivered"  # the receiver answered 2xx
    FAILED = "failed", "failed"  # no attempt is left


class EndpointQuerySet(ScopedQuerySet["WebhookEndpoint"]):
    """Queries over endpoints and the changes senders make."""

    def held(self, ids: list[UUID]) -> list["WebhookEndpoint"]:
        """Those of them that are enabled, kept from being deleted until the transaction ends."""
        statement = "SELECT * FROM webhooks_webhookendpoint WHERE endpoint_id = ANY(%s) AND enabled FOR KEY SHARE"
        return list(self.raw(statement, [ids]))

    def switch_off(self, endpoint_id: UUID, notice: str) -> bool:
        """enabled -> disabled, with a notice for people; what waits for the endpoint has failed."""
        found = self.filter(pk=endpoint_id, enabled=True)
        if not found.update(enabled=False, notice=notice, updated_at=Now()):
            return False
        WebhookDelivery.objects.filter(endpoint_id=endpoint_id).fail_for_disabled()
        return True

    def switch_on(self, endpoint_id: UUID) -> bool:
        """disabled -> enabled, its history of failures forgotten."""
        found = self.filter(pk=endpoint_id, enabled=False)
        return bool(found.update(enabled=True, notice="", failing_since=None, updated_at=Now()))


class WebhookEndpoint(models.Model):
    """Somebody who wants to be told of events."""

    endpoint_id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.TextField(default="", db_default="", blank=True, editable=False)
    url = models.TextField()
    description = models.TextField(default="", blank=True)
    events = ArrayField(models.TextField(choices=[(event, event) for event in SUBSCRIBABLE]))
    # Only runs of this assistant, and only runs whose metadata contains this.
    assistant_id = models.UUIDField(null=True, blank=True)
    metadata = JSONColumn(default=dict, blank=True)
    secret = models.TextField(default=new_secret, editable=False)
    # After a rotation both secrets sign until the older one expires.
    old_secret = models.TextField(default="", editable=False)
    old_secret_expires_at = models.DateTimeField(null=True, editable=False)
    enabled = models.BooleanField(default=True)
    notice = models.TextField(default="", editable=False)  # why the server switched it off
    failing_since = models.DateTimeField(null=True, editable=False)  # the first failure after the last success
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = EndpointQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]
        verbose_name = "endpoint"

    def __str__(self) -> str:
        return self.description or masked_url(self.url)

    def wants(self, tenant: str, assistant_id: UUID, metadata: dict[str, Any]) -> bool:
        """Whether its filters let a run of the assistant with the metadata pass; never one of another tenant."""
        fits = self.tenant == tenant and self.assistant_id in (None, assistant_id)
        return fits and contains(metadata, self.metadata)

    def secrets(self) -> list[str]:
        """Those that sign now."""
        rotating = self.old_secret_expires_at and self.old_secret_expires_at > timezone.now()
        return [self.secret, self.old_secret] if rotating else [self.secret]

    def rotate(self, overlap: timedelta) -> None:
        """A new secret; the one so far signs too until `overlap` has passed."""
        self.old_secret, self.old_secret_expires_at = self.secret, timezone.now() + overlap
        self.secret, self.updated_at = new_secret(), timezone.now()
        self.save(update_fields=["secret", "old_secret", "old_secret_expires_at", "updated_at"])


def contains(document: Any, part: Any) -> bool:
    """What PostgreSQL's `@>` says of two JSON values."""
    if isinstance(part, dict):
        return isinstance(document, dict) and all(
            key in document and contains(document[key], value) for key, value in part.items()
        )
    if isinstance(part, list):
        return isinstance(document, list) and all(any(contains(one, value) for one in document) for value in part)
    return type(document) is type(part) and bool(document == part)


# One statement: what several senders read and write cannot be torn apart, and none waits for another.
CLAIM = """
WITH due AS (
    SELECT delivery_id FROM webhooks_webhookdelivery
     WHERE status = 'pending' AND next_attempt_at <= clock_timestamp() AND lane <> ALL(%(full)s)
     ORDER BY next_attempt_at LIMIT %(most)s FOR UPDATE SKIP LOCKED)
UPDATE webhooks_webhookdelivery AS delivery
   SET claims = claims + 1, claimed_until = clock_timestamp() + %(lease)s,
       next_attempt_at = clock_timestamp() + %(lease)s
  FROM due WHERE delivery.delivery_id = due.delivery_id
RETURNING delivery.*
"""
FORGET = """
DELETE FROM webhooks_webhookdelivery WHERE delivery_id IN (
    SELECT delivery_id FROM webhooks_webhookdelivery WHERE created_at < %s AND status <> 'pending' LIMIT %s)
"""


class DeliveryQuerySet(ScopedQuerySet["WebhookDelivery"]):
    """Queries over deliveries and the transitions that concern many."""

    def due(self) -> Self:
        """Those whose next attempt may begin."""
        return self.filter(status=DeliveryStatus.PENDING, next_attempt_at__lte=Now())

    def claim(self, most: int, lease: timedelta, full: list[str]) -> list["WebhookDelivery"]:
        """Take up to `most` that are due and of no lane in `full`; nobody else gets them before the lease is over."""
        return list(self.raw(CLAIM, {"most": most, "lease": lease, "full": full}))

    def fail_for_disabled(self) -> int:
        """pending -> failed, because their endpoint is off; returns how many there were."""
        ended = {"status": DeliveryStatus.FAILED, "failure": "endpoint_disabled", "claimed_until": None}
        return self.filter(status=DeliveryStatus.PENDING).update(**ended, ended_at=Now())

    def forget(self, age: timedelta, most: int) -> int:
        """Delete up to `most` of those that have ended and are older; returns how many."""
        with connection.cursor() as cursor:
            cursor.execute(FORGET, [timezone.now() - age, most])
            return int(cursor.rowcount)

    def not_in_flight(self) -> Self:
        """Those nobody is sending right now."""
        return self.filter(models.Q(claimed_until=None) | models.Q(claimed_until__lt=Now()))

    def redeliver(self) -> int:
        """Send them again now, with a whole schedule of attempts ahead; returns how many there were."""
        fresh = {"status": DeliveryStatus.PENDING, "tries": 0, "ended_at": None, "claimed_until": None}
        return self.not_in_flight().update(**fresh, next_attempt_at=Now())


class WebhookDelivery(models.Model):
    """One message to one receiver: an endpoint, or the URL a run was given."""

    delivery_id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.TextField(default="", db_default="", editable=False)  # the run's, or the endpoint's
    endpoint = models.ForeignKey(WebhookEndpoint, models.CASCADE, null=True, related_name="deliveries")
    url = models.TextField()
    lane = models.TextField()  # whoever it is for, endpoint or host: a slow one holds up its own lane only
    event = models.TextField(choices=Event)
    run_id = models.UUIDField(null=True)
    thread_id = models.UUIDField(null=True)
    body = models.TextField()  # as it is sent, byte for byte the same in every attempt
    status = models.TextField(choices=DeliveryStatus, default=DeliveryStatus.PENDING)
    failure = models.TextField(default="")  # the name of what went wrong last
    tries = models.PositiveIntegerField(default=0)  # attempts since it was written or redelivered
    attempts = JSONColumn(default=list)  # the latest KEPT_ATTEMPTS, see sending.Attempt
    next_attempt_at = models.DateTimeField(default=timezone.now)
    claims = models.PositiveIntegerField(default=0)
    claimed_until = models.DateTimeField(null=True)
    created_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True)

    objects = DeliveryQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]
        verbose_name = "delivery"
        verbose_name_plural = "deliveries"
        indexes = [
            models.Index(fields=["next_attempt_at"], name="delivery_due", condition=models.Q(status="pending")),
            models.Index(fields=["-created_at"], name="delivery_created"),
            models.Index(fields=["tenant", "-created_at"], name="delivery_tenant", condition=~models.Q(tenant="")),
            models.Index(fields=["status", "-created_at"], name="delivery_status_created"),
            models.Index(fields=["endpoint", "-created_at"], name="delivery_endpoint_created"),
            models.Index(fields=["run_id"], name="delivery_run"),
        ]

    def __str__(self) -> str:
        return str(self.delivery_id)

    def delivered(self, attempt: dict[str, Any]) -> bool:
        """pending -> delivered, for the claim this object was made by; False when somebody else has it now."""
        return self._settle(attempt, status=DeliveryStatus.DELIVERED, ended_at=Now())

    def failed(self, attempt: dict[str, Any]) -> bool:
        """pending -> failed: no attempt is left."""
        return self._settle(attempt, status=DeliveryStatus.FAILED, ended_at=Now())

    def postponed(self, attempt: dict[str, Any], delay: timedelta) -> bool:
        """It stays pending, and is due again after `delay`."""
        return self._settle(attempt, next_attempt_at=Now() + delay)

    def _settle(self, attempt: dict[str, Any], **changes: Any) -> bool:
        mine = WebhookDelivery.objects.filter(pk=self.pk, status=DeliveryStatus.PENDING, claims=self.claims)
        return bool(
            mine.update(
                attempts=[*cast("list[Any]", self.attempts), attempt][-KEPT_ATTEMPTS:],
                failure=attempt["failure"],
                tries=self.tries + 1,
                claimed_until=None,
                **changes,
            )
        )
