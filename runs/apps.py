"""Django's entry for the runs app."""

from django.apps import AppConfig


class RunsConfig(AppConfig):
    """One execution of an assistant on a thread."""

    name = "runs"
    verbose_name = "Agents"

    def ready(self) -> None:
        """An assistant's runs are cancelled when it is deleted."""
        from assistants.deletion import before_delete
        from runs.dispatch import cancel_for_assistant

        before_delete.append(cancel_for_assistant)
