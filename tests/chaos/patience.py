"""A client that does not give up: it asks again, of another server, with the same Idempotency-Key. Plain HTTP."""

import asyncio
import random
import re
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx

from tests.wire import HEARTBEAT, Frame, frame_of

SILENCE_SECONDS = 12.0  # heartbeats come every five
PATIENCE = 120.0
RUN_PATH = re.compile(r"(?:/threads/[^/]+)?/runs/([^/]+)")


class GaveUp(Exception):
    """No server gave an answer that counts in PATIENCE seconds."""


class PatientClient:
    """Sends each request until it is answered with 2xx or a 4xx that means no. `failures` holds every 500."""

    def __init__(self, urls: Sequence[str], rng: random.Random) -> None:
        self.urls = urls
        self.rng = rng
        self.failures: list[str] = []
        self.repeated = 0
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=20)
        self.http = httpx.AsyncClient(timeout=httpx.Timeout(SILENCE_SECONDS, pool=None), limits=limits, verify=False)

    async def request(self, method: str, path: str, body: Any = None) -> httpx.Response:
        """The answer. Raises GaveUp."""
        async with self.opened(method, path, body) as response:
            return response

    @asynccontextmanager
    async def opened(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None, *, read: bool = True
    ) -> AsyncIterator[httpx.Response]:
        """The answer, read to its end or not. Raises GaveUp, and what the connection does once it is answered."""
        sent = {"Idempotency-Key": str(uuid.uuid4()), **(headers or {})}
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            response = await self._try(method, path, body, sent, read=read)
            if response is not None:
                try:
                    yield response
                finally:
                    await response.aclose()
                return
            self.repeated += 1
            await asyncio.sleep(self.rng.uniform(0.1, 0.6))
        raise GaveUp(f"{method} {path}")

    async def _try(
        self, method: str, path: str, body: Any, headers: dict[str, str], *, read: bool
    ) -> httpx.Response | None:
        """One attempt; None when the server was not there, or says that it or the first attempt is not ready."""
        url = self.rng.choice(self.urls)
        try:
            request = self.http.build_request(method, url + path, json=body, headers=headers)
            response = await self.http.send(request, stream=True)
            if read or response.status_code >= 400:
                await response.aread()
        except httpx.TransportError:
            return None
        if response.status_code >= 500 and response.status_code != 503:
            self.failures.append(f"{method} {path}: {response.status_code} {response.text[:200]}")
        in_use = response.status_code == 409 and "Idempotency-Key" in response.text
        return None if response.status_code >= 500 or in_use else response


def run_of(response: httpx.Response) -> str:
    """The run a stream or a wait is about, as its Content-Location says."""
    found = RUN_PATH.fullmatch(response.headers["content-location"])
    assert found, response.headers["content-location"]
    return found[1]


async def frames_of(response: httpx.Response) -> AsyncIterator[Frame]:
    """Server-sent events as they come. Raises httpx.TransportError when the connection breaks off."""
    rest = b""
    async for chunk in response.aiter_raw():
        *blocks, rest = (rest + chunk).split(b"\r\n\r\n")
        for block in blocks:
            if block != HEARTBEAT:
                yield frame_of(block)
    if rest:
        raise httpx.RemoteProtocolError(f"The stream ended inside a frame: {rest[-80:]!r}")
