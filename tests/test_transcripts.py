"""Every classic stream mode byte by byte: whole answers, head and body, as tests/transcripts has them.

What changes from run to run is masked, and counted where it says what belongs together: the first UUID of an answer is
`uuid-1` wherever it comes again. The keys of metadata come in an order of langgraph's own, another in each process,
and are sorted. Source: contract/streaming.md 1 to 5. With WRITE_TRANSCRIPTS=1 the files are written
anew, to be read before they are committed.
"""

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from langgraph_sdk.client import LangGraphClient

from tests.conftest import LiveServer
from tests.wire import blocks_of, new_thread

FOLDER = Path(__file__).parent / "transcripts"
HI = {"messages": [{"type": "human", "content": "hi", "id": "u1"}]}
TALK = {"assistant_id": "talker", "input": HI}
ECHO = {"assistant_id": "echo", "input": {"text": "a"}}
ASK = {"assistant_id": "ask", "input": {"q": "a"}}
PARENT = {"assistant_id": "parent", "input": {"foo": "api"}, "stream_subgraphs": True}
STOPPED = {"assistant_id": "parent", "input": {"stop": True}, "stream_subgraphs": True}
# By file: the body of a stateless run.
STATELESS: dict[str, dict[str, Any]] = {
    "values": {**TALK, "stream_mode": "values"},
    "updates": {"assistant_id": "path", "input": {"note": "n"}, "stream_mode": "updates"},
    "messages": {**TALK, "stream_mode": "messages"},
    "messages-tuple": {**TALK, "stream_mode": "messages-tuple"},
    "custom": {"assistant_id": "writer", "input": {"ticks": 1}, "stream_mode": "custom"},
    "tasks": {**ECHO, "stream_mode": "tasks"},
    "tasks-failing": {"assistant_id": "boom", "input": {"kind": "value"}, "stream_mode": "tasks"},
    "events": {**TALK, "stream_mode": "events"},
    "several": {**TALK, "stream_mode": ["values", "updates", "messages-tuple", "custom", "tasks"]},
    "several-with-events": {**ECHO, "stream_mode": ["events", "values"]},
    "subgraphs": {**PARENT, "stream_mode": ["values", "updates", "custom", "tasks"]},
    "subgraphs-messages": {"assistant_id": "talker_inside", "input": HI, "stream_subgraphs": True}
    | {"stream_mode": "messages-tuple"},
    "error": {"assistant_id": "boom", "input": {"kind": "value"}},
    "error-redacted": {"assistant_id": "boom", "input": {"kind": "secret"}},
    "resumable": {**ECHO, "stream_resumable": True, "stream_mode": ["values", "updates"]},
}
# The same on a thread: checkpoints and interrupts need one.
ON_A_THREAD: dict[str, dict[str, Any]] = {
    "thread-values": ECHO,
    "checkpoints": {**ECHO, "stream_mode": "checkpoints"},
    "debug": {**ECHO, "stream_mode": "debug"},
    "interrupt": {**ASK, "stream_mode": ["values", "updates", "tasks"]},
    "interrupt-in-subgraph": {**STOPPED, "stream_mode": ["values", "updates"]},
    "interrupt-before": {**ECHO, "stream_mode": ["values", "updates"], "interrupt_before": ["echo"]},
}
MASKS = re.compile(
    rb"(?P<uuid>[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})"
    rb"|(?P<interrupt>(?<=\")[0-9a-f]{32}(?=\"))"
    rb"|(?P<position>\b\d{13}-\d+\b)"
    rb"|(?P<time>\b\d{4}-\d\d-\d\dT[\d:.]+(?:\+00:00|Z))"
    rb"|(?P<ms>(?<=\"__request_start_time_ms__\":)\d{13}\b)"
    rb"|(?P<url>http://127\.0\.0\.1:\d+)"
    rb"|(?P<version>(?<=_version\":\")[^\"]+|(?<=\"langchain-core\":\")[^\"]+)"
)


class Masks:
    """Names for what changes, the same name for the same bytes."""

    def __init__(self) -> None:
        self.known: dict[bytes, bytes] = {}
        self.counts: dict[str, int] = {}

    def masked(self, raw: bytes) -> bytes:
        return MASKS.sub(self._name, raw)

    def _name(self, match: re.Match[bytes]) -> bytes:
        kind = str(match.lastgroup)
        if match[0] not in self.known:
            self.counts[kind] = self.counts.get(kind, 0) + 1
            self.known[match[0]] = f"{kind}-{self.counts[kind]}".encode()
        return self.known[match[0]]


