"""Somebody's langgraph.json, read and checked. Owns what its sections mean; never imports what it names.

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

from config import document, environment, keys, loopback, redaction, variables
from config.document import ProjectError as ProjectError
from config.webhook_section import WebhookSection, webhook_section

JAVASCRIPT = (".ts", ".tsx", ".mts", ".cts", ".js", ".jsx", ".mjs", ".cjs")


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
    encryption: dict[str, Any] = field(default_factory=dict)
    thread_ttl: ThreadTTL = field(default_factory=ThreadTTL)
    webhooks: WebhookSection = field(default_factory=WebhookSection)
    remarks: tuple[str, ...] = ()  # what a person should know who expects every key and variable to do something


@functools.cache
def project() -> Project:
    """The project this process serves. Raises ProjectError."""
    path: Path = settings.LANGGRAPH_CONFIG_FILE
    given = document.read(path)
    remarks = keys.remarks(given) + variables.remarks()
    entries = given.get("graphs")
    if not isinstance(entries, dict) or not entries:
        raise ProjectError(f"{document.source(path)} names no graphs: it needs a non-empty 'graphs' object.")
    graphs = [_entry(graph_id, value) for graph_id, value in entries.items()]
    served = {entry.graph_id: entry for entry in graphs if not entry.path.endswith(JAVASCRIPT)}
    remarks += [
        f"Graph '{entry.graph_id}' is JavaScript and is not served." for entry in graphs if entry.graph_id not in served
    ]
    if not served:
        raise ProjectError("All graphs are JavaScript: this server runs Python.")
    checkpointer, env = given.get("checkpointer", {}), document.env_of(given, path.parent)
    if isinstance(given.get("env"), str) and not (path.parent / given["env"]).is_file():
        remarks.append(f"The env file {path.parent / given['env']} does not exist.")
    return Project(
        root=path.parent,
        graphs=served,
        dependencies=[str(part) for part in given.get("dependencies", ["."])],
        env=env,
        default_configs=document.json_object("LANGGRAPH_CONFIG"),
        http=given.get("http", {}),
        checkpointer=checkpointer,
        retry=given.get("retry", {}),
        store=given.get("store", {}),
        auth=given.get("auth", {}),
        encryption=given.get("encryption", {}),
        thread_ttl=_thread_ttl(checkpointer.get("ttl")),
        webhooks=_webhooks(given.get("webhooks", {}), env),
        remarks=tuple(remarks),
    )


def prepare_process() -> None:
    """Put the project's variables and local dependencies where its code expects them."""
    current = project()
    for name, value in current.env.items():
        os.environ.setdefault(name, value)
    redaction.learn(current.env)
    loopback.register()
    for part in [".", *current.dependencies]:
        folder = (current.root / part).resolve()
        if part.startswith(".") and folder.is_dir() and str(folder) not in sys.path:
            sys.path.append(str(folder))


def _webhooks(section: dict[str, Any], env: dict[str, str]) -> WebhookSection:
    try:
        return webhook_section(section, {**env, **os.environ})
    except ValueError as error:
        raise ProjectError(
            f"'webhooks' in {document.source(settings.LANGGRAPH_CONFIG_FILE)} cannot be used: {error}."
        ) from None


def _thread_ttl(section: Any) -> ThreadTTL:
    """From LANGGRAPH_THREAD_TTL, else from the checkpointer's `ttl`: a number of minutes, or an object."""
    text = environment.env_str("LANGGRAPH_THREAD_TTL")
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
