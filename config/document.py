"""langgraph.json as it was written, and the variables that stand for its sections. Imports no Django: settings need it.

Source: contract/platform.md 8.1 to 8.3. Never says what a section means (config/project.py) nor which keys there are
(config/keys.py).
"""

import json
import os
from pathlib import Path
from typing import Any

from dotenv import dotenv_values

from config import environment

# Each variable wins over its section of the file (contract/platform.md 8.2).
VARIABLES = {
    "store": "LANGGRAPH_STORE",
    "checkpointer": "LANGGRAPH_CHECKPOINTER",
    "auth": "LANGGRAPH_AUTH",
    "encryption": "LANGGRAPH_ENCRYPTION",
    "http": "LANGGRAPH_HTTP",
    "webhooks": "LANGGRAPH_WEBHOOKS",
    "retry": "WEFT_RETRY",
    "priority": "LANGGRAPH_PRIORITY",
    "ui": "LANGGRAPH_UI",
    "ui_config": "LANGGRAPH_UI_CONFIG",
}
GRAPHS = "LANGSERVE_GRAPHS"
FILE = "WEFT_CONFIG"


class ProjectError(Exception):
    """langgraph.json cannot be used; the message is one sentence."""


def config_file() -> Path:
    """Where langgraph.json is, or would be."""
    return Path(environment.env_str(FILE, "langgraph.json")).resolve()


def read(path: Path) -> dict[str, Any]:
    """The document: `{"graphs": ..., ...}`, each section from its variable when that is set.

    Without a file, unless somebody named one, every Python file of WEFT_GRAPHS_DIR is a graph. Raises ProjectError.
    """
    document = _file(path)
    for key, variable in VARIABLES.items():
        if os.environ.get(variable):
            document = {**document, key: json_object(variable)}
    for key in VARIABLES:
        if not isinstance(document.get(key, {}), dict):
            raise ProjectError(f"'{key}' in {source(path)} must be an object.")
    return document


def source(path: Path) -> str:
    """What a message calls the document."""
    return GRAPHS if os.environ.get(GRAPHS) else str(path)


def json_object(name: str) -> dict[str, Any]:
    """The variable's JSON object, {} when unset. Raises ProjectError."""
    text = environment.env_str(name, "{}")
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ProjectError(f"{name} is not JSON: {error}.") from None
    if not isinstance(value, dict):
        raise ProjectError(f"{name} must be a JSON object.")
    return value


def env_of(document: dict[str, Any], root: Path) -> dict[str, str]:
    """The variables of its `env`: an object, or the path of a dotenv file; a file that is not there has none."""
    value = document.get("env", {})
    if isinstance(value, dict):
        return {name: str(text) for name, text in value.items()}
    if not isinstance(value, str):
        raise ProjectError("'env' must be an object, or the path of a file of variables.")
    path = root / value
    return {name: text for name, text in dotenv_values(path).items() if text is not None} if path.is_file() else {}


def early() -> dict[str, Any]:
    """The document for settings, before anything may fail: {} when it cannot be used, which `read` says at the start.

    Its `env` is put where the environment has nothing of the name.
    """
    path = config_file()
    try:
        document = read(path)
        environment.adopt(env_of(document, path.parent))
        # Its variables may stand for sections themselves.
        return read(path)
    except ProjectError:
        return {}


def _file(path: Path) -> dict[str, Any]:
    if os.environ.get(GRAPHS):
        return {"graphs": json_object(GRAPHS)}
    folder = Path(environment.env_str("WEFT_GRAPHS_DIR", "/graphs"))
    if not path.exists() and not os.environ.get(FILE) and folder.is_dir():
        return {"graphs": {file.stem: f"{file.resolve()}:" for file in sorted(folder.glob("*.py"))}}
    try:
        document = json.loads(path.read_text())
    except FileNotFoundError:
        raise ProjectError(f"{path} does not exist; name another with --config.") from None
    except (OSError, ValueError) as error:
        raise ProjectError(f"{path} cannot be read: {error}.") from None
    if not isinstance(document, dict):
        raise ProjectError(f"{path} must hold a JSON object.")
    return document
