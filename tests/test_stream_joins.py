"""Joining a stream: ids, replay, filters, early ends, clients that leave. Source: contract/streaming.md 2.3 and 3."""

import asyncio
import re
import time
from typing import Any

import httpx
import pytest
from langgraph_sdk.client import LangGraphClient

from tests.conftest import LiveServer
from tests.wire import (
    TICKS,
    Stream,
    ids_in,
    new_thread,
    started,
    stream,
    ticks_of,
    until,
    until_settled,
    until_started,
)

EVENT_ID = re.compile(r"\d{13}-\d+")
NOBODY = "00000000-0000-4000-8000-000000000000"


# --- ids --------------------------------------------------------------------------------------------------------------


async def test_only_a_resumable_stream_has_ids(http: httpx.AsyncClient) -> None:
    plain = await stream(http, "/runs/stream", TICKS)
    assert {frame.id for frame in plain.frames} == {None}
    resumable = await stream(http, "/runs/stream", {**TICKS, "stream_resumable": True})
    ids = [frame.id or "" for frame in resumable.frames]
    assert all(EVENT_ID.fullmatch(text) for text in ids)


async def test_ids_grow_strictly_in_either_order_clients_compare_them(http: httpx.AsyncClient) -> None:
    body = {"assistant_id": "burst", "input": {"events": 3000}, "stream_mode": "custom", "stream_resumable": True}
    found = await stream(http, "/runs/stream", body)
    ids = [tuple(int(part) for part in (frame.id or "").split("-")) for frame in found.frames]
    assert ids == sorted(set(ids)) and len(ids) == 3001
    assert found.data("custom") == [{"n": n} for n in range(3000)]


