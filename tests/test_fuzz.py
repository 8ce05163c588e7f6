"""Every operation of the OpenAPI document, sent what fits it and what does not: no 5xx, no hang, one error shape.

`FUZZ_EXAMPLES` and `FUZZ_EDGES` raise the number of requests an operation gets, `FUZZ_SEED` takes another seed.
The requests sent are counted in the test's output (`-rP` shows it) and as its property `requests`.
"""

import os
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from random import Random
from typing import Any, cast
from uuid import UUID

import httpx
import orjson
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import APIOperation, BaseSchema, Case, GenerationMode
from schemathesis.core.result import Ok

from tests.conftest import LiveServer

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "6"))
EDGES = int(os.environ.get("FUZZ_EDGES", "10"))
SEED = int(os.environ.get("FUZZ_SEED", "20240607"))
HANG_SECONDS = 10.0
IDS = ("thread_id", "assistant_id", "run_id", "checkpoint_id", "cron_id")
# Answers any operation may give, whatever the document says of it: the request as such was refused.
UNDECLARED = {400, 405, 413}
# Streams that end when their client leaves.
ENDLESS = re.compile(r"^/threads/[^/?]+/stream(/events)?(\?|$)")
# The thread is there, its history is not: as the reference answers (threads/views.py).
HALF_DONE = ("POST", "/threads", 201)
# Their refusals have the shape of their protocol; test_mcp.py, test_a2a.py and test_event_streaming.py look at them.
CARDS = ("/a2a/{assistant_id}/.well-known/agent-card.json", "/.well-known/agent-card.json")
OTHER_PROTOCOLS = ("/mcp", "/threads/{thread_id}/commands", "/a2a/{assistant_id}", *CARDS)
# Two answers of the store have a shape of their own (contract/platform.md 3.1 and 3.4).
BARE_LABEL = re.compile(rb"Namespace label .+ must be a non-empty string without periods", re.DOTALL)
KEYLESS = b'{"error":"Key is required"}'


class Deadline(requests.Session):
    """A session whose requests end after HANG_SECONDS, however often the server says that it is still there."""

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """The response with all of its body. Raises AssertionError."""
        given_up = time.monotonic() + HANG_SECONDS
        response = super().send(request, **{**kwargs, "stream": True})
        body = b""
        if ENDLESS.search(str(request.path_url)) and response.ok:
            response.close()
            response._content = body
            return response
        for chunk in response.iter_content(None):
            body += chunk
            assert time.monotonic() < given_up, f"{request.method} {request.url} hangs: {request.body!r}"
        response._content = body
        return response


