"""`manage.py beat`: the clock, which also does what is due. Any number may run: a tick claims in the database."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from config import reachable
from config.celery import app

LONGEST_SLEEP_SECONDS = 5


class Command(BaseCommand):
    """Tick until SIGTERM."""

    help = "Wake what is due: expired leases, crons, retries."
    requires_system_checks = ["timing"]

    def handle(self, *args: Any, **options: Any) -> None:
        """Run Celery's beat. Raises ConfigurationError when PostgreSQL does not answer."""
        reachable.check_postgres(settings.DATABASE_URI)
        reachable.note_redis(settings.REDIS_URI)
        app.start(["--quiet", "beat", "--loglevel=WARNING", f"--max-interval={LONGEST_SLEEP_SECONDS}"])
