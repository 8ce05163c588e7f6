"""Fixtures: a live server of real processes, shared by an xdist worker's tests, and clients to it."""

import contextlib
import functools
import os
import random
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg
import psycopg_pool.base
import pytest
from django.test import Client
from django.test.client import ClientHandler
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient
from psycopg.conninfo import make_conninfo

from accounts.callers import SCOPE_KEY, UNBOUND
from config import loop
from config.project import project
from events import connection as redis_connection
from store import opening
from tests import projects
from threads import checkpointer

# A pool that grows draws a jitter in a thread of its own. Hypothesis takes that for a strategy that draws from the
# global generator, and fails the test.
vars(psycopg_pool.base)["random"] = random.Random().random

ROOT = Path(__file__).parent.parent
START_SECONDS = 60.0
# Modules that take a minute and more, longest first. They begin before all others, so that the processes of a run side
# by side end together; pytest-xdist would begin with those of most tests, and end with one of these alone.
LONGEST = ("test_chaos", "test_crash", "test_outage", "test_up", "test_database_outage", "test_pick_up")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest modules first."""
    items.sort(key=lambda item: LONGEST.index(item.path.stem) if item.path.stem in LONGEST else len(LONGEST))


@dataclass
class LiveServer:
    """Web, worker and beat as real processes on a database of their own."""

    url: str
    environment: dict[str, str]
    log: Path
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        """Run `manage.py *arguments` under a name of its own."""
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "manage.py", *arguments],
                cwd=ROOT,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.processes[name] = process
        return process

    def stop(self) -> None:
        """End all processes, politely first."""
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def free_port() -> int:
    """A loopback port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def migrate(environment: dict[str, str]) -> None:
    """Make Weft's tables in the environment's database."""
    command = [sys.executable, "manage.py", "migrate", "--verbosity=0"]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, timeout=START_SECONDS)


@functools.cache
def migrated(base: str) -> str:
    """The name of a database with Weft's tables alone, to be copied; one for each process of a test run."""
    name = f"weft_migrated_{secrets.token_hex(4)}"
    with psycopg.connect(base, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    migrate({**os.environ, "DATABASE_URI": make_conninfo(base, dbname=name)})
    return name


@contextlib.contextmanager
def live_server(folder: Path, **environment: str) -> Iterator[LiveServer]:
    """A server with a new database, its worker slots and settings as the environment says.

    DATABASE_URI names the PostgreSQL that gets the database.
    """
    name = f"weft_live_{secrets.token_hex(4)}"
    base = environment.pop("DATABASE_URI", os.environ["DATABASE_URI"])
    # A project may have tables of its own making (its store's index); all others have the same.
    template = "template1" if "WEFT_CONFIG" in environment else migrated(base)
    with psycopg.connect(base, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    port = free_port()
    settings = {
        **os.environ,
        "DATABASE_URI": make_conninfo(base, dbname=name),
        "REDIS_KEY_PREFIX": f"{name}:",
        "WEFT_CONFIG": str(ROOT / "tests/graphs/langgraph.json"),
        "WEFT_STATE_DIR": str(folder),
        "N_JOBS_PER_WORKER": "10",
        "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.1",
        "ALLOW_PRIVATE_NETWORK": "true",
        **environment,
    }
    server = LiveServer(f"http://127.0.0.1:{port}", settings, folder / "server.log")
    try:
        if template == "template1":
            migrate(settings)
        server.start("worker", "worker")
        server.start("beat", "beat")
        server.start("web", "web", f"--port={port}")
        wait_until_up(server)
        yield server
    finally:
        server.stop()
        with psycopg.connect(base, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def wait_until_up(server: LiveServer) -> None:
    """Return when /ok answers."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(f"{server.url}/ok").status_code == 200:
                return
        assert server.processes["web"].poll() is None, server.log.read_text()
        time.sleep(0.1)
    raise AssertionError(server.log.read_text())


@pytest.fixture(scope="session", autouse=True)
def _pools_closed_before_their_database(request: pytest.FixtureRequest) -> Iterator[None]:
    """The graph loop's pool must let go of the test database before pytest-django drops it."""
    if any(item.get_closest_marker("django_db") for item in request.session.items):
        request.getfixturevalue("django_db_setup")
    yield
    loop.run(checkpointer.close())
    loop.run(opening.close())
    loop.run(redis_connection.close())


@pytest.fixture(autouse=True)
def _no_project_outlives_its_test() -> Iterator[None]:
    """What a test had this process read of a project of its own is not what the next one is served."""
    before = project()
    yield
    if not project.cache_info().currsize or project() is not before:
        projects.forget()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """The live server most tests share. They may not stop it, nor count rows they did not make."""
    with live_server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(scope="session")
def owned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A live server with an Auth object, tests/graphs/owners.py: everything belongs to whoever made it."""
    folder = tmp_path_factory.mktemp("owned")
    config, record = str(ROOT / "tests/graphs/owned.json"), str(folder / "asked")
    with live_server(folder, WEFT_CONFIG=config, AUTH_RECORD=record) as running:
        yield running


class _KnownCaller(ClientHandler):
    """Stands in for the layer in front of Django that finds out who is calling."""

    def get_response(self, request: Any) -> Any:
        """The request is everybody's, as on a server without auth."""
        request.scope = {SCOPE_KEY: UNBOUND}
        return super().get_response(request)


@pytest.fixture
def client() -> Client:
    """Django's own test client."""
    client = Client()
    client.handler = _KnownCaller(enforce_csrf_checks=False)
    return client


@pytest.fixture
async def sdk(server: LiveServer) -> AsyncIterator[LangGraphClient]:
    """The official async client."""
    async with get_client(url=server.url, timeout=30) as client:
        yield client


@pytest.fixture
async def http(server: LiveServer) -> AsyncIterator[httpx.AsyncClient]:
    """Plain HTTP, for what no SDK would send."""
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
        yield client
