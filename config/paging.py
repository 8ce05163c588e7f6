"""Pages of a search: limit and offset, order, chosen fields, and the headers that lead to the next page.

Source: contract/core.md 1.7 and 3.9.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from django.db.models import F, QuerySet
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


def ordered(
    rows: QuerySet[Any], body: dict[str, Any], *, default: str, columns: Mapping[str, Any] = MappingProxyType({})
) -> QuerySet[Any]:
    """`rows` in the body's order, newest `default` first without one; ties are broken by the primary key.

    `columns` says what to sort by for the names that are not just columns. Nothing sorted by may be null: an index
    serves `ORDER BY created_at DESC` only while nulls come where the index has them.
    """
    name = body.get("sort_by", default)
    column = columns.get(name, F(name))
    descending = "sort_by" not in body or body.get("sort_order", "desc") == "desc"
    return rows.order_by(column.desc() if descending else column.asc(), "-pk" if descending else "pk")


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
