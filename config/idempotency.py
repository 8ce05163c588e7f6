"""`Idempotency-Key`: a request that creates is carried out once, however often it is sent. Ours; docs/extensions.md.

The answer is written in the transaction that creates, so that a crash leaves both or neither.
"""

import hashlib
from collections.abc import Callable
from typing import Any

from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse
from rest_framework.response import Response

from config import dialect
from config.encryption import seal_bytes, unseal_bytes
from config.errors import Conflict, Invalid
from config.models import IdempotentAnswer

LONGEST_KEY = 255
KEPT_HOURS = 24
REPLAYED = "Idempotent-Replay"
# Whose keys these are, in a request's ASGI scope: two callers may choose the same key.
OWNER_KEY = "weft.owner"
Document = dict[str, Any]


class KeyInUse(Conflict):
    """The first request with the key has not been answered yet."""

    default_detail = "A request with this Idempotency-Key is still in flight."


class KeyReused(Invalid):
    """The key came with another request before."""

    default_detail = "This Idempotency-Key was used for another request."


def once(request: HttpRequest, answer: Callable[[], HttpResponse]) -> HttpResponse:
    """`answer()`, or what it gave when the same request came with the same key before; errors are not kept.

    Raises KeyInUse, KeyReused and Invalid for a key that is too long.
    """
    key = _key_of(request)
    if not key:
        return answer()
    with transaction.atomic():
        kept = _kept(key, request)
        if kept:
            headers = {**kept.headers, REPLAYED: "true"}
            return HttpResponse(bytes(kept.body), status=kept.status, headers=headers)
        response = answer()
        if response.status_code >= 300:
            transaction.set_rollback(True)
        else:
            if isinstance(response, Response):
                response.render()
            _keep(key, request, response.content, response.status_code, dict(response.items()))
    return response


def once_created(request: HttpRequest, create: Callable[[], Document]) -> tuple[Document, bool]:
    """`create()`, or what it gave before and True, for requests whose answer is a stream. Raises as `once` does."""
    key = _key_of(request)
    if not key:
        return create(), False
    with transaction.atomic():
        kept = _kept(key, request)
        if kept:
            return dialect.loads(bytes(kept.body)), True
        created = create()
        _keep(key, request, dialect.dumps(created))
    return created, False


def fingerprint(request: HttpRequest) -> str:
    """What makes two requests the same: method, path with query, body."""
    line = f"{request.method} {request.get_full_path()}\n".encode()
    return hashlib.sha256(line + request.body).hexdigest()


def forget_old(most: int) -> int:
    """Delete up to `most` answers older than KEPT_HOURS; returns how many."""
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM config_idempotentanswer WHERE key IN (SELECT key FROM config_idempotentanswer"
            " WHERE created_at < now() - make_interval(hours => %s) LIMIT %s)",
            [KEPT_HOURS, most],
        )
        return int(cursor.rowcount)


def _key_of(request: HttpRequest) -> str | None:
    key = request.headers.get("Idempotency-Key")
    if key and len(key) > LONGEST_KEY:
        raise Invalid(f"Idempotency-Key is longer than {LONGEST_KEY} characters")
    owner = request.scope.get(OWNER_KEY) if key else ""  # type: ignore[attr-defined]
    return f"{hashlib.sha256(owner.encode()).hexdigest()}:{key}" if owner else key


def _kept(key: str, request: HttpRequest) -> IdempotentAnswer | None:
    """The first answer. The key is locked until the transaction ends. Raises KeyInUse and KeyReused."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))", [f"idempotency:{key}"])
        if not cursor.fetchone()[0]:
            raise KeyInUse
    kept = IdempotentAnswer.objects.filter(key=key).first()
    if kept and kept.fingerprint != fingerprint(request):
        raise KeyReused
    if kept:
        kept.body = unseal_bytes(bytes(kept.body))
    return kept


def _keep(
    key: str, request: HttpRequest, body: bytes, status: int = 200, headers: dict[str, str] | None = None
) -> None:
    IdempotentAnswer.objects.create(
        key=key, fingerprint=fingerprint(request), status=status, headers=headers or {}, body=seal_bytes(body)
    )
