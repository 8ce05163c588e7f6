"""`manage.py beat`: the clock that sends ticks. Any number may run: what a tick does is claimed in the database."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from config import reachable
from config.celery import app

LONGEST_SLEEP_SECONDS = 5


class Command(BaseCommand):
    """Send ticks until SIGTERM."""

    help = "Send the ticks that wake workers for what is due."
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        """Run Celery's beat. Raises ConfigurationError when a server does not answer."""
        reachable.check_postgres(settings.DATABASE_URI)
        reachable.check_redis(settings.REDIS_URI)
        app.start(["--quiet", "beat", "--loglevel=WARNING", f"--max-interval={LONGEST_SLEEP_SECONDS}"])
