"""Django's entry for the runs app."""

from django.apps import AppConfig


class RunsConfig(AppConfig):
    """One execution of an assistant on a thread."""

    name = "runs"
    verbose_name = "Agents"

    def ready(self) -> None:
        """An assistant's runs are cancelled when it is deleted; settings that cannot work together are refused."""
        from django.core.checks import register

        from assistants.deletion import before_delete
        from runs.checks import check_times
        from runs.dispatch import cancel_for_assistant

        register(check_times, "timing")
        before_delete.append(cancel_for_assistant)