class Rows:
    """Rows for requests to meet; made anew when those before have probably been changed beyond recognition."""

    LASTS = 25

    def __init__(self, url: str) -> None:
        self.http = httpx.Client(base_url=url, timeout=30)
        self.used = 0
        self.ids: dict[str, str] = {}

    def get(self, kind: str) -> str:
        """The id of an assistant, a thread, a run of it or its checkpoint, or a cron."""
        if self.used % self.LASTS == 0:
            self.ids = self._make()
        self.used += 1
        return self.ids[kind]

    def _make(self) -> dict[str, str]:
        assistant = self._post("/assistants", {"graph_id": "echo"})
        thread = self._post("/threads", {})
        body = {"assistant_id": "echo", "input": {"text": "hi"}}
        answer = self.http.post(f"/threads/{thread['thread_id']}/runs/wait", json=body)
        assert answer.status_code == 200, answer.text
        state = self.http.get(f"/threads/{thread['thread_id']}/state").json()
        return {
            "assistant_id": assistant["assistant_id"],
            "thread_id": thread["thread_id"],
            "run_id": answer.headers["Content-Location"].rsplit("/", 1)[1],
            "cron_id": self._post("/runs/crons", {"assistant_id": "echo", "schedule": "0 0 1 1 *"})["cron_id"],
            "checkpoint_id": state["checkpoint"]["checkpoint_id"],
        }

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        answer = self.http.post(path, json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture(scope="module")
def document(server: LiveServer) -> BaseSchema:
    """The OpenAPI document as the server gives it."""
    return schemathesis.openapi.from_url(f"{server.url}/openapi.json")


@pytest.fixture(scope="module")
def rows(server: LiveServer) -> Iterator[Rows]:
    """Rows the requests are about."""
    made = Rows(server.url)
    yield made
    made.http.close()


@pytest.fixture(scope="module")
def session() -> Iterator[Deadline]:
    """What sends the requests."""
    with Deadline() as opened:
        yield opened


@pytest.mark.timeout(300)
def test_no_request_makes_an_operation_fail(
    document: BaseSchema,
    server: LiveServer,
    rows: Rows,
    session: Deadline,
    subtests: pytest.Subtests,
    record_property: Callable[[str, object], None],
) -> None:
    sent = Counter[int]()

    def send(case: Case) -> None:
        aim(case, rows.get)
        response = case.call(base_url=server.url, session=session, timeout=HANG_SECONDS)
        sent[response.status_code] += 1
        complaint = complaint_about(case, response.status_code, response.headers, response.content)
        assert not complaint, f"seed {SEED}: {complaint}\n{case.as_curl_command()}"

    for found in document.get_all_operations():
        assert isinstance(found, Ok)
        operation = found.ok()
        with subtests.test(operation.label):
            for case in edges(document, operation):
                send(case)
            fuzz(operation, send)
    record_property("requests", sent.total())
    sys.stdout.write(f"{sent.total()} requests sent with seed {SEED}: {dict(sorted(sent.items()))}\n")
    assert sent.total() > 500


def edges(document: BaseSchema, operation: APIOperation) -> Iterator[Case]:
    """Requests at and just behind the bounds of the schema, and with other methods; the same for a seed."""
    configured = document.config.generation_for(operation=operation, phase="coverage")
    for mode in GenerationMode:
        found = list(document.iter_coverage_cases(operation, generation_modes=[mode], generation_config=configured))
        yield from Random(SEED).sample(found, min(EDGES, len(found)))


def fuzz(operation: APIOperation, send: Callable[[Case], None]) -> None:
    """Random requests, half of them in breach of the schema where there is more to it than a UUID in the path."""
    rich = operation.body or operation.query or operation.headers
    for mode in GenerationMode if rich else [GenerationMode.POSITIVE]:

        @seed(SEED)
        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(operation.as_strategy(mode))
        def test(case: Case) -> None:
            send(case)

        test()


def complaint_about(case: Case, status: int, headers: dict[str, list[str]], body: bytes) -> str:
    """What is wrong with the answer, "" when nothing is."""
    declared = {str(known) for known in case.operation.definition.raw["responses"]}
    if status >= 500:
        return f"{status}: {body!r}"
    expected = status in UNDECLARED or (case.method, case.path, status) == HALF_DONE
    if case.method.lower() == case.operation.method and str(status) not in declared and not expected:
        return f"{status} is not declared: {body!r}"
    if case.path.startswith("/store/") and (BARE_LABEL.fullmatch(body) or body == KEYLESS):
        return ""
    if status < 400 and (case.method, case.path, status) != HALF_DONE:
        return ""
    if case.path in OTHER_PROTOCOLS and (status == 400 or not body):
        return ""
    try:
        document = orjson.loads(body)
    except ValueError:
        return f"{status} without JSON: {body!r}"
    if set(document) != {"detail"} or not isinstance(document["detail"], str) or not document["detail"]:
        return f"{status} in another shape: {body!r}"
    return "" if headers.get("content-type") == ["application/json"] else f"{status} as {headers.get('content-type')}"


def aim(case: Case, known: Callable[[str], str]) -> None:
    """Let the request meet rows that are there, and runs that end at once. What is malformed stays malformed."""
    for place in (case.path_parameters, case.query, case.body):
        if isinstance(place, dict | list):
            _aim(place, known)


def _aim(node: Any, known: Callable[[str], str]) -> None:
    pairs = list(node.items()) if isinstance(node, dict) else list(enumerate(node))
    for key, value in pairs:
        if isinstance(value, dict | list):
            _aim(value, known)
        elif key in IDS and _is_uuid(value) and UUID(value).int % 8:
            node[key] = known(cast("str", key))
        elif key == "assistant_id" and isinstance(value, str) and len(value) % 4:
            node[key] = "echo"
        elif isinstance(value, str) and isinstance(key, int) and len(value) % 8:
            node[key] = value.replace(".", "") or "label"
        elif key == "schedule" and isinstance(value, str) and len(value) % 4:
            node[key] = "0 0 1 1 *"
        elif key in ("after_seconds", "ttl") and isinstance(value, int | float) and not isinstance(value, bool):
            node[key] = min(value, 0.1)


def _is_uuid(value: Any) -> bool:
    try:
        return isinstance(value, str) and bool(UUID(value))
    except ValueError:
        return False
