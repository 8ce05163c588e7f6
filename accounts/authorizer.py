"""What a caller may do and see: one function, asked before a row is touched, and the condition rows are read under.

Source: contract/platform.md 6.4 and 6.5; docs/security.md.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self, TypeVar

from django.db import models
from django.db.models import Q

from accounts.callers import Caller
from accounts.custom import custom_auth, decide
from accounts.filters import condition
from accounts.refusals import Forbidden

logger = logging.getLogger(__name__)
M = TypeVar("M", bound=models.Model)
# Every pair a handler may be registered for.
CRUD = ("create", "read", "update", "delete", "search")
ACTIONS = {
    "assistants": CRUD,
    "threads": (*CRUD, "create_run"),
    "crons": CRUD,
    "store": ("put", "get", "search", "delete", "list_namespaces"),
    "webhooks": CRUD,
}


@dataclass(frozen=True)
class Scope:
    """Which rows a caller may see: those of one tenant, None being all, whose metadata passes a handler's filter."""

    tenant: str | None = None
    filter: Mapping[str, Any] | None = None

    def condition(self, via: str = "") -> Q:
        """As a condition on rows that reach tenant and metadata by the prefix `via` ("thread__").

        Raises MalformedFilter, and only here: creating something evaluates no filter.
        """
        found = Q() if self.tenant is None else Q(**{f"{via}tenant": self.tenant})
        return found & condition(self.filter, f"{via}metadata") if self.filter else found


EVERYTHING = Scope()


class ScopedQuerySet(models.QuerySet[M]):
    """Queries over rows that belong to somebody."""

    # How they reach the metadata that filters speak of.
    scoped_via: ClassVar[str] = ""

    def within(self, scope: Scope) -> Self:
        """Those the scope shows; all others are as good as absent. Raises MalformedFilter."""
        return self if scope == EVERYTHING else self.filter(scope.condition(self.scoped_via))


def authorize(caller: Caller, resource: str, action: str, value: dict[str, Any] | None = None) -> Scope:
    """Ask whether the caller may do this, and which rows it is about. Synchronous: call it from a thread.

    A handler may change `value` in place; use it, not what it was made from. Raises Forbidden, Refused, ServerFailed.
    """
    caller.asked.add((resource, action))
    if caller.unbound:
        return EVERYTHING
    require_scope(caller, resource, action)
    custom = custom_auth()
    if custom is None:
        return Scope(caller.tenant)
    if resource == "webhooks" and custom.has_handlers and custom.handler_of(resource, action) is None:
        # Theirs would hear of everybody's runs; unlike the protocol's resources, this one must be opened on purpose.
        raise Forbidden("No auth handler covers webhooks.")
    return Scope(caller.tenant, decide(custom, caller, resource, action, {} if value is None else value))


def require_scope(caller: Caller, resource: str, action: str) -> None:
    """Raises Forbidden when the caller's API key has not been given the scope."""
    if caller.scopes is None or caller.scopes & {"*", f"{resource}:*", f"{resource}:{action}"}:
        return
    raise Forbidden(f"The API key lacks the scope {resource}:{action}.")


def touches_nothing(caller: Caller) -> None:
    """Say that a request concerns no resource at all, so that nobody has to be asked."""
    caller.asked.add(("", ""))


def warn_of_uncovered() -> None:
    """Log which pairs no handler decides about, once there is any: those are open to everybody who authenticated."""
    custom = custom_auth()
    if custom is None or not custom.has_handlers:
        return
    pairs = [(resource, action) for resource, actions in ACTIONS.items() for action in actions]
    open_pairs = [f"{resource}.{action}" for resource, action in pairs if custom.handler_of(resource, action) is None]
    if open_pairs:
        logger.warning("No auth handler covers %s: whoever authenticated may do that.", ", ".join(open_pairs))
