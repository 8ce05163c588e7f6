"""`manage.py doctor`: looks for what may be wrong with an installation, and says how it is cured."""

import asyncio
from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from config import reachable
from config.environment import ConfigurationError
from config.project import ProjectError
from console import configuration
from console.diagnosis import Finding, examine
from console.wayfinding import examine_way
from events import connection


class Command(BaseCommand):
    """Print what was looked at; exit status 1 when something is wrong."""

    help = "Look for what may be wrong: PostgreSQL, Redis, workers, beat, and the way through proxies."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        """The address clients use, and how much of the configuration is shown."""
        parser.add_argument("--url", help="the public address, to look at what lies before the server")
        parser.add_argument("--header", action="append", default=[], help="sent to that address: 'name: value'")
        parser.add_argument("--defaults", action="store_true", help="also show the settings nobody gave")

    def handle(self, *args: Any, **options: Any) -> None:
        """Examine and print. Raises CommandError when something is wrong, ConfigurationError when nothing answers."""
        self._show_configuration(options["defaults"])
        reachable.check_postgres(settings.DATABASE_URI)
        reachable.check_redis(settings.REDIS_URI)
        wrong = self._show(examine())
        if options["url"]:
            headers = dict(_header(text) for text in options["header"])
            wrong += self._show(asyncio.run(_findings(options["url"], headers)))
        if wrong:
            raise CommandError(f"{wrong} {'thing is' if wrong == 1 else 'things are'} wrong.")
        self.stdout.write("Nothing is wrong.")

    def _show_configuration(self, defaults: bool) -> None:
        try:
            shown, remarks = [*configuration.effective(defaults=defaults)], configuration.remarks()
        except ProjectError as error:
            raise ConfigurationError(str(error)) from None
        self.stdout.write("Configuration:")
        for setting in shown:
            self.stdout.write(f"       {setting.name} = {setting.value}   ({setting.source})")
        for remark in remarks:
            self.stdout.write(f"note   {remark}")

    def _show(self, findings: Iterable[Finding]) -> int:
        """Print them; how many are serious."""
        wrong = 0
        for finding in findings:
            mark = "ok" if not finding.cure else "WRONG" if finding.serious else "note"
            self.stdout.write(f"{mark:5}  {finding.what}: {finding.seen}")
            if finding.cure:
                self.stdout.write(f"       {finding.cure}")
            wrong += mark == "WRONG"
        return wrong


async def _findings(url: str, headers: dict[str, str]) -> list[Finding]:
    try:
        return [finding async for finding in examine_way(url, headers)]
    finally:
        await connection.close()


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon:
        raise CommandError(f"--header wants 'name: value', not {text!r}.")
    return name.strip(), value.strip()
