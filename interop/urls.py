"""/mcp, /a2a and the agent cards."""

from django.urls import path

from interop.a2a import a2a, card
from interop.mcp import mcp

urlpatterns = [
    path("mcp", mcp),
    path("mcp/", mcp),
    path("a2a/<str:assistant_id>", a2a),
    path("a2a/<str:assistant_id>/", a2a),
    path("a2a/<str:assistant_id>/.well-known/agent-card.json", card),
    path("a2a/<str:assistant_id>/.well-known/agent.json", card),
    path(".well-known/agent-card.json", card),
]
