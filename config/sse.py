"""Server-sent events: frames, heartbeats, the response that carries them. Source: contract/streaming.md 1."""

import logging
import time
from collections.abc import AsyncIterator, Mapping

from django.conf import settings
from django.http import StreamingHttpResponse

from config import dialect

logger = logging.getLogger(__name__)
HEARTBEAT = b": heartbeat\r\n\r\n"
CONTENT_TYPE = "text/event-stream; charset=utf-8"
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def frame(event: str, data: bytes, event_id: str | None = None) -> bytes:
    """One event; `data` is JSON on one line."""
    name = event.replace("\r", "").replace("\n", "").encode()
    if event_id is None:
        return b"event: %b\r\ndata: %b\r\n\r\n" % (name, data)
    number = event_id.replace("\r", "").replace("\n", "").encode()
    return b"event: %b\r\ndata: %b\r\nid: %b\r\n\r\n" % (name, data, number)


class Pulse:
    """A timer that is due every HEARTBEAT_SECONDS from its beginning, whatever else was sent.

    Whoever asks when a timer of the loop rings may come a moment early: nobody else would ask before the next beat.
    """

    EARLY = 0.1  # seconds

    def __init__(self) -> None:
        self.at = time.monotonic() + settings.HEARTBEAT_SECONDS

    def due(self) -> bool:
        """Whether a beat is due; each is due once, and those that were missed are not made up for."""
        now = time.monotonic() + self.EARLY
        if now < self.at:
            return False
        while self.at <= now:
            self.at += settings.HEARTBEAT_SECONDS
        return True


def response(body: AsyncIterator[bytes], headers: Mapping[str, str] | None = None) -> StreamingHttpResponse:
    """The response whose body are these frames. What they raise becomes a last frame, for the headers are out."""
    return StreamingHttpResponse(_guarded(body), content_type=CONTENT_TYPE, headers={**HEADERS, **(headers or {})})


async def beating(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The chunks that are not empty, with heartbeats; an empty one must come at least every HEARTBEAT_SECONDS."""
    pulse = Pulse()
    async for chunk in chunks:
        out = chunk + HEARTBEAT if pulse.due() else chunk
        if out:
            yield out


async def _guarded(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    try:
        async for chunk in body:
            yield chunk
    except Exception as error:
        logger.exception("A stream broke off")
        yield frame("error", dialect.dumps(dialect.exception_as_json(error)))
