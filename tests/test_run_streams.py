"""A run's stream byte by byte: headers, frames, values, beats. Source: contract/streaming.md 1 and 2."""

import asyncio
import re
import time
from typing import Any

import httpx
import pytest
from langgraph_sdk.client import LangGraphClient

from tests.wire import (
    TICKS,
    new_thread,
    started,
    status_of,
    stream,
    ticks_of,
)

NOBODY = "00000000-0000-4000-8000-000000000000"


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
    assert again.names[0] == "metadata" and ticks_of(again) == list(range(10))


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
