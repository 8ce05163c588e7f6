"""Viewers that do not keep up, seen from inside a web process: each is cut off, and told why."""

import asyncio
import contextlib
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from events import connection, log
from events.log import Part
from runs.envelopes import envelope
from streaming import consumers
from streaming.consumers import ThreadEvents
from streaming.reader import Reader, TooSlow

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(60)]
PATIENCE = 20.0


@pytest.fixture(autouse=True)
async def _redis_let_go() -> AsyncIterator[None]:
    yield
    await connection.close()


class Client:
    """The far side of a WebSocket. `takes` says whether it takes what is sent; a close frame it always takes."""

    def __init__(self, thread_id: str) -> None:
        self.scope = {"type": "websocket", "url_route": {"kwargs": {"thread_id": thread_id}}, "headers": []}
        self.frames: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.frames.put_nowait({"type": "websocket.connect"})
        self.takes = asyncio.Event()
        self.takes.set()
        self.taken: list[Any] = []
        self.closed: asyncio.Future[tuple[int, str]] = asyncio.get_running_loop().create_future()

    async def send(self, message: dict[str, Any]) -> None:
        """What the server calls."""
        if message["type"] == "websocket.close":
            self.closed.set_result((message["code"], message["reason"]))
        elif message["type"] == "websocket.send":
            await self.takes.wait()
            self.taken.append(json.loads(message["text"]))

    def command(self, method: str, **params: Any) -> None:
        """Send a command."""
        text = json.dumps({"id": 1, "method": method, "params": params})
        self.frames.put_nowait({"type": "websocket.receive", "text": text})

    async def until_taken(self, count: int) -> None:
        """Wait until so much was taken."""
        async with asyncio.timeout(PATIENCE):
            while len(self.taken) < count:
                await asyncio.sleep(0.01)


@asynccontextmanager
async def connected(thread_id: str) -> AsyncIterator[Client]:
    """A client that is served while the block lasts."""
    client = Client(thread_id)
    serving = asyncio.create_task(ThreadEvents.as_asgi()(client.scope, client.frames.get, client.send))
    try:
        yield client
    finally:
        serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving


def custom(run_id: str, number: int) -> Part:
    """An event of a run."""
    event, data = envelope("custom", (), {"n": number})
    return Part(run_id, event, data)


async def test_a_client_that_takes_nothing_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumers, "SEND_SECONDS", 0.2)
    thread_id, run_id = str(uuid.uuid4()), str(uuid.uuid4())
    async with connected(thread_id) as client:
        client.command("subscription.subscribe", channels=["custom"])
        await client.until_taken(1)
        await log.append(thread_id, run_id, [custom(run_id, 1)])
        await client.until_taken(2)
        client.takes.clear()
        await log.append(thread_id, run_id, [custom(run_id, 2)])
        async with asyncio.timeout(PATIENCE):
            assert await client.closed == (1013, "the client does not take what is sent")


async def test_a_client_whose_commands_pile_up_is_cut_off() -> None:
    async with connected(str(uuid.uuid4())) as client:
        client.command("subscription.subscribe", channels=["custom"])
        await client.until_taken(1)
        client.takes.clear()  # so the first answer never goes out
        for _ in range(consumers.LONGEST_INBOX + 1):
            client.command("x.y")
        await asyncio.sleep(0.1)
        assert not client.closed.done(), "there is room for so many, and one that is being answered"
        client.command("x.y")
        async with asyncio.timeout(PATIENCE):
            assert await client.closed == (1013, "too many commands are waiting")


async def trimmed(thread_id: str, run_id: str) -> str:
    """A log whose older half was dropped; the id of its first part."""
    first = await log.append(thread_id, run_id, [custom(run_id, 0)])
    for number in range(1, 10):
        last = await log.append(thread_id, run_id, [custom(run_id, number)])
    await connection.client().xtrim(log._keys(thread_id)[0], minid=last, approximate=False)
    return first


async def test_a_viewer_under_whom_the_log_was_trimmed_is_too_slow() -> None:
    thread_id, run_id = str(uuid.uuid4()), str(uuid.uuid4())
    reader = Reader(uuid.UUID(thread_id))
    reader.position = await trimmed(thread_id, run_id)
    with pytest.raises(TooSlow):
        async with asyncio.timeout(PATIENCE):
            async for _ in reader.follow():
                pass
    with pytest.raises(TooSlow):
        replay = Reader(uuid.UUID(thread_id))
        replay.position = "1-1"
        async for _ in replay.replay(2**53):
            pass
