"""More web processes on the shared server's database and Redis, with settings and logs of their own."""

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.conftest import ROOT, START_SECONDS, LiveServer, free_port


@dataclass(frozen=True)
class Web:
    """A web process and where its output goes, a line for each request."""

    url: str
    log: Path

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.url.rpartition(":")[2])


@contextlib.contextmanager
def another_web(server: LiveServer, folder: Path, **environment: str) -> Iterator[Web]:
    """One more web process while the block lasts."""
    port = free_port()
    web = Web(f"http://127.0.0.1:{port}", folder / f"web-{port}.log")
    with web.log.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "web", f"--port={port}", "--access-log"],
            cwd=ROOT,
            env={**server.environment, **environment},
            stdout=log,
            stderr=log,
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while True:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"{web.url}/ok").status_code == 200:
                    break
            assert process.poll() is None and time.monotonic() < deadline, web.log.read_text()
            time.sleep(0.1)
        yield web
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
