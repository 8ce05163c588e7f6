"""A run's stream byte by byte, and joining it: headers, frames, ids, beats. Source: contract/streaming.md 1 to 3."""

import asyncio
import re
import time
from typing import Any

import httpx
import pytest
from langgraph_sdk.client import LangGraphClient

from tests.wire import Stream, new_thread, status_of, stream, until, until_settled, until_started

EVENT_ID = re.compile(r"\d{13}-\d+")
NOBODY = "00000000-0000-4000-8000-000000000000"
TICKS = {"assistant_id": "ticker", "input": {"ticks": 10, "pause": 0.1}, "stream_mode": ["custom", "values"]}


async def started(http: httpx.AsyncClient, sdk: LangGraphClient, /, **body: Any) -> str:
    """The path of a run in the background."""
    thread_id = await new_thread(sdk)
    answer = await http.post(f"/threads/{thread_id}/runs", json={**TICKS, **body})
    assert answer.status_code == 200, answer.text
    return f"/threads/{thread_id}/runs/{answer.json()['run_id']}"


def ids_in(path: str) -> tuple[str, str]:
    """Thread and run of a run's path."""
    _, _, thread_id, _, run_id = path.split("/")
    return thread_id, run_id


def numbers(part: Stream) -> list[int]:
    """The ticks of a stream."""
    return [payload["tick"] for payload in part.data("custom")]


# --- bytes ------------------------------------------------------------------------------------------------------------


