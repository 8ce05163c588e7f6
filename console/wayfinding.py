"""What lies between a client and the server: whether streams come through in time, measured. Needs the server's Redis.

A stream of a thread nobody knows is opened through the address, and events are put into its log: so nothing but the
way itself can make them late.
"""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Mapping
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import httpx
import websockets
from django.conf import settings

from console.diagnosis import Finding
from events import log

EVENTS, PAUSE_SECONDS = 7, 0.5
LATE_SECONDS = 1.0
HEADER_SECONDS = 10.0
# Answers of the server itself, not of a proxy that knows no upgrade: it refuses whoever it does not know.
REFUSED = (401, 403)


async def examine_way(url: str, headers: Mapping[str, str]) -> AsyncIterator[Finding]:
    """Look at the way to the server behind the address."""
    async with httpx.AsyncClient(base_url=url, headers=dict(headers), timeout=HEADER_SECONDS) as client:
        try:
            answer = await client.get("/ok")
        except httpx.HTTPError as error:
            yield Finding("address", f"{type(error).__name__}", f"Nothing answers at {url}: is it the public address?")
            return
        if answer.status_code != 200:
            yield Finding(
                "address", f"/ok answers {answer.status_code}", "The address leads somewhere else than to Weft."
            )
            return
        yield Finding("address", "answers")
        async for finding in _examine_stream(client):
            yield finding
    yield await _examine_upgrade(url, headers)


async def _examine_stream(client: httpx.AsyncClient) -> AsyncIterator[Finding]:
    thread_id = str(uuid4())
    asks = {"Accept": "text/event-stream", "Accept-Encoding": "gzip, deflate, br"}
    writing = None
    try:
        async with client.stream(
            "GET", f"/threads/{thread_id}/stream", headers={**asks, "Last-Event-ID": "-"}
        ) as answer:
            if answer.status_code != 200:
                yield Finding("stream", f"answers {answer.status_code}", "Give a key: --header 'x-api-key: ...'.")
                return
            encoding = answer.headers.get("content-encoding", "")
            yield Finding(
                "compression",
                encoding or "off",
                encoding
                and "A proxy compresses event streams, and holds events back for it: exclude text/event-stream.",
            )
            writing = asyncio.create_task(_write(thread_id))
            delays, beats = await _watch(answer)
    except httpx.TimeoutException:
        yield _buffered("nothing came within 10 s")
        return
    except httpx.HTTPError as error:
        yield Finding(
            "stream", f"broke off: {type(error).__name__}", "A proxy ends long answers: raise its read timeout."
        )
        return
    finally:
        if writing:
            await writing
        await log.delete(thread_id)
    typical = statistics.median(delays or [0.0])
    if len(delays) < EVENTS or typical > LATE_SECONDS:
        yield _buffered(f"{len(delays)} of {EVENTS} events came, most of them {typical:.1f} s late or more")
    else:
        yield Finding("stream", f"events took {1000 * typical:.0f} ms")
    yield Finding(
        "heartbeats",
        "come through" if beats else "none came",
        "" if beats else "Clients will take quiet streams for dead: let the proxy pass comment lines at once.",
    )


def _buffered(seen: str) -> Finding:
    return Finding("stream", seen, "A proxy buffers answers: switch that off (nginx: proxy_buffering off;).")


async def _write(thread_id: str) -> None:
    """Events that say when they were made."""
    for _ in range(EVENTS):
        await log.append(thread_id, "", [log.Part("", "custom", b"%.6f" % time.time())], last=True)
        await asyncio.sleep(PAUSE_SECONDS)


async def _watch(answer: httpx.Response) -> tuple[list[float], int]:
    """How late each event was, in seconds, and the heartbeats, within the time of two heartbeats."""
    delays: list[float] = []
    beats = 0
    deadline = time.monotonic() + settings.HEARTBEAT_SECONDS * 2
    lines = answer.aiter_lines()
    while (left := deadline - time.monotonic()) > 0 and not (beats and len(delays) == EVENTS):
        try:
            async with asyncio.timeout(left):
                line = await anext(lines)
        except (TimeoutError, StopAsyncIteration):
            break
        if line.startswith("data: "):
            delays.append(time.time() - float(line[6:]))
        beats += line.startswith(":")
    return delays, beats


async def _examine_upgrade(url: str, headers: Mapping[str, str]) -> Finding:
    parts = urlsplit(url)
    scheme = "wss" if parts.scheme == "https" else "ws"
    path = f"{parts.path.rstrip('/')}/threads/{uuid4()}/stream/events"
    address = urlunsplit((scheme, parts.netloc, path, "", ""))
    cure = "A proxy does not pass upgrades (nginx: proxy_http_version 1.1; proxy_set_header Upgrade and Connection)."
    try:
        async with websockets.connect(address, additional_headers=dict(headers), open_timeout=HEADER_SECONDS):
            return Finding("WebSocket", "connects")
    except websockets.InvalidStatus as refused:
        status = refused.response.status_code
        return Finding("WebSocket", f"refused with {status}", "" if status in REFUSED else cure)
    except (OSError, TimeoutError, websockets.WebSocketException) as error:
        return Finding("WebSocket", f"does not connect: {type(error).__name__}", cure)
