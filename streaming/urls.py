"""The event-streaming protocol over HTTP. Without FF_V2_EVENT_STREAMING there is nothing here."""

from django.conf import settings
from django.urls import path

from streaming import live

urlpatterns = (
    [
        path("threads/<str:thread_id>/commands", live.command),
        path("threads/<str:thread_id>/stream/events", live.events),
    ]
    if settings.EVENT_STREAMING
    else []
)
