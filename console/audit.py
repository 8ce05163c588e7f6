"""The audit log as operators read it: filtered, paged, exported. Entries are written by accounts/audit.py, changed by
nobody.
"""

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.utils import timezone

from accounts.models import ActorKind, AuditEntry, AuditQuerySet
from config import dialect
from config.database import in_thread
from console.kinds import url_of
from console.pages import Page, show
from console.paging import sheet
from console.roles import needs

ORDER = ("-created_at", "-id")
SPANS = {"day": ("24 hours", 1), "week": ("7 days", 7), "month": ("30 days", 30), "all": ("All there is", None)}
USUAL = "month"
FILTERS = ("actor", "action", "object_type", "object_id")
EXPORTED_AT_ONCE = 1000


@needs("operator")
def page(request: HttpRequest) -> HttpResponse:
    """/admin/audit/, with `actor`, `actor_kind`, `action`, `object_type`, `object_id` and `span`."""
    given = _given(request)
    found = sheet(request, _entries(given), ORDER)
    entries = [{"entry": entry, "url": url_of(entry.object_type, entry.object_id)} for entry in found.rows]
    return show(
        request,
        "console/audit.html",
        Page("Audit log"),
        sheet=found,
        entries=entries,
        given=given,
        spans=[(name, title) for name, (title, _) in SPANS.items()],
        actor_kinds=ActorKind.choices,
        export=f"export.ndjson?{urlencode({name: value for name, value in given.items() if value})}",
    )


@needs("operator")
def export(request: HttpRequest) -> HttpResponseBase:
    """/admin/audit/export.ndjson: all entries the same filters leave, newest first, one JSON object a line."""
    answer = StreamingHttpResponse(_lines(_given(request)), content_type="application/x-ndjson")
    name = re.sub(r"[^0-9]", "", f"{timezone.now():%Y%m%d%H%M}")
    answer.headers["Content-Disposition"] = f'attachment; filename="audit-{name}.ndjson"'
    return answer


def _given(request: HttpRequest) -> dict[str, str]:
    given = {name: request.GET.get(name, "").strip() for name in FILTERS}
    kind, span = request.GET.get("actor_kind", ""), request.GET.get("span", "")
    return {**given, "actor_kind": kind if kind in ActorKind.values else "", "span": span if span in SPANS else USUAL}


def _entries(given: dict[str, str]) -> AuditQuerySet:
    exact = {name: value for name, value in given.items() if value and name != "span"}
    entries: AuditQuerySet = AuditEntry.objects.filter(**exact)
    days = SPANS[given["span"]][1]
    return entries.filter(created_at__gte=timezone.now() - timedelta(days=days)) if days else entries


async def _lines(given: dict[str, str]) -> AsyncIterator[bytes]:
    last: AuditEntry | None = None
    while rows := await in_thread(_next, given, last):
        yield b"".join(dialect.dumps(_exported(entry)) + b"\n" for entry in rows)
        last = rows[-1]


def _next(given: dict[str, str], last: AuditEntry | None) -> list[AuditEntry]:
    entries = _entries(given).order_by(*ORDER)
    if last is not None:
        entries = entries.filter(created_at__lte=last.created_at).exclude(created_at=last.created_at, id__gte=last.pk)
    return list(entries[:EXPORTED_AT_ONCE])


def _exported(entry: AuditEntry) -> dict[str, Any]:
    return {field.attname: getattr(entry, field.attname) for field in AuditEntry._meta.concrete_fields}
