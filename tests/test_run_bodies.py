"""Whatever a client sends to create a run or to read one: no 500, one error shape, nothing half done."""

import uuid
from typing import Any
from urllib.parse import urlencode

import httpx
import orjson
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.conftest import LiveServer

QUICK = settings(
    max_examples=40,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
NOBODY = "00000000-0000-4000-8000-000000000000"

text = st.text(st.characters(codec="utf-8"), max_size=12)
scalar = (
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | text
)
anything = st.recursive(scalar, lambda child: st.lists(child, max_size=3) | st.dictionaries(text, child, max_size=3))
small = st.dictionaries(text, anything, max_size=3)
modes = st.sampled_from(["values", "updates", "messages", "messages-tuple", "debug", "custom", "tools", "events"])
node_names = st.sampled_from(["*", "echo"]) | st.lists(text, max_size=2)
# Each field as a client means it, or as nobody would.
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "input": anything,
    "command": st.fixed_dictionaries({}, optional={"update": anything, "resume": anything, "goto": anything}),
    "metadata": small,
    "config": st.fixed_dictionaries(
        {},
        optional={
            "configurable": small,
            "metadata": small,
            "tags": st.lists(text, max_size=2),
            "recursion_limit": st.integers(-3, 2**40),
            "extra": anything,
        },
    ),
    "context": small,
    "checkpoint": st.fixed_dictionaries({}, optional={"checkpoint_id": text, "checkpoint_ns": text}),
    "checkpoint_id": text | st.uuids().map(str),
    "webhook": text,
    "interrupt_before": node_names,
    "interrupt_after": node_names,
    "stream_mode": modes | st.lists(modes, max_size=3),
    "stream_subgraphs": st.booleans(),
    "stream_resumable": st.booleans(),
    "feedback_keys": st.lists(text, max_size=2),
    "multitask_strategy": st.sampled_from(["reject", "rollback", "interrupt", "enqueue", "queue"]),
    "if_not_exists": st.sampled_from(["create", "reject", "CREATE"]),
    "on_completion": st.sampled_from(["delete", "keep"]),
    "on_disconnect": st.sampled_from(["cancel", "continue"]),
    "durability": st.sampled_from(["sync", "async", "exit"]),
    "checkpoint_during": st.booleans(),
    "langsmith_tracer": small,
}
meant = st.fixed_dictionaries({}, optional=FIELDS)
odd = st.fixed_dictionaries({}, optional={name: field | anything for name, field in FIELDS.items()})
body = st.builds(
    # Nothing of this is executed before the end of the test run.
    lambda fields, assistant_id: {**fields, "assistant_id": assistant_id, "after_seconds": 86400},
    meant | odd,
    st.sampled_from(["echo", "counter", "contextual"]) | text,
)
query = st.dictionaries(
    st.sampled_from(["limit", "offset", "status", "select", "stream_mode", "wait", "action", "cancel_on_disconnect"]),
    text | st.integers(-(2**70), 2**70).map(str) | st.sampled_from(["values", "1", "[1]", '["run_id"]', "pending"]),
    max_size=4,
)


@pytest.fixture(scope="module")
def client(server: LiveServer) -> Any:
    """A synchronous client: hypothesis calls its functions one after the other."""
    with httpx.Client(base_url=server.url, timeout=30) as made:
        yield made


def refused(answer: httpx.Response) -> bool:
    """Whether it was; then in the one shape there is, and never as a fault of the server."""
    assert answer.status_code < 500, answer.text
    if answer.status_code < 400:
        return False
    document = answer.json()
    assert list(document) == ["detail"] and isinstance(document["detail"], str) and document["detail"]
    assert answer.headers["content-type"] == "application/json"
    return True


@QUICK
@given(body=body)
def test_a_run_is_created_whole_or_not_at_all(client: httpx.Client, body: dict[str, Any]) -> None:
    thread_id = str(uuid.uuid4())
    client.post("/threads", json={"thread_id": thread_id})
    refusal = refused(client.post(f"/threads/{thread_id}/runs", content=orjson_or_json(body)))
    runs = client.get(f"/threads/{thread_id}/runs").json()
    status = client.get(f"/threads/{thread_id}").json()["status"]
    assert (len(runs), status) == ((0, "idle") if refusal else (1, "busy"))
    client.delete(f"/threads/{thread_id}")


@QUICK
@given(body=body)
def test_a_thread_is_created_with_its_run_or_not_at_all(client: httpx.Client, body: dict[str, Any]) -> None:
    thread_id = str(uuid.uuid4())
    document = {**body, "if_not_exists": "create"}
    refusal = refused(client.post(f"/threads/{thread_id}/runs", content=orjson_or_json(document)))
    assert client.get(f"/threads/{thread_id}").status_code == (404 if refusal else 200)
    client.delete(f"/threads/{thread_id}")


@QUICK
@given(bodies=st.lists(body, max_size=4))
def test_a_batch_is_created_whole_or_not_at_all(client: httpx.Client, bodies: list[dict[str, Any]]) -> None:
    mark = str(uuid.uuid4())
    # Of the last of equal keys the mark's is kept, whatever metadata there was.
    marked = [{**body, "metadata": {"mark": mark}} for body in bodies]
    answer = client.post("/runs/batch", content=orjson_or_json(marked))
    made = 0 if refused(answer) else len(answer.json())
    assert made in (0, len(bodies))
    assert client.post("/threads/count", json={"metadata": {"mark": mark}}).json() == made
    for run in answer.json() if made else []:
        client.delete(f"/threads/{run['thread_id']}")


@QUICK
@given(path=st.sampled_from(["/runs", "/runs/batch", "/runs/cancel", "/runs/wait"]), raw=st.binary(max_size=40))
def test_any_bytes_are_refused(client: httpx.Client, path: str, raw: bytes) -> None:
    assert refused(client.post(path, content=raw))


@QUICK
@given(
    query=query,
    path=st.sampled_from(["/runs", f"/runs/{NOBODY}/stream", f"/runs/{NOBODY}/join", f"/runs/{NOBODY}"]),
    since=st.none() | st.sampled_from(["-1", "0", "-", "5-", "99999999999999999999-1", "0-99999999999999999999", "x"]),
)
def test_any_query_is_answered(client: httpx.Client, query: dict[str, str], path: str, since: str | None) -> None:
    headers = {"Last-Event-ID": since} if since else {}
    thread_id = client.post("/threads", json={}).json()["thread_id"]
    refused(client.get(f"/threads/{thread_id}{path}?{urlencode(query)}", headers=headers))
    if path.endswith(NOBODY):
        refused(client.post(f"/threads/{thread_id}{path}/cancel?{urlencode(query)}"))
    client.delete(f"/threads/{thread_id}")


def orjson_or_json(document: Any) -> bytes:
    """The document as bytes; integers beyond 64 bits too."""
    try:
        return orjson.dumps(document)
    except TypeError:
        return httpx.Request("POST", "http://x", json=document).content
