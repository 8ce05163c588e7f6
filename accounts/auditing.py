"""Makes the admin's pages of rows write into the audit log what they change. Decides nothing itself."""

from typing import Any

from django.contrib.admin.models import LogEntry
from django.db.models import Model
from django.http import HttpRequest

from accounts.audit import record


class Audited:
    """Mixin before a ModelAdmin: Django's own log of additions, changes and deletions goes on, and each is recorded."""

    audited_by_name = False  # whether a row's name may stand in the audit log; that of an endpoint may hold a secret

    def log_addition(self, request: HttpRequest, obj: Model, message: Any) -> LogEntry:
        """Something was added by its form."""
        record(request, "create", obj, after=self._named(obj))
        return super().log_addition(request, obj, message)  # type: ignore[misc,no-any-return]

    def log_change(self, request: HttpRequest, obj: Model, message: Any) -> LogEntry:
        """Something was changed by its form; the message names the fields."""
        record(request, "change", obj, after={"changed": message})
        return super().log_change(request, obj, message)  # type: ignore[misc,no-any-return]

    def log_deletions(self, request: HttpRequest, queryset: Any) -> list[LogEntry]:
        """They are about to be deleted."""
        for obj in queryset:
            record(request, "delete", obj, before=self._named(obj))
        return super().log_deletions(request, queryset)  # type: ignore[misc,no-any-return]

    def note(self, request: HttpRequest, verb: str, obj: Model, message: str, **more: Any) -> None:
        """A verb of the API was called for it: as `accounts.audit.record` with these `more`, beside Django's log."""
        record(request, verb, obj, **more)
        super().log_change(request, obj, message)  # type: ignore[misc]

    def _named(self, obj: Model) -> dict[str, str] | None:
        return {"name": str(obj)} if self.audited_by_name else None
