"""The context a request's data is encrypted under: its X-Encryption-Context header, through the project's handler.

Below authentication, for the handler is told who is calling. Source: contract/platform.md 7.1.
"""

import base64
import binascii
import logging
from typing import Any

from langgraph_sdk.encryption.types import EncryptionContext

from accounts.callers import SCOPE_KEY, UNBOUND, Caller
from config import dialect, encryption
from config.http import ASGIApp, Receive, Scope, Send
from config.loop import at_home

logger = logging.getLogger(__name__)
HEADER = b"x-encryption-context"
INVALID = "Invalid X-Encryption-Context header"


def in_context(app: ASGIApp) -> ASGIApp:
    """`app`, with what it writes encrypted under the request's context; 422 for a header that holds none."""

    async def layer(scope: Scope, receive: Receive, send: Send) -> None:
        given = next((value for name, value in scope.get("headers", ()) if name == HEADER), None)
        if given is None and encryption.handlers() is None:
            return await app(scope, receive, send)
        try:
            metadata = {} if given is None else _parsed(given)
        except ValueError as error:
            return await _refuse(scope, send, f"{INVALID}: {error}")
        with encryption.within(await _mapped(scope.get(SCOPE_KEY, UNBOUND), metadata)):
            return await app(scope, receive, send)

    return layer


def _parsed(given: bytes) -> dict[str, Any]:
    """The object. Raises ValueError for anything else."""
    try:
        value = dialect.loads(base64.b64decode(given, validate=True))
    except binascii.Error:
        raise ValueError("it is not base64") from None
    except ValueError:
        raise ValueError("it is not base64 of JSON") from None
    if not isinstance(value, dict):
        raise ValueError("it must be a JSON object")
    return value


async def _mapped(caller: Caller, metadata: dict[str, Any]) -> dict[str, Any]:
    """What the context handler makes of it; a handler that fails leaves it as it is."""
    given = encryption.handlers()
    if given is None or given._context_handler is None:
        return metadata
    told = EncryptionContext(metadata=dict(metadata))
    try:
        made: Any = await at_home(given._context_handler(caller.user, told))  # type: ignore[arg-type]
        if not isinstance(made, dict):
            raise TypeError(f"it gave a {type(made).__name__}, not a dict")
    except Exception:
        logger.exception("The encryption context handler failed; the header's value is used")
        return metadata
    return made


async def _refuse(scope: Scope, send: Send, detail: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    body = dialect.dumps({"detail": detail})
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 422, "headers": headers})
    await send({"type": "http.response.body", "body": body})
