"""Writing down what was done. Every app's verbs and admin actions call `record`; nobody else writes these rows."""

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from django.db.models import Model
from django.http import HttpRequest

from accounts.models import ActorKind, AuditEntry


@dataclass(frozen=True)
class Actor:
    """Who did it, and from where."""

    name: str
    kind: ActorKind
    ip: str | None = None


SYSTEM = Actor("system", ActorKind.SYSTEM)


def record(
    by: Actor | HttpRequest,
    action: str,
    what: Model | tuple[str, object],
    *,
    before: Any = None,
    after: Any = None,
    reason: str = "",
) -> AuditEntry:
    """Write an entry in the caller's transaction: it is kept if what it tells of is.

    `by` is an actor or the request of a page whose person did it; `what` a row, or type ("runs.run") and id of one
    that has none. `before` and `after` are JSON values of what changed, and hold no secret: the caller sees to it.
    """
    actor = by if isinstance(by, Actor) else person(by)
    object_type, object_id = (what._meta.label_lower, what.pk) if isinstance(what, Model) else what
    return AuditEntry.objects.create(
        actor=actor.name,
        actor_kind=actor.kind,
        action=action,
        object_type=object_type,
        object_id=str(object_id),
        before=before,
        after=after,
        ip=actor.ip,
        reason=reason,
    )


def person(request: HttpRequest) -> Actor:
    """Who is signed in to the admin."""
    return Actor(request.user.get_username(), ActorKind.PERSON, address(request))


def address(request: HttpRequest) -> str | None:
    """The client's address as uvicorn tells it; None where it is none, as behind a Unix socket."""
    try:
        return str(ip_address(request.META.get("REMOTE_ADDR", "")))
    except ValueError:
        return None
