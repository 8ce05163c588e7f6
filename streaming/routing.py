"""WebSocket routes. A path that is none is refused before it is accepted."""

from typing import Any

from channels.routing import URLRouter
from django.conf import settings
from django.urls import path

from streaming.consumers import ThreadEvents

urlpatterns = (
    [path("threads/<str:thread_id>/stream/events", ThreadEvents.as_asgi())] if settings.EVENT_STREAMING else []
)
_router = URLRouter(urlpatterns)


async def websockets(scope: Any, receive: Any, send: Any) -> None:
    """Serve one connection."""
    try:
        await _router(scope, receive, send)
    except ValueError as error:
        if "No route found" not in str(error):
            raise
        await send({"type": "websocket.close"})
