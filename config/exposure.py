"""Whether a server that asks nobody who they are may listen on an address. Imports no Django; opens nothing."""

import ipaddress
from contextlib import suppress
from pathlib import Path

from config import document
from config.environment import ConfigurationError

KEYS, NONE = "keys", "none"


class Exposed(ConfigurationError):
    """Other machines would reach a server that lets everybody do everything. The message names the cures."""


def check(host: str, auth: str, file: Path) -> None:
    """Raises Exposed for an address beyond this machine, unless callers have to say who they are (`auth` is WEFT_AUTH,
    `file` langgraph.json) or somebody said that they need not.
    """
    if not (auth or is_loopback(host) or has_custom_auth(file)):
        raise Exposed(
            f"Whoever reaches {host or 'this machine'} could do everything: set WEFT_AUTH=keys and make a key with"
            " `manage.py apikey create`, or name auth.path in langgraph.json, or say --open (WEFT_AUTH=none) if the"
            " server is to be open to everybody."
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address. Of names, localhost alone is believed."""
    if host == "localhost":
        return True
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False


def has_custom_auth(file: Path) -> bool:
    """Whether the project has an authentication of its own; what ails its file is said elsewhere."""
    with suppress(document.ProjectError):
        return bool(document.read(file).get("auth", {}).get("path"))
    return False
