"""Django's entry for the crons app."""

from django.apps import AppConfig


class CronsConfig(AppConfig):
    """Runs on a timetable."""

    name = "crons"
    verbose_name = "Agents"

    def ready(self) -> None:
        """A cron learns how its runs end."""
        from crons.firing import FIRED
        from runs.endings import listeners

        listeners.append(FIRED)
