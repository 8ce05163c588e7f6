"""What Celery's beat calls: forget what is old."""

from datetime import timedelta

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from accounts.models import AuditEntry

BATCH = 1000


@shared_task(name="accounts.forget_audit")
def forget_audit() -> None:
    """Delete entries of the audit log older than AUDIT_RETENTION_DAYS, a batch at a time; 0 keeps all."""
    if not settings.AUDIT_RETENTION_DAYS:
        return
    before = timezone.now() - timedelta(days=settings.AUDIT_RETENTION_DAYS)
    while AuditEntry.objects.forget(before, BATCH) == BATCH:
        pass
