"""A server that lets everybody do everything listens for others only if somebody said that this is meant."""

import json
import os
import pty
import re
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from accounts.issuing import FORM
from config.exposure import Exposed, check, is_loopback
from tests.conftest import ROOT, free_port
from tests.test_up import GRAPH, START_SECONDS, environment, project, up

ANYWHERE = "0.0.0.0"


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("127.1.2.3", True), ("::1", True), ("localhost", True)]
    + [(host, False) for host in (ANYWHERE, "::", "", "192.0.2.1", "10.0.0.1", "localhost.example.com", "weft")],
)
def test_only_addresses_of_this_machine_are_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


@pytest.mark.parametrize("host", [ANYWHERE, "::", "192.0.2.1"])
def test_an_open_server_is_refused_an_address_others_reach_and_the_three_cures_are_named(
    tmp_path: Path, host: str
) -> None:
    file = project(tmp_path, GRAPH)
    with pytest.raises(Exposed) as refused:
        check(host, "", file)
    for cure in ("WEFT_AUTH=keys", "apikey create", "auth.path", "--open", "WEFT_AUTH=none"):
        assert cure in str(refused.value)
    check("127.0.0.1", "", file)
    check(host, "keys", file)
    check(host, "none", file)
    file.write_text(json.dumps({**json.loads(file.read_text()), "auth": {"path": "./auth.py:auth"}}))
    check(host, "", file)


def test_web_refuses_and_says_so_in_one_sentence(tmp_path: Path) -> None:
    command = [sys.executable, "manage.py", "web", f"--host={ANYWHERE}", f"--port={free_port()}"]
    given = {"WEFT_CONFIG": str(project(tmp_path, GRAPH))}
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **given}, capture_output=True, text=True, timeout=START_SECONDS
    )
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith("Whoever reaches 0.0.0.0 could do everything")


def test_up_refuses_before_it_starts_anything(tmp_path: Path) -> None:
    done = up(tmp_path / "state", f"--host={ANYWHERE}", WEFT_CONFIG=str(project(tmp_path, GRAPH)))
    assert done.returncode == 1 and "WEFT_AUTH=keys" in done.stderr
    assert not (tmp_path / "state").exists()


def test_at_a_terminal_up_offers_to_make_a_key_and_asks_callers_for_it(tmp_path: Path) -> None:
    port, log = free_port(), tmp_path / "log"
    terminal, stdin = pty.openpty()
    command = [sys.executable, "-m", "config.up", f"--host={ANYWHERE}", f"--port={port}"]
    given = environment(tmp_path / "state", WEFT_CONFIG=str(project(tmp_path, GRAPH)))
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=given, stdin=stdin, stdout=output, stderr=output, process_group=0
        )
    try:
        os.write(terminal, b"y\n")
        deadline = time.monotonic() + START_SECONDS
        while "Ctrl-C stops everything" not in log.read_text():
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        (key,) = re.findall(FORM, log.read_text())
        url = f"http://127.0.0.1:{port}"
        body = {"limit": 1}
        assert httpx.get(f"{url}/ok").status_code == 200
        refused = httpx.post(f"{url}/assistants/search", json=body)
        assert refused.status_code == 401 and refused.json()["detail"].startswith("Missing API key")
        assert httpx.post(f"{url}/assistants/search", json=body, headers={"x-api-key": key}).status_code == 200
    finally:
        process.terminate()
        process.wait(30)
        os.close(terminal)
        os.close(stdin)
