"""What Celery's beat calls: forget what is old."""

import math
from datetime import timedelta

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from accounts.models import AuditEntry
from config import sweeps


@shared_task(name="accounts.forget_audit")
def forget_audit() -> None:
    """Delete entries of the audit log older than AUDIT_RETENTION_DAYS; 0 keeps all."""
    if settings.AUDIT_RETENTION_DAYS:
        sweeps.note("audit", forget_old())


def forget_old(seconds: float = math.inf) -> int:
    """Delete those entries, or what can be deleted in so many seconds; returns how many."""
    before = timezone.now() - timedelta(days=settings.AUDIT_RETENTION_DAYS)
    return sweeps.in_batches(lambda most: AuditEntry.objects.forget(before, most), seconds)
