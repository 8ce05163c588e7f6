"""The official JavaScript clients against the live server; the tests themselves are the js/*.test.mjs."""

import json
import os
import subprocess

import pytest

from tests.conftest import LiveServer
from tests.javascript import FOLDER, INSTALL_SECONDS, node_with_packages

RUN_SECONDS = 150
FILES = sorted(path.name for path in FOLDER.glob("*.test.mjs"))


@pytest.fixture(scope="module")
def node() -> str:
    """Node.js 20 or newer with the clients installed beside the tests."""
    return node_with_packages()


def test_the_lock_file_names_no_registry() -> None:
    lock = json.loads((FOLDER / "package-lock.json").read_text())
    assert not [name for name, package in lock["packages"].items() if "resolved" in package]


@pytest.mark.timeout(INSTALL_SECONDS + RUN_SECONDS + 20)
@pytest.mark.parametrize("file", FILES)
def test_the_javascript_clients_find_what_they_expect(node: str, server: LiveServer, file: str) -> None:
    environment = {**os.environ, "WEFT_URL": server.url, "LANGSMITH_TRACING": "false"}
    done = subprocess.run(
        [node, "--test", "--test-force-exit", "--test-reporter=spec", file],
        cwd=FOLDER,
        env=environment,
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
