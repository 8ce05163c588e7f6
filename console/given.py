"""What people give a page: its filters, ids and reasons, read from a request the same way everywhere. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from django.http import QueryDict

LONGEST_REASON = 500  # characters


def given_of(query: Mapping[str, Any], names: Iterable[str]) -> dict[str, str]:
    """What is set of the named parameters, blank ones left out."""
    return {name: text for name in names if (text := str(query.get(name, "")).replace("\0", "").strip())}


def query_of(given: Mapping[str, str]) -> str:
    """Parameters as a query string without its question mark."""
    query = QueryDict(mutable=True)
    query.update(given)
    return query.urlencode()


def reason_of(form: QueryDict, name: str = "reason") -> str:
    """Why somebody does something, for the audit log."""
    return form.get(name, "").strip()[:LONGEST_REASON]


def uuid_of(text: str | None) -> UUID | None:
    """The id a text is, if it is one."""
    try:
        return UUID(text or "")
    except ValueError:
        return None
