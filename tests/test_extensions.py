"""What docs/extensions.md promises: idempotency keys, runs of all threads, retry."""

import asyncio
import secrets
import uuid

import httpx
from langgraph_sdk.client import LangGraphClient

RUN = {"assistant_id": "echo", "input": {"text": "hi"}}


def key() -> dict[str, str]:
    return {"Idempotency-Key": secrets.token_hex(8)}


async def test_the_same_request_with_the_same_key_creates_once(http: httpx.AsyncClient) -> None:
    headers, body = key(), {"metadata": {"n": 1}}
    first = await http.post("/threads", json=body, headers=headers)
    again = await http.post("/threads", json=body, headers=headers)
    assert again.json() == first.json()
    assert "Idempotent-Replay" not in first.headers
    assert again.headers["Idempotent-Replay"] == "true"


async def test_a_replayed_run_has_its_headers_and_is_not_run_twice(http: httpx.AsyncClient) -> None:
    thread_id = (await http.post("/threads", json={})).json()["thread_id"]
    headers = key()
    answers = [await http.post(f"/threads/{thread_id}/runs", json=RUN, headers=headers) for _ in range(3)]
    assert len({answer.headers["Content-Location"] for answer in answers}) == 1
    assert len((await http.get(f"/threads/{thread_id}/runs")).json()) == 1


async def test_a_key_with_another_body_is_refused(http: httpx.AsyncClient) -> None:
    headers = key()
    await http.post("/threads", json={"metadata": {"n": 1}}, headers=headers)
    refused = await http.post("/threads", json={"metadata": {"n": 2}}, headers=headers)
    assert refused.status_code == 422
    assert "Idempotency-Key" in refused.json()["detail"]


async def test_a_key_that_is_too_long_is_refused(http: httpx.AsyncClient) -> None:
    assert (await http.post("/threads", json={}, headers={"Idempotency-Key": "k" * 256})).status_code == 422
    assert (await http.post("/threads", json={}, headers={"Idempotency-Key": "k" * 255})).status_code == 200


async def test_an_error_is_not_kept(http: httpx.AsyncClient) -> None:
    headers, thread_id = key(), str(uuid.uuid4())
    assert (await http.post(f"/threads/{thread_id}/runs", json=RUN, headers=headers)).status_code == 404
    await http.post("/threads", json={"thread_id": thread_id})
    assert (await http.post(f"/threads/{thread_id}/runs", json=RUN, headers=headers)).status_code == 200


async def test_many_at_once_create_one_run(http: httpx.AsyncClient) -> None:
    thread_id = (await http.post("/threads", json={})).json()["thread_id"]
    headers = key()
    posts = [http.post(f"/threads/{thread_id}/runs", json=RUN, headers=headers) for _ in range(8)]
    statuses = {answer.status_code for answer in await asyncio.gather(*posts)}
    assert statuses <= {200, 409}
    assert len((await http.get(f"/threads/{thread_id}/runs")).json()) == 1


async def test_a_repeated_stream_is_led_to_the_run_it_created(http: httpx.AsyncClient) -> None:
    thread_id = (await http.post("/threads", json={})).json()["thread_id"]
    headers = key()
    first = await http.post(f"/threads/{thread_id}/runs/stream", json=RUN, headers=headers)
    again = await http.post(f"/threads/{thread_id}/runs/stream", json=RUN, headers=headers)
    assert again.text == first.text
    assert again.headers["Content-Location"] == first.headers["Content-Location"]
    assert again.headers["Idempotent-Replay"] == "true"


async def test_a_repeated_wait_gets_the_same_values(http: httpx.AsyncClient) -> None:
    headers = key()
    first = await http.post("/runs/wait", json=RUN, headers=headers)
    again = await http.post("/runs/wait", json=RUN, headers=headers)
    assert again.json() == first.json() == {"text": "hi", "log": ["hi"], "messages": []}


