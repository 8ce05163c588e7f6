"""How rows that the server wrote are shown to people: read-only, in bounded pages. Registers nothing itself."""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib.admin import ShowFacets, display
from django.contrib.humanize.templatetags.humanize import naturaltime
from django.core.paginator import Paginator
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin
from unfold.views import ChangeList

from config.words import span as span
from config.words import tail as tail

COUNTED_ROWS = 10_000
JSON_CHARACTERS = 50_000
EMPTY = format_html('<span class="weft-empty">{}</span>', "–")


class BoundedPaginator(Paginator):  # type: ignore[type-arg]
    """Counts no further than COUNTED_ROWS, so that a table of millions costs a page no more than a small one."""

    template_name = "admin/bounded_pagination.html"

    @cached_property
    def count(self) -> int:
        """The number of rows; COUNTED_ROWS when there are as many or more."""
        rows: Any = self.object_list
        return int(rows.order_by()[:COUNTED_ROWS].count())

    @property
    def is_full(self) -> bool:
        """Whether there may be more rows than were counted."""
        return self.count >= COUNTED_ROWS


class BoundedChangeList(ChangeList):  # type: ignore[misc]
    """A list that offers to show all rows only where it does not already."""

    def get_results(self, request: HttpRequest) -> None:
        """The page's rows."""
        super().get_results(request)
        if not self.query and not self.filter_params:
            self.full_result_count = self.result_count


class RecordAdmin(ModelAdmin):  # type: ignore[misc]
    """Rows of the server's own: people look, and do only what a verb of the API does."""

    paginator = BoundedPaginator
    show_full_result_count = False
    show_facets = ShowFacets.NEVER
    list_per_page = 50
    list_fullwidth = True
    list_disable_select_all = True
    list_deferred: Sequence[str] = ()  # large columns no list shows
    id_fields: Sequence[str] = ()  # the columns a search for an id looks into

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody adds these by hand."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Nobody edits these."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Only where the API has a verb for it; a subclass says so."""
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """The rows; in a list without the large columns."""
        rows: QuerySet[Any] = super().get_queryset(request)
        return rows.defer(*self.list_deferred) if is_list(request) else rows

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[BoundedChangeList]:
        """Ours."""
        return BoundedChangeList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """The rows one of whose ids begins with the text; an index finds them."""
        text = search_term.strip()
        return (queryset.filter(id_starts_with(self.id_fields, text)) if text else queryset), False


def is_list(request: HttpRequest) -> bool:
    """Whether the request is for a changelist."""
    return bool(request.resolver_match and (request.resolver_match.url_name or "").endswith("_changelist"))


def id_starts_with(fields: Iterable[str], text: str) -> Q:
    """Rows with a UUID in one of the fields that begins with the text, as ranges; none if it is no part of a UUID."""
    digits = text.replace("-", "").lower()
    if not re.fullmatch(r"[0-9a-f]{1,32}", digits):
        return Q(pk__in=[])
    first, last = UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))
    found = Q()
    for name in fields:
        found |= Q(**{f"{name}__range": (first, last)})
    return found


# --- columns: `created = time_of("created_at")` in the body of an admin class -----------------------------------------

Column = Callable[[Any, Any], Any]


def time_of(field: str, description: str) -> Column:
    """A column that says how long ago; it can be sorted by."""

    @display(description=description, ordering=field)
    def column(admin: Any, row: Any) -> SafeString:
        return ago(getattr(row, field))

    return column


def exact_time_of(field: str, description: str) -> Column:
    """A column with the exact time."""

    @display(description=description)
    def column(admin: Any, row: Any) -> SafeString:
        return moment(getattr(row, field))

    return column


def json_of(field: str) -> Column:
    """A column with a JSON value."""

    @display(description=field)
    def column(admin: Any, row: Any) -> SafeString:
        return json_block(getattr(row, field))

    return column


def id_of(field: str, description: str) -> Column:
    """A column with an id."""

    @display(description=description)
    def column(admin: Any, row: Any) -> SafeString:
        return mono(getattr(row, field))

    return column


# --- pieces of pages ------------------------------------------------------------------------------------------------


def badge(text: str, kind: str) -> SafeString:
    """A coloured label: info, success, warning, danger, primary or plain."""
    return SafeString(render_to_string("unfold/helpers/label.html", {"text": text, "type": kind}))


def json_block(value: Any) -> SafeString:
    """A JSON value, indented; a huge one is cut."""
    if value in (None, {}, [], ""):
        return EMPTY
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    cut = "" if len(text) <= JSON_CHARACTERS else f"\n… {len(text) - JSON_CHARACTERS:,} more characters"
    return format_html('<pre class="weft-json">{}{}</pre>', text[:JSON_CHARACTERS], cut)


def ago(moment: datetime | None) -> SafeString:
    """A time as people say it, the exact one on hover."""
    if moment is None:
        return EMPTY
    return format_html(
        '<time class="weft-time" datetime="{}" title="{}">{}</time>', moment.isoformat(), exact(moment), _said(moment)
    )


def moment(value: datetime | None) -> SafeString:
    """The exact time, and how long ago."""
    return format_html("{} <small>({})</small>", exact(value), _said(value)) if value else EMPTY


def exact(value: datetime) -> str:
    """2026-01-31 09:05:00.123 UTC"""
    return f"{timezone.localtime(value):%Y-%m-%d %H:%M:%S.%f}"[:-3] + f" {timezone.localtime(value):%Z}"


def _said(value: datetime) -> str:
    return str(naturaltime(value)).replace("\xa0", " ")


def link(url: str, text: str) -> SafeString:
    """A link within the admin."""
    return format_html('<a class="weft-link" href="{}">{}</a>', url, text)


def mono(text: object) -> SafeString:
    """An id."""
    return format_html('<span class="weft-mono">{}</span>', text)
