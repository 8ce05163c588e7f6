"""Typed readers for environment variables. Owns parsing and its errors; never decides a default's meaning.

They remember what they read and where it came from, for people who ask (`manage.py doctor`).
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from uuid import UUID

TRUE = {"1", "true", "yes", "on"}
FALSE = {"0", "false", "no", "off", ""}


class ConfigurationError(SystemExit):
    """A setting cannot be used. Its message is one sentence a person can act on; the process ends with status 1."""


@dataclass(frozen=True)
class Reading:
    """A variable somebody asked for: its text, and whether environment, langgraph.json or a default gave it."""

    value: str
    source: str


readings: dict[str, Reading] = {}
_adopted: dict[str, str] = {}


def adopt(variables: Mapping[str, str]) -> None:
    """Set variables of langgraph.json's `env` that the environment does not have."""
    for name, value in variables.items():
        if name not in os.environ:
            os.environ[name] = _adopted[name] = value


def without_adopted() -> dict[str, str]:
    """The environment as it was before langgraph.json was read."""
    return {name: value for name, value in os.environ.items() if _adopted.get(name) != value}


def _read(name: str, default: object) -> str | None:
    text = os.environ.get(name)
    if not text:
        readings[name] = Reading(str(default), "default")
    else:
        readings[name] = Reading(text, "langgraph.json" if _adopted.get(name) == text else "environment")
    return text


def env_str(name: str, default: str = "") -> str:
    """The variable's text, or `default` when unset or empty."""
    return _read(name, default) or default


def env_int(name: str, default: int, *, least: int = 0) -> int:
    """The variable as an integer >= `least`. Raises ConfigurationError when it is anything else."""
    text = _read(name, default)
    if not text:
        return default
    try:
        value = int(text)
    except ValueError:
        raise ConfigurationError(f"{name} must be a whole number, not {text!r}.") from None
    if value < least:
        raise ConfigurationError(f"{name} must be at least {least}, not {value}.")
    return value


def env_float(name: str, default: float) -> float:
    """The variable as a number of seconds or the like. Raises ConfigurationError when it is not a positive number."""
    text = _read(name, default)
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        raise ConfigurationError(f"{name} must be a number, not {text!r}.") from None
    if not 0 < value < float("inf"):
        raise ConfigurationError(f"{name} must be a positive number, not {text!r}.")
    return value


def env_bool(name: str, *, default: bool = False) -> bool:
    """The variable as true or false. Raises ConfigurationError on any other word."""
    text = _read(name, default)
    if text is None:
        return default
    if text.lower() in TRUE:
        return True
    if text.lower() in FALSE:
        return False
    raise ConfigurationError(f"{name} must be true or false, not {text!r}.")


def env_choice(name: str, choices: tuple[str, ...]) -> str:
    """The variable's text, or "" when unset. Raises ConfigurationError when it is none of the choices."""
    text = env_str(name)
    if text and text not in choices:
        raise ConfigurationError(f"{name} must be {' or '.join(choices)}, not {text!r}.")
    return text


def env_list(name: str, default: str = "") -> list[str]:
    """The variable as a comma-separated list, blanks dropped."""
    return [part.strip() for part in env_str(name, default).split(",") if part.strip()]


def env_uuid(name: str) -> str | None:
    """The variable as a UUID's text, None when unset. Raises ConfigurationError when it is anything else."""
    text = env_str(name)
    try:
        return str(UUID(text)) if text else None
    except ValueError:
        raise ConfigurationError(f"{name} must be a UUID, not {text!r}.") from None


def env_networks(name: str) -> tuple[IPv4Network | IPv6Network, ...]:
    """The variable as a comma-separated list of addresses and networks. Raises ConfigurationError on anything else."""
    try:
        return tuple(ip_network(text) for text in env_list(name))
    except ValueError as error:
        raise ConfigurationError(f"{name} must be a list of IP addresses and networks: {error}.") from None


def env_floats(name: str, default: str) -> tuple[float, ...]:
    """The variable as a comma-separated list of positive numbers. Raises ConfigurationError on anything else."""
    try:
        values = tuple(float(text) for text in env_list(name, default))
    except ValueError:
        raise ConfigurationError(f"{name} must be a list of numbers, not {env_str(name)!r}.") from None
    if not all(0 < value < float("inf") for value in values):
        raise ConfigurationError(f"{name} must hold positive numbers only.")
    return values