async def test_a_copy_is_made_once_and_has_its_values(http: httpx.AsyncClient, sdk: LangGraphClient) -> None:
    thread_id = (await sdk.threads.create())["thread_id"]
    await sdk.runs.wait(thread_id, "echo", input={"text": "hi"})
    headers = key()
    first = (await http.post(f"/threads/{thread_id}/copy", headers=headers)).json()
    assert (await http.post(f"/threads/{thread_id}/copy", headers=headers)).json() == first
    assert first["values"]["log"] == ["hi"]


async def test_runs_are_found_across_threads(http: httpx.AsyncClient, sdk: LangGraphClient) -> None:
    mark = secrets.token_hex(4)
    for kind in ("none", "value"):
        thread_id = (await sdk.threads.create())["thread_id"]
        await sdk.runs.wait(thread_id, "boom", input={"kind": kind}, metadata={"mark": mark}, raise_error=False)
    wanted = {"metadata": {"mark": mark}}
    assert (await http.post("/runs/count", json=wanted)).json() == 2
    found = (await http.post("/runs/search", json={**wanted, "error": "KABOOM", "select": ["run_id", "status"]})).json()
    assert [run["status"] for run in found] == ["error"]
    assert set(found[0]) == {"run_id", "status"}
    assert (await http.post("/runs/count", json={**wanted, "status": "success"})).json() == 1
    assert (await http.post("/runs/count", json={**wanted, "created_before": "2001-01-01T00:00:00Z"})).json() == 0


async def test_search_pages_like_every_other(http: httpx.AsyncClient, sdk: LangGraphClient) -> None:
    thread_id = (await sdk.threads.create())["thread_id"]
    for _ in range(3):
        await sdk.runs.wait(thread_id, "echo", input={"text": "hi"})
    page = await http.post("/runs/search", json={"thread_id": thread_id, "limit": 2})
    assert (len(page.json()), page.headers["X-Pagination-Next"]) == (2, "2")


async def test_a_retry_goes_on_from_the_last_checkpoint(http: httpx.AsyncClient, sdk: LangGraphClient) -> None:
    thread_id = (await sdk.threads.create())["thread_id"]
    await sdk.runs.wait(thread_id, "boom", input={"kind": "value"}, raise_error=False)
    failed = (await sdk.runs.list(thread_id))[0]
    await sdk.threads.update_state(thread_id, {"kind": "none"}, as_node="fine")
    retried = (await http.post(f"/runs/{failed['run_id']}/retry", json={})).json()
    assert retried["metadata"]["retry_of"] == failed["run_id"]
    assert (await sdk.runs.join(thread_id, retried["run_id"]))["log"] == ["before", "fine"]


async def test_a_retry_from_the_beginning_applies_the_input_to_the_state_before(
    http: httpx.AsyncClient, sdk: LangGraphClient
) -> None:
    thread_id = (await sdk.threads.create())["thread_id"]
    for text in ("one", "two"):
        await sdk.runs.wait(thread_id, "echo", input={"text": text})
    runs = await sdk.runs.list(thread_id)
    for run, log in ((runs[0], ["one", "two"]), (runs[1], ["one"])):
        retried = (await http.post(f"/runs/{run['run_id']}/retry", json={"start": "beginning"})).json()
        assert (await sdk.runs.join(thread_id, retried["run_id"]))["log"] == log


async def test_a_run_in_flight_is_not_retried(http: httpx.AsyncClient, sdk: LangGraphClient) -> None:
    thread_id = (await sdk.threads.create())["thread_id"]
    run = await sdk.runs.create(thread_id, "sleeper", input={"seconds": 5})
    assert (await http.post(f"/runs/{run['run_id']}/retry", json={})).status_code == 409
    await sdk.runs.cancel(thread_id, run["run_id"])
    assert (await http.post(f"/runs/{uuid.uuid4()}/retry", json={})).status_code == 404
