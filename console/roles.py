"""Who may do what in the console: four roles, each with all that the one below may. Kept as groups of Django's users.

A role gives Django's own permissions too (`RoleBackend`), so that the admin's pages of rows obey it.
"""

from collections.abc import Callable
from enum import IntEnum
from functools import wraps
from typing import Any, TypeVar

from django.contrib.auth.backends import BaseBackend
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase

View = TypeVar("View", bound=Callable[..., HttpResponseBase])
OURS = ("assistants", "console", "crons", "runs", "store", "threads", "webhooks", "django_celery_beat")
# What only an admin sees of them.
WITHHELD = frozenset({"accounts.view_apikey", "accounts.view_tenant"})
# What an operator may do beside looking: what the API's verbs for it are, but nothing that cannot be taken back, nor
# anything that sends data elsewhere.
OPERATING = frozenset(
    {"runs.change_run", "crons.add_cron", "crons.change_cron", "webhooks.change_webhookdelivery"}
    | {
        "accounts.view_auditentry",
        "assistants.change_assistant",
        "threads.change_thread",
        "django_celery_beat.change_periodictask",
    }
)


class Role(IntEnum):
    """What somebody is here; more includes less."""

    NONE = 0
    VIEWER = 1  # looks
    RESPONDER = 2  # answers interrupts
    OPERATOR = 3  # cancels, retries, pauses, starts
    ADMIN = 4  # keys, users, settings, deletions

    def __str__(self) -> str:
        return self.name.lower()


ROLES = (Role.VIEWER, Role.RESPONDER, Role.OPERATOR, Role.ADMIN)
_BY_NAME = {str(role): role for role in ROLES}


def role_of(user: Any) -> Role:
    """The highest of a person's roles: one query, kept on the object. A superuser is an admin."""
    if not (user.is_active and user.is_staff):
        return Role.NONE
    if user.is_superuser:
        return Role.ADMIN
    known: Role | None = getattr(user, "_weft_role", None)
    if known is None:
        names = user.groups.filter(name__in=_BY_NAME).values_list("name", flat=True)
        known = user._weft_role = max((_BY_NAME[name] for name in names), default=Role.NONE)
    return known


def needs(least: str) -> Callable[[View], View]:
    """Mark a view as one for people with the role or a higher one.

    Strangers are sent to the login, others get 403. Raises KeyError for a name that is no role.
    """
    role = _BY_NAME[least]

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if not (request.user.is_authenticated and request.user.is_staff):
                return redirect_to_login(request.get_full_path())
            if role_of(request.user) < role:
                raise PermissionDenied(f"This needs the role {role}.")
            return view(request, *args, **kwargs)

        guarded.needs = role  # type: ignore[attr-defined]
        return guarded  # type: ignore[return-value]

    return decorate


class RoleBackend(BaseBackend):
    """Gives a role's permissions. Signs nobody in."""

    def has_perm(self, user_obj: Any, perm: str, obj: Any = None) -> bool:
        """Whether the person's role includes one of Django's permissions, `app.verb_model`."""
        return obj is None and _includes(role_of(user_obj), perm)

    def has_module_perms(self, user_obj: Any, app_label: str) -> bool:
        """Whether the person may see anything of an app."""
        role = role_of(user_obj)
        return role == Role.ADMIN or (role >= Role.VIEWER and app_label in OURS)


def _includes(role: Role, permission: str) -> bool:
    if role == Role.ADMIN:
        return True
    app, _, verb = permission.partition(".")
    looks = role >= Role.VIEWER and app in OURS and verb.startswith("view_") and permission not in WITHHELD
    return looks or (role >= Role.OPERATOR and permission in OPERATING)
