"""Somebody's langgraph.json, read and checked. Owns its form; never imports what it names.

Source: contract/platform.md 8.1 and 8.2. Each section may come from an environment variable instead.
"""

import functools
import json
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.conf import settings
from dotenv import dotenv_values

from config import redaction
from config.webhook_section import WebhookSection, webhook_section


class ProjectError(Exception):
    """langgraph.json cannot be used; the message is one sentence."""


@dataclass(frozen=True)
class GraphEntry:
    """One graph of the file: where it is and what it is for."""

    graph_id: str
    path: str
    symbol: str
    description: str | None = None


@dataclass(frozen=True)
class ThreadTTL:
    """How long threads live unless they say otherwise (minutes, None for ever), and how expired ones are swept."""

    strategy: str = "delete"
    minutes: float | None = None
    sweep_interval_minutes: float = 5.1
    sweep_limit: int = 10_000


@dataclass(frozen=True)
class Project:
    """The file's sections, checked. `root` is the directory its relative paths start from."""

    root: Path
    graphs: dict[str, GraphEntry]
    dependencies: list[str] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=dict)
    default_configs: dict[str, dict[str, Any]] = field(default_factory=dict)
    http: dict[str, Any] = field(default_factory=dict)
    checkpointer: dict[str, Any] = field(default_factory=dict)
    retry: dict[str, Any] = field(default_factory=dict)
    store: dict[str, Any] = field(default_factory=dict)
    auth: dict[str, Any] = field(default_factory=dict)
    thread_ttl: ThreadTTL = field(default_factory=ThreadTTL)
    webhooks: WebhookSection = field(default_factory=WebhookSection)


@functools.cache
def project() -> Project:
    """The project this process serves. Raises ProjectError."""
    root = settings.LANGGRAPH_CONFIG_FILE.parent
    document = _document()
    graphs = document.get("graphs")
    if not isinstance(graphs, dict) or not graphs:
        raise ProjectError(f"{_source()} names no graphs: it needs a non-empty 'graphs' object.")
    checkpointer = _section(document, "checkpointer", "LANGGRAPH_CHECKPOINTER")
    env = _env(document.get("env"), root)
    return Project(
        root=root,
        graphs={graph_id: _entry(graph_id, value) for graph_id, value in graphs.items()},
        dependencies=[str(part) for part in document.get("dependencies", ["."])],
        env=env,
        default_configs=_json_object("LANGGRAPH_CONFIG"),
        http=_section(document, "http", "LANGGRAPH_HTTP"),
        checkpointer=checkpointer,
        retry=_section(document, "retry", "WEFT_RETRY"),
        store=_section(document, "store", "LANGGRAPH_STORE"),
        auth=_section(document, "auth", "LANGGRAPH_AUTH"),
        thread_ttl=_thread_ttl(checkpointer.get("ttl")),
        webhooks=_webhooks(_section(document, "webhooks", "LANGGRAPH_WEBHOOKS"), env),
    )


def prepare_process() -> None:
    """Put the project's variables and local dependencies where its code expects them."""
    current = project()
    for name, value in current.env.items():
        os.environ.setdefault(name, value)
    redaction.learn(current.env)
    for part in [".", *current.dependencies]:
        folder = (current.root / part).resolve()
        if part.startswith(".") and folder.is_dir() and str(folder) not in sys.path:
            sys.path.append(str(folder))


def _source() -> str:
    return "LANGSERVE_GRAPHS" if settings.LANGSERVE_GRAPHS else str(settings.LANGGRAPH_CONFIG_FILE)


def _document() -> dict[str, Any]:
    if settings.LANGSERVE_GRAPHS:
        return {"graphs": _json_object("LANGSERVE_GRAPHS")}
    path = settings.LANGGRAPH_CONFIG_FILE
    try:
        document = json.loads(path.read_text())
    except FileNotFoundError:
        raise ProjectError(f"{path} does not exist; name another with --config.") from None
    except (OSError, ValueError) as error:
        raise ProjectError(f"{path} cannot be read: {error}.") from None
    if not isinstance(document, dict):
        raise ProjectError(f"{path} must hold a JSON object.")
    return document


def _section(document: dict[str, Any], key: str, variable: str) -> dict[str, Any]:
    """A section of the file; the variable wins when it is set (contract/platform.md 8.2)."""
    section = _json_object(variable) if os.environ.get(variable) else document.get(key, {})
    if not isinstance(section, dict):
        raise ProjectError(f"'{key}' in {_source()} must be an object.")
    return section


def _webhooks(section: dict[str, Any], env: dict[str, str]) -> WebhookSection:
    try:
        return webhook_section(section, {**env, **os.environ})
    except ValueError as error:
        raise ProjectError(f"'webhooks' in {_source()} cannot be used: {error}.") from None


def _thread_ttl(section: Any) -> ThreadTTL:
    """From LANGGRAPH_THREAD_TTL, else from the checkpointer's `ttl`: a number of minutes, or an object."""
    text = os.environ.get("LANGGRAPH_THREAD_TTL")
    try:
        given = json.loads(text) if text else section or {}
        options = given if isinstance(given, dict) else {"default_ttl": given}
        if options.get("strategy", "delete") not in ("delete", "keep_latest"):
            raise ValueError("strategy must be delete or keep_latest")
        minutes = options.get("default_ttl")
        return ThreadTTL(
            strategy=options.get("strategy", ThreadTTL.strategy),
            minutes=None if minutes is None else float(minutes),
            sweep_interval_minutes=float(options.get("sweep_interval_minutes") or ThreadTTL.sweep_interval_minutes),
            sweep_limit=int(options.get("sweep_limit") or ThreadTTL.sweep_limit),
        )
    except (ValueError, TypeError) as error:
        raise ProjectError(f"LANGGRAPH_THREAD_TTL, or checkpointer.ttl, cannot be used: {error}.") from None


def _json_object(name: str) -> dict[str, Any]:
    text = os.environ.get(name) or "{}"
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ProjectError(f"{name} is not JSON: {error}.") from None
    if not isinstance(value, dict):
        raise ProjectError(f"{name} must be a JSON object.")
    return value


def _entry(graph_id: str, value: Any) -> GraphEntry:
    description = None
    if isinstance(value, dict):
        value, description = value.get("path"), value.get("description")
    if not isinstance(value, str) or ":" not in value:
        raise ProjectError(
            f"Graph '{graph_id}' needs a path of the form ./file.py:variable or package.module:variable."
        )
    path, symbol = value.rsplit(":", 1)
    return GraphEntry(graph_id, path, symbol, description)


def _env(value: Any, root: Path) -> dict[str, str]:
    if isinstance(value, dict):
        return {name: str(text) for name, text in value.items()}
    if not isinstance(value, str):
        return {}
    path = root / value
    if not path.is_file():
        raise ProjectError(f"The env file {path} does not exist.")
    return {name: text for name, text in dotenv_values(path).items() if text is not None}
