"""uvicorn's HTTP connection, cut when its client takes nothing for STREAM_SEND_TIMEOUT_SECONDS.

What is sent waits in a buffer of some 64 KiB; a full one makes the sender wait. Without this it would wait for as long
as the client's machine keeps the connection, and hold what it was about to send.
"""

import asyncio
import logging

from django.conf import settings
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

logger = logging.getLogger(__name__)


class ImpatientProtocol(HttpToolsProtocol):
    """One connection; its view is cancelled when it is cut, as when the client leaves."""

    patience: asyncio.TimerHandle | None = None

    def pause_writing(self) -> None:
        """The buffer is full."""
        super().pause_writing()
        self.patience = self.loop.call_later(settings.STREAM_SEND_TIMEOUT_SECONDS, self._cut)

    def resume_writing(self) -> None:
        """The client has taken most of the buffer."""
        super().resume_writing()
        self._forgive()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._forgive()
        super().connection_lost(exc)

    def _forgive(self) -> None:
        if self.patience is not None:
            self.patience.cancel()
            self.patience = None

    def _cut(self) -> None:
        logger.warning("A client took nothing for %s s; its connection is cut", settings.STREAM_SEND_TIMEOUT_SECONDS)
        self.transport.abort()
