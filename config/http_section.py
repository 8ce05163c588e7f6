"""The `http` section of langgraph.json where settings need it, with the variables that win over it.

Source: contract/platform.md 2.2 and 8.5. Raises ConfigurationError for what cannot be used.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from config import keys
from config.environment import ConfigurationError, env_str

CORS_TYPES: Mapping[str, type] = {"allow_credentials": bool, "max_age": int, "allow_origin_regex": str}  # else: texts


def mount_prefix(section: Mapping[str, Any]) -> str:
    """The path everything is below, without a slash at its end; "" for none."""
    given = env_str("MOUNT_PREFIX") or section.get("mount_prefix") or ""
    prefix = given.rstrip("/") if isinstance(given, str) else "?"
    if prefix and (not prefix.startswith("/") or prefix == "/noauth"):
        raise ConfigurationError(f"MOUNT_PREFIX (http.mount_prefix) must begin with '/' and not be /noauth: {given!r}.")
    return prefix


def disabled(section: Mapping[str, Any]) -> frozenset[str]:
    """The parts of the API that are switched off; event streams of threads are runs' too."""
    off = {name for name in (*keys.DISABLED, "event_streaming") if section.get(f"disable_{name}")}
    return frozenset(off | {"event_streaming"} if "runs" in off else off)


def cors_options(section: Mapping[str, Any]) -> dict[str, Any]:
    """What replaces our defaults; {} for nothing. Keys that are unknown are said at the start (config/keys.py)."""
    text = env_str("CORS_CONFIG")
    try:
        given = json.loads(text) if text else section.get("cors") or {}
    except ValueError:
        given = None
    if not isinstance(given, dict):
        raise ConfigurationError("CORS_CONFIG (http.cors) must be a JSON object.")
    options = {name: value for name, value in given.items() if name in keys.CORS}
    for name, value in options.items():
        if not _fits(value, CORS_TYPES.get(name)):
            raise ConfigurationError(f"CORS_CONFIG (http.cors): {name} cannot be {value!r}.")
    return options


def _fits(value: Any, kind: type | None) -> bool:
    if kind is None:
        return isinstance(value, list) and all(isinstance(one, str) for one in value)
    if kind is str:
        try:
            re.compile(value)
        except (re.error, TypeError):
            return False
    return type(value) is kind
