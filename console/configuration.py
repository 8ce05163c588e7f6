"""The configuration as the server sees it, and where each part came from, fit to be shown: secrets are masked."""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from config import document
from config.environment import readings
from config.project import project

SECRET = re.compile(r"key|secret|password|token|authorization|cookie|webhooks\.headers", re.IGNORECASE)
NOT_SECRET = frozenset({"REDIS_KEY_PREFIX"})
PASSWORD = re.compile(r"(?<=://)([^/@]*:)[^@]*(?=@)|(?<=password=)\S+", re.IGNORECASE)
MASK = "***"


@dataclass(frozen=True)
class Setting:
    """A variable, or a key of langgraph.json in dotted form. `source` says who gave the value."""

    name: str
    value: str
    source: str


def effective(*, defaults: bool = False) -> Iterator[Setting]:
    """All that was given, variables first; with `defaults` also what nobody gave. Raises ProjectError."""
    sections = {document.GRAPHS, *document.VARIABLES.values()}  # shown as the keys they hold
    for name, reading in sorted(readings.items()):
        if name not in sections and (defaults or reading.source != "default"):
            yield Setting(name, _shown(name, reading.value), reading.source)
    path = settings.LANGGRAPH_CONFIG_FILE
    for key, value in document.read(path).items():
        variable = document.GRAPHS if key == "graphs" else document.VARIABLES.get(key, "")
        source = variable if os.environ.get(variable) else "langgraph.json"
        if key != "env":  # its variables are above
            yield from (Setting(name, _shown(name, text), source) for name, text in _flat(key, value))


def remarks() -> tuple[str, ...]:
    """What of it does nothing. Raises ProjectError."""
    return project().remarks


def _flat(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for key, below in value.items():
            yield from _flat(f"{name}.{key}", below)
    else:
        yield name, value if isinstance(value, str) else json.dumps(value)


def _shown(name: str, value: str) -> str:
    if value and SECRET.search(name) and name not in NOT_SECRET:
        return MASK
    return PASSWORD.sub(lambda found: f"{found[1] or ''}{MASK}", value)
