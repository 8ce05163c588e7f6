"""Django's entry for the console app."""

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class ConsoleConfig(AppConfig):
    """Pages for people."""

    name = "console"

    def ready(self) -> None:
        """The groups that are roles are there after every migrate and flush, as Django's own permissions are."""
        post_migrate.connect(make_role_groups, sender=self)


def make_role_groups(**_: Any) -> None:
    """Make the groups that are missing; console/migrations/0001_roles.py made them first."""
    from django.contrib.auth.models import Group

    from console.roles import ROLES

    for role in ROLES:
        Group.objects.get_or_create(name=str(role))
