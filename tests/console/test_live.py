"""The live socket: who may connect, what is told, and what becomes of whoever does not listen."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import websockets
from websockets.asyncio.client import ClientConnection

from console import consumers, live, topics
from console.live import Hub, Topic
from console.roles import Role
from tests.conftest import LiveServer

SECONDS = 10


def connection(console: LiveServer, key: str | None, origin: str | None = None) -> Any:
    """A socket as a page opens it."""
    headers = {"Cookie": f"sessionid={key}"} if key else {}
    address = console.url.replace("http", "ws", 1) + "/admin/live"
    return websockets.connect(address, origin=origin or console.url, additional_headers=headers)  # type: ignore[arg-type]


async def told(socket: ClientConnection, topic: str) -> dict[str, Any]:
    """The next that is told about the topic."""
    async with asyncio.timeout(SECONDS):
        async for text in socket:
            for frame in json.loads(text):
                if frame["topic"] == topic:
                    return dict(frame)
    raise AssertionError("the socket was closed")


# --- the socket -------------------------------------------------------------------------------------------------------


async def test_a_page_is_told_the_latest_at_once(console: LiveServer, session_keys: dict[str, str]) -> None:
    async with connection(console, session_keys["viewer"]) as socket:
        await socket.send('{"subscribe": ["dashboard"]}')
        frame = await told(socket, "dashboard")
        assert frame["n"] >= 1 and frame["value"]


@pytest.mark.parametrize("key", [None, "nobodys", "none"])
async def test_who_has_no_role_is_refused(console: LiveServer, session_keys: dict[str, str], key: str | None) -> None:
    with pytest.raises(websockets.InvalidStatus):
        await connection(console, session_keys.get(key or "", key)).__aenter__()


async def test_a_page_of_another_origin_is_refused(console: LiveServer, session_keys: dict[str, str]) -> None:
    with pytest.raises(websockets.InvalidStatus):
        await connection(console, session_keys["admin"], origin="https://elsewhere.example").__aenter__()


async def test_an_unknown_topic_is_named(console: LiveServer, session_keys: dict[str, str]) -> None:
    async with connection(console, session_keys["viewer"]) as socket:
        await socket.send('{"subscribe": ["weather"]}')
        assert (await told(socket, "weather"))["error"] == "There is no such topic"


@pytest.mark.parametrize("text", ["", "[]", "{", '{"subscribe": "dashboard"}', '{"subscribe": [1]}'])
async def test_what_is_no_frame_ends_the_connection(
    console: LiveServer, session_keys: dict[str, str], text: str
) -> None:
    async with connection(console, session_keys["viewer"]) as socket:
        await socket.send(text)
        with pytest.raises(websockets.ConnectionClosed) as closed:
            async with asyncio.timeout(SECONDS):
                while True:
                    await socket.recv()
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 1003


# --- topics and their viewers -----------------------------------------------------------------------------------------


class Listener:
    """A viewer that keeps what it is offered."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def offer(self, topic: str, frame: str, *, replaces: bool) -> None:
        self.heard.append(json.loads(frame))


def topic_of(feed: "asyncio.Queue[Any]", started: list[str], keep: int = 1) -> Topic:
    """A topic told what is put into the queue; `started` gets the key of each start of its source."""

    async def source(key: str) -> AsyncIterator[Any]:
        started.append(key)
        while True:
            value = await feed.get()
            if isinstance(value, Exception):
                raise value
            yield value

    return Topic(source, keep=keep)


async def test_any_number_of_viewers_cost_one_source_and_the_last_one_stops_it() -> None:
    feed: asyncio.Queue[Any] = asyncio.Queue()
    started: list[str] = []
    hub, topic, viewers = Hub(), topic_of(feed, started), [Listener() for _ in range(100)]
    for viewer in viewers:
        hub.join("run:7", topic, viewer)
    feed.put_nowait({"a": 1})
    await asyncio.sleep(0.05)
    assert started == ["7"]
    assert all([frame["value"] for frame in viewer.heard] == [{"a": 1}] for viewer in viewers)
    for viewer in viewers:
        hub.leave("run:7", viewer)
    assert not hub.broadcasts


async def test_a_newcomer_is_told_what_the_topic_keeps() -> None:
    feed: asyncio.Queue[Any] = asyncio.Queue()
    hub, topic, late = Hub(), topic_of(feed, [], keep=3), Listener()
    hub.join("log", topic, Listener())
    for value in range(5):
        feed.put_nowait(value)
    await asyncio.sleep(0.05)
    hub.join("log", topic, late)
    assert [(frame["n"], frame["value"]) for frame in late.heard] == [(3, 2), (4, 3), (5, 4)]
    hub.broadcasts["log"].task.cancel()


