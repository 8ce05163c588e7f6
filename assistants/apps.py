"""Django's entry for the assistants app."""

from django.apps import AppConfig


class AssistantsConfig(AppConfig):
    """What can run."""

    name = "assistants"
    verbose_name = "Agents"
