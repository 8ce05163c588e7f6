"""The routes of webhooks on a live server: endpoints, secrets, deliveries, sending again."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from langgraph_sdk.client import LangGraphClient
from standardwebhooks import Webhook, WebhookVerificationError

from tests.receiver import PATIENCE, Received, Receiver, Reply, receiving
from tests.wire import detail

Documents = list[dict[str, Any]]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


@pytest.fixture
async def endpoint(http: httpx.AsyncClient, receiver: Receiver) -> AsyncIterator[dict[str, Any]]:
    """An endpoint that hears only of runs with a mark of this test's."""
    body = {
        "url": receiver.script("/hook"),
        "events": ["run.success", "thread.interrupted"],
        "metadata": {"mark": uuid.uuid4().hex},
    }
    made = await http.post("/webhooks/endpoints", json=body)
    assert made.status_code == 200, made.text
    found = made.json()
    yield found
    assert (await http.delete(f"/webhooks/endpoints/{found['endpoint_id']}")).status_code in (204, 404)


async def told(receiver: Receiver, count: int = 1, path: str = "/hook") -> list[Received]:
    return await asyncio.to_thread(receiver.wait_for, path, count)


async def deliveries(http: httpx.AsyncClient, **body: Any) -> Documents:
    answer = await http.post("/webhooks/deliveries/search", json=body)
    assert answer.status_code == 200, answer.text
    found: Documents = answer.json()
    return found


async def until_ended(http: httpx.AsyncClient, endpoint_id: str, count: int = 1) -> Documents:
    """The endpoint's deliveries once there are `count`, all ended."""
    async with asyncio.timeout(PATIENCE):
        while True:
            found = await deliveries(http, endpoint_id=endpoint_id)
            if len(found) == count and all(one["status"] != "pending" for one in found):
                return found
            await asyncio.sleep(0.05)


async def test_an_endpoint_hears_of_runs_signed_with_the_secret_it_was_shown_once(
    sdk: LangGraphClient, http: httpx.AsyncClient, receiver: Receiver, endpoint: dict[str, Any]
) -> None:
    await asyncio.sleep(1.0)  # what docs/extensions.md grants
    thread_id = (await sdk.threads.create())["thread_id"]
    await sdk.runs.wait(thread_id, "echo", input={"text": "not marked"})
    run = await sdk.runs.create(thread_id, "ask", input={"q": "why"}, metadata=endpoint["metadata"])
    requests = await told(receiver, 2)
    events = {event["type"]: event["data"] for event in (verify(request, endpoint) for request in requests)}
    assert set(events) == {"run.success", "thread.interrupted"}
    assert {data["run_id"] for data in events.values()} == {run["run_id"]}
    ((_, [asked]),) = events["thread.interrupted"]["interrupts"].items()
    assert asked["value"] == {"question": "why!"}
    shown = (await http.get(f"/webhooks/endpoints/{endpoint['endpoint_id']}")).json()
    assert shown == {key: value for key, value in endpoint.items() if key != "secret"}
    assert len(await deliveries(http, run_id=run["run_id"])) == 2


def verify(request: Received, endpoint: dict[str, Any]) -> Any:
    return Webhook(endpoint["secret"]).verify(request.body, request.headers)


async def test_a_rotated_secret_signs_beside_the_old_one(
    http: httpx.AsyncClient, receiver: Receiver, endpoint: dict[str, Any]
) -> None:
    path = f"/webhooks/endpoints/{endpoint['endpoint_id']}"
    rotated = (await http.post(f"{path}/rotate", json={})).json()
    assert rotated["secret"] != endpoint["secret"]
    await http.post(f"{path}/test")
    (request,) = await told(receiver)
    assert verify(request, endpoint) == verify(request, rotated)
    at_once = (await http.post(f"{path}/rotate", json={"overlap_hours": 0})).json()
    await http.post(f"{path}/test")
    _, request = await told(receiver, 2)
    assert verify(request, at_once)["type"] == "webhook.test"
    with pytest.raises(WebhookVerificationError):
        verify(request, rotated)


async def test_a_failed_delivery_can_be_seen_and_sent_again(
    http: httpx.AsyncClient, receiver: Receiver, endpoint: dict[str, Any]
) -> None:
    path = f"/webhooks/endpoints/{endpoint['endpoint_id']}"
    receiver.script("/hook", Reply(410, body=b"gone fishing"), Reply())
    await http.post(f"{path}/test")
    (failed,) = await until_ended(http, endpoint["endpoint_id"])
    assert (failed["status"], failed["failure"], failed["next_attempt_at"]) == ("failed", "gone", None)
    again = f"/webhooks/deliveries/{failed['delivery_id']}/redeliver"
    for url in (again, f"{path}/redeliver"):
        refused = await http.post(url, json={})
        assert (refused.status_code, detail(refused)) == (409, "The endpoint is disabled; enable it first.")
    enabled = (await http.patch(path, json={"enabled": True})).json()
    assert (enabled["enabled"], enabled["notice"]) == (True, "")
    assert (await http.post(again)).json()["status"] == "pending"
    await told(receiver, 2)
    await until_ended(http, endpoint["endpoint_id"])
    whole = (await http.get(f"/webhooks/deliveries/{failed['delivery_id']}")).json()
    assert [(one["status"], one["answer"]) for one in whole["attempts"]] == [(410, "gone fishing"), (200, "ok")]
    assert whole["status"] == "delivered"
    first, second = receiver.to("/hook")
    assert first.body == second.body == whole["body"].encode()
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == failed["delivery_id"]


