"""How what langgraph.json names is imported: graphs, the store, the checkpointer, auth, the app. Knows none of them.

Source: contract/platform.md 3.8, 3.9 and 8.3.
"""

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from config.project import ProjectError, prepare_process, project


def find(path: str, purpose: str) -> Any:
    """What `./file.py:name`, `package.module:name` or `package.module.name` stands for.

    `purpose` ("store") names the module a file becomes. Raises ProjectError, or whatever the module raises.
    """
    prepare_process()
    place, _, name = path.rpartition(":" if ":" in path else ".")
    if "/" in place or place.endswith(".py"):
        file = (project().root / place).resolve()
        if not file.is_file():
            raise ProjectError(f"{path}: {file} does not exist.")
        module = import_file(f"weft_{purpose}_{file.stem}", file)
    else:
        module = importlib.import_module(place)
    try:
        return getattr(module, name)
    except AttributeError:
        raise ProjectError(f"{path}: {place} has no '{name}'.") from None


def import_file(name: str, path: Path) -> ModuleType:
    """The file as a module of the given name. Raises ProjectError, or whatever the module raises."""
    name = name.replace("-", "_").replace(".", "_")
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ProjectError(f"{path} is not a Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    _import_beside(path)
    spec.loader.exec_module(module)
    return module


def _import_beside(path: Path) -> None:
    """Let a project's file import its neighbours, as it can when run by itself."""
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
