"""Spans of requests, runs and nodes for OpenTelemetry. Without OTEL_ENABLED none of it is imported, nor costs anything.

A run's row carries the trace of the request that created it, so that its worker goes on with it.
"""

import importlib
import importlib.util
import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from django.conf import settings

logger = logging.getLogger(__name__)
# In config.configurable; only the server sets them (config/rest.py).
KEYS = {"traceparent": "__otel_traceparent__", "tracestate": "__otel_tracestate__"}
NEEDED = "opentelemetry.sdk"


def _loaded() -> Any:
    """The module that knows OpenTelemetry; None when it is not asked for, or its packages are missing."""
    if not settings.OTEL_ENABLED:
        return None
    try:
        found = importlib.util.find_spec(NEEDED)
    except ModuleNotFoundError:
        found = None
    if found is None:
        logger.warning("No traces: OTEL_ENABLED needs what requirements-otel.txt lists")
        return None
    return importlib.import_module("config.otel")


otel: Any = _loaded()


def request_span(method: str, headers: Mapping[str, str]) -> AbstractContextManager[Any]:
    """The span of a request, part of its client's trace; `span_over` completes it."""
    return otel.request_span(method, headers) if otel else nullcontext()


def run_span(configurable: Mapping[str, Any], attributes: Mapping[str, Any]) -> AbstractContextManager[Any]:
    """The span of an attempt, part of the trace of the request that created its run."""
    carrier = {name: str(configurable[key]) for name, key in KEYS.items() if configurable.get(key)}
    return otel.run_span(carrier, attributes) if otel else nullcontext()


def close(span: Any, name: str, attributes: Mapping[str, Any], *, failed: bool) -> None:
    """Say what a span came to; None is no span."""
    if span is not None:
        otel.close(span, name, attributes, failed=failed)


def carried() -> dict[str, str]:
    """What a run's configurable carries of the current trace."""
    return {KEYS[name]: text for name, text in otel.carrier().items() if name in KEYS} if otel else {}


def callbacks() -> list[Any]:
    """What makes spans of a graph's nodes, below the current one."""
    return [otel.NodeSpans()] if otel else []
