"""A pytest plugin: one embedded PostgreSQL and Redis for the whole test run, running before settings are read.

DATABASE_URI and REDIS_URI in the environment win. Knows nothing of Django; pytest-django makes the databases.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from config import embedded, processes

START_SECONDS = 60.0


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    os.environ.setdefault("WEFT_CONFIG", str(Path(__file__).parent / "graphs/langgraph.json"))
    os.environ["REDIS_KEY_PREFIX"] = f"weft-{worker or 'test'}:"
    # pytest-xdist's workers inherit the addresses the controller has set.
    if not worker:
        early_config.add_cleanup(start_missing_servers())


def start_missing_servers() -> Callable[[], None]:
    """Start what no address is given for and put its address into the environment; returns what stops it all again."""
    state = Path(tempfile.mkdtemp(prefix="weft-tests-"))
    running: list[tuple[embedded.Server, subprocess.Popen[bytes]]] = []

    def stop() -> None:
        for server, process in reversed(running):
            processes.stop(process, server.program)
            server.clear()
        shutil.rmtree(state, ignore_errors=True)

    try:
        if not (os.environ.get("DATABASE_URI") or os.environ.get("POSTGRES_URI")):
            running.append(start_postgres(state))
            os.environ["DATABASE_URI"] = running[-1][0].uri
        if not (os.environ.get("REDIS_URI_CUSTOM") or os.environ.get("REDIS_URI")):
            running.append(start(embedded.redis_server(state), state))
            os.environ["REDIS_URI"] = running[-1][0].uri
    except BaseException:
        stop()
        raise
    return stop


def start_postgres(state: Path, *, durable: bool = False) -> tuple[embedded.Server, subprocess.Popen[bytes]]:
    """A ready PostgreSQL on a new database cluster below `state`, its database created."""
    setup = embedded.postgres_setup(state, durable=durable)
    if setup:
        with (state / "postgres.log").open("ab") as log:
            code = processes.launch(setup, log).wait(START_SECONDS)
        assert code == 0, (state / "postgres.log").read_text()
    server, process = start(embedded.postgres_server(state, durable=durable), state)
    embedded.create_database(server)
    return server, process


def start(server: embedded.Server, state: Path) -> tuple[embedded.Server, subprocess.Popen[bytes]]:
    """Launch `server`, its output going to a file in `state`, and wait until it accepts connections."""
    path = state / f"{server.program.name}.log"
    with path.open("ab") as log:
        process = processes.launch(server.program, log)
    deadline = time.monotonic() + START_SECONDS
    while not server.is_ready():
        if process.poll() is not None or time.monotonic() > deadline:
            processes.kill_group(process)
            raise AssertionError(f"{server.program.name} did not start:\n{path.read_text()}")
        time.sleep(0.02)
    return server, process


def main(argv: list[str]) -> int:
    """Run a command with the servers of a test run: `python -m tests.services manage.py makemigrations --check`."""
    stop = start_missing_servers()
    try:
        return subprocess.call([sys.executable, *argv])
    finally:
        stop()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
