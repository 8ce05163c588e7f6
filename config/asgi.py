"""The ASGI application: `uvicorn config.asgi:application`. Layers, from the outside in; no view lives here."""

import os
from functools import partial
from typing import Any

import django
from channels.routing import ProtocolTypeRouter
from django.apps import apps

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
if not apps.ready:  # a worker imports this when a graph first asks the server something
    django.setup(set_prefix=False)

from django.conf import settings
from starlette.staticfiles import StaticFiles

from accounts.authentication import authenticated
from accounts.encryption import in_context
from accounts.limits import limited
from assistants.startup import start
from config import access, http, outage
from config.custom_app import CustomApp
from config.database import conninfo, in_thread
from config.handler import InPlaceHandler
from console import routing as console
from store.opening import open_own_store
from streaming.routing import websockets

AT_ROOT = frozenset({"/", "/ok", "/metrics"})  # where they are looked for, whatever the prefix

django_application: Any = InPlaceHandler()


def _with_static(app: http.ASGIApp) -> http.ASGIApp:
    static = StaticFiles(directory=settings.STATIC_ROOT, check_dir=False)

    async def routed(scope: http.Scope, receive: http.Receive, send: http.Send) -> None:
        path = http.local_path(scope)
        if path.startswith(settings.STATIC_PATH):
            scope = {**scope, "path": path[len(settings.STATIC_PATH) - 1 :], "root_path": ""}
            return await static(scope, receive, send)
        return await app(scope, receive, send)

    return routed


async def _lifespan(scope: http.Scope, receive: http.Receive, send: http.Send) -> None:
    """Serve nothing before the graphs are loaded and the project's app has started; fail loudly when they cannot."""
    await receive()
    try:
        await in_thread(start)
        outage.watch(conninfo())
        await served.start()
    except Exception as error:
        await send({"type": "lifespan.startup.failed", "message": f"{type(error).__name__}: {error}"})
        raise
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await served.stop()
    await send({"type": "lifespan.shutdown.complete"})


async def _websockets(scope: http.Scope, receive: http.Receive, send: http.Send) -> None:
    """Ours, which know no prefix."""
    path = http.local_path(scope)
    ours = console.websockets if path.startswith(console.PREFIX) else websockets
    await in_context(ours)({**scope, "path": path}, receive, send)


api: http.ASGIApp = authenticated(in_context(limited(django_application)))
api = http.head_as_get(_with_static(api))
api = http.drop_trailing_slash(api, kept=(*settings.PAGES_PREFIXES, settings.STATIC_PATH, "/mcp/", "/a2a/"))
core = ProtocolTypeRouter({"http": api, "websocket": _websockets})
served = CustomApp(core, partial(authenticated, guarded=False), open_own_store)
_mounted = http.mounted(http.limit_body(served, settings.HTTP_MAX_REQUEST_BODY_BYTES), settings.MOUNT_PREFIX, AT_ROOT)
application = ProtocolTypeRouter(
    {
        "lifespan": _lifespan,
        "http": access.observed(
            http.cors(
                _mounted,
                settings.CORS_ALLOW_ORIGINS,
                settings.CORS_CONFIG_OPTIONS,
                private_network=settings.ALLOW_PRIVATE_NETWORK,
            )
        ),
        "websocket": access.observed(_mounted),
    }
)