async def answer(server: LiveServer, method: str, path: str, body: Any = None, **headers: str) -> tuple[bytes, bytes]:
    """Head and body of an answer, off a bare socket; the body without the chunks it came in."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
    data = b"" if body is None else json.dumps(body).encode()
    lines = {"Host": "weft", "Content-Type": "application/json", "Content-Length": str(len(data)), **headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    writer.write(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + data)
    try:
        async with asyncio.timeout(30):
            return await reader.readuntil(b"\r\n\r\n"), b"".join([chunk async for chunk in _chunks(reader)])
    finally:
        writer.close()


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while size := int(await reader.readline(), 16):
        chunk = await reader.readexactly(size + 2)
        assert chunk.endswith(b"\r\n")
        yield chunk[:-2]
    assert await reader.readexactly(2) == b"\r\n"


def written(head: bytes, body: bytes) -> str:
    """An answer as a transcript has it: headers in alphabetical order, the date left out, CRLF as a line's end."""
    status, *headers = head.decode().rstrip("\r\n").split("\r\n")
    shown = sorted(line for line in headers if not line.startswith(("date:", "server:")))
    text = "\n\n".join(["\n".join([status, *shown]), *(_settled(block) for block in blocks_of(body))])
    return Masks().masked(text.encode()).decode() + "\n"


def _settled(block: bytes) -> str:
    """A frame with its metadata sorted; its data must be the compact JSON it is without that."""
    event, data, *rest = block.split(b"\r\n")
    payload = orjson.loads(data.removeprefix(b"data: "))
    assert data == b"data: " + orjson.dumps(payload)
    lines = [event, b"data: " + orjson.dumps(_sorted(payload)), *rest]
    return b"\n".join(lines).decode()


def _sorted(value: Any) -> Any:
    if isinstance(value, list):
        return [_sorted(one) for one in value]
    if not isinstance(value, dict):
        return value
    keys = sorted(value) if value.keys() & {"created_by", "graph_id"} else value
    return {key: _sorted(value[key]) for key in keys}


def compare(name: str, found: str) -> None:
    """The transcript says the same."""
    path = FOLDER / f"{name}.txt"
    if os.environ.get("WRITE_TRANSCRIPTS"):
        path.write_text(found)
    assert found == path.read_text(), name


@pytest.mark.parametrize("name", STATELESS)
async def test_a_stateless_stream_is_its_transcript(server: LiveServer, name: str) -> None:
    compare(name, written(*await answer(server, "POST", "/runs/stream", STATELESS[name])))


@pytest.mark.parametrize("name", ON_A_THREAD)
async def test_a_stream_on_a_thread_is_its_transcript(server: LiveServer, sdk: LangGraphClient, name: str) -> None:
    path = f"/threads/{await new_thread(sdk)}/runs/stream"
    compare(name, written(*await answer(server, "POST", path, ON_A_THREAD[name])))


async def test_a_resumed_stream_is_its_transcript(server: LiveServer, sdk: LangGraphClient) -> None:
    path = f"/threads/{await new_thread(sdk)}/runs/stream"
    await answer(server, "POST", path, ASK)
    body = {"assistant_id": "ask", "command": {"resume": "yes"}, "stream_mode": ["values", "updates"]}
    compare("resumed", written(*await answer(server, "POST", path, body)))


async def test_a_replay_is_the_stream_it_replays(server: LiveServer, sdk: LangGraphClient) -> None:
    path = f"/threads/{await new_thread(sdk)}/runs/stream"
    head, live = await answer(server, "POST", path, {**TALK, "stream_resumable": True, "stream_mode": "messages"})
    location = re.search(rb"\r\nlocation: (\S+)", head)
    assert location
    replayed, body = await answer(server, "GET", location[1].decode(), None, **{"Last-Event-ID": "-1"})
    assert body == live and live.count(b"\r\nid: ") == live.count(b"event: ")
    assert written(replayed, b"") == written(head, b"")


def test_every_transcript_is_compared() -> None:
    assert {path.stem for path in FOLDER.glob("*.txt")} == {*STATELESS, *ON_A_THREAD, "resumed"}


def test_masks_keep_what_belongs_together() -> None:
    one, other = (b"0" * 8 + b"-0000-4000-8000-" + digit * 12 for digit in (b"1", b"2"))
    assert Masks().masked(b" ".join([one, other, one])) == b"uuid-1 uuid-2 uuid-1"
