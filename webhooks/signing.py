"""Secrets and signatures by the Standard Webhooks specification (version v1, HMAC-SHA256). Pure."""

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Iterable

PREFIX = "whsec_"
SECRET_BYTES = 32
SHORTEST, LONGEST = 24, 64  # bytes, by the specification


def new_secret() -> str:
    """`whsec_` and 32 random bytes in base64."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def key_of(secret: str) -> bytes:
    """The bytes that sign. Raises ValueError for what is no secret."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        raise ValueError("a webhook secret is whsec_ and base64") from None
    if not SHORTEST <= len(key) <= LONGEST:
        raise ValueError(f"a webhook secret has {SHORTEST} to {LONGEST} bytes")
    return key


def headers(message_id: str, timestamp: int, body: bytes, keys: Iterable[str]) -> dict[str, str]:
    """The three headers of a message; without secrets no signature. `timestamp` is in seconds since 1970."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    signatures = [hmac.digest(key_of(secret), signed, hashlib.sha256) for secret in keys]
    found = {"webhook-id": message_id, "webhook-timestamp": str(timestamp)}
    if signatures:
        found["webhook-signature"] = " ".join(f"v1,{base64.b64encode(one).decode()}" for one in signatures)
    return found
