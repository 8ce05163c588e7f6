"""The server under test: PostgreSQL, Redis, webs, workers and beat as processes, each part behind proxies of its own.

Restarts what ends, as a supervisor would; everything dies with the process that planted it.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from psycopg.conninfo import make_conninfo

from config import embedded, processes
from config.processes import Program
from tests import services
from tests.chaos import audit
from tests.chaos.graphs import JOURNAL, work
from tests.proxy import Mode, Proxy, before_postgres, before_redis

ROOT = Path(__file__).parent.parent.parent
START_SECONDS = 240.0
RESTART_SECONDS = 1.0  # how long a supervisor waits before it starts again what ended
# Leases that are short enough for many recoveries in a few minutes; and no run fails because its workers died.
QUICK = {
    "RUN_LEASE_SECONDS": "5",
    "RUN_LEASE_RENEWAL_SECONDS": "1.5",
    "RUN_SWEEP_SECONDS": "1",
    "BG_JOB_SHUTDOWN_GRACE_PERIOD_SECS": "3",
    "BG_JOB_MAX_RETRIES": "1000",
}


@dataclass
class Service:
    """PostgreSQL or Redis."""

    state: Path
    server: embedded.Server
    process: subprocess.Popen[bytes]

    def stop(self, signum: signal.Signals | None = None) -> None:
        """End it, by the signal given or as it likes best."""
        if signum is not None and self.process.poll() is None:
            self.process.send_signal(signum)
            self.process.wait(30)
        processes.stop(self.process, self.server.program)

    async def start(self) -> None:
        """Run it again, unless it runs, and wait until it answers."""
        if self.process.poll() is not None:
            with (self.state / f"{self.server.program.name}.log").open("ab") as log:
                self.process = processes.launch(self.server.program, log)
        async with asyncio.timeout(START_SECONDS):
            while not self.server.is_ready():
                await asyncio.sleep(0.05)


@dataclass
class Part:
    """One of Weft's processes. Each life of it has a name of its own, which PostgreSQL knows its connections by."""

    name: str
    arguments: tuple[str, ...]
    environment: dict[str, str]
    postgres: Proxy
    redis: Proxy
    log: Path
    process: subprocess.Popen[bytes] | None = None
    lives: dict[str, int] = field(default_factory=dict)  # name of the life: pid
    due: float = 0.0  # when a supervisor starts it again
    asked_to_end: bool = False
    stopped: bool = False
    surprises: list[str] = field(default_factory=list)  # ends that nobody asked for

    @property
    def alive(self) -> bool:
        """Whether it runs or is stopped, but exists."""
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Begin the next life."""
        life = f"{self.name}.{len(self.lives) + 1}"
        database = make_conninfo(self.environment["DATABASE_URI"], application_name=life)
        argv = (sys.executable, str(ROOT / "manage.py"), *self.arguments)
        with self.log.open("ab") as log:
            log.write(f"--- {time.time():.3f} {life}\n".encode())
            log.flush()
            program = Program(self.name, argv, env={**self.environment, "DATABASE_URI": database})
            self.process = processes.launch(program, log)
        self.lives[life] = self.process.pid
        self.asked_to_end = self.stopped = False

    def signal(self, signum: signal.Signals) -> bool:
        """Send it a signal; False when there is nobody to get it."""
        if self.process is None or self.process.poll() is not None:
            return False
        self.asked_to_end |= signum in (signal.SIGKILL, signal.SIGTERM)
        self.stopped = signum == signal.SIGSTOP
        self.process.send_signal(signum)
        return True

    def look_after(self) -> None:
        """What a supervisor does now and then."""
        if self.alive:
            return
        if self.process is not None:
            if not self.asked_to_end:
                self.surprises.append(f"{self.name} ended with {self.process.returncode} by itself")
            processes.kill_group(self.process)
            self.process, self.due = None, time.monotonic() + RESTART_SECONDS
        elif time.monotonic() >= self.due:
            self.start()


@dataclass
class Tree:
    """All of it. `database` and `redis_uri` go past the proxies."""

    folder: Path
    postgres: Service
    redis: Service
    parts: dict[str, Part]
    urls: list[str]

    @property
    def database(self) -> str:
        """The address of the database, past the proxies."""
        return make_conninfo(self.postgres.server.uri, application_name="chaos")

    @property
    def journal(self) -> Path:
        """Where the graph writes down its steps."""
        return self.folder / "journal.jsonl"

    def workers(self) -> list[Part]:
        """The parts that execute runs."""
        return [part for part in self.parts.values() if part.name.startswith("worker")]

    @contextlib.asynccontextmanager
    async def supervised(self) -> AsyncIterator[None]:
        """Start all parts and keep them running while the block lasts."""
        for part in self.parts.values():
            part.start()
        watching = asyncio.create_task(self._supervise())
        try:
            async with asyncio.timeout(START_SECONDS):
                await self.until_up()
            yield
        finally:
            watching.cancel()
            await asyncio.wait([watching])

    async def heal(self) -> None:
        """Take every fault away: all continues, passes and runs."""
        for part in self.parts.values():
            for proxy in (part.postgres, part.redis):
                proxy.delay = 0.0
                await asyncio.to_thread(proxy.set, Mode.PASS)
            if part.stopped:
                part.signal(signal.SIGCONT)
        await self.postgres.start()
        await self.redis.start()
        async with asyncio.timeout(START_SECONDS):
            while not all(part.alive for part in self.parts.values()):
                await asyncio.sleep(0.1)
            await self.until_up()

    async def _supervise(self) -> None:
        while True:
            for part in self.parts.values():
                part.look_after()
            await asyncio.sleep(0.1)

    async def until_up(self) -> None:
        """Return when every web answers and every worker has executed something."""
        async with httpx.AsyncClient(timeout=30) as http:
            for url in self.urls:
                while True:
                    with contextlib.suppress(httpx.HTTPError):
                        if (await http.get(f"{url}/ok")).status_code == 200:
                            break
                    await asyncio.sleep(0.1)
            one = {"assistant_id": "journal", "input": work("up", steps=1, pause=0.2)}
            while not await asyncio.to_thread(self._all_have_worked):
                runs = (http.post(f"{self.urls[0]}/runs/wait", json=one) for _ in self.workers())
                await asyncio.gather(*runs, return_exceptions=True)

    def _all_have_worked(self) -> bool:
        pids = {step["pid"] for step in map(json.loads, self.journal.read_text().splitlines())}
        return pids >= {part.process.pid for part in self.workers() if part.process}


@contextmanager
def planted(folder: Path, settings: Mapping[str, str], *, webs: int = 2, workers: int = 3) -> Iterator[Tree]:
    """A tree whose services run and whose parts are yet to be started; nothing of it is left afterwards."""
    with ExitStack() as stack:
        postgres = _service(stack, folder, *services.start_postgres(folder, durable=True))
        redis = _service(stack, folder, *services.start(embedded.redis_server(folder), folder))
        tree = Tree(folder, postgres, redis, {}, [])
        environment = {
            "WEFT_CONFIG": str(ROOT / "tests/chaos/langgraph.json"),
            "WEFT_STATE_DIR": str(folder),
            "REDIS_KEY_PREFIX": "chaos:",
            "N_JOBS_PER_WORKER": "10",
            "LOG_LEVEL": "WARNING",
            JOURNAL: str(tree.journal),
            **settings,
        }
        tree.journal.touch()
        _migrate(tree, environment)
        audit.install(tree.database)
        ports = [_free_port() for _ in range(webs)]
        tree.urls += [f"http://127.0.0.1:{port}" for port in ports]
        arguments: dict[str, tuple[str, ...]] = {
            f"web-{number + 1}": ("web", f"--port={port}") for number, port in enumerate(ports)
        }
        arguments |= {f"worker-{number + 1}": ("worker",) for number in range(workers)}
        for name, given in {**arguments, "beat": ("beat",)}.items():
            tree.parts[name] = _part(stack, tree, name, given, environment)
        yield tree


def _service(stack: ExitStack, folder: Path, server: embedded.Server, process: subprocess.Popen[bytes]) -> Service:
    service = Service(folder, server, process)
    stack.callback(server.clear)
    stack.callback(service.stop)
    return service


def _part(stack: ExitStack, tree: Tree, name: str, arguments: tuple[str, ...], environment: dict[str, str]) -> Part:
    postgres, database = stack.enter_context(before_postgres(tree.postgres.server.uri))
    redis, redis_uri = stack.enter_context(before_redis(tree.redis.server.uri))
    addresses = {"DATABASE_URI": database, "REDIS_URI": redis_uri, "REDIS_URI_CUSTOM": redis_uri}
    part = Part(name, arguments, {**environment, **addresses}, postgres, redis, tree.folder / f"{name}.log")
    stack.callback(_end, part)
    return part


def _end(part: Part) -> None:
    if part.process is not None:
        part.signal(signal.SIGCONT)
        processes.kill_group(part.process)


def _migrate(tree: Tree, environment: dict[str, str]) -> None:
    addresses = {"DATABASE_URI": tree.database, "REDIS_URI_CUSTOM": tree.redis.server.uri}
    subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), "migrate", "--verbosity=0"],
        env={**os.environ, **environment, **addresses},
        timeout=START_SECONDS,
        check=True,
    )


def _free_port() -> int:
    # Not conftest's: that module wants Django's settings.
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
