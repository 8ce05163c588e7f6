"""`manage.py apikey`: makes, lists, rotates and revokes API keys. The text of a new key is all it writes to stdout."""

from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from rest_framework.exceptions import APIException

from accounts import issuing
from accounts.audit import Actor
from accounts.models import ActorKind, ApiKey, KeyState, Tenant

BY = Actor("manage.py apikey", ActorKind.SYSTEM)
PREFIX_LENGTH = len("weft_") + issuing.NAME_LENGTH


class Command(BaseCommand):
    """The verbs of API keys."""

    help = "Create, list, rotate and revoke API keys."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        """A subcommand for each verb."""
        verbs = parser.add_subparsers(dest="verb", required=True)
        create = verbs.add_parser("create", help="make a key and print it, this once")
        create.add_argument("name", help="who or what will use it")
        create.add_argument("--tenant", default="", help="whose limits apply; an unknown one is added without limits")
        create.add_argument("--scope", action="append", help="resource:action, resource:* or * (default); repeatable")
        create.add_argument("--days", type=float, help="how long it is good (default: for ever)")
        create.add_argument("--requests-per-second", type=float, help="a limit of its own, beside the tenant's")
        create.add_argument("--burst", type=int, help="requests it may make at once")
        create.add_argument("--unless-any", action="store_true", help="make none when there is an active one")
        verbs.add_parser("list", help="show what is known of all keys")
        rotate = verbs.add_parser("rotate", help="make a successor and print it, this once")
        rotate.add_argument("prefix", help="how the key begins: weft_ and 8 characters")
        rotate.add_argument("--overlap-hours", type=float, help="how long the old one is good (API_KEY_OVERLAP_HOURS)")
        revoke = verbs.add_parser("revoke", help="end a key now")
        revoke.add_argument("prefix", help="how the key begins: weft_ and 8 characters")
        revoke.add_argument("--reason", default="", help="for the audit log")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it. Raises CommandError with the reason when it cannot be done."""
        try:
            getattr(self, f"_{options['verb']}")(options)
        except APIException as refused:
            raise CommandError(str(refused.detail)) from None

    def _create(self, options: dict[str, Any]) -> None:
        if options["unless_any"] and any(key.state == KeyState.ACTIVE for key in ApiKey.objects.all()):
            return
        days = options["days"]
        self._print(
            issuing.create_key(
                BY,
                options["name"],
                tenant=self._tenant(options["tenant"]),
                scopes=options["scope"] or (issuing.EVERYTHING,),
                expires_at=timezone.now() + timedelta(days=days) if days is not None else None,
                requests_per_second=options["requests_per_second"],
                burst=options["burst"],
            )
        )

    def _list(self, options: dict[str, Any]) -> None:
        self.stdout.write(f"{'prefix':14} {'state':8} {'tenant':12} {'last used':17} {'ends':17} scopes  name")
        for key in ApiKey.objects.select_related("tenant"):
            used, ends = (f"{time:%Y-%m-%d %H:%M}Z" if time else "never" for time in (key.last_used_at, key.ends_at))
            tenant = key.tenant.slug if key.tenant else "-"
            self.stdout.write(
                f"{key.prefix:14} {key.state:8} {tenant:12} {used:17} {ends:17} {','.join(key.scopes)}  {key.name}"
            )

    def _rotate(self, options: dict[str, Any]) -> None:
        hours = options["overlap_hours"]
        self._print(issuing.rotate_key(BY, _key(options), None if hours is None else timedelta(hours=hours)))

    def _revoke(self, options: dict[str, Any]) -> None:
        key = _key(options)
        if not issuing.revoke_key(BY, key, options["reason"]):
            raise CommandError(f"{key} has been revoked already.")
        self.stderr.write(f"Revoked {key}.")

    def _tenant(self, slug: str) -> Tenant | None:
        if not slug:
            return None
        tenant, is_new = Tenant.objects.get_or_create(slug=slug)
        if is_new:
            self.stderr.write(f"Added the tenant {slug}, without limits.")
        return tenant

    def _print(self, issued: issuing.Issued) -> None:
        self.stderr.write(f"Made {issued.key}. This is the only time it is shown:")
        self.stdout.write(issued.text)


def _key(options: dict[str, Any]) -> ApiKey:
    """By its prefix; somebody may paste the whole key. Raises CommandError."""
    key = ApiKey.objects.select_related("tenant").filter(prefix=options["prefix"][:PREFIX_LENGTH]).first()
    if key is None:
        raise CommandError(f"No key begins with {options['prefix'][:PREFIX_LENGTH]}: see `manage.py apikey list`.")
    return key
