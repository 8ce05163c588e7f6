"""`manage.py up`: hands over to config.up, in the same process but without the memory of Django's apps."""

import os
import sys

from django.conf import settings
from django.core.management.base import BaseCommand


class Command(BaseCommand):
    """Start everything in this terminal. The options are config.up's."""

    help = "Start PostgreSQL, Redis, the server, workers and beat in this terminal."
    requires_system_checks = []

    def run_from_argv(self, argv: list[str]) -> None:
        """Replace this process. Does not return."""
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(_paths())}
        os.execve(sys.executable, [sys.executable, "-m", "config.up", *argv[2:]], environment)  # noqa: S606


def _paths() -> list[str]:
    return [str(settings.BASE_DIR), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
