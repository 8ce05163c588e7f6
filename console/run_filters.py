"""What the list of runs may be narrowed to, read from its address. Filters an index serves look at all runs; the others
at the newest WINDOW of them, and the page says so.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import isnan, nan
from typing import Any
from uuid import UUID

from django.db.models import F
from django.db.models.fields.json import KT
from django.http import QueryDict

from assistants.models import Assistant
from console.given import given_of, uuid_of
from runs.models import Run, RunQuerySet, RunStatus

WINDOW = 20_000
PERIODS = {
    "1h": ("last hour", 1),
    "24h": ("last 24 hours", 24),
    "7d": ("last 7 days", 168),
    "30d": ("last 30 days", 720),
}
SOURCES = {"api": "API", "cron": "cron", "a2a": "A2A", "retry": "retry"}
ORDER = ("-created_at", "-run_id")
NAMES = (
    *("status", "graph", "assistant", "thread", "source", "period", "waiting", "longer", "attempts", "metadata"),
    "error",
)
PAIR = re.compile(r"\s*([^\s:=]+)\s*[:=]\s*(.*?)\s*")


@dataclass
class Filters:
    """What the list is narrowed to. `problems` says what could not be understood and was left out."""

    given: dict[str, str]
    problems: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, query: QueryDict | dict[str, str]) -> "Filters":
        """From a request's parameters, blank ones left out."""
        return cls(given_of(query, NAMES))

    def rows(self, now: datetime) -> RunQuerySet:
        """The runs that pass."""
        rows = self._indexed(Run.objects.all(), now)
        slow = self._unindexed()
        if not slow:
            return rows
        recent = rows.order_by(*ORDER).values("pk")[:WINDOW]
        return Run.objects.filter(pk__in=recent).annotate(**self._computed()).filter(**slow)

    def rows_from(self, floor: datetime | None, now: datetime) -> RunQuerySet:
        """The same of the runs from `floor` on, which may be looked through piece by piece."""
        rows = self._indexed(Run.objects.all(), now)
        slow = self._unindexed()
        rows = rows.filter(created_at__gte=floor) if floor else rows
        return rows.annotate(**self._computed()).filter(**slow) if slow else rows

    def floor(self, now: datetime) -> datetime | None:
        """When the oldest run was created that is looked at; None where there is no such bound."""
        if not self.is_windowed:
            return None
        recent = self._indexed(Run.objects.all(), now).order_by(*ORDER)
        return recent.values_list("created_at", flat=True)[WINDOW - 1 : WINDOW].first()

    @property
    def is_windowed(self) -> bool:
        """Whether only the newest WINDOW runs were looked at."""
        return bool(self._unindexed())

    def _indexed(self, rows: RunQuerySet, now: datetime) -> RunQuerySet:
        if status := self._one_of("status", RunStatus.values):
            rows = rows.with_status(status)
        if graph := self.given.get("graph"):
            rows = rows.filter(assistant_id__in=Assistant.objects.filter(graph_id=graph).values("pk"))
        for name, column in (("assistant", "assistant_id"), ("thread", "thread_id")):
            if name in self.given and (found := self._uuid(name)):
                rows = rows.filter(**{column: found})
        if period := self._one_of("period", PERIODS):
            rows = rows.filter(created_at__gte=now - timedelta(hours=PERIODS[period][1]))
        if seconds := self._number("waiting"):
            rows = rows.filter(status=RunStatus.PENDING, created_at__lte=now - timedelta(seconds=seconds))
        if metadata := self._metadata():
            rows = rows.filter(metadata__contains=metadata)
        return rows.with_error(self.given["error"]) if "error" in self.given else rows

    def _unindexed(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if seconds := self._number("longer"):
            found["took__gt"] = timedelta(seconds=seconds)
        if attempts := self._number("attempts"):
            found["attempt__gte"] = int(attempts)
        source = self._one_of("source", SOURCES)
        if source in ("a2a", "retry"):
            found["metadata__has_key"] = {"a2a": "a2a", "retry": "retry_of"}[source]
        elif source in ("cron", "api"):
            found["cron__isnull"] = source == "api"
        return found

    def _computed(self) -> dict[str, Any]:
        return {"took": F("ended_at") - F("started_at"), "cron": KT("kwargs__config__configurable__cron_id")}

    def _one_of(self, name: str, known: Collection[str]) -> str:
        text = self.given.get(name, "")
        if not text or text in known:
            return text
        self._cannot(name, "is none of its values")
        return ""

    def _uuid(self, name: str) -> UUID | None:
        found = uuid_of(self.given[name])
        if found is None:
            self._cannot(name, "is no id")
        return found

    def _number(self, name: str) -> float:
        try:
            number = float(self.given.get(name, 0))
        except ValueError:
            number = nan
        if isnan(number):
            self._cannot(name, "is no number")
            return 0.0
        return min(max(number, 0.0), 1e9)

    def _metadata(self) -> dict[str, Any]:
        """`team:sales` is {"team": "sales"}; numbers, true and false are what they look like."""
        if "metadata" not in self.given:
            return {}
        found = PAIR.fullmatch(self.given["metadata"])
        if found is None:
            self._cannot("metadata", "must be key:value")
            return {}
        key, text = found.groups()
        plain: dict[str, Any] = {"true": True, "false": False, "null": None}
        return {key: plain.get(text, int(text) if re.fullmatch(r"-?\d{1,15}", text) else text)}

    def _cannot(self, name: str, why: str) -> None:
        problem = f"{name.title()}: “{self.given[name]}” {why}"
        if problem not in self.problems:
            self.problems.append(problem)
