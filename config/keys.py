"""Which keys langgraph.json may have, and what is said of those that do nothing here. Never says what one means.

Source: contract/platform.md 8.1, 8.5, 3.8, 5.6, 9.2.
"""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from config.document import ProjectError

# A key maps to the keys below it, to None when anything may be there, or to why it does nothing.
Shape = Mapping[str, "Shape | str | None"]


def _any(*names: str) -> dict[str, "Shape | str | None"]:
    return dict.fromkeys(names)


_PATTERNS = _any("includes", "include", "excludes", "exclude")
_TTL = _any("strategy", "default_ttl", "sweep_interval_minutes", "sweep_limit")
_BUILD = _any(
    *("python_version", "node_version", "api_version", "base_image", "image_distro", "pip_config_file"),
    *("pip_installer", "source", "dockerfile_lines", "keep_pkg_tools", "_INTERNAL_docker_tag", "$schema"),
)
CORS = _any(
    *("allow_origins", "allow_methods", "allow_headers", "allow_credentials", "allow_origin_regex"),
    *("expose_headers", "max_age"),
)
_PAGES = "pages made of JavaScript are not served"
DISABLED = ("assistants", "threads", "runs", "store", "meta", "ui", "mcp", "a2a", "webhooks")
KEYS: Shape = {
    **_any("graphs", "dependencies", "env", "retry"),
    **_BUILD,
    "store": {
        "index": {
            **_any("dims", "embed", "fields"),
            "ann_index_config": _any("kind", "m", "ef_construction", "ef_search"),
        },
        "ttl": _any("default_ttl", "refresh_on_read", "sweep_interval_minutes"),
        "path": None,
    },
    "checkpointer": {
        "path": None,
        "backend": None,
        "uri": "checkpoints are in PostgreSQL (DATABASE_URI), or where checkpointer.path puts them",
        "ttl": _TTL,
        "serde": _any("allowed_json_modules", "allowed_msgpack_modules", "pickle_fallback"),
    },
    "auth": {
        "path": None,
        "disable_studio_auth": None,
        "openapi": _any("securitySchemes", "security_schemes", "security", "paths"),
        "cache": "it is for JavaScript",
        "allow_langsmith_api_keys": "keys are not checked by LangSmith",
    },
    "encryption": _any("path"),
    "http": {
        **_any("app", "enable_custom_route_auth", "middleware_order", "mount_prefix", "disable_event_streaming"),
        **_any(*(f"disable_{name}" for name in DISABLED)),
        "cors": CORS,
        "configurable_headers": _PATTERNS,
        "logging_headers": _PATTERNS,
    },
    "webhooks": {
        **_any("env_prefix", "headers", "allowed_fields"),
        "url": _any(
            *("require_https", "max_url_length", "allowed_domains", "allowed_ports", "disable_loopback"),
            "disable_private_ips",
        ),
    },
    "priority": "runs are taken in the order of their creation",
    "ui": _PAGES,
    "ui_config": _PAGES,
}
GRAPH = _any("path", "description")
# What nobody may mistype unnoticed: the server would not start, or would be open to everybody.
NEEDED = frozenset(
    {
        *("graphs", "auth", "auth.path", "auth.disable_studio_auth", "encryption", "encryption.path"),
        *("http.enable_custom_route_auth", "store.path", "store.index.dims", "store.index.embed", "checkpointer.path"),
    }
)


def remarks(document: Mapping[str, Any]) -> list[str]:
    """A sentence for each key that is unknown or does nothing. Raises ProjectError for what must not be overlooked."""
    found = [*_remarks(document, KEYS, "")]
    for graph_id, entry in _object(document.get("graphs")).items():
        if isinstance(entry, dict):
            found += _remarks(entry, GRAPH, f"graphs.{graph_id}.", needed={f"graphs.{graph_id}.path"})
    backend = _object(document.get("checkpointer")).get("backend", "default")
    if backend not in ("default", "custom"):
        found.append(f"checkpointer.backend has no effect here: checkpoints are in PostgreSQL, not in {backend}.")
    return found


def nearest(name: str, known: Mapping[str, Any]) -> str:
    """The known key most like it, or ""."""
    folded = {key.lower().replace("-", "_"): key for key in known}
    close = get_close_matches(name.lower().replace("-", "_"), folded, 1, 0.7)
    return folded[close[0]] if close else ""


def _remarks(
    section: Mapping[str, Any], shape: Shape, where: str, needed: frozenset[str] | set[str] = NEEDED
) -> Iterator[str]:
    for name, value in section.items():
        if name not in shape:
            yield _unknown(section, name, shape, where, needed)
            continue
        below = shape[name]
        if isinstance(below, str):
            yield f"{where}{name} has no effect here: {below}."
        elif below is not None:
            yield from _remarks(_object(value), below, f"{where}{name}.", needed)


def _unknown(section: Mapping[str, Any], name: str, shape: Shape, where: str, needed: frozenset[str] | set[str]) -> str:
    near = nearest(name, shape)
    if f"{where}{near}" in needed and near not in section:
        raise ProjectError(f"langgraph.json has the unknown key '{where}{name}': did you mean '{near}'?")
    return f"langgraph.json has the unknown key '{where}{name}'" + (f": did you mean '{near}'?" if near else ".")


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
