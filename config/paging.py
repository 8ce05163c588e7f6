"""Pages of a search: limit and offset, order, chosen fields, and the headers that lead to the next page.

Source: contract/core.md 1.7 and 3.9.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from django.db.models import F, QuerySet
from django.db.models.functions import Lower
from rest_framework import serializers
from rest_framework.response import Response

from config.rest import Body, Choice, Integer


class Page(Body):
    """The paging part of a search body."""

    limit = Integer(required=False, min_value=1, max_value=1000)
    offset = Integer(required=False, min_value=0, max_value=2**62)


def select_field(names: Iterable[str]) -> serializers.ListField:
    """`select`: which keys each row has."""
    return serializers.ListField(child=Choice(list(names)), required=False)


def ordered(rows: QuerySet[Any], body: dict[str, Any], *, default: str, any_case: Sequence[str] = ()) -> QuerySet[Any]:
    """`rows` in the body's order, newest `default` first without one; ties are broken by the primary key."""
    name = body.get("sort_by", default)
    column: Any = Lower(name) if name in any_case else F(name)
    descending = "sort_by" not in body or body.get("sort_order", "desc") == "desc"
    direction = column.desc(nulls_last=True) if descending else column.asc(nulls_first=True)
    return rows.order_by(direction, "-pk" if descending else "pk")


def page_response(rows: QuerySet[Any], body: dict[str, Any], represent: Callable[[Any], dict[str, Any]]) -> Response:
    """The rows of one page, with the headers both SDKs page by. One query: it looks one row further."""
    limit, offset = body.get("limit", 10), body.get("offset", 0)
    found = list(rows[offset : offset + limit + 1])
    shown = [represent(row) for row in found[:limit]]
    if len(found) > limit:
        headers = {"X-Pagination-Total": str(offset + limit + 1), "X-Pagination-Next": str(offset + limit)}
    else:
        headers = {"X-Pagination-Total": str(offset + len(shown))}
    return Response(shown, headers=headers)


def only(document: dict[str, Any], names: Sequence[str] | None) -> dict[str, Any]:
    """The document with just the named keys; all of them without names."""
    return {name: document[name] for name in document if name in names} if names else document