async def test_what_has_not_changed_is_not_told_again() -> None:
    feed: asyncio.Queue[Any] = asyncio.Queue()
    hub, topic, viewer = Hub(), topic_of(feed, []), Listener()
    hub.join("tiles", topic, viewer)
    for value in (1, 1, 2):
        feed.put_nowait(value)
    await asyncio.sleep(0.05)
    assert [frame["value"] for frame in viewer.heard] == [1, 2]
    hub.leave("tiles", viewer)


async def test_a_source_that_fails_is_said_so_and_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "RETRY_SECONDS", 0.02)
    feed: asyncio.Queue[Any] = asyncio.Queue()
    hub, topic, viewer = Hub(), topic_of(feed, []), Listener()
    hub.join("tiles", topic, viewer)
    for value in (1, RuntimeError("away"), 1):
        feed.put_nowait(value)
    await asyncio.sleep(0.2)
    assert [frame.get("value", frame.get("error")) for frame in viewer.heard] == [
        1,
        "The server cannot look at present",
        1,
    ]
    hub.leave("tiles", viewer)


# --- a browser that does not listen -----------------------------------------------------------------------------------


def test_of_a_topic_with_one_value_a_slow_browser_keeps_the_latest_only() -> None:
    page = consumers.Live()
    page.waiting, page.count, page.news = {}, 0, asyncio.Event()
    for number in range(5000):
        page.offer("tiles", str(number), replaces=True)
    assert (page.count, page.waiting) == (1, {"tiles": ["4999"]})


async def test_a_browser_that_takes_nothing_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumers, "SEND_SECONDS", 0.05)
    monkeypatch.setattr(consumers, "CLOSE_SECONDS", 0.05)
    monkeypatch.setattr(consumers, "is_same_origin", lambda headers: True)
    monkeypatch.setattr(consumers, "role_of_session", lambda key: Role.VIEWER)
    opened: asyncio.Queue[Any] = asyncio.Queue()
    opened.put_nowait({"type": "websocket.connect"})
    opened.put_nowait({"type": "websocket.receive", "text": '{"subscribe": ["weather"]}'})

    async def send(message: dict[str, Any]) -> None:
        if message["type"] != "websocket.accept":
            await asyncio.sleep(3600)

    async with asyncio.timeout(SECONDS):
        await consumers.Live.as_asgi()({"type": "websocket", "headers": [], "path": "/admin/live"}, opened.get, send)


async def served(monkeypatch: pytest.MonkeyPatch, roles: list[Role], frames: list[str]) -> list[dict[str, Any]]:
    """What a page is sent that subscribes with these frames, until it is cut off. Its role is another at each look."""
    monkeypatch.setattr(consumers, "BEAT_SECONDS", 0.02)
    monkeypatch.setattr(consumers, "CHECK_SECONDS", 0.02)
    monkeypatch.setattr(consumers, "is_same_origin", lambda headers: True)
    monkeypatch.setattr(consumers, "role_of_session", lambda key: roles.pop(0) if len(roles) > 1 else roles[0])
    opened: asyncio.Queue[Any] = asyncio.Queue()
    sent: list[dict[str, Any]] = []
    opened.put_nowait({"type": "websocket.connect"})
    for text in frames:
        opened.put_nowait({"type": "websocket.receive", "text": text})

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async with asyncio.timeout(SECONDS):
        await consumers.Live.as_asgi()({"type": "websocket", "headers": [], "path": "/admin/live"}, opened.get, send)
    return sent


async def test_who_signs_out_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = await served(monkeypatch, [Role.OPERATOR, Role.OPERATOR, Role.VIEWER], [])
    assert (sent[0]["type"], sent[-1].get("code")) == ("websocket.accept", 4401)


async def test_a_topic_for_a_higher_role_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    feed: asyncio.Queue[Any] = asyncio.Queue()
    monkeypatch.setitem(topics.TOPICS, "secret", Topic(topic_of(feed, []).source, needs=Role.ADMIN))
    sent = await served(monkeypatch, [Role.VIEWER, Role.VIEWER, Role.NONE], ['{"subscribe": ["secret"]}'])
    assert json.loads(sent[1]["text"]) == [{"topic": "secret", "error": "This needs the role admin"}]


async def test_a_browser_that_falls_behind_a_topic_of_many_values_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumers, "MOST_WAITING", 50)

    async def flood(key: str) -> AsyncIterator[int]:
        for number in range(1000):
            yield number

    monkeypatch.setitem(topics.TOPICS, "flood", Topic(flood, keep=10))
    sent = await served(monkeypatch, [Role.VIEWER], ['{"subscribe": ["flood"]}'])
    assert sent[-1].get("code") == 1013
