"""`manage.py worker`: one process executing runs. Needs PostgreSQL and Redis at the addresses given, starts neither."""

import os
import socket
import warnings
from typing import Any

from celery.exceptions import CPendingDeprecationWarning, SecurityWarning
from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from config import reachable
from config.celery import app
from config.environment import ConfigurationError


class Command(BaseCommand):
    """Execute runs until SIGTERM; then finish or hand back what is running."""

    help = "Execute runs."
    requires_system_checks = ["timing"]

    def add_arguments(self, parser: CommandParser) -> None:
        """What to call this process."""
        parser.add_argument("--name", default="", help="name of this process (default: worker-<pid>)")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the Celery worker. Raises ConfigurationError when it may run nothing or PostgreSQL does not answer."""
        if not settings.N_JOBS_PER_WORKER:
            raise ConfigurationError("N_JOBS_PER_WORKER is 0, so a worker would execute nothing.")
        reachable.check_postgres(settings.DATABASE_URI)
        reachable.note_redis(settings.REDIS_URI)
        # Of root and of a default of its next version: nothing a person at the terminal can act on.
        for category in (SecurityWarning, CPendingDeprecationWarning):
            warnings.filterwarnings("ignore", category=category)
        node = options["name"] or f"worker-{os.getpid()}"
        app.start(
            [
                "--quiet",
                "worker",
                "--pool=threads",
                f"--concurrency={settings.N_JOBS_PER_WORKER}",
                "--queues=runs",
                f"--hostname={node}@{socket.gethostname()}",
                "--loglevel=WARNING",
                "--without-gossip",
                "--without-mingle",
                "--without-heartbeat",
            ]
        )
