"""Answers kept for clients that ask twice. Knows no resource; see idempotency.py."""

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
