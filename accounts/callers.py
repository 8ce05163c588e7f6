"""Who is calling: the user, the tenant, the scopes of an API key. Decides nothing and reads no row."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import uuid4

from django.http import HttpRequest
from langgraph_sdk import Auth
from rest_framework.request import Request

from config import dialect
from config.headers import configurable_headers

# Where the caller is in an ASGI scope. Only our own layers put something there: a client's headers never do.
SCOPE_KEY = "weft.caller"
STUDIO_IDENTITY = "langgraph-studio-user"


class User(Mapping[str, Any]):
    """Whoever authenticated: fields by attribute or item. What JSON cannot carry became text on the way in.

    Source: contract/platform.md 6.3.
    """

    def __init__(self, fields: Mapping[str, Any]) -> None:
        identity = str(fields["identity"])
        defaults = {"is_authenticated": True, "display_name": identity, "permissions": []}
        self._fields: dict[str, Any] = dialect.plain({**defaults, **fields, "identity": identity})

    def __getitem__(self, name: str) -> Any:
        return self._fields[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self._fields:
            raise AttributeError(name)
        return self._fields[name]

    def __hash__(self) -> int:
        return hash(self.identity)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.identity!r})"

    @property
    def identity(self) -> str:
        """The name by which everything of theirs is known."""
        return str(self._fields["identity"])

    @property
    def is_authenticated(self) -> bool:
        """Whether they proved who they are."""
        return bool(self._fields["is_authenticated"])

    @property
    def display_name(self) -> str:
        """The name for people."""
        return str(self._fields["display_name"])

    @property
    def permissions(self) -> list[str]:
        """What authentication says they may do."""
        return list(self._fields["permissions"] or ())


class StudioUser(User, Auth.types.StudioUser):
    """A developer at LangGraph Studio: told apart by `isinstance` and, as a dict, by its kind."""

    def __init__(self, fields: Mapping[str, Any] | None = None) -> None:
        given = fields or {"identity": STUDIO_IDENTITY, "is_authenticated": False}
        super().__init__({**given, "kind": "StudioUser"})


def user_from(fields: Mapping[str, Any] | None) -> User | None:
    """The user a run was created by, as its row remembers them; None when nobody had authenticated."""
    if not fields:
        return None
    return StudioUser(fields) if fields.get("kind") == "StudioUser" else User(fields)


ANONYMOUS = User({"identity": "", "is_authenticated": False})


@dataclass(frozen=True)
class Rate:
    """How many requests may be sent: so many a second in the long run, so many at once."""

    per_second: float
    burst: int

    @classmethod
    def of(cls, per_second: float | None, burst: int | None) -> "Rate | None":
        """None without a limit; by default what one second allows may come at once."""
        return None if per_second is None else cls(per_second, burst or max(math.ceil(per_second), 1))


@dataclass(frozen=True)
class Caller:
    """On whose behalf something is done, and the facts of the request that reach the graph.

    `scopes` are an API key's, None stands for all of them. `unbound` says that no rule applies: auth is not
    configured, or the server acts for itself. `asked` collects what the authorizer was asked for this request.
    """

    user: User = ANONYMOUS
    tenant: str = ""
    scopes: frozenset[str] | None = None
    rate: Rate | None = None  # of an API key, beside its tenant's
    request_id: str = ""
    configurable: dict[str, Any] = field(default_factory=dict)
    unbound: bool = False
    asked: set[tuple[str, str]] = field(default_factory=set, compare=False, repr=False)

    @property
    def owner(self) -> str:
        """What tells this caller's private things (idempotency keys) from another's; "" when nobody is told apart."""
        return "" if self.unbound else f"{self.tenant}\0{self.user.identity}"

    def with_headers(self, headers: Mapping[str, str]) -> "Caller":
        """The same caller with the request's id and the headers graphs get to see.

        A request without an id gets one, as if the client had sent it (contract/core.md 1.8, 1.9).
        """
        request_id = headers.get("x-request-id") or str(uuid4())
        passed = configurable_headers({**headers, "x-request-id": request_id})
        return replace(self, request_id=request_id, configurable=passed)

    def auth_configurable(self) -> dict[str, Any]:
        """What graphs and factories learn of the user (contract/platform.md 6.7)."""
        return {
            "langgraph_auth_user": None if self.user is ANONYMOUS else self.user,
            "langgraph_auth_user_id": self.user.identity,
            "langgraph_auth_permissions": self.user.permissions,
        }


# The server's own doing, and everybody's while no auth is configured.
UNBOUND = Caller(unbound=True)

# On whose behalf code of the project runs right now: what it asks of this server in-process it asks as them.
_acting: ContextVar[Caller] = ContextVar("acting", default=UNBOUND)


@contextmanager
def acting_for(caller: Caller) -> Iterator[None]:
    """Within the block in-process requests are the caller's."""
    token = _acting.set(caller)
    try:
        yield
    finally:
        _acting.reset(token)


def acting() -> Caller:
    """Whom the running code acts for; nobody in particular outside of requests and runs."""
    return _acting.get()


def caller_of(request: HttpRequest | Request) -> Caller:
    """Who sent the request, as the authentication layer found. Raises KeyError where that layer is missing."""
    caller: Caller = request.scope[SCOPE_KEY]  # type: ignore[union-attr]
    return caller


def run_caller_of(request: HttpRequest | Request) -> Caller:
    """The same with what of the request reaches the graph of a run it creates."""
    return caller_of(request).with_headers(request.headers)
