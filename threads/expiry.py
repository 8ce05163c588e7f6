"""When threads expire: what a request says of it, else the project's default. Source: contract/platform.md 9.2."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.utils import timezone

from config.project import project
from threads.models import TTLStrategy

LONGEST = 5e7  # minutes, about a century; what lives longer does not expire in practice


def expiry(ttl: Mapping[str, Any] | None) -> dict[str, Any]:
    """The columns for a request's `ttl` (`{"ttl": minutes, "strategy": ...}`); none when it names no time."""
    if not ttl or "ttl" not in ttl:
        return {}
    minutes = min(max(float(ttl["ttl"]), 0.0), LONGEST)
    return {
        "ttl_strategy": ttl.get("strategy", TTLStrategy.DELETE),
        "ttl_minutes": minutes,
        "expires_at": timezone.now() + timedelta(minutes=minutes),
    }


def default_expiry() -> dict[str, Any]:
    """The columns of a new thread about which nothing was said."""
    default = project().thread_ttl
    return expiry({"ttl": default.minutes, "strategy": default.strategy}) if default.minutes is not None else {}
