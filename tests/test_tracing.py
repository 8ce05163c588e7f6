"""Traces from a client's request through its run to the run's nodes, as a collector receives them."""

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from config import tracing
from tests.conftest import LiveServer, live_server
from tests.receiver import Receiver, receiving

SECONDS = 30.0
TRACE = "0af7651916cd43dd8448eb211c80319c"
CLIENT_SPAN = "b7ad6b7169203331"


@dataclass(frozen=True)
class Traced:
    """A server that sends traces, and the collector that receives them."""

    server: LiveServer
    collector: Receiver

    def spans(self, trace_id: str) -> list[Any]:
        """Those received of a trace so far."""
        found = []
        for request in self.collector.to("/v1/traces"):
            for resource in ExportTraceServiceRequest.FromString(request.body).resource_spans:
                found += [span for scope in resource.scope_spans for span in scope.spans]
        return [span for span in found if span.trace_id.hex() == trace_id]

    def until(self, trace_id: str, *names: str) -> dict[str, Any]:
        """Wait for spans with these names; by name."""
        deadline = time.monotonic() + SECONDS
        while not set(names) <= (found := {span.name: span for span in self.spans(trace_id)}).keys():
            assert time.monotonic() < deadline, f"{sorted(found)}, not {names}"
            time.sleep(0.2)
        return found


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traced]:
    """Web and worker that export every few hundred milliseconds."""
    with receiving() as collector:
        collector.script("/v1/traces")
        environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "300"}
        with live_server(tmp_path_factory.mktemp("traced"), **environment) as server:
            yield Traced(server, collector)


def run(traced: Traced, graph_id: str, trace_id: str, **given: Any) -> httpx.Response:
    """A stateless run within the client's trace."""
    headers = {"traceparent": f"00-{trace_id}-{CLIENT_SPAN}-01"}
    body = {"assistant_id": graph_id, "config": {"configurable": {"__otel_traceparent__": "forged"}}, **given}
    return httpx.post(f"{traced.server.url}/runs/wait", json=body, headers=headers, timeout=SECONDS)


def attributes(span: Any) -> dict[str, Any]:
    """By name."""
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in span.attributes}


def test_a_clients_trace_goes_on_through_request_run_and_nodes(traced: Traced) -> None:
    assert run(traced, "parent", TRACE, input={"text": "warp"}).status_code == 200
    found = traced.until(TRACE, "POST /runs/wait", "run parent")
    request, executed = found["POST /runs/wait"], found["run parent"]
    assert request.parent_span_id.hex() == CLIENT_SPAN
    assert attributes(request)["http.response.status_code"] == 200
    assert executed.parent_span_id == request.span_id, "the worker goes on where the web process was"
    shown = attributes(executed)
    assert (shown["weft.graph_id"], shown["weft.attempt"], shown["weft.outcome"]) == ("parent", 1, "success")
    nodes = {span.span_id: span for span in traced.spans(TRACE) if span.name.startswith("node ")}
    assert nodes
    above = {span.parent_span_id for span in nodes.values()}
    assert executed.span_id in above, "nodes of the graph are below the run"
    assert above & nodes.keys(), "nodes of a subgraph are below the node it is in"


def test_what_fails_is_marked_and_tells_no_secret(traced: Traced) -> None:
    trace_id = "1" * 32
    run(traced, "boom", trace_id, input={"text": "x"})
    found = traced.until(trace_id, "run boom")
    assert found["run boom"].status.code == 2
    assert attributes(found["run boom"])["weft.outcome"] == "error"


def test_requests_nobody_wants_to_see_have_no_span(traced: Traced) -> None:
    trace_id = "2" * 32
    headers = {"traceparent": f"00-{trace_id}-{CLIENT_SPAN}-01"}
    for path in ("/ok", "/metrics", "/threads/x"):
        httpx.get(f"{traced.server.url}{path}", headers=headers)
    traced.until(trace_id, "GET /threads/{thread_id}")
    assert len(traced.spans(trace_id)) == 1


def test_without_being_asked_for_nothing_of_it_is_imported() -> None:
    assert tracing.otel is None and "config.otel" not in sys.modules
    assert tracing.carried() == {} and tracing.callbacks() == []


def test_missing_packages_are_said_once_and_stop_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, settings: Any
) -> None:
    settings.OTEL_ENABLED = True
    monkeypatch.setattr(tracing, "NEEDED", "no_such_package.sdk")
    assert tracing._loaded() is None
    assert "requirements-otel.txt" in caplog.text
