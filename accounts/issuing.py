"""The verbs of API keys: create, rotate, revoke. Each writes an audit entry; none keeps or logs a key's text.

A key is `weft_`, 8 characters that name it, `_`, and 43 that are secret (256 bits). Only its SHA-256 is kept: a secret
that nobody can guess needs no slower hash.
"""

import hashlib
import re
import secrets
import string
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from uuid_utils.compat import uuid7

from accounts.audit import Actor, record
from accounts.authorizer import ACTIONS
from accounts.models import ApiKey, KeyState, Tenant
from config.errors import Conflict, Invalid

ALPHABET = string.ascii_letters + string.digits
NAME_LENGTH, SECRET_LENGTH = 8, 43
FORM = re.compile(rf"weft_[0-9A-Za-z]{{{NAME_LENGTH}}}_[0-9A-Za-z]{{{SECRET_LENGTH}}}", re.ASCII)
EVERYTHING = "*"
SCOPES = {EVERYTHING, *(f"{resource}:{action}" for resource in ACTIONS for action in (*ACTIONS[resource], "*"))}


@dataclass(frozen=True)
class Issued:
    """A new key and its text, which is known to nobody once this is gone."""

    key: ApiKey
    text: str

    def __repr__(self) -> str:
        """Without the secret."""
        return f"Issued({self.key.prefix})"


class NotRotatable(Conflict):
    """Only a key that is active, and has no successor, can be rotated."""


def create_key(
    by: Actor,
    name: str,
    *,
    tenant: Tenant | None = None,
    scopes: Iterable[str] = (EVERYTHING,),
    expires_at: datetime | None = None,
    **limits: Any,
) -> Issued:
    """Make a key. `limits` are `requests_per_second` and `burst`. Raises Invalid for a bad name, scope or time."""
    scopes = check_scopes(scopes)
    if not name.strip():
        raise Invalid("A key needs a name.")
    if expires_at and expires_at <= timezone.now():
        raise Invalid("The key would have expired already.")
    fields = {"name": name.strip(), "tenant": tenant, "scopes": scopes, "expires_at": expires_at, **limits}
    with transaction.atomic():
        issued = _issue(by, fields)
        record(by, "create", issued.key, after=_shown(issued.key))
    return issued


def rotate_key(by: Actor, key: ApiKey, overlap: timedelta | None = None) -> Issued:
    """A successor with a new text; the old one is good for `overlap` more (default: API_KEY_OVERLAP_HOURS).

    Raises NotRotatable.
    """
    overlap = timedelta(hours=settings.API_KEY_OVERLAP_HOURS) if overlap is None else overlap
    with transaction.atomic():
        old = ApiKey.objects.select_for_update().get(pk=key.pk)
        if old.state != KeyState.ACTIVE:
            raise NotRotatable(f"{old} is {old.state}: only an active key can be rotated.")
        names = ("name", "tenant", "scopes", "expires_at", "identity", "requests_per_second", "burst")
        issued = _issue(by, {**{name: getattr(old, name) for name in names}, "rotated_from": old})
        old.overlap_until = timezone.now() + overlap
        old.save(update_fields=["overlap_until"])
        record(by, "rotate", old, after={"successor": issued.key.prefix, "good_until": old.overlap_until.isoformat()})
        record(by, "create", issued.key, after=_shown(issued.key))
    return issued


def revoke_key(by: Actor, key: ApiKey, reason: str = "") -> bool:
    """End a key for good; every process knows after API_KEY_CACHE_SECONDS. False when it is revoked already."""
    with transaction.atomic():
        found = ApiKey.objects.filter(pk=key.pk, revoked_at=None)
        if not found.update(revoked_at=timezone.now()):
            return False
        record(by, "revoke", key, before={"name": key.name, "prefix": key.prefix}, reason=reason)
    return True


def check_scopes(scopes: Iterable[str]) -> list[str]:
    """The scopes in order, each once. Raises Invalid for none at all and for what is no scope."""
    found = sorted({scope.strip() for scope in scopes if scope.strip()})
    if not found:
        raise Invalid("A key needs at least one scope: resource:action, resource:* or *.")
    for scope in found:
        if scope not in SCOPES:
            resource = scope.partition(":")[0]
            known = ", ".join(ACTIONS.get(resource, ACTIONS))
            raise Invalid(f"{scope!r} is no scope: {resource if resource in ACTIONS else 'resources'} has {known}.")
    return found


def digest_of(text: str) -> str:
    """What is kept of a key's text."""
    return hashlib.sha256(text.encode()).hexdigest()


def _issue(by: Actor, fields: dict[str, Any]) -> Issued:
    prefix = f"weft_{_random(NAME_LENGTH)}"
    text = f"{prefix}_{_random(SECRET_LENGTH)}"
    key_id = uuid7()
    given = {"identity": key_id, **fields}
    key = ApiKey.objects.create(key_id=key_id, prefix=prefix, digest=digest_of(text), created_by=by.name, **given)
    return Issued(key, text)


def _random(length: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


def _shown(key: ApiKey) -> dict[str, Any]:
    """What the audit log says of a new key."""
    return {
        "name": key.name,
        "prefix": key.prefix,
        "tenant": key.tenant.slug if key.tenant else None,
        "scopes": key.scopes,
        "expires_at": key.expires_at.isoformat() if key.expires_at else None,
    }
