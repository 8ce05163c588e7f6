"""`manage.py prepare`: brings the database and the static files up to this version. Safe to run again at any time."""

import hashlib
import os
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandParser

from config import reachable
from config.up import ADMIN_CREATED


class Command(BaseCommand):
    """Migrations, static files, and on an empty user table the login `admin`."""

    help = "Migrate the database, collect static files, create the first login."
    requires_system_checks = ["timing"]

    def add_arguments(self, parser: CommandParser) -> None:
        """What more to make."""
        parser.add_argument("--first-key", action="store_true", help="make an API key if there is none, and print it")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do all three. Raises ConfigurationError when PostgreSQL does not answer."""
        reachable.check_postgres(settings.DATABASE_URI)
        call_command("migrate", verbosity=0, interactive=False)
        collect_static()
        if create_admin(os.environ.get("DJANGO_SUPERUSER_PASSWORD", "")):
            self.stdout.write(ADMIN_CREATED)
        if options["first_key"]:
            call_command("apikey", "create", "first key", "--unless-any", stdout=self.stdout, stderr=self.stderr)


def collect_static() -> None:
    """Collect static files unless those collected are of these very requirements and our own files."""
    stamp = Path(settings.STATIC_ROOT) / ".stamp"
    mark = _static_mark()
    if stamp.exists() and stamp.read_text() == mark:
        return
    call_command("collectstatic", verbosity=0, interactive=False)
    stamp.write_text(mark)


def create_admin(password: str) -> bool:
    """Create the superuser `admin` if there is no user at all and a password is given; whether it did."""
    users = get_user_model().objects
    if not password or users.exists():
        return False
    users.create_superuser("admin", password=password)
    return True


def _static_mark() -> str:
    digest = hashlib.sha256()
    for name in ("requirements.txt", "constraints.txt"):
        digest.update((settings.BASE_DIR / name).read_bytes())
    for folder in settings.STATICFILES_DIRS:
        for path in sorted(Path(folder).rglob("*")):
            digest.update(f"{path} {path.stat().st_mtime_ns}\n".encode())
    return digest.hexdigest()
