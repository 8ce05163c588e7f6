"""Django's entry for the streaming app."""

from django.apps import AppConfig


class StreamingConfig(AppConfig):
    """The event-streaming protocol."""

    name = "streaming"
