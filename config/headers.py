"""Which request headers graphs get to see, in `configurable`, and which the access log shows.

Source: contract/core.md 1.9, platform.md 8.5 and 8.6.
"""

import functools
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from config import dialect
from config.project import project

NEVER = frozenset({"x-api-key", "x-service-key", "x-tenant-id", "authorization"})
NEVER_LOGGED = frozenset({"authorization", "cookie", "set-cookie", "x-api-key"})
TRACE = "langsmith-trace"


def configurable_headers(headers: Mapping[str, str]) -> dict[str, Any]:
    """What a request adds to configurable: the headers the project lets through, and who traces it."""
    found: dict[str, Any] = {}
    for name, value in headers.items():
        key = name.lower()
        if key not in NEVER and _passes("configurable_headers", key):
            found[key] = value
    return {**found, **_trace({name.lower(): value for name, value in headers.items()})}


def logged(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers the project wants to see in the access log; by default none."""
    if not project().http.get("logging_headers"):
        return {}
    lower = {name.lower(): value for name, value in headers.items()}
    return {
        name: value for name, value in lower.items() if name not in NEVER_LOGGED and _passes("logging_headers", name)
    }


@functools.lru_cache(1024)  # names come from clients
def _passes(section_name: str, name: str) -> bool:
    section = project().http.get(section_name) or {}
    excluded = section.get("excludes") or section.get("exclude") or []
    included = section.get("includes") or section.get("include") or []
    return _matches(name, included) and not _matches(name, excluded)


def _matches(name: str, patterns: list[str]) -> bool:
    """Whether a pattern fits the whole name; `*` is the only wildcard."""
    return any(re.fullmatch(re.escape(pattern.lower()).replace(r"\*", ".*"), name) for pattern in patterns)


def _trace(headers: dict[str, str]) -> dict[str, Any]:
    """The trace a caller wants to be part of: only together with `langsmith-trace`."""
    if TRACE not in headers:
        return {}
    pairs = (item.strip().partition("=") for item in headers.get("baggage", "").split(","))
    baggage = {name: unquote(value) for name, _, value in pairs if value}
    found: dict[str, Any] = {TRACE: headers[TRACE]}
    if "langsmith-project" in baggage:
        found["langsmith-project"] = baggage["langsmith-project"]
    if "langsmith-tags" in baggage:
        found["langsmith-tags"] = baggage["langsmith-tags"].split(",")
    metadata = _object(baggage.get("langsmith-metadata", ""))
    return {**found, "langsmith-metadata": metadata} if metadata is not None else found


def _object(text: str) -> dict[str, Any] | None:
    try:
        value = dialect.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
