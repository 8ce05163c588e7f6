"""A small keep-alive HTTP/1.1 client: it must cost next to nothing beside the server it measures."""

import asyncio
import json
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Self


class UnexpectedAnswer(Exception):
    """The server answered something else than success."""


class Connection:
    """One connection to a loopback port; requests go over it one after the other."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.key = ""  # an API key for the requests to come
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def __aenter__(self) -> Self:
        self._streams = await asyncio.open_connection("127.0.0.1", self.port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._streams
        self._streams[1].close()

    async def request(self, method: str, path: str, body: Any = None) -> bytes:
        """The body of the answer. Raises UnexpectedAnswer unless it is a 2xx without `__error__`."""
        answer = b"".join([chunk async for chunk in self.stream(method, path, body)])
        if b'"__error__"' in answer:
            raise UnexpectedAnswer(f"{method} {path} answered {answer[:500]!r}")
        return answer

    async def stream(self, method: str, path: str, body: Any = None) -> AsyncIterator[bytes]:
        """The body of the answer as it arrives. Raises UnexpectedAnswer unless the status is 2xx."""
        assert self._streams
        reader, writer = self._streams
        writer.write(_request(method, path, body, self.key))
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        chunks = _chunks(reader) if b"\r\ntransfer-encoding: chunked" in head else _whole(reader, head)
        if head[9:10] != b"2":
            answer = b"".join([chunk async for chunk in chunks])
            raise UnexpectedAnswer(f"{method} {path} answered {head[9:12].decode()}: {answer[:500]!r}")
        async for chunk in chunks:
            yield chunk


def _request(method: str, path: str, body: Any, key: str) -> bytes:
    data = b"" if body is None else json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    head += f"X-Api-Key: {key}\r\n" if key else ""
    return f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while size := int(await reader.readline(), 16):
        yield (await reader.readexactly(size + 2))[:-2]
    await reader.readexactly(2)


async def _whole(reader: asyncio.StreamReader, head: bytes) -> AsyncIterator[bytes]:
    length = head.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0]
    yield await reader.readexactly(int(length or 0))
