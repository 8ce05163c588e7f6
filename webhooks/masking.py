"""What people are shown of URLs and headers: where a message goes, without what opens the door there. Pure."""

import re
from collections.abc import Mapping
from urllib.parse import urlsplit, urlunsplit

from config import redaction

MASK = "•••"
# Of a request's headers those that we write; what else there is was configured, and is most likely a credential.
OURS = frozenset(
    {"host", "accept", "accept-encoding", "connection", "user-agent", "content-type", "content-length"}
    | {"webhook-id", "webhook-timestamp", "webhook-signature"}
)
URL = re.compile(r"https?://[^\s\"'<>]+", re.IGNORECASE)


def masked_url(url: str) -> str:
    """The URL without user and password, and without the values of its query."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return MASK
    user, _, host = parts.netloc.rpartition("@")
    query = "&".join(_masked_pair(pair) for pair in parts.query.split("&")) if parts.query else ""
    return urlunsplit((parts.scheme, f"{MASK}@{host}" if user else parts.netloc, parts.path, query, ""))


def _masked_pair(pair: str) -> str:
    name, equals, _ = pair.partition("=")
    return f"{name}={MASK}" if equals else MASK


def masked_text(text: str) -> str:
    """A sentence with the URLs in it masked."""
    return URL.sub(lambda found: masked_url(found.group()), text)


def masked_request(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers that were sent: the signature is shown, it only says who sent the body."""
    return {name: text if name.lower() in OURS else MASK for name, text in headers.items()}


def masked_answer(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers that came back."""
    return {name: MASK if redaction.is_secret(name) else masked_text(text) for name, text in headers.items()}