async def test_all_that_failed_since_a_time_is_sent_again(
    http: httpx.AsyncClient, receiver: Receiver, endpoint: dict[str, Any]
) -> None:
    path = f"/webhooks/endpoints/{endpoint['endpoint_id']}"
    for count in (1, 2, 3):
        receiver.script("/hook", Reply(410))
        await http.post(f"{path}/test")
        await until_ended(http, endpoint["endpoint_id"], count)
        await http.patch(path, json={"enabled": True})
    newest, middle, oldest = await deliveries(http, endpoint_id=endpoint["endpoint_id"])
    receiver.script("/hook", Reply())
    assert (await http.post(f"{path}/redeliver", json={"since": middle["created_at"]})).json() == {"count": 2}
    await told(receiver, 5)
    ended = {one["delivery_id"]: one["status"] for one in await until_ended(http, endpoint["endpoint_id"], 3)}
    assert [ended[one["delivery_id"]] for one in (newest, middle, oldest)] == ["delivered", "delivered", "failed"]


async def test_a_delivery_that_is_being_sent_is_not_sent_beside_itself(
    http: httpx.AsyncClient, receiver: Receiver, endpoint: dict[str, Any]
) -> None:
    receiver.script("/hook", Reply(pause=1.0))
    delivery = (await http.post(f"/webhooks/endpoints/{endpoint['endpoint_id']}/test")).json()
    await told(receiver)
    refused = await http.post(f"/webhooks/deliveries/{delivery['delivery_id']}/redeliver")
    assert (refused.status_code, detail(refused)) == (409, "The delivery is being sent right now.")
    await until_ended(http, endpoint["endpoint_id"])
    assert len(receiver.to("/hook")) == 1


async def test_endpoints_are_searched_changed_and_deleted(
    http: httpx.AsyncClient, receiver: Receiver, endpoint: dict[str, Any]
) -> None:
    path = f"/webhooks/endpoints/{endpoint['endpoint_id']}"
    changes = {"description": "d", "events": ["run.error", "run.error"], "assistant_id": str(uuid.uuid4())}
    changed = (await http.patch(path, json=changes)).json()
    assert (changed["description"], changed["events"]) == ("d", ["run.error"])
    assert (await http.patch(path, json={"assistant_id": None})).json()["assistant_id"] is None
    await http.patch(path, json={"enabled": False})
    found = await http.post("/webhooks/endpoints/search", json={"enabled": False, "limit": 1})
    assert [one["endpoint_id"] for one in found.json()] == [endpoint["endpoint_id"]]
    assert "secret" not in found.json()[0]
    assert "x-pagination-total" in found.headers
    assert (await http.post(f"{path}/test")).status_code == 409
    assert (await http.delete(path)).status_code == 204
    assert await deliveries(http, endpoint_id=endpoint["endpoint_id"]) == []
    assert (await http.get(path)).status_code == 404


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"url": "http://localhost/"}, "localhost address"),
        ({"url": 1}, "url"),
        ({"url": None}, "url"),
        ({"events": []}, "events"),
        ({"events": ["webhook.test"]}, "events"),
        ({"events": "run.error"}, "events"),
        ({"assistant_id": "x"}, "assistant ID"),
        ({"metadata": []}, "metadata"),
        ({"enabled": "yes"}, "enabled"),
    ],
    ids=str,
)
async def test_a_bad_endpoint_is_422_and_not_made(http: httpx.AsyncClient, change: dict[str, Any], part: str) -> None:
    mark = uuid.uuid4().hex
    body = {"url": "http://127.0.0.1:1/", "events": ["run.error"], "description": mark, **change}
    answer = await http.post("/webhooks/endpoints", json=body)
    assert answer.status_code == 422 and part in detail(answer), answer.text
    found = (await http.post("/webhooks/endpoints/search", json={"limit": 1000})).json()
    assert not [one for one in found if one["description"] == mark]


@pytest.mark.parametrize("what", ["endpoint", "delivery"])
async def test_what_is_not_there_is_404_and_a_bad_id_422(http: httpx.AsyncClient, what: str) -> None:
    path = "/webhooks/endpoints" if what == "endpoint" else "/webhooks/deliveries"
    missing = await http.get(f"{path}/{uuid.uuid4()}")
    assert (missing.status_code, detail(missing)) == (404, f"Webhook {what} not found")
    bad = await http.get(f"{path}/zz")
    assert (bad.status_code, detail(bad)) == (422, f"Invalid {what} ID: must be a UUID")
