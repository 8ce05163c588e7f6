"""A server to measure: PostgreSQL, Redis, web, worker and beat in a temporary directory, on loopback, gone after."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from config import embedded, processes
from config.processes import Program

ROOT = Path(__file__).parent.parent
START_SECONDS = 180.0
CHILD_SECONDS = 600.0
JOBS_PER_WORKER = 10


class BenchFailed(SystemExit):
    """Nothing can be measured. Its message says why; the process ends with status 1."""


@dataclass
class Server:
    """The running parts: `pids` by name, the web port, the addresses of PostgreSQL and Redis."""

    state: Path
    port: int
    database: str = ""
    redis: str = ""
    pids: dict[str, int] = field(default_factory=dict)
    stack: ExitStack = field(default_factory=ExitStack)  # ends what was started
    worker: subprocess.Popen[bytes] | None = None

    @contextmanager
    def slots(self, count: int) -> Iterator[None]:
        """While the block lasts, another worker in the place of the one there is, with so many slots."""
        _replace_worker(self, count)
        try:
            yield
        finally:
            _replace_worker(self, JOBS_PER_WORKER)

    def child(self, module: str, job: dict[str, Any]) -> dict[str, Any]:
        """What `python -m module` answers to the job. Raises BenchFailed."""
        argv = [sys.executable, "-m", module]
        text = json.dumps({"port": self.port, "pids": self.pids, **job})
        done = subprocess.run(  # noqa: S603 (argv is ours, there is no shell)
            argv, input=text, capture_output=True, text=True, cwd=ROOT, timeout=CHILD_SECONDS, check=False
        )
        if done.returncode:
            raise BenchFailed(f"{done.stderr}{module} failed. The servers' last words:\n{_last_words(self.state)}")
        figures: dict[str, Any] = json.loads(done.stdout)
        return figures


@contextmanager
def running(keep: Path | None = None) -> Iterator[Server]:
    """A server that answers; nothing of it is left but `keep`. Raises BenchFailed when it does not start."""
    state = keep.absolute() if keep else Path(tempfile.mkdtemp(prefix="weft-bench-"))
    state.mkdir(exist_ok=True)
    with ExitStack() as stack:
        if not keep:
            stack.callback(shutil.rmtree, state, ignore_errors=True)
        try:
            server = Server(state, _free_port(), stack=stack)
            _start_postgres(server)
            _start_redis(server)
            os.environ.update(_environment(server))
            _start_parts(server)
            yield server
        finally:
            # Whoever loses patience now must not keep us from stopping what we started.
            for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
                signal.signal(signum, signal.SIG_IGN)


@contextmanager
def another_web(server: Server, **environment: str) -> Iterator[int]:
    """One more web process, its settings as the environment says, while the block lasts; its port."""
    port = _free_port()
    before = {name: os.environ.get(name, "") for name in environment}
    with ExitStack() as stack:
        os.environ.update(environment)
        try:
            web = _start(server, Program("another", _manage("web", f"--port={port}"), grace=15.0), stack)
        finally:
            os.environ.update(before)
        _wait_until(server, web, "another", lambda: _answers(port))
        yield port


def _environment(server: Server) -> dict[str, str]:
    """Settings for the parts; whatever else the environment says about a server elsewhere loses."""
    return {
        "DATABASE_URI": server.database,
        "REDIS_URI": server.redis,
        "REDIS_URI_CUSTOM": server.redis,
        "REDIS_KEY_PREFIX": "weft-bench:",
        "WEFT_CONFIG": str(ROOT / "bench/langgraph.json"),
        "WEFT_STATE_DIR": str(server.state),
        "LANGSERVE_GRAPHS": "",
        "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.1",
        "N_JOBS_PER_WORKER": str(JOBS_PER_WORKER),
        "BG_JOB_SHUTDOWN_GRACE_PERIOD_SECS": "5",
        "DEBUG": "0",
    }


def _manage(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, str(ROOT / "manage.py"), *arguments)


def _start_postgres(server: Server) -> None:
    setup = embedded.postgres_setup(server.state)
    if setup:
        _finish(server, setup)
    found = embedded.postgres_server(server.state)
    server.stack.callback(found.clear)
    process = _start(server, found.program)
    _wait_until(server, process, "postgres", found.is_ready)
    embedded.create_database(found)
    server.database = found.uri


def _start_redis(server: Server) -> None:
    found = embedded.redis_server(server.state)
    server.stack.callback(found.clear)
    process = _start(server, found.program)
    _wait_until(server, process, "redis", found.is_ready)
    server.redis = found.uri


def _start_parts(server: Server) -> None:
    _finish(server, Program("migrate", _manage("migrate", "--verbosity=0")))
    _start(server, Program("beat", _manage("beat"), grace=15.0))
    _replace_worker(server, JOBS_PER_WORKER)
    web = _start(server, Program("web", _manage("web", f"--port={server.port}"), grace=15.0))
    _wait_until(server, web, "web", lambda: _answers(server.port))


def _replace_worker(server: Server, slots: int) -> None:
    program = Program("worker", _manage("worker"), env={"N_JOBS_PER_WORKER": str(slots)}, grace=15.0)
    if server.worker:
        processes.stop(server.worker, program)
    server.worker = _start(server, program)


def _start(server: Server, program: Program, stack: ExitStack | None = None) -> subprocess.Popen[bytes]:
    """Launch a part, ended with the stack or else the server; its output goes to a file named for it."""
    with (server.state / f"{program.name}.log").open("ab") as log:
        process = processes.launch(program, log)
    (server.stack if stack is None else stack).callback(processes.stop, process, program)
    server.pids[program.name] = process.pid
    return process


def _finish(server: Server, program: Program) -> None:
    """Run a program that ends by itself. Raises BenchFailed unless it ends well."""
    with (server.state / f"{program.name}.log").open("ab") as log:
        process = processes.launch(program, log)
    try:
        code = process.wait(START_SECONDS)
    finally:
        processes.kill_group(process)
    if code:
        raise BenchFailed(f"{program.name} failed:\n{_last_words(server.state)}")


def _wait_until(server: Server, process: subprocess.Popen[bytes], name: str, ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            raise BenchFailed(f"{name} does not start:\n{_last_words(server.state)}")
        time.sleep(0.05)


def _answers(port: int) -> bool:
    with suppress(OSError):  # of which urllib's errors are some
        urlopen(f"http://127.0.0.1:{port}/ok", timeout=5).close()
        return True
    return False


def _last_words(state: Path) -> str:
    """The ends of all logs."""
    tails = []
    for path in sorted(state.glob("*.log")):
        lines = path.read_text(errors="replace").splitlines()[-10:]
        tails += [f"{path.stem:9} {line}" for line in lines]
    return "\n".join(tails)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
