"""Who the key of a request is. Owns what this process knows of keys, each for a few seconds; never makes or ends one.

A key is looked up by the SHA-256 of its text, so that neither the time of an answer nor its cost says how much of a
guess is right. What is asked for while a look-up is under way is looked up together next: however many wrong keys
come, there is one query at a time.
"""

import asyncio
import hmac
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache
from typing import TypeVar
from uuid import UUID

from django.conf import settings
from django.db import InterfaceError, OperationalError

from accounts.callers import Caller, Rate, User
from accounts.issuing import FORM, digest_of
from accounts.models import ApiKey, KeyState
from accounts.refusals import Refused
from config.database import in_thread
from config.errors import UNAVAILABLE
from config.http import Scope

logger = logging.getLogger(__name__)
K = TypeVar("K")
V = TypeVar("V")
BEARER = "bearer "
MOST_KEYS = 10_000  # remembered, of good and of bad ones each
MOST_AT_ONCE = 500  # in a query
MOST_WAITING = 5_000
USE_NOTED_APART = timedelta(minutes=1)
USE_GATHERED_SECONDS = 1.0


class Unauthenticated(Refused):
    """The request has no key that is good."""

    def __init__(self, detail: str = "Invalid API key") -> None:
        super().__init__(401, detail, {"WWW-Authenticate": "Bearer"})


class TooManyLookups(Refused):
    """So many unknown keys wait to be looked up that this one is not."""

    def __init__(self) -> None:
        super().__init__(503, "Too many unknown API keys. Try again.", {"Retry-After": "1"})


@dataclass(frozen=True)
class VerifiedKey:
    """What a request may rely on: a key that was good a few seconds ago at most."""

    key_id: UUID
    caller: Caller
    ends_at: float  # seconds since 1970


def backend() -> Callable[[Scope], Awaitable[Caller]] | None:
    """The way to find out who is calling, when the settings ask for keys."""
    return caller_by_key if settings.WEFT_AUTH == "keys" else None


async def caller_by_key(scope: Scope) -> Caller:
    """Whose key comes with an HTTP request or a WebSocket's upgrade. Raises Refused."""
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    try:
        found = (await keyring().verify(digest_of(presented(headers)))).caller
    except UNAVAILABLE as error:
        logger.warning("An API key cannot be looked up: %s", error)
        raise Refused(503, "The database is not available. Try again.", {"Retry-After": "1"}) from None
    # What the authorizer was asked belongs to one request.
    return replace(found, asked=set())


def presented(headers: Mapping[str, str]) -> str:
    """The text of the key in `x-api-key`, or else in `Authorization: Bearer`; names of headers are in lower case.

    Raises Unauthenticated if it has not the form of one: then it is not worth a look-up.
    """
    plain, authorization = headers.get("x-api-key", ""), headers.get("authorization", "")
    bearer = authorization[len(BEARER) :] if authorization[: len(BEARER)].lower() == BEARER else ""
    if not plain and not bearer:
        raise Unauthenticated("Missing API key: send it as x-api-key, or as Authorization: Bearer")
    # An SDK may send another service's key along as x-api-key; then the other header counts.
    for text in (plain.strip(), bearer.strip()):
        if FORM.fullmatch(text):
            return text
    raise Unauthenticated


@cache
def keyring() -> "Keyring":
    """This process's; for the loop that serves requests alone."""
    return Keyring()


