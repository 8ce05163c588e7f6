"""Answers kept for clients that ask twice (idempotency.py), what sweeps removed (sweeps.py). Knows no resource."""

from django.db import models
from django.db.models.functions import Now

from config.columns import JSONColumn


class IdempotentAnswer(models.Model):
    """The first answer to a request that carried an `Idempotency-Key`."""

    key = models.TextField(primary_key=True)
    fingerprint = models.TextField()  # SHA-256 of method, path and body
    status = models.PositiveSmallIntegerField()
    headers = JSONColumn(default=dict)
    body = models.BinaryField()
    created_at = models.DateTimeField(db_default=Now(), db_index=True)

    def __str__(self) -> str:
        return self.key


class Sweep(models.Model):
    """What a sweep came to; `removed` by the last one that removed anything, `total` by all. Decides nothing."""

    name = models.TextField(primary_key=True)
    swept_at = models.DateTimeField(db_default=Now())
    removed = models.PositiveBigIntegerField(default=0)
    removed_at = models.DateTimeField(null=True)
    total = models.PositiveBigIntegerField(default=0)

    def __str__(self) -> str:
        return self.name
