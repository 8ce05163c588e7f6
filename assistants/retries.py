"""The project's retry policies: which failures of which graph are worth another attempt. Owns their form."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.module_loading import import_string

from config.project import ProjectError, project

KEYS = {"max_attempts", "retry_on", "initial_seconds", "max_seconds"}


@dataclass(frozen=True)
class RetryPolicy:
    """How often a run is attempted, after which exceptions, and how long it pauses: doubling up to a limit."""

    retry_on: tuple[type[Exception], ...] = ()
    max_attempts: int = 3
    initial_seconds: float = 1.0
    max_seconds: float = 60.0

    def covers(self, error: Exception) -> bool:
        """Whether the failure is worth another attempt."""
        return isinstance(error, self.retry_on)


@functools.cache
def retry_policies() -> Mapping[str, RetryPolicy]:
    """Graph id to policy, from the section `retry` of langgraph.json. Raises ProjectError."""
    current = project()
    unknown = sorted(current.retry.keys() - current.graphs.keys())
    if unknown:
        raise ProjectError(f"'retry' names '{unknown[0]}', which is no graph of the project.")
    return {graph_id: _policy(f"'retry' of graph '{graph_id}'", given) for graph_id, given in current.retry.items()}


def _policy(where: str, given: Any) -> RetryPolicy:
    if not isinstance(given, dict) or given.keys() - KEYS:
        raise ProjectError(f"{where} must be an object with nothing but {', '.join(sorted(KEYS))}.")
    names = given.get("retry_on")
    if not isinstance(names, list) or not names:
        raise ProjectError(f"{where} needs 'retry_on': a list of exceptions such as builtins.ConnectionError.")
    policy = RetryPolicy(
        retry_on=tuple(_exception(where, name) for name in names),
        max_attempts=given.get("max_attempts", RetryPolicy.max_attempts),
        initial_seconds=given.get("initial_seconds", RetryPolicy.initial_seconds),
        max_seconds=given.get("max_seconds", RetryPolicy.max_seconds),
    )
    if type(policy.max_attempts) is not int or not 1 <= policy.max_attempts <= 100:
        raise ProjectError(f"{where}: 'max_attempts' must be a whole number from 1 to 100.")
    if not (_is_number(policy.initial_seconds) and _is_number(policy.max_seconds)):
        raise ProjectError(f"{where}: 'initial_seconds' and 'max_seconds' must be positive numbers up to 86400.")
    if policy.initial_seconds > policy.max_seconds:
        raise ProjectError(f"{where}: 'initial_seconds' must not be more than 'max_seconds'.")
    return policy


def _exception(where: str, name: Any) -> type[Exception]:
    try:
        found = import_string(name)
    except (ImportError, AttributeError, TypeError):
        found = None
    if not isinstance(found, type) or not issubclass(found, Exception):
        raise ProjectError(f"{where}: 'retry_on' names {name!r}, which is no exception that can be imported.")
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 86_400
