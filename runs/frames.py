"""Where an error was raised, for people: the project's own lines before those of libraries. Reads no values."""

import sysconfig
import traceback
from pathlib import Path
from typing import Any

from django.conf import settings

from config.redaction import without_secrets

DEEPEST = 60  # frames that are looked at, the innermost
MOST = 12  # of each kind
LONGEST = 300  # characters of a line
# Where code lies that is not the project's: Python's and that of packages, and this server's.
PACKAGES = tuple(dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib", "stdlib", "platstdlib")))
SERVER = tuple(str(settings.BASE_DIR / app) for app in ("assistants", "config", "events", "runs", "store", "threads"))


def frames(error: BaseException) -> list[dict[str, Any]]:
    """`[{"file", "line", "name", "code", "own"}]`, the project's own first, of each kind the innermost first."""
    found = [_frame(one) for one in reversed(traceback.extract_tb(error.__traceback__, -DEEPEST))]
    own, others = ([one for one in found if one["own"] is own][:MOST] for own in (True, False))
    return own + others


def _frame(one: traceback.FrameSummary) -> dict[str, Any]:
    return {
        "file": _shown(one.filename),
        "line": one.lineno,
        "name": one.name,
        "code": without_secrets(one.line or "")[:LONGEST],
        "own": not one.filename.startswith((*PACKAGES, *SERVER, "<")),
    }


def _shown(file: str) -> str:
    """From the package on, or as the project's people know it."""
    for place in (*PACKAGES, str(settings.BASE_DIR), str(Path.cwd())):
        if file.startswith(f"{place}/"):
            return file[len(place) + 1 :]
    return file
