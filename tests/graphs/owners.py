"""An Auth object that owns everything by metadata, as most people's does. Tokens are names; odd ones fail oddly.

What its handlers are asked is written to the file named in AUTH_RECORD, a JSON line each.
"""

import os
from typing import Any

from langgraph_sdk import Auth
from starlette.authentication import AuthenticationError

from config import dialect

auth = Auth()
TENANTS = {"carol": "acme", "dave": "acme", "erin": "umbrella.example", "trudy": "acme"}
KNOWN = {"alice", "bob", "mallory", *TENANTS}


class Person:
    """A user of a shape of one's own."""

    def __init__(self, name: str) -> None:
        self.identity = name
        self.display_name = name.title()
        self.is_authenticated = True
        self.permissions = ["object"]
        self.email = f"{name}@example.com"


def _raise(error: Exception) -> Any:
    raise error


ODD = {
    "text": lambda: "alice",
    "pair": lambda: (["from the tuple"], {"identity": "alice"}),
    "object": lambda: Person("alice"),
    "number": lambda: 7,
    "nameless": lambda: {"name": "alice"},
    "unauthorized": lambda: _raise(Auth.exceptions.HTTPException(headers={"WWW-Authenticate": "Bearer"})),
    "forbidden": lambda: _raise(Auth.exceptions.HTTPException(403, "not you")),
    "teapot": lambda: _raise(Auth.exceptions.HTTPException(418, "short and stout")),
    "starlette": lambda: _raise(AuthenticationError("unreadable")),
    "value": lambda: _raise(ValueError("no such token")),
    "assertion": lambda: _raise(AssertionError("wrong")),
}


@auth.authenticate
async def authenticate(
    authorization: str | None,
    path: str,
    method: str,
    headers: dict[bytes, bytes],
    query_params: Any,
    path_params: dict[str, str],
    scope: dict[str, Any],
    scopes: list[str],
    user: Any,
    optional: int = 3,
) -> Any:
    """The name behind `Bearer name`; `Bearer name/permission` is that name with one permission."""
    token = (authorization or "").removeprefix("Bearer ")
    if token == "seen":
        kinds = [type(part).__name__ for names in headers.items() for part in names]
        seen: dict[str, Any] = {
            "path": path,
            "method": method,
            "query": dict(query_params),
            "header_types": sorted(set(kinds)),
        }
        seen |= {"path_params": path_params, "scope": scope["type"], "scopes": scopes, "user": user}
        return {"identity": "alice", "seen": {**seen, "optional": optional}}
    if token in ODD:
        return ODD[token]()
    name, _, permission = token.partition("/")
    if name not in KNOWN:
        raise Auth.exceptions.HTTPException(401, "Unknown token")
    known: dict[str, Any] = {"identity": name, "email": f"{name}@example.com"}
    known["permissions"] = [permission] if permission else []
    return {**known, "tenant_id": TENANTS[name]} if name in TENANTS else known


def _note(ctx: Any, value: Any) -> None:
    """Write down what was asked, and refuse who has no permission for anything."""
    path = os.environ.get("AUTH_RECORD")
    if path:
        line = {"user": ctx.user.identity, "resource": ctx.resource, "action": ctx.action, "value": value}
        with open(path, "ab") as record:
            record.write(dialect.dumps(line) + b"\n")
    if "nothing" in ctx.permissions:
        raise Auth.exceptions.HTTPException(403, "You may do nothing", headers={"X-Reason": "nothing"})


@auth.on
async def own(ctx: Auth.types.AuthContext, value: dict[str, Any]) -> Any:
    """Stamp what is created, show nobody else's."""
    _note(ctx, value)
    owned = {"owner": ctx.user.identity}
    if ctx.action in ("create", "create_run"):
        value.setdefault("metadata", {}).update(owned)
    return owned


@auth.on(resources="assistants", actions=["read", "search"])
async def own_or_default(ctx: Auth.types.AuthContext, value: dict[str, Any]) -> Any:
    """The graphs' own assistants are everybody's."""
    _note(ctx, value)
    return {"$or": [{"owner": ctx.user.identity}, {"created_by": {"$eq": "system"}}]}


@auth.on.threads.update
async def change(ctx: Auth.types.AuthContext, value: Any) -> Any:
    """Every result a handler may have, by permission."""
    _note(ctx, value)
    results: dict[str, Any] = {
        "no": False,
        "yes": True,
        "list": ["owner"],
        "contains": {"tags": {"$contains": ["a", "b"]}},
        "deep": {"$or": [{"x": 1}, {"$and": [{"y": 1}, {"$or": [{"z": 1}, {"owner": "alice"}]}]}]},
        "nested": {"$or": [{"x": 1}, {"$and": [{"y": 1}, {"z": 1}]}]},
        "bad": {"owner": {"$near": 1}},
        "exact": {"shape": {"$eq": {"sides": 3}}},
    }
    for permission in ctx.permissions:
        if permission == "assert":
            raise AssertionError("not today")
        if permission in results:
            return results[permission]
    return {"owner": ctx.user.identity}


@auth.on.store
async def own_items(ctx: Auth.types.AuthContext, value: dict[str, Any]) -> None:
    """Everybody's items lie below their name."""
    _note(ctx, value)
    value["namespace"] = (ctx.user.identity, *(value["namespace"] or ()))
