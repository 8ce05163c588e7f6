"""The `webhooks` section of langgraph.json, checked. Never sends anything. Source: contract/platform.md 5.3 and 5.6."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from config.outbound import UrlPolicy

FIELDS = frozenset(
    {
        *(
            "run_id",
            "thread_id",
            "assistant_id",
            "created_at",
            "updated_at",
            "metadata",
            "kwargs",
            "multitask_strategy",
        ),
        *("status", "run_started_at", "run_ended_at", "webhook_sent_at", "values", "error"),
    }
)
TEMPLATE = re.compile(r"\$\{\{(.*?)\}\}")
NAME = re.compile(r"env\.([A-Za-z_][A-Za-z0-9_]*)")
STRICT = UrlPolicy(require_https=True, max_url_length=2048)  # once the section has any `url` key


@dataclass(frozen=True)
class WebhookSection:
    """Which URLs are accepted, what every request carries, and the keys of the body that are sent (all when empty)."""

    policy: UrlPolicy = field(default_factory=UrlPolicy)
    headers: dict[str, str] = field(default_factory=dict)
    allowed_fields: frozenset[str] = frozenset()


def webhook_section(section: Mapping[str, Any], environment: Mapping[str, str]) -> WebhookSection:
    """The section, its header templates filled in from `environment`. Raises ValueError with one sentence."""
    prefix = section.get("env_prefix", "LG_WEBHOOK_")
    if not isinstance(prefix, str):
        raise ValueError("env_prefix must be a string")
    headers = _of_type(section, "headers", dict, {})
    fields = frozenset(_texts(section, "allowed_fields"))
    if fields - FIELDS:
        raise ValueError(f"allowed_fields does not know {', '.join(sorted(fields - FIELDS))}")
    return WebhookSection(
        policy=_policy(_of_type(section, "url", dict, {})),
        headers={str(name): _filled_in(name, text, prefix, environment) for name, text in headers.items()},
        allowed_fields=fields,
    )


def _policy(url: Mapping[str, Any]) -> UrlPolicy:
    defaults = STRICT if url else UrlPolicy()
    domains, ports = _texts(url, "allowed_domains"), _of_type(url, "allowed_ports", list, [])
    if any("*" in domain.removeprefix("*.") for domain in domains):
        raise ValueError("allowed_domains may have '*' only as a leading '*.'")
    if not all(isinstance(port, int) for port in ports):
        raise ValueError("allowed_ports must be an array of numbers")
    return UrlPolicy(
        require_https=_of_type(url, "require_https", bool, defaults.require_https),
        max_url_length=_of_type(url, "max_url_length", int, defaults.max_url_length),
        allowed_domains=tuple(domains),
        allowed_ports=tuple(ports),
        disable_loopback=_of_type(url, "disable_loopback", bool, defaults.disable_loopback),
        disable_private_ips=_of_type(url, "disable_private_ips", bool, defaults.disable_private_ips),
    )


def _of_type(section: Mapping[str, Any], key: str, kind: type, default: Any) -> Any:
    value = section.get(key)
    if value is None:
        return default
    if not isinstance(value, kind):
        raise ValueError(f"{key} must be of type {kind.__name__}")
    return value


def _texts(section: Mapping[str, Any], key: str) -> list[str]:
    values: list[Any] = _of_type(section, key, list, [])
    if not all(isinstance(value, str) for value in values):
        raise ValueError(f"{key} must be an array of strings")
    return values


def _filled_in(header: str, text: Any, prefix: str, environment: Mapping[str, str]) -> str:
    if not isinstance(text, str):
        raise ValueError(f"the header {header} must be a string")

    def value(found: re.Match[str]) -> str:
        reference = NAME.fullmatch(found[1].strip())
        if reference is None:
            raise ValueError(f"the header {header} refers to {found[1].strip()!r}, which is not of the form env.NAME")
        name = reference[1]
        if not name.startswith(prefix):
            raise ValueError(f"the header {header} refers to {name}, which does not start with {prefix}")
        if name not in environment:
            raise ValueError(f"the header {header} refers to {name}, which is not set")
        return environment[name]

    return TEMPLATE.sub(value, text)
