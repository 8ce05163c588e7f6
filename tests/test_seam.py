"""Clients that are cut off and come back, to any process: the text is the same. And none comes back without need.

WEFT_SEAM_RUNS=200 and WEFT_SHORT_RUNS=1000 make it the full size.
"""

import asyncio
import json
import logging
import os
import random
import re
import subprocess
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from langgraph_sdk import get_client

from tests.conftest import LiveServer
from tests.javascript import FOLDER, node_with_packages
from tests.webs import Web, another_web
from tests.wire import HEARTBEAT, Frame, frame_of

logger = logging.getLogger(__name__)
RUNS = int(os.environ.get("WEFT_SEAM_RUNS", "12"))
SHORT_RUNS = int(os.environ.get("WEFT_SHORT_RUNS", "40"))
TOKENS = 200
AT_ONCE = 10  # as many as there are worker slots
LIMIT = 60 + 4 * RUNS + SHORT_RUNS

pytestmark = pytest.mark.timeout(LIMIT)


@pytest.fixture(scope="module")
def webs(server: LiveServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Web]]:
    """Two web processes that log their requests."""
    folder = tmp_path_factory.mktemp("webs")
    with another_web(server, folder) as first, another_web(server, folder) as second:
        yield [first, second]


class Client:
    """Reads one run's stream over connections that it cuts at random."""

    def __init__(self, webs: list[Web], seed: int) -> None:
        self.webs = webs
        self.random = random.Random(seed)
        self.frames: list[Frame] = []
        self.connections = 0
        self.path = ""

    async def run(self) -> None:
        """Start the run and read it to its end."""
        body = {"assistant_id": "reciter", "input": {"tokens": TOKENS}, "stream_mode": ["messages-tuple", "values"]}
        request = {**body, "stream_resumable": True, "if_not_exists": "create"}
        ended = await self.read("POST", f"/threads/{uuid.uuid4()}/runs/stream", request)
        while not ended:
            ended = await self.read("GET", self.path, None)

    async def read(self, method: str, path: str, body: Any) -> bool:
        """One connection; whether the server ended it. Cut in the middle of a frame as often as between two."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.random.choice(self.webs).port)
        self.connections += 1
        try:
            writer.write(self.request(method, path, body))
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 "), head
            found = re.search(rb"\r\nlocation: (\S+)", head, re.IGNORECASE)
            self.path = found[1].decode() if found else self.path
            return await self.frames_of(reader, self.random.randint(0, 20_000))
        finally:
            writer.transport.abort()

    def request(self, method: str, path: str, body: Any) -> bytes:
        """The request, saying what was seen last."""
        data = json.dumps(body).encode() if body else b""
        since = next((frame.id for frame in reversed(self.frames)), None)
        last = f"Last-Event-ID: {since or '-1'}\r\n" if method == "GET" else ""
        return f"{method} {path} HTTP/1.1\r\nHost: x\r\n{last}Content-Length: {len(data)}\r\n\r\n".encode() + data

    async def frames_of(self, reader: asyncio.StreamReader, patience: int) -> bool:
        """Take in frames until the end, or until so many bytes have come that it is time to cut."""
        raw = b""
        while size := int(await reader.readline(), 16):
            raw += (await reader.readexactly(size + 2))[:-2]
            *blocks, raw = raw.split(b"\r\n\r\n")
            for block in blocks:
                patience -= len(block)
                if patience < 0:
                    return False
                if block != HEARTBEAT:
                    self.frames.append(frame_of(block))
        return True


async def test_streams_that_are_cut_off_lose_and_repeat_nothing(webs: list[Web]) -> None:
    clients = [Client(webs, seed) for seed in range(RUNS)]
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(client: Client) -> None:
        async with slots:
            await client.run()

    await asyncio.gather(*map(one, clients))
    gaps = doubles = 0
    for client in clients:
        chunks = [frame.data[0]["content"] for frame in client.frames if frame.event == "messages"]
        words = "".join(chunks).split()
        expected = [f"w{number}" for number in range(TOKENS)]
        gaps += len(set(expected) - set(words))
        doubles += len(words) - len(set(words))
        assert words == expected
        assert len({frame.id for frame in client.frames}) == len(client.frames)
        [final] = [frame.data for frame in client.frames if frame.event == "values"][-1:]
        assert final["messages"][-1]["content"] == "".join(chunks)
    cuts = sum(client.connections for client in clients) - len(clients)
    logger.info(
        "%s runs of %s tokens, %s reconnects, %s gaps, %s duplicates", len(clients), TOKENS, cuts, gaps, doubles
    )
    assert (gaps, doubles) == (0, 0) and cuts > len(clients) * 3


def rejoined(web: Web) -> list[str]:
    """The requests that join a stream."""
    return [line for line in web.log.read_text().splitlines() if re.search(r"GET /\S*/stream\b", line)]


async def test_the_python_sdk_never_reconnects_without_need(webs: list[Web]) -> None:
    web = webs[0]
    before = len(rejoined(web))
    slots = asyncio.Semaphore(AT_ONCE)
    async with get_client(url=web.url, timeout=60) as client:

        async def one(number: int) -> None:
            async with slots:
                thread_id = (await client.threads.create())["thread_id"]
                names = [
                    part.event async for part in client.runs.stream(thread_id, "echo", input={"text": str(number)})
                ]
                assert names == ["metadata", "values", "values"]

        await asyncio.gather(*(one(number) for number in range(SHORT_RUNS)))
    posts = [line for line in web.log.read_text().splitlines() if re.search(r"POST /threads/\S*/runs/stream", line)]
    assert len(posts) >= SHORT_RUNS
    assert len(rejoined(web)) == before


def test_the_javascript_sdk_never_reconnects_without_need(webs: list[Web]) -> None:
    node, web = node_with_packages(), webs[1]
    before = len(rejoined(web))
    environment = {**os.environ, "WEFT_URL": web.url, "WEFT_SHORT_RUNS": str(SHORT_RUNS)}
    done = subprocess.run(
        [node, "short_runs.mjs"],
        cwd=FOLDER,
        env={**environment, "LANGSMITH_TRACING": "false"},
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert f"{SHORT_RUNS} runs" in done.stdout
    posts = [line for line in web.log.read_text().splitlines() if re.search(r"POST /threads/\S*/runs/stream", line)]
    assert len(posts) >= SHORT_RUNS
    assert len(rejoined(web)) == before
