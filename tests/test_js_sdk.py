"""The official JavaScript clients against the live server; the tests themselves are the js/*.test.mjs."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import LiveServer

FOLDER = Path(__file__).parent / "js"
INSTALL_SECONDS = 300
RUN_SECONDS = 150
FILES = sorted(path.name for path in FOLDER.glob("*.test.mjs"))


@pytest.fixture(scope="module")
def node() -> str:
    """Node.js 20 or newer with the clients installed beside the tests."""
    found, npm = shutil.which("node"), shutil.which("npm")
    if not found or not npm:
        missing("needs Node.js 20 or newer with npm: apt-get install nodejs npm, or https://nodejs.org")
        raise AssertionError
    if not installed():
        arguments = [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
        done = subprocess.run(arguments, cwd=FOLDER, capture_output=True, text=True, timeout=INSTALL_SECONDS)
        if done.returncode:
            missing(f"the clients cannot be installed: cd {FOLDER} && npm ci\n{done.stderr[-2000:]}")
    return found


def missing(reason: str) -> None:
    """Skip, but where CI=true says that nothing may be missing."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def installed() -> bool:
    """Whether node_modules holds what package.json asks for."""
    wanted = json.loads((FOLDER / "package.json").read_text())["dependencies"]
    for name, version in wanted.items():
        manifest = FOLDER / "node_modules" / name / "package.json"
        if not manifest.is_file() or json.loads(manifest.read_text())["version"] != version:
            return False
    return True


def test_the_lock_file_names_no_registry() -> None:
    lock = json.loads((FOLDER / "package-lock.json").read_text())
    assert not [name for name, package in lock["packages"].items() if "resolved" in package]


@pytest.mark.timeout(INSTALL_SECONDS + RUN_SECONDS + 20)
@pytest.mark.parametrize("file", FILES)
def test_the_javascript_clients_find_what_they_expect(node: str, server: LiveServer, file: str) -> None:
    environment = {**os.environ, "WEFT_URL": server.url, "LANGSMITH_TRACING": "false"}
    done = subprocess.run(
        [node, "--test", "--test-reporter=spec", file],
        cwd=FOLDER,
        env=environment,
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
