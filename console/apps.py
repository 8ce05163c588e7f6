"""Django's entry for the console app."""

from django.apps import AppConfig


class ConsoleConfig(AppConfig):
    """Pages for people."""

    name = "console"