async def test_an_error_frame_of_a_resumable_stream_has_an_id(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    path = await started(http, sdk, assistant_id="boom", input={"kind": "value"}, stream_resumable=True)
    await until_settled(sdk, path.split("/")[2])
    found = await stream(http, f"{path}/stream", headers={"Last-Event-ID": "-1"})
    assert found.names[-1] == "error" and found.frames[-1].id


# --- joining ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("beginning", ["-1", "-", "0", "0-0"])
async def test_a_running_run_is_replayed_from_the_beginning(
    sdk: LangGraphClient, http: httpx.AsyncClient, beginning: str
) -> None:
    path = await started(http, sdk, stream_resumable=True)
    await until(sdk, *ids_in(path), ("running",))
    await asyncio.sleep(0.4)
    found = await stream(http, f"{path}/stream", headers={"Last-Event-ID": beginning})
    assert found.names == ["metadata", "values", *["custom"] * 10, "values"]
    assert ticks_of(found) == list(range(10)) and all(frame.id for frame in found.frames)


async def test_a_finished_run_is_replayed_from_any_of_its_ids(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    path = await started(http, sdk, stream_resumable=True)
    await until_settled(sdk, path.split("/")[2])
    whole = (await stream(http, f"{path}/stream", headers={"Last-Event-ID": "-1"})).frames
    assert len(whole) == 13
    for position in (0, 5, 12):
        rest = await stream(http, f"{path}/stream", headers={"Last-Event-ID": whole[position].id or ""})
        assert rest.frames == whole[position + 1 :]


async def test_every_observer_sees_one_order_and_the_same_ids(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    path = await started(http, sdk, stream_resumable=True)
    joins = (stream(http, f"{path}/stream", headers={"Last-Event-ID": "-1"}) for _ in range(5))
    first, *others = [found.frames for found in await asyncio.gather(*joins)]
    assert all(frames == first for frames in others) and len(first) == 13


async def test_a_dropped_stream_goes_on_without_gap_or_double(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    thread_id = await new_thread(sdk)
    raw = b""
    body = {**TICKS, "stream_resumable": True}
    async with http.stream("POST", f"/threads/{thread_id}/runs/stream", json=body) as response:
        path = response.headers["location"]
        async for chunk in response.aiter_raw():
            raw += chunk
            if raw.count(b"event: custom") >= 3:
                break
    seen = Stream(response, raw[: raw.rindex(b"\r\n\r\n") + 4]).frames
    while len(seen) < 13:
        async with http.stream("GET", path, headers={"Last-Event-ID": seen[-1].id or ""}) as response:
            more = await anext(response.aiter_raw())
            seen += Stream(response, more).frames
    assert [frame.data["tick"] for frame in seen if frame.event == "custom"] == list(range(10))
    assert len({frame.id for frame in seen}) == 13


async def test_without_a_last_event_id_a_join_is_live_only(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    path = await started(http, sdk)
    await until(sdk, *ids_in(path), ("running",))
    await asyncio.sleep(0.4)
    found = await stream(http, f"{path}/stream")
    assert "metadata" not in found.names and found.names[-1] == "values"
    ticks = ticks_of(found)
    assert 0 < len(ticks) < 10 and ticks == list(range(10 - len(ticks), 10))
    assert {frame.id for frame in found.frames} == {None}


async def test_joining_a_finished_run_is_an_empty_stream(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    path = await started(http, sdk)
    await until_settled(sdk, path.split("/")[2])
    before = time.monotonic()
    found = await stream(http, f"{path}/stream")
    assert (found.response.status_code, found.raw) == (200, b"") and time.monotonic() - before < 1
    assert found.response.headers["location"] == f"{path}/stream"
    assert found.response.headers["content-location"] == path
    assert found.response.headers["content-type"].startswith("text/event-stream")


@pytest.mark.parametrize("given", ["zzz", "9999999999999-0"])
async def test_an_unknown_last_event_id_replays_nothing(
    sdk: LangGraphClient, http: httpx.AsyncClient, given: str
) -> None:
    path = await started(http, sdk, stream_resumable=True)
    await until_settled(sdk, path.split("/")[2])
    found = await stream(http, f"{path}/stream", headers={"Last-Event-ID": given})
    assert (found.response.status_code, found.raw) == (200, b"")


@pytest.mark.parametrize("given", ["zzz", "9999999999999-0"])
async def test_an_unknown_last_event_id_follows_what_comes(
    sdk: LangGraphClient, http: httpx.AsyncClient, given: str
) -> None:
    path = await started(http, sdk, stream_resumable=True)
    await until(sdk, *ids_in(path), ("running",))
    await asyncio.sleep(0.3)
    found = await stream(http, f"{path}/stream", headers={"Last-Event-ID": given})
    assert found.names[-1] == "values" and 0 < len(ticks_of(found)) < 10


async def test_joining_an_unknown_run_is_one_error_frame(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    for thread_id in (await new_thread(sdk), NOBODY):
        found = await stream(http, f"/threads/{thread_id}/runs/{NOBODY}/stream")
        assert found.response.status_code == 200
        assert found.raw == b'event: error\r\ndata: {"error":"HTTPException","message":"404: Run not found"}\r\n\r\n'


@pytest.mark.parametrize("path", [f"/threads/zz/runs/{NOBODY}/stream", f"/threads/{NOBODY}/runs/zz/stream"])
async def test_joining_with_an_id_that_is_no_uuid_answers_422(http: httpx.AsyncClient, path: str) -> None:
    answer = await http.get(path)
    assert answer.status_code == 422 and answer.json()["detail"].endswith("must be a UUID")


async def test_parameters_of_newer_clients_are_ignored(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    path = await started(http, sdk, input={"ticks": 1}, stream_resumable=True)
    query = "namespace=a&namespace=b&checkpoint_id=x&strict_resume=1"
    found = await stream(http, f"{path}/stream?{query}", headers={"Last-Event-ID": "-1"})
    assert found.names == ["metadata", "values", "custom", "values"]


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("stream_mode=custom", {"custom"}),
        ("stream_mode=values", {"values"}),
        ("stream_mode=custom&stream_mode=values", {"custom", "values"}),
        ('stream_mode=["custom","values"]', {"custom", "values"}),
        ("stream_mode=updates", set()),
        ("stream_mode=", {"metadata", "custom", "values"}),
        ("", {"metadata", "custom", "values"}),
    ],
)
async def test_a_join_shows_the_modes_it_asks_for(
    sdk: LangGraphClient, http: httpx.AsyncClient, query: str, shown: set[str]
) -> None:
    path = await started(http, sdk, input={"ticks": 1}, stream_resumable=True)
    found = await stream(http, f"{path}/stream?{query}", headers={"Last-Event-ID": "-1"})
    assert set(found.names) == shown


@pytest.mark.parametrize("mode", ["messages", "messages-tuple"])
async def test_joining_for_messages_shows_all_their_forms(
    sdk: LangGraphClient, http: httpx.AsyncClient, mode: str
) -> None:
    for made_with, shown in (
        ("messages-tuple", {"messages", "messages|inside"}),
        ("messages", {"messages/metadata", "messages/partial", "messages/complete"}),
    ):
        body = {"input": {"messages": []}, "stream_mode": [made_with, "values"], "stream_subgraphs": True}
        path = await started(http, sdk, assistant_id="talker_inside", **body)
        found = await stream(http, f"{path}/stream?stream_mode={mode}", headers={"Last-Event-ID": "-1"})
        assert {name.split(":")[0] for name in found.names} | {"messages"} == shown | {"messages"}


async def test_a_join_for_a_mode_shows_it_from_subgraphs_too(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    body = {"assistant_id": "parent", "input": {"foo": "a"}, "stream_mode": ["values", "custom"]}
    path = await started(http, sdk, **body, stream_subgraphs=True)
    found = await stream(http, f"{path}/stream?stream_mode=custom", headers={"Last-Event-ID": "-1"})
    assert [name.split(":")[0] for name in found.names] == ["custom|child"]


async def test_a_join_shows_an_error_whatever_it_asks_for(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    path = await started(http, sdk, assistant_id="boom", input={"kind": "value"})
    found = await stream(http, f"{path}/stream?stream_mode=values", headers={"Last-Event-ID": "-1"})
    assert set(found.names) == {"values", "error"}


async def test_a_join_of_a_run_that_is_queued_waits_for_it(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    thread_id = await new_thread(sdk)
    await sdk.runs.create(thread_id, "sleeper", input={"seconds": 1})
    run = await sdk.runs.create(thread_id, "echo", input={"text": "a"})
    found = await stream(http, f"/threads/{thread_id}/runs/{run['run_id']}/stream")
    assert found.names == ["metadata", "values", "values"]


# --- streams that end early -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["interrupt", "rollback"])
async def test_a_cancelled_run_closes_its_stream_without_an_error(
    sdk: LangGraphClient, http: httpx.AsyncClient, action: Any
) -> None:
    path = await started(http, sdk, assistant_id="sleeper", input={"seconds": 60}, stream_resumable=True)
    thread_id, run_id = ids_in(path)
    watching = asyncio.create_task(stream(http, f"{path}/stream", headers={"Last-Event-ID": "-1"}))
    await until_started(sdk, thread_id, run_id, "sleep")
    await sdk.runs.cancel(thread_id, run_id, action=action)
    async with asyncio.timeout(5):
        found = await watching
    assert set(found.names) == {"metadata", "values"}


async def test_a_cancelled_queued_run_closes_its_stream(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    path = await started(http, sdk, after_seconds=600)
    watching = asyncio.create_task(stream(http, f"{path}/stream"))
    await asyncio.sleep(0.5)
    await sdk.runs.cancel(*ids_in(path))
    async with asyncio.timeout(2):
        assert (await watching).raw == b""


async def test_a_deleted_run_closes_its_stream(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    path = await started(http, sdk, assistant_id="sleeper", input={"seconds": 60})
    watching = asyncio.create_task(stream(http, f"{path}/stream"))
    await until_started(sdk, *ids_in(path), "sleep")
    await sdk.runs.delete(*ids_in(path))
    async with asyncio.timeout(5):
        assert "error" not in (await watching).names


async def test_a_deleted_thread_closes_the_streams_of_its_runs(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    path = await started(http, sdk, assistant_id="sleeper", input={"seconds": 60})
    thread_id, run_id = ids_in(path)
    watching = asyncio.create_task(stream(http, f"{path}/stream"))
    await until_started(sdk, thread_id, run_id, "sleep")
    await sdk.threads.delete(thread_id)
    async with asyncio.timeout(12):
        assert "error" not in (await watching).names


# --- clients that leave -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("choice", "status"), [("cancel", "interrupted"), ("continue", "success"), (None, "success")])
@pytest.mark.parametrize("how", ["stream", "wait"])
async def test_on_disconnect_says_what_happens_to_the_run(
    sdk: LangGraphClient, http: httpx.AsyncClient, how: str, choice: str | None, status: str
) -> None:
    thread_id = await new_thread(sdk)
    body = {"assistant_id": "sleeper", "input": {"seconds": 3}, **({"on_disconnect": choice} if choice else {})}
    async with http.stream("POST", f"/threads/{thread_id}/runs/{how}", json=body) as response:
        run_id = response.headers["content-location"].rsplit("/", 1)[1]
        await until_started(sdk, thread_id, run_id, "sleep")
    assert await until(sdk, thread_id, run_id, ("success", "interrupted")) == status


@pytest.mark.parametrize(("how", "word"), [("stream", "1"), ("join", "TRUE"), ("join", "yes")])
async def test_cancel_on_disconnect_of_a_join_ends_the_run(
    sdk: LangGraphClient, http: httpx.AsyncClient, how: str, word: str
) -> None:
    path = await started(http, sdk, assistant_id="sleeper", input={"seconds": 20})
    thread_id, run_id = ids_in(path)
    async with http.stream("GET", f"{path}/{how}?cancel_on_disconnect={word}"):
        await until_started(sdk, thread_id, run_id, "sleep")
    await until(sdk, thread_id, run_id, ("interrupted",))
    assert "disconnected" in (await until_settled(sdk, thread_id))["error"]["message"]


async def test_a_join_that_leaves_lets_the_run_go_on(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    path = await started(http, sdk, assistant_id="sleeper", input={"seconds": 2})
    thread_id, run_id = ids_in(path)
    async with http.stream("GET", f"{path}/stream?cancel_on_disconnect=0"):
        await until_started(sdk, thread_id, run_id, "sleep")
    assert await until(sdk, thread_id, run_id, ("success", "interrupted")) == "success"


async def test_leaving_a_run_that_is_being_cancelled_is_no_error(
    sdk: LangGraphClient, http: httpx.AsyncClient, server: LiveServer
) -> None:
    thread_id = await new_thread(sdk)
    body = {"assistant_id": "sleeper", "input": {"seconds": 2, "sync": True}, "on_disconnect": "cancel"}
    async with http.stream("POST", f"/threads/{thread_id}/runs/stream", json=body) as response:
        run_id = response.headers["content-location"].rsplit("/", 1)[1]
        await until_started(sdk, thread_id, run_id, "sleep")
        await sdk.runs.cancel(thread_id, run_id)
    await until_settled(sdk, thread_id)
    assert (await sdk.runs.get(thread_id, run_id))["status"] == "interrupted"
    assert "NotCancellable" not in server.log.read_text()
