"""Django's entry for the webhooks app."""

from django.apps import AppConfig


class WebhooksConfig(AppConfig):
    """Telling others."""

    name = "webhooks"
    verbose_name = "Webhooks"

    def ready(self) -> None:
        """Whoever is to hear of a run's end gets a delivery."""
        from runs.endings import Listener, listeners
        from webhooks.outbox import is_concerned, write_deliveries

        listeners.append(Listener(is_concerned, write_deliveries))
