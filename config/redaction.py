"""Takes secrets out of what is logged: by the name they go under, by their form, and those this process was given.

Knows no log format. What it cannot know, such as a secret in a sentence of its own, is not found.
"""

import re
from collections.abc import Mapping, MutableMapping
from typing import Any
from urllib.parse import unquote, urlsplit

REDACTED = "[redacted]"
SHORTEST = 8  # characters; a shorter value would be found where it means something else
NAME = r"authorization|cookie|api[-_]?key|secret[-_]?key|passw(?:or)?d|secrets?|token"
SECRET_NAME = re.compile(rf"(?:.*[-_])?(?:{NAME})", re.IGNORECASE)
VARIABLE = re.compile(r".*(?:KEY|TOKEN|SECRETS?|PASSWORD)", re.IGNORECASE)
# Of what is found the first group that matched stays. Bounded, and begun only where a word begins: lines are as long as
# a client's text, and must not take longer to read than they are long.
FORMS = re.compile(
    r"(?<![\w.+-])([a-z][\w.+-]{1,30}://[^\s:/?#@]{0,128}:)[^\s/]{1,512}(?=@)"
    rf"|((?:{NAME})[\"']?\s{{0,3}}[:=]\s{{0,3}}[\"']?)(?:(?:bearer|basic)\s+)?[^\s\"'&,;)\]}}]+"
    r"|(\b(?:bearer|basic)\s{1,3})[\w.~+/=-]{8,}"
    r"|\b(?:weft_[\w-]{20,}|whsec_[\w+/=-]{8,}|sk-[\w-]{16,}|lsv2_\w{8,})"
    r"|(?<![\w-])eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*",  # a JSON Web Token
    re.IGNORECASE,
)
_known: dict[str, None] = {}  # in order: longer values before those they contain


def learn(environment: Mapping[str, str]) -> None:
    """Take note of the secrets of an environment: of variables named for one, and passwords in addresses."""
    found = {*_known, *(value for pair in environment.items() for value in _secrets_of(*pair))}
    kept = sorted((value for value in found if len(value) >= SHORTEST), key=len, reverse=True)
    _known.clear()
    _known.update(dict.fromkeys(kept))


def without_secrets(value: Any) -> Any:
    """The value, with REDACTED for each secret in it; texts, mappings and sequences are looked into."""
    if isinstance(value, str):
        return _clean(value)
    if isinstance(value, Mapping):
        return {key: REDACTED if is_secret(key) and inner else without_secrets(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set):
        return [without_secrets(inner) for inner in value]
    return value if value is None or isinstance(value, bool | int | float) else _clean(str(value))


def redact(logger: Any, method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """`without_secrets` as a processor of structlog's."""
    cleaned: dict[str, Any] = without_secrets(line)
    return cleaned


def is_secret(name: Any) -> bool:
    """Whether what goes under this name is not to be shown."""
    return isinstance(name, str) and bool(SECRET_NAME.fullmatch(name))


def _clean(text: str) -> str:
    for secret in _known:
        if secret in text:
            text = text.replace(secret, REDACTED)
    return FORMS.sub(_replaced, text)


def _replaced(found: re.Match[str]) -> str:
    return next((kept for kept in found.groups() if kept), "") + REDACTED


def _secrets_of(name: str, value: str) -> list[str]:
    found = value.split(",") if VARIABLE.fullmatch(name) else []
    if "://" in value:
        try:
            password = urlsplit(value).password or ""
        except ValueError:
            password = ""
        found += [password, unquote(password)]
    return [part.strip() for part in found]
