"""The table of contents of the server."""

from django.contrib import admin
from django.urls import include, path
from drf_spectacular.renderers import OpenApiJsonRenderer
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

from config import system

handler400 = "config.errors.bad_request"
handler403 = "console.pages.forbidden"
handler404 = "config.errors.page_not_found"
handler500 = "config.errors.server_error"

urlpatterns = [
    path("", system.Ok.as_view(schema=None)),
    path("ok", system.Ok.as_view()),
    path("info", system.Info.as_view()),
    path("openapi.json", SpectacularAPIView.as_view(renderer_classes=[OpenApiJsonRenderer]), name="schema"),
    path("docs", SpectacularSwaggerView.as_view(url_name="schema")),
    path("admin/", include("console.urls")),
    path("admin/", admin.site.urls),
    path("", include("assistants.urls")),
    path("", include("threads.urls")),
    path("", include("store.urls")),
    path("", include("crons.urls")),
    path("", include("runs.urls")),
    path("", include("interop.urls")),
    path("", include("webhooks.urls")),
    path("", include("streaming.urls")),
]
