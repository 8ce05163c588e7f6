"""The ASGI application: `uvicorn config.asgi:application`. Layers, from the outside in; no view lives here."""

import os
from typing import Any

import django
from channels.routing import ProtocolTypeRouter

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup(set_prefix=False)

from django.conf import settings  # noqa: E402 - settings are read once Django is set up
from starlette.staticfiles import StaticFiles  # noqa: E402

from accounts.authentication import authenticated  # noqa: E402
from assistants.startup import start  # noqa: E402
from config import access, http, outage  # noqa: E402
from config.database import conninfo, in_thread  # noqa: E402
from config.handler import InPlaceHandler  # noqa: E402
from console import routing as console  # noqa: E402
from streaming.routing import websockets  # noqa: E402

django_application: Any = InPlaceHandler()


def _with_static(app: http.ASGIApp) -> http.ASGIApp:
    static = StaticFiles(directory=settings.STATIC_ROOT, check_dir=False)

    async def routed(scope: http.Scope, receive: http.Receive, send: http.Send) -> None:
        if scope["path"].startswith(settings.STATIC_URL):
            scope = {**scope, "path": scope["path"][len(settings.STATIC_URL) - 1 :], "root_path": ""}
            return await static(scope, receive, send)
        return await app(scope, receive, send)

    return routed


async def _websocket(scope: http.Scope, receive: http.Receive, send: http.Send) -> None:
    ours = scope["path"].startswith(console.PREFIX)
    await (console.websockets if ours else websockets)(scope, receive, send)


async def _lifespan(scope: http.Scope, receive: http.Receive, send: http.Send) -> None:
    """Serve nothing before the graphs are loaded; fail loudly when they cannot be."""
    await receive()
    try:
        await in_thread(start)
        outage.watch(conninfo())
    except Exception as error:
        await send({"type": "lifespan.startup.failed", "message": f"{type(error).__name__}: {error}"})
        raise
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


api: http.ASGIApp = http.limit_body(django_application, settings.HTTP_MAX_REQUEST_BODY_BYTES)
api = authenticated(api)
api = http.head_as_get(_with_static(api))
api = http.drop_trailing_slash(api, kept=(*settings.PAGES_PREFIXES, settings.STATIC_URL, "/mcp/", "/a2a/"))
application = ProtocolTypeRouter(
    {
        "lifespan": _lifespan,
        "http": access.observed(http.cors(api, settings.CORS_ALLOW_ORIGINS, settings.CORS_CONFIG_OPTIONS)),
        "websocket": access.observed(_websocket),
    }
)