class Keyring:
    """Keys by digest, the least recently used forgotten first. Wrong ones never push good ones out."""

    def __init__(self) -> None:
        self._good: OrderedDict[str, tuple[float, VerifiedKey]] = OrderedDict()
        self._bad: OrderedDict[str, tuple[float, str]] = OrderedDict()
        self._wanted: dict[str, asyncio.Future[VerifiedKey | str]] = {}
        self._looking: asyncio.Task[None] | None = None
        self._noted: OrderedDict[UUID, float] = OrderedDict()
        self._used: set[UUID] = set()
        self._noting: asyncio.Task[None] | None = None

    async def verify(self, digest: str) -> VerifiedKey:
        """The good key of the digest. Raises Unauthenticated, TooManyLookups, and what a query raises."""
        found = self._remembered(digest)
        if found is None:
            found = await self._looked_up(digest)
        if isinstance(found, str):
            raise Unauthenticated(found)
        self._note_use(found.key_id)
        return found

    # --- what is known ------------------------------------------------------------------------------------------------

    def _remembered(self, digest: str) -> VerifiedKey | str | None:
        now = time.monotonic()
        if (good := self._good.get(digest)) and good[0] > now and good[1].ends_at > time.time():
            self._good.move_to_end(digest)
            return good[1]
        if (bad := self._bad.get(digest)) and bad[0] > now:
            return bad[1]
        return None

    def _remember(self, digest: str, found: VerifiedKey | str) -> None:
        until = time.monotonic() + settings.API_KEY_CACHE_SECONDS
        if isinstance(found, str):
            self._good.pop(digest, None)
            _put(self._bad, digest, (until, found))
        else:
            self._bad.pop(digest, None)
            _put(self._good, digest, (until, found))

    # --- what is not --------------------------------------------------------------------------------------------------

    async def _looked_up(self, digest: str) -> VerifiedKey | str:
        if digest not in self._wanted:
            if len(self._wanted) >= MOST_WAITING:
                raise TooManyLookups
            self._wanted[digest] = asyncio.get_running_loop().create_future()
        answer = self._wanted[digest]
        if self._looking is None:
            self._looking = asyncio.create_task(self._look())
        # A client that leaves takes nobody else's answer along.
        return await asyncio.shield(answer)

    async def _look(self) -> None:
        """Look up all that is wanted, a batch at a time."""
        try:
            while self._wanted:
                asked = {digest: self._wanted.pop(digest) for digest in list(self._wanted)[:MOST_AT_ONCE]}
                await self._look_for(asked)
        finally:
            self._looking = None

    async def _look_for(self, asked: dict[str, asyncio.Future[VerifiedKey | str]]) -> None:
        try:
            found = await in_thread(find, asked)
        except Exception as error:
            for answer in asked.values():
                answer.set_exception(error)
                answer.exception()  # whoever asked may have left; then nobody is to hear of it
            return
        for digest, answer in asked.items():
            result = found.get(digest, str(Unauthenticated().detail))
            self._remember(digest, result)
            answer.set_result(result)

    # --- when keys were used last

    def _note_use(self, key_id: UUID) -> None:
        """Once a minute a key; written a second later, together and by nobody's request."""
        now = time.monotonic()
        if now - self._noted.get(key_id, float("-inf")) < USE_NOTED_APART.total_seconds():
            return
        _put(self._noted, key_id, now)
        self._used.add(key_id)
        if self._noting is None:
            self._noting = asyncio.create_task(self._write_uses())

    async def _write_uses(self) -> None:
        try:
            while self._used:
                await asyncio.sleep(USE_GATHERED_SECONDS)
                used, self._used = list(self._used), set()
                await in_thread(ApiKey.objects.note_use, used, USE_NOTED_APART)
        except (OperationalError, InterfaceError) as error:
            logger.warning("When API keys were used last could not be written down: %s", error)
        finally:
            self._noting = None


def find(digests: Collection[str]) -> dict[str, VerifiedKey | str]:
    """The keys that have the digests: good ones, or why they are not."""
    rows = {row.digest: row for row in ApiKey.objects.select_related("tenant").filter(digest__in=list(digests))}
    return {asked: _verified(rows[asked]) for asked in digests if asked in rows and _is_same(rows[asked].digest, asked)}


def _is_same(kept: str, asked: str) -> bool:
    return hmac.compare_digest(kept, asked)


def _verified(key: ApiKey) -> VerifiedKey | str:
    if key.state == KeyState.REVOKED:
        return "This API key has been revoked"
    if key.state == KeyState.EXPIRED:
        return "This API key has expired"
    fields = {"identity": key.identity, "display_name": key.name, "permissions": key.scopes}
    caller = Caller(
        User(fields),
        tenant=key.tenant.slug if key.tenant else "",
        scopes=frozenset(key.scopes),
        rate=Rate.of(key.requests_per_second, key.burst),
    )
    return VerifiedKey(
        key_id=key.key_id,
        caller=caller,
        ends_at=key.ends_at.timestamp() if key.ends_at else float("inf"),
    )


def _put(kept: OrderedDict[K, V], key: K, value: V) -> None:
    kept[key] = value
    kept.move_to_end(key)
    if len(kept) > MOST_KEYS:
        kept.popitem(last=False)
