"""Django's entry for the wiring itself."""

from django.apps import AppConfig
from django.core import signals
from django.db import close_old_connections, reset_queries


class WiringConfig(AppConfig):
    """Settings, URLs, ASGI, commands."""

    name = "config"

    def ready(self) -> None:
        """Whoever uses a connection gives it back (Endpoint, in_thread, GiveBackConnection).

        Django's own receivers do it for every request, each in a thread hop that an async view has no other use for.
        """
        signals.request_started.disconnect(reset_queries)
        signals.request_started.disconnect(close_old_connections)
        signals.request_finished.disconnect(close_old_connections)
