"""An Auth object as most are: a token, and everything belongs to whoever made it."""

from typing import Any

from langgraph_sdk import Auth

auth = Auth()


@auth.authenticate
async def authenticate(authorization: str | None) -> dict[str, Any]:
    """Everybody who sends nothing is one person."""
    return {"identity": authorization or "somebody"}


@auth.on
async def own(ctx: Auth.types.AuthContext, value: dict[str, Any]) -> dict[str, str]:
    """Stamp what is created, show nobody else's."""
    owned = {"owner": ctx.user.identity}
    if ctx.action in ("create", "create_run"):
        value.setdefault("metadata", {}).update(owned)
    return owned
