"""All runs of a thread over one stream that stays open. Source: contract/streaming.md 6."""

import asyncio
import contextlib
import re
import uuid
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from langgraph_sdk.client import LangGraphClient

from tests.wire import (
    HEARTBEAT,
    PATIENCE,
    Frame,
    detail,
    finished,
    frame_of,
    new_thread,
    until_settled,
)

EVENT_ID = re.compile(r"[0-9]{13}-[0-9]+")


class Viewer:
    """An open stream, read as it comes."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.chunks = response.aiter_raw()
        self.raw = b""
        self.beats = 0

    async def block(self) -> bytes:
        """The next frame or heartbeat; b"" at the end of the stream."""
        while b"\r\n\r\n" not in self.raw:
            chunk = await anext(self.chunks, b"")
            if not chunk:
                return b""
            self.raw += chunk
        block, _, self.raw = self.raw.partition(b"\r\n\r\n")
        return block

    async def frame(self) -> Frame:
        """The next frame."""
        async with asyncio.timeout(PATIENCE):
            while (block := await self.block()) == HEARTBEAT:
                self.beats += 1
        assert block, "the stream has ended"
        return frame_of(block)

    async def frames(self, count: int) -> list[Frame]:
        """The next frames."""
        return [await self.frame() for _ in range(count)]

    async def end(self) -> list[Frame]:
        """What comes until the server closes."""
        found = []
        async with asyncio.timeout(PATIENCE):
            while block := await self.block():
                if block != HEARTBEAT:
                    found.append(frame_of(block))
        return found


@contextlib.asynccontextmanager
async def watching(
    http: httpx.AsyncClient, thread_id: str, query: str = "", since: str | None = None
) -> AsyncIterator[Viewer]:
    """A viewer of the thread."""
    headers = {} if since is None else {"Last-Event-ID": since}
    async with http.stream("GET", f"/threads/{thread_id}/stream{query}", headers=headers) as response:
        assert response.status_code == 200, await response.aread()
        yield Viewer(response)


async def test_runs_are_seen_from_their_metadata_to_run_done(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    thread_id = await new_thread(sdk)
    async with watching(http, thread_id) as viewer:
        for text in ("a", "b"):
            await finished(sdk, thread_id, "echo", input={"text": text})
        frames = await viewer.frames(8)
    runs = [run["run_id"] for run in reversed(await sdk.runs.list(thread_id))]
    assert [frame.event for frame in frames] == ["metadata", "values", "values", "metadata"] * 2
    for run_id, (first, *_, last) in zip(runs, (frames[:4], frames[4:]), strict=True):
        assert first.data == {"run_id": run_id, "attempt": 1}
        assert last.data == {"status": "run_done", "run_id": run_id}
    assert all(EVENT_ID.fullmatch(frame.id or "") for frame in frames)
    assert len({frame.id for frame in frames}) == 8


async def test_a_thread_stream_is_these_bytes(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    thread_id = await new_thread(sdk)
    await finished(sdk, thread_id, "ticker", input={"ticks": 0})
    run_id = (await sdk.runs.list(thread_id))[0]["run_id"].encode()
    async with watching(http, thread_id, since="-") as viewer:
        blocks = [await viewer.block() for _ in range(4)]
        headers = viewer.response.headers
    ids = [block.rpartition(b"id: ")[2] for block in blocks]
    assert blocks == [
        b'event: metadata\r\ndata: {"run_id":"%b","attempt":1}\r\nid: %b' % (run_id, ids[0]),
        b'event: values\r\ndata: {"ticks":0}\r\nid: %b' % ids[1],
        b'event: values\r\ndata: {"ticks":0}\r\nid: %b' % ids[2],
        b'event: metadata\r\ndata: {"status":"run_done","run_id":"%b"}\r\nid: %b' % (run_id, ids[3]),
    ]
    assert headers["content-type"] == "text/event-stream; charset=utf-8"
    assert (headers["cache-control"], headers["x-accel-buffering"]) == ("no-store", "no")
    assert "location" not in headers and "content-location" not in headers


async def test_a_state_update_is_shown_to_those_who_ask(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    thread_id = await new_thread(sdk)
    await finished(sdk, thread_id, "ask", input={"q": "a"})
    async with (
        watching(http, thread_id, "?stream_modes=state_update") as asked,
        watching(http, thread_id) as usual,
    ):
        await sdk.threads.update_state(thread_id, {"q": "edited"})
        update = await asked.frame()
        await finished(sdk, thread_id, "ask", command={"resume": "yes"})
        assert (await usual.frame()).event == "metadata"
    assert update.event == "state_update" and update.data["thread_id"] == thread_id
    state = await sdk.threads.get_state(thread_id, update.data["state"]["checkpoint"])
    assert set(update.data["state"]) == {*state, "checkpoint_id", "parent_checkpoint_id"}
    assert (update.data["state"]["values"], update.data["state"]["next"]) == ({"q": "edited"}, ["ask"])


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("?stream_mode=lifecycle", ["metadata", "run_done"]),
        ("?stream_modes=lifecycle", ["metadata", "run_done"]),
        ("?stream_mode=lifecycle,state_update", ["metadata", "run_done", "state_update"]),
        ("?stream_mode=lifecycle&stream_modes=state_update", ["metadata", "run_done", "state_update"]),
        ("?stream_mode=lifecycle&stream_mode=run_modes", ["metadata", "values", "values", "run_done"]),
        ('?stream_mode=["lifecycle","state_update"]', ["metadata", "run_done", "state_update"]),
        ("?stream_mode=", ["metadata", "values", "values", "run_done"]),
    ],
    ids=["singular", "plural", "comma", "both-names", "repeated", "json", "empty"],
)
async def test_a_viewer_is_shown_what_it_asks_for(
    sdk: LangGraphClient, http: httpx.AsyncClient, query: str, shown: list[str]
) -> None:
    thread_id = await new_thread(sdk)
    await finished(sdk, thread_id, "echo", input={"text": "a"})
    await sdk.threads.update_state(thread_id, {"text": "b"})
    await sdk.threads.delete(await new_thread(sdk))
    async with watching(http, thread_id, query, since="-") as viewer:
        frames = await viewer.frames(len(shown))
        await sdk.threads.delete(thread_id)
        assert await viewer.end() == []
    assert [frame.data.get("status", frame.event) for frame in frames] == shown


async def test_an_unknown_mode_is_refused(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    answer = await http.get(f"/threads/{await new_thread(sdk)}/stream?stream_mode=run_modes&stream_mode=foo")
    assert (answer.status_code, detail(answer)) == (422, "Invalid stream mode: foo")


@pytest.mark.parametrize("given", ["-1", "zzz", "1-", "1-2-3", "1-**", "\u0661"])
async def test_a_position_that_is_no_stream_id_is_refused(
    sdk: LangGraphClient, http: httpx.AsyncClient, given: str
) -> None:
    path = f"/threads/{await new_thread(sdk)}/stream"
    answer = await http.get(path, headers=[(b"Last-Event-ID", given.encode())])
    expected = "Invalid last-event-id: must be a valid Redis stream ID"
    assert (answer.status_code, detail(answer)) == (422, expected)


async def test_a_viewer_goes_on_behind_the_position_it_names(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    thread_id = await new_thread(sdk)
    await finished(sdk, thread_id, "echo", input={"text": "a"})
    async with watching(http, thread_id, since="-") as viewer:
        whole = await viewer.frames(4)
    for position in (0, 2):
        async with watching(http, thread_id, since=whole[position].id) as viewer:
            assert await viewer.frames(3 - position) == whole[position + 1 :]
    for everything in ("0", "0-0", "0-*", "5"):
        async with watching(http, thread_id, since=everything) as viewer:
            assert await viewer.frames(4) == whole


@pytest.mark.parametrize("since", [None, "", "9" * 30], ids=["none", "empty", "long"])
async def test_a_viewer_without_a_known_position_sees_only_what_comes(
    sdk: LangGraphClient, http: httpx.AsyncClient, since: str | None
) -> None:
    thread_id = await new_thread(sdk)
    await finished(sdk, thread_id, "echo", input={"text": "a"})
    async with watching(http, thread_id, since=since) as viewer:
        await finished(sdk, thread_id, "echo", input={"text": "b"})
        found = await viewer.frame()
    assert found.data == {"run_id": (await sdk.runs.list(thread_id))[0]["run_id"], "attempt": 1}


async def test_a_thread_may_be_watched_before_it_exists(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    thread_id = str(uuid.uuid4())
    async with watching(http, thread_id) as viewer:
        while not viewer.beats:
            assert await viewer.block() == HEARTBEAT
            viewer.beats += 1
        await sdk.threads.create(thread_id=thread_id)
        await finished(sdk, thread_id, "echo", input={"text": "a"})
        assert [frame.event for frame in await viewer.frames(4)] == ["metadata", "values", "values", "metadata"]


async def test_a_deleted_thread_ends_its_viewers_at_once(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    thread_id = await new_thread(sdk)
    async with watching(http, thread_id) as first, watching(http, thread_id) as second:
        await finished(sdk, thread_id, "echo", input={"text": "a"})
        await asyncio.gather(first.frames(4), second.frames(4))
        await sdk.threads.delete(thread_id)
        async with asyncio.timeout(2):
            assert not await first.end() and not await second.end()


async def test_a_thread_made_anew_shows_nothing_of_the_deleted_one(
    sdk: LangGraphClient, http: httpx.AsyncClient
) -> None:
    thread_id = await new_thread(sdk)
    await finished(sdk, thread_id, "echo", input={"text": "old"})
    await sdk.threads.delete(thread_id)
    await sdk.threads.create(thread_id=thread_id)
    await finished(sdk, thread_id, "echo", input={"text": "new"})
    async with watching(http, thread_id, since="-") as viewer:
        frames = await viewer.frames(4)
    assert [frame.data.get("text") for frame in frames] == [None, "new", "new", None]


async def test_an_id_that_is_no_uuid_is_refused(http: httpx.AsyncClient) -> None:
    answer = await http.get("/threads/zz/stream")
    assert (answer.status_code, detail(answer)) == (422, "Invalid thread ID: must be a UUID")


async def test_a_failing_run_shows_its_error_and_is_done(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    thread_id = await new_thread(sdk)
    async with watching(http, thread_id) as viewer:
        await sdk.runs.create(thread_id, "boom", input={"kind": "value"})
        await until_settled(sdk, thread_id)
        frames = [await viewer.frame()]
        while frames[-1].data.get("status") != "run_done":
            frames.append(await viewer.frame())
    assert [frame.event for frame in frames if frame.event != "values"] == ["metadata", "error", "metadata"]
    assert frames[-2].data == {"error": "ValueError", "message": "kaboom"}


async def test_the_sdk_joins_a_thread(sdk: LangGraphClient) -> None:
    thread_id = await new_thread(sdk)
    found: list[Any] = []

    async def join() -> None:
        async for part in await sdk.threads.join_stream(thread_id, stream_mode=["lifecycle", "state_update"]):
            found.append(part)
            if len(found) == 3:
                return

    joining = asyncio.create_task(join())
    await asyncio.sleep(1)
    await finished(sdk, thread_id, "echo", input={"text": "a"})
    await sdk.threads.update_state(thread_id, {"text": "b"})
    await asyncio.wait_for(joining, PATIENCE)
    assert [part.event for part in found] == ["metadata", "metadata", "state_update"]
    assert found[1].data["status"] == "run_done" and all(part.id for part in found)
    replayed = [part async for part in first_of(sdk, thread_id, 2, last_event_id="-")]
    assert [part.id for part in replayed] == [part.id for part in found[:2]]


async def first_of(sdk: LangGraphClient, thread_id: str, count: int, **arguments: Any) -> AsyncIterator[Any]:
    async for part in await sdk.threads.join_stream(thread_id, stream_mode="lifecycle", **arguments):
        yield part
        count -= 1
        if not count:
            return
