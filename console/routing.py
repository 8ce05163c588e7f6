"""The console's WebSocket. Another path is refused before it is accepted."""

from typing import Any

from console.consumers import Live

PREFIX = "/admin/"
_live = Live.as_asgi()


async def websockets(scope: Any, receive: Any, send: Any) -> None:
    """Serve one connection below PREFIX."""
    if scope["path"].rstrip("/") == "/admin/live":
        await _live(scope, receive, send)
    else:
        await send({"type": "websocket.close"})