async def test_a_stream_is_these_bytes(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    body = {"assistant_id": "talker", "input": {"messages": [{"type": "human", "content": "hi", "id": "u1"}]}}
    found = await stream(http, f"/threads/{await new_thread(sdk)}/runs/stream", body)
    run_id = found.response.headers["content-location"].rsplit("/", 1)[1]
    human = b'{"content":"hi","additional_kwargs":{},"response_metadata":{},"type":"human","name":null,"id":"u1"}'
    ai = (
        b'{"content":"Hello big world","additional_kwargs":{},"response_metadata":{},"type":"ai","name":null,'
        b'"id":"ai-fixed-1","tool_calls":[],"invalid_tool_calls":[],"usage_metadata":null}'
    )
    tool = (
        b'{"content":"result for cats","additional_kwargs":{},"response_metadata":{},"type":"tool","name":"search",'
        b'"id":"tool-fixed-1","tool_call_id":"call_1","artifact":null,"status":"success"}'
    )
    assert found.raw == (
        b'event: metadata\r\ndata: {"run_id":"%b","attempt":1}\r\n\r\n'
        b'event: values\r\ndata: {"messages":[%b]}\r\n\r\n'
        b'event: values\r\ndata: {"messages":[%b,%b]}\r\n\r\n'
        b'event: values\r\ndata: {"messages":[%b,%b,%b]}\r\n\r\n'
    ) % (run_id.encode(), human, human, ai, human, ai, tool)


async def test_the_headers_of_a_stream(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    thread_id = await new_thread(sdk)
    headers = (await stream(http, f"/threads/{thread_id}/runs/stream", TICKS)).response.headers
    location = headers["content-location"]
    assert re.fullmatch(rf"/threads/{thread_id}/runs/[0-9a-f-]{{36}}", location)
    assert headers["location"] == f"{location}/stream"
    assert headers["content-type"] == "text/event-stream; charset=utf-8"
    assert (headers["cache-control"], headers["x-accel-buffering"]) == ("no-store", "no")
    assert headers["transfer-encoding"] == "chunked" and "content-encoding" not in headers


async def test_a_stream_is_not_compressed_for_those_who_would_take_it(http: httpx.AsyncClient) -> None:
    found = await stream(http, "/runs/stream", TICKS, {"Accept-Encoding": "gzip, br"})
    assert "content-encoding" not in found.response.headers


async def test_a_stateless_stream_names_the_run_only_and_can_be_rejoined(http: httpx.AsyncClient) -> None:
    async with http.stream("POST", "/runs/stream", json=TICKS) as response:
        location = response.headers["content-location"]
        assert re.fullmatch(r"/runs/[0-9a-f-]{36}", location)
        assert response.headers["location"] == f"{location}/stream"
        again = await stream(http, response.headers["location"], headers={"Last-Event-ID": "-1"})
        await response.aread()
    assert again.names[0] == "metadata" and numbers(again) == list(range(10))


async def test_headers_come_before_the_run_starts(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    thread_id = await new_thread(sdk)
    before = time.monotonic()
    body = {**TICKS, "after_seconds": 60, "on_disconnect": "cancel"}
    async with http.stream("POST", f"/threads/{thread_id}/runs/stream", json=body) as response:
        assert response.status_code == 200 and time.monotonic() - before < 3


async def test_a_frame_goes_out_as_soon_as_it_is_made(http: httpx.AsyncClient) -> None:
    seen = []
    async with http.stream("POST", "/runs/stream", json={**TICKS, "stream_mode": "custom"}) as response:
        async for chunk in response.aiter_raw():
            seen += [time.monotonic()] * chunk.count(b"event: custom")
    assert len(seen) == 10 and seen[-1] - seen[0] > 0.7


async def test_custom_payloads_go_out_as_they_are(http: httpx.AsyncClient) -> None:
    found = await stream(
        http, "/runs/stream", {"assistant_id": "writer", "input": {"ticks": 1}, "stream_mode": "custom"}
    )
    payloads = [{"progress": 1}, "plain text", [1, 2], None, "line\u2028separator\nfeed"]
    assert found.data("custom") == payloads
    assert found.names == ["metadata", *["custom"] * 5]
    # One event is one data line, and what is no ASCII is not escaped.
    assert 'data: "line\u2028separator\\nfeed"\r\n'.encode() in found.raw


async def test_any_python_value_has_its_json(http: httpx.AsyncClient) -> None:
    body = {"assistant_id": "types", "input": {"value": 1}, "stream_mode": ["custom", "values"]}
    found = await stream(http, "/runs/stream", body)
    message: dict[str, Any] = {"additional_kwargs": {}, "response_metadata": {}, "name": None, "tool_calls": []}
    expected = {
        "uuid": "00000000-0000-0000-0000-000000000005",
        "dt": "2024-01-02T03:04:05",
        "date": "2024-01-02",
        "td": 1.5,
        "dec": 1.5,
        "deci": 3,
        "set": [1],
        "bytes": "YWJj",
        "pm": {"x": 1, "when": "2024-01-02T03:04:05+00:00"},
        "dc": {"a": 1},
        "nan": None,
        "inf": None,
        "nul": "a\ufffdb",
        "uni": "é☃",
        "sep": "a\u2028b",
        "exc": {"error": "ValueError", "message": "v"},
        "exc2": {"error": "SecretError", "message": "An internal error occurred"},
        "tuple": [1, 2],
        "intkey": {"1": "x"},
        "nl": "a\nb\r\nc",
        "big": 2**60,
        "unk": None,
        "sur": "a?b",
        "send": {"node": "n", "args": {"a": 1}},
    }
    [custom] = found.data("custom")
    said = custom.pop("msg")
    assert custom == expected
    assert {**said, **message} == said and (said["type"], said["content"], said["id"]) == ("ai", "hi", "m1")
    values = found.data("values")[-1]["value"]
    assert {name: expected[name] for name in values if name != "msg"} == {k: v for k, v in values.items() if k != "msg"}


# --- begin and end ----------------------------------------------------------------------------------------------------


async def test_metadata_is_first_and_nothing_marks_the_end(http: httpx.AsyncClient) -> None:
    found = await stream(http, "/runs/stream", TICKS)
    assert found.names == ["metadata", "values", *["custom"] * 10, "values"]
    assert found.data("metadata")[0]["attempt"] == 1


async def test_the_status_is_final_when_the_stream_ends(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    thread_id = await new_thread(sdk)
    for _ in range(20):
        body = {"assistant_id": "echo", "input": {"text": "a"}}
        found = await stream(http, f"/threads/{thread_id}/runs/stream", body)
        answer = await http.get(found.response.headers["content-location"])
        assert answer.json()["status"] == "success"
        assert (await sdk.threads.get(thread_id))["status"] == "idle"


async def test_an_error_is_the_last_frame(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    thread_id = await new_thread(sdk)
    found = await stream(
        http, f"/threads/{thread_id}/runs/stream", {"assistant_id": "boom", "input": {"kind": "value"}}
    )
    assert found.response.status_code == 200
    assert found.names[-1] == "error" and found.names.count("error") == 1
    assert found.data("error") == [{"error": "ValueError", "message": "kaboom"}]
    answer = await http.get(found.response.headers["content-location"])
    assert answer.json()["status"] == "error"
    thread = await sdk.threads.get(thread_id)
    assert (thread["status"], thread["error"]) == ("error", {"error": "ValueError", "message": "kaboom"})  # type: ignore[typeddict-item]


async def test_an_error_is_streamed_whatever_the_modes(http: httpx.AsyncClient) -> None:
    body = {"assistant_id": "boom", "input": {"kind": "secret"}, "stream_mode": "custom"}
    found = await stream(http, "/runs/stream", body)
    assert found.names == ["metadata", "error"]
    assert found.data("error") == [{"error": "SecretError", "message": "An internal error occurred"}]


@pytest.mark.parametrize("path", ["/runs/stream", "/threads/{}/runs/stream"])
async def test_a_refusal_is_plain_json(sdk: LangGraphClient, http: httpx.AsyncClient, path: str) -> None:
    for body, status in (
        ({"assistant_id": "nope"}, 422),
        ({"assistant_id": NOBODY}, 404),
        ({"assistant_id": "echo", "stream_mode": "tools"}, 422),
    ):
        answer = await http.post(path.format(await new_thread(sdk)), json=body)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json")
        assert isinstance(answer.json()["detail"], str)


# --- heartbeats -------------------------------------------------------------------------------------------------------


async def test_waiting_streams_beat_every_five_seconds(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    thread_id = await new_thread(sdk)
    first = await sdk.runs.create(thread_id, "sleeper", input={"seconds": 6.5})
    body = {"assistant_id": "echo", "input": {"text": "a"}}
    queued, waited = asyncio.create_task(stream(http, f"/threads/{thread_id}/runs/stream", body)), []
    await asyncio.sleep(0.2)
    async with http.stream("POST", f"/threads/{thread_id}/runs/wait", json=body) as response:
        opened = time.monotonic()
        async for chunk in response.aiter_raw():
            waited.append((time.monotonic() - opened, chunk))
    assert waited[0][1] == b"\n" and 4.5 < waited[0][0] < 5.8
    assert b"".join(chunk for _, chunk in waited).lstrip(b"\n").startswith(b"{")
    found = await queued
    assert found.raw.startswith(b": heartbeat\r\n\r\nevent: metadata\r\n")
    assert found.names == ["metadata", "values", "values"]
    assert await status_of(sdk, thread_id, first["run_id"]) == "success"


async def test_a_stream_that_shows_nothing_beats_too(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    path = await started(http, sdk, input={"ticks": 60, "pause": 0.1})
    await asyncio.sleep(0.3)
    found = await stream(http, f"{path}/stream?stream_mode=updates")
    assert found.raw == b": heartbeat\r\n\r\n"


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
    assert numbers(found) == list(range(10)) and all(frame.id for frame in found.frames)


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
    ticks = numbers(found)
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
    assert found.names[-1] == "values" and 0 < len(numbers(found)) < 10


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
