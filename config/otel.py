"""All that knows OpenTelemetry; imported by tracing.py when traces are asked for, and only then."""

import importlib
import importlib.util
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any
from uuid import UUID

from django.conf import settings
from langchain_core.callbacks import BaseCallbackHandler
from langgraph.errors import GraphBubbleUp
from opentelemetry import propagate, trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from config import redaction

EXPORTER = "opentelemetry.exporter.otlp.proto.http.trace_exporter"


def _provider() -> TracerProvider:
    """Ours, and everybody's in this process; its addresses and limits come from the OTEL_ variables."""
    attributes = {"service.version": settings.VERSION, "weft.process": settings.PART}
    # service.name last, so that OTEL_SERVICE_NAME wins.
    made = TracerProvider(resource=Resource({"service.name": "weft", **attributes}).merge(Resource.create()))
    if settings.OTEL_EXPORTS and importlib.util.find_spec(EXPORTER):
        made.add_span_processor(BatchSpanProcessor(importlib.import_module(EXPORTER).OTLPSpanExporter()))
    trace.set_tracer_provider(made)
    return made


provider = _provider()
tracer = provider.get_tracer("weft", settings.VERSION)


def request_span(method: str, headers: Mapping[str, str]) -> AbstractContextManager[Span]:
    """A span that is current within the block."""
    return tracer.start_as_current_span(
        method,
        context=propagate.extract(headers),
        kind=SpanKind.SERVER,
        attributes={"http.request.method": method},
        record_exception=False,
    )


def run_span(carrier: Mapping[str, str], attributes: Mapping[str, Any]) -> AbstractContextManager[Span]:
    """A span that is current within the block."""
    return tracer.start_as_current_span(
        "run",
        context=propagate.extract(carrier),
        kind=SpanKind.CONSUMER,
        attributes={f"weft.{name}": value for name, value in attributes.items()},
        record_exception=False,
    )


def close(span: Span, name: str, attributes: Mapping[str, Any], *, failed: bool) -> None:
    """Its final name and attributes, and whether it failed."""
    span.update_name(name)
    span.set_attributes(attributes)
    if failed:
        span.set_status(Status(StatusCode.ERROR))


def carrier() -> dict[str, str]:
    """The current trace as W3C headers; empty outside of any."""
    found: dict[str, str] = {}
    propagate.inject(found)
    return found


class NodeSpans(BaseCallbackHandler):
    """A span for each execution of a node, below that of the node whose subgraph it is in, or of the run."""

    run_inline = True

    def __init__(self) -> None:
        self.above = trace.get_current_span()
        self.spans: dict[UUID, Span] = {}  # of a node, or what a chain inside it works for
        self.own: set[UUID] = set()

    def on_chain_start(
        self, serialized: Any, inputs: Any, *, run_id: UUID, parent_run_id: UUID | None = None, **rest: Any
    ) -> None:
        """A node begins, or something inside or around one."""
        above = self.spans.get(parent_run_id, self.above) if parent_run_id else self.above
        metadata = rest.get("metadata") or {}
        node = metadata.get("langgraph_node")
        if node is None or rest.get("name") != node:
            self.spans[run_id] = above
            return
        attributes = {"langgraph.node": node, "langgraph.step": metadata.get("langgraph_step", 0)}
        context = trace.set_span_in_context(above)
        self.spans[run_id] = tracer.start_span(f"node {node}", context=context, attributes=attributes)
        self.own.add(run_id)

    def on_chain_end(self, outputs: Any, *, run_id: UUID, **rest: Any) -> None:
        """It is over."""
        self._end(run_id)

    def on_chain_error(self, error: BaseException, *, run_id: UUID, **rest: Any) -> None:
        """It raised."""
        self._end(run_id, error)

    def _end(self, run_id: UUID, error: BaseException | None = None) -> None:
        span = self.spans.pop(run_id, None)
        if span is None or run_id not in self.own:
            return
        self.own.discard(run_id)
        if error is not None and not isinstance(error, GraphBubbleUp):  # an interrupt is no failure
            said = redaction.without_secrets(f"{type(error).__name__}: {error}")
            span.set_status(Status(StatusCode.ERROR, said))
        span.end()
