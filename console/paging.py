"""Pages of rows found by where the last one ended: nothing is counted, the millionth row costs what the first does."""

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest

PAGE = 50


@dataclass(frozen=True)
class Sheet:
    """The rows of one page; `older` and `newer` are query strings of its neighbours, empty where there is none."""

    rows: list[Any]
    older: str
    newer: str

    @property
    def is_only(self) -> bool:
        """Whether all there is fits on it."""
        return not (self.older or self.newer)


def sheet(request: HttpRequest, rows: QuerySet[Any], order: Sequence[str], size: int = PAGE) -> Sheet:
    """The page the request's `before` or `after` asks for; an unreadable one means the first.

    `order` names columns to sort by, all descending ("-created_at", "-run_id"), the last one unique, in the order of
    an index.
    """
    names = [name.removeprefix("-") for name in order]
    before, after = (_values(request.GET.get(side, "")) for side in ("before", "after"))
    place = before or after
    backwards = not before and bool(after)
    if place is not None and len(place) == len(names):
        try:
            rows = rows.filter(_beyond(names, place, "gt" if backwards else "lt"))
        except (ValidationError, ValueError, TypeError):
            place = None
    else:
        place = None
    backwards = backwards and place is not None
    found = list(rows.order_by(*(names if backwards else order))[: size + 1])
    more, found = len(found) > size, found[:size]
    if backwards:
        found.reverse()
    has_newer = more if backwards else place is not None
    has_older = place is not None if backwards else more
    return Sheet(
        found,
        _query(request, "before", found[-1], names) if found and has_older else "",
        _query(request, "after", found[0], names) if found and has_newer else "",
    )


def _beyond(names: Sequence[str], place: Sequence[str], comparison: str) -> Q:
    """Rows behind the place. Said twice for the first column, so that an index on it is used."""
    first = Q(**{f"{names[0]}__{comparison}e": place[0]})
    beyond = Q(pk__in=[])
    for position, name in enumerate(names):
        same = {earlier: place[number] for number, earlier in enumerate(names[:position])}
        beyond |= Q(**same, **{f"{name}__{comparison}": place[position]})
    return first & beyond


def _query(request: HttpRequest, side: str, row: Model, names: Sequence[str]) -> str:
    query = request.GET.copy()
    for name in ("before", "after"):
        query.pop(name, None)
    values = [value.isoformat() if hasattr(value := getattr(row, name), "isoformat") else str(value) for name in names]
    query[side] = base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")
    return f"?{query.urlencode()}"


def _values(text: str) -> list[str] | None:
    try:
        found = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (binascii.Error, ValueError):
        return None
    return found if isinstance(found, list) and all(isinstance(value, str) for value in found) else None
