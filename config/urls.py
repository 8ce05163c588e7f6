"""The table of contents of the server."""

from typing import Any

from django.conf import settings
from django.contrib import admin
from django.urls import include, path
from drf_spectacular.renderers import OpenApiJsonRenderer
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

from config import system
from interop.urls import urlpatterns as interop_routes
from runs.urls import urlpatterns as run_routes

handler400 = "config.errors.bad_request"
handler403 = "console.pages.forbidden"
handler404 = "config.errors.page_not_found"
handler500 = "config.errors.server_error"

# What each switch takes away of routes that stand beside others in their module, by how they start.
STARTS = {"mcp": ("mcp",), "a2a": ("a2a", ".well-known/"), "meta": ("metrics",), "runs": ("runs", "threads/")}
_meta = [
    path("", system.Ok.as_view(schema=None)),
    path("ok", system.Ok.as_view()),
    path("info", system.Info.as_view()),
    path("openapi.json", SpectacularAPIView.as_view(renderer_classes=[OpenApiJsonRenderer]), name="schema"),
    path("docs", SpectacularSwaggerView.as_view(url_name="schema"), name="docs"),
]


def _unless(switch: str, *modules: str) -> list[Any]:
    """The modules' routes, unless langgraph.json has switched them off (`http.disable_...`)."""
    return [] if switch in settings.DISABLED else [path("", include(module)) for module in modules]


def _kept(routes: list[Any]) -> list[Any]:
    off = tuple(start for switch in settings.DISABLED for start in STARTS.get(switch, ()))
    return [route for route in routes if not str(route.pattern).startswith(off)]


urlpatterns = [
    *([path("ok", system.Alive.as_view(schema=None))] if "meta" in settings.DISABLED else _meta),
    path("admin/", include("console.urls")),
    path("admin/", admin.site.urls),
    *_unless("assistants", "assistants.urls"),
    *_unless("threads", "threads.urls"),
    *_unless("store", "store.urls"),
    *_unless("runs", "crons.urls"),
    *_kept(run_routes),
    *_kept(interop_routes),
    *_unless("webhooks", "webhooks.urls"),
    *_unless("runs", "streaming.urls"),
]
