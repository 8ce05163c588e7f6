"""/mcp."""

from django.urls import path

from interop.mcp import mcp

urlpatterns = [
    path("mcp", mcp),
    path("mcp/", mcp),
]
