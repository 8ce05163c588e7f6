"""Node.js and the npm packages of tests/js, installed once whatever number of test processes ask."""

import fcntl
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "js"
INSTALL_SECONDS = 300


def node_with_packages() -> str:
    """The path of Node.js, with what package.json asks for installed; skips the test where that cannot be."""
    found, npm = shutil.which("node"), shutil.which("npm")
    if not found or not npm:
        missing("needs Node.js 20 or newer with npm: apt-get install nodejs npm, or https://nodejs.org")
        raise AssertionError
    with (FOLDER / "package.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not installed():
            install(npm)
    return found


def installed() -> bool:
    """Whether node_modules holds what package.json asks for."""
    wanted = json.loads((FOLDER / "package.json").read_text())["dependencies"]
    for name, version in wanted.items():
        manifest = FOLDER / "node_modules" / name / "package.json"
        if not manifest.is_file() or json.loads(manifest.read_text())["version"] != version:
            return False
    return True


def install(npm: str) -> None:
    """Fetch what package-lock.json names into node_modules."""
    arguments = [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
    done = subprocess.run(arguments, cwd=FOLDER, capture_output=True, text=True, timeout=INSTALL_SECONDS)
    if done.returncode:
        missing(f"the clients cannot be installed: cd {FOLDER} && npm ci\n{done.stderr[-2000:]}")


def missing(reason: str) -> None:
    """Skip, but where CI=true says that nothing may be missing."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
