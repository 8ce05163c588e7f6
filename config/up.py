"""`manage.py up`: everything on this machine in one terminal. Owns the order in which things start.

Imports no Django: this process lives as long as the others and should cost next to nothing.
"""

import argparse
import os
import secrets
import select
import socket
import sys
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from config import embedded, exposure, ports, reachable, settings, state
from config.document import FILE
from config.environment import ConfigurationError, without_adopted
from config.processes import Program
from config.supervisor import Child, StopRequested, Supervisor
from config.terminal import Terminal

# Callers go first, then those who work for them, then what all of them stand on.
STOP_ORDER = ("web", "worker", "beat", "redis", "postgres")
MANAGE = (sys.executable, str(settings.BASE_DIR / "manage.py"))
SERVER_SECONDS = 60.0
ERRAND_SECONDS = 600.0
WEB_SECONDS = 120.0
ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (told apart, not bound)
# Somebody waits at the terminal, and what a worker hands back goes on at the next start.
GRACE, GRACE_SECONDS = "BG_JOB_SHUTDOWN_GRACE_PERIOD_SECS", "10"
ADMIN_CREATED = "created the login admin"
KEY = "weft_"  # how the line of a new API key begins


class StartFailed(ConfigurationError):
    """A part did not start. Its own lines have been shown before."""


def main(argv: Sequence[str]) -> int:
    """Run until a signal; gives 0. Raises ConfigurationError (exit status 1) when something cannot start."""
    options = _options(argv)
    if options.config and str(Path(options.config).resolve()) != os.environ.get(FILE):
        # Settings were read from another file; its variables must not stay.
        environment = {**without_adopted(), FILE: str(Path(options.config).resolve())}
        os.execve(sys.executable, [sys.executable, "-m", "config.up", *argv], environment)  # noqa: S606
    _decide_auth(options)
    with state.locked(settings.STATE_DIR), ExitStack() as stack:
        ports.listen(options.host, options.port).close()
        addresses = stack.enter_context(state.addresses(settings.STATE_DIR))
        supervisor = Supervisor(Terminal(), STOP_ORDER)
        up = Up(supervisor, options, addresses)
        # Sockets outside the state directory go after the servers that the supervisor stops.
        stack.callback(up.clear)
        with suppress(StopRequested), supervisor:
            up.start()
            supervisor.watch()
        supervisor.terminal.say("Stopped.")
    return 0


class Up:
    """One start of everything."""

    def __init__(self, supervisor: Supervisor, options: argparse.Namespace, addresses: Path) -> None:
        self.supervisor = supervisor
        self.options = options
        self.addresses = addresses
        self.terminal = supervisor.terminal
        self.servers: list[embedded.Server] = []

    def start(self) -> None:
        """Start everything and say so. Raises StopRequested, or ConfigurationError when something cannot start."""
        os.environ["PYTHONUNBUFFERED"] = "1"
        os.environ.setdefault(GRACE, GRACE_SECONDS)
        self._apply_options()
        os.environ["SECRET_KEY"] = os.environ.get("SECRET_KEY") or state.secret_key(settings.STATE_DIR)
        # The slowest part of a start, and it needs no server: let it run while they start.
        graphs = self.supervisor.begin(Program("graphs", (*MANAGE, "graphs")))
        self._start_redis()
        self._start_postgres()
        names = ("DATABASE_URI", "REDIS_URI", "SECRET_KEY")
        state.write_addresses(self.addresses, {name: os.environ[name] for name in names if name in os.environ})
        password = secrets.token_urlsafe(12)
        argv = (*MANAGE, "prepare", *(["--first-key"] if self.options.with_keys else []))
        program = Program("prepare", argv, env={"DJANGO_SUPERUSER_PASSWORD": password})
        prepare = self.supervisor.begin(program)
        self._finish_graphs(graphs)
        self._finish(prepare, "Preparing the database and the pages", "The database cannot be prepared.")
        self._start_parts()
        key = next((line for line in prepare.kept if line.startswith(KEY)), "")
        self._banner(password if any(ADMIN_CREATED in line for line in prepare.kept) else "", key)

    def clear(self) -> None:
        """Remove what stopped servers leave behind."""
        for server in self.servers:
            server.clear()

    def _apply_options(self) -> None:
        """What the parts are told by variables: they inherit ours."""
        os.environ["N_JOBS_PER_WORKER"] = str(self.options.n_jobs_per_worker)
        # Browsers let pages of the internet, such as a studio, reach this machine only if it says so.
        os.environ.setdefault("ALLOW_PRIVATE_NETWORK", "true")
        # A studio's page may then do what a developer may, without a credential: only for who sits at this machine.
        os.environ["STUDIO_WITHOUT_CREDENTIALS"] = str(exposure.is_loopback(self.options.host)).lower()
        if self.options.server_log_level:
            os.environ["LOG_LEVEL"] = self.options.server_log_level
        if self.options.allow_blocking:
            os.environ["BLOCKED_LOOP_MILLISECONDS"] = "0"

    # --- PostgreSQL and Redis -----------------------------------------------------------------------------------

    def _start_redis(self) -> None:
        if uri := os.environ.get("REDIS_URI_CUSTOM") or os.environ.get("REDIS_URI"):
            reachable.check_redis(uri)
        else:
            os.environ["REDIS_URI"] = self._start_server(embedded.redis_server(settings.STATE_DIR))

    def _start_postgres(self) -> None:
        if uri := os.environ.get("DATABASE_URI") or os.environ.get("POSTGRES_URI"):
            reachable.check_postgres(uri)
            return
        if setup := embedded.postgres_setup(settings.STATE_DIR):
            errand = self.supervisor.begin(setup)
            self._finish(errand, "Setting up PostgreSQL, this once", "PostgreSQL's directory cannot be set up.")
        server = embedded.postgres_server(settings.STATE_DIR)
        os.environ["DATABASE_URI"] = self._start_server(server)
        embedded.create_database(server)

    def _start_server(self, server: embedded.Server) -> str:
        self.servers.append(server)
        name = server.program.name
        child = self.supervisor.start(server.program, quiet=True)
        self.supervisor.wait_for(lambda: bool(child.failures) or server.is_ready(), f"Starting {name}", SERVER_SECONDS)
        if not server.is_ready():
            raise StartFailed(f"The embedded {name} does not start.")
        return server.uri

    # --- what must be right before anything is served -----------------------------------------------------------

    def _finish_graphs(self, errand: Child) -> None:
        """The traceback of a graph that cannot be imported goes out bare: its lines first, then one sentence."""
        if self.supervisor.finish(errand, "Importing the graphs", ERRAND_SECONDS):
            *traceback, sentence = errand.kept or ["The graphs cannot be imported."]
            sys.stderr.writelines(f"{line}\n" for line in traceback)
            raise StartFailed(sentence)

    def _finish(self, errand: Child, doing: str, sentence: str) -> None:
        if self.supervisor.finish(errand, doing, ERRAND_SECONDS):
            for line in errand.kept:
                errand.show(line)
            raise StartFailed(sentence)

    # --- what serves --------------------------------------------------------------------------------------------

    def _start_parts(self) -> None:
        host, port = self.options.host, self.options.port
        argv = [*MANAGE, "web", "--host", host, "--port", str(port)]
        if self.options.access_log:
            argv.append("--access-log")
        web = self.supervisor.start(Program("web", tuple(argv), grace=15.0))
        for number in range(1, self._workers() + 1):
            # A run in progress may use up all of its grace; then the worker needs a moment to hand it back.
            grace = float(os.environ[GRACE]) + 5.0
            name = f"worker-{number}"
            self.supervisor.start(Program(name, (*MANAGE, "worker", "--name", name), grace=grace))
        ok = OpenQuestion(ANY_ADDRESS.get(host, host), port, "/ok")
        doing = "Starting the server"
        if not self.supervisor.wait_for(lambda: bool(web.failures) or ok.answered(), doing, WEB_SECONDS):
            raise StartFailed(f"The server does not answer within {WEB_SECONDS:g} seconds.")
        if web.failures:
            raise StartFailed("The server does not start.")
        # Nothing is due in the first second, and two cores are busy enough until here.
        self.supervisor.start(Program("beat", (*MANAGE, "beat")))

    def _workers(self) -> int:
        return int(self.options.workers) if self.options.n_jobs_per_worker else 0

    def _banner(self, password: str, key: str) -> None:
        host = ANY_ADDRESS.get(self.options.host, self.options.host)
        url = f"http://{f'[{host}]' if ':' in host else host}:{self.options.port}{settings.MOUNT_PREFIX}"
        login = (
            f"admin / {password}   (shown this once)"
            if password
            else "admin   (forgotten? manage.py changepassword admin)"
        )
        self.terminal.progress("Weft is ready.")
        rows = {"API": url, "docs": f"{url}/docs", "admin": f"{url}/admin/", "login": login}
        if key:
            rows["API key"] = f"{key}   (shown this once)"
        if not self._workers():
            rows["workers"] = "none here: runs wait for a worker started elsewhere"
        self.terminal.plain("")
        for name, text in rows.items():
            self.terminal.plain(f"    {name:<8} {text}")
        self.terminal.plain("\n    Ctrl-C stops everything.\n")


class OpenQuestion:
    """One GET request, asked once and left open: a server still importing answers late, and asking must not wait."""

    def __init__(self, host: str, port: int, path: str) -> None:
        self.address = (host, port)
        self.request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
        self.connection: socket.socket | None = None

    def answered(self) -> bool:
        """Whether the answer is there and is 200; asks again after any other. Never blocks for more than a second."""
        try:
            if self.connection is None:
                self.connection = socket.create_connection(self.address, timeout=1.0)
                self.connection.sendall(self.request)
            if not select.select([self.connection], [], [], 0)[0]:
                return False
            answer = self.connection.recv(64)
        except OSError:
            answer = b""
        if self.connection:
            self.connection.close()
        self.connection = None
        return answer.startswith(b"HTTP/1.1 200 ")


def _decide_auth(options: argparse.Namespace) -> None:
    """Whether callers need a key, by option or variable, or by asking at the terminal where they would not and anybody
    could reach us. Raises Exposed.
    """
    auth = settings.WEFT_AUTH or (exposure.NONE if options.open else "")
    if options.with_keys:
        auth = exposure.KEYS
    try:
        exposure.check(options.host, auth, settings.LANGGRAPH_CONFIG_FILE)
    except exposure.Exposed:
        if not (sys.stdin.isatty() and _is_yes(f"Others can reach {options.host}. Ask callers for an API key? [Y/n] ")):
            raise
        auth, options.with_keys = exposure.KEYS, True
    if auth:
        os.environ["WEFT_AUTH"] = auth


def _is_yes(question: str) -> bool:
    try:
        return input(question).strip().lower() in ("", "y", "yes")
    except (EOFError, KeyboardInterrupt):
        return False


def _options(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="manage.py up", description="Start everything in this terminal.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=2024, help="port to listen on (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=1, help="worker processes (default: %(default)s)")
    parser.add_argument("--config", default="", help="the langgraph.json to serve (default: ./langgraph.json)")
    parser.add_argument("--with-keys", action="store_true", help="ask callers for an API key; makes the first one")
    parser.add_argument("--open", action="store_true", help="let everybody do everything, on any address")
    parser.add_argument("--access-log", action="store_true", help="print a line for each request")
    jobs = settings.N_JOBS_PER_WORKER
    parser.add_argument("--n-jobs-per-worker", type=int, default=jobs, help="runs a worker executes at a time")
    parser.add_argument("--server-log-level", default="", help="DEBUG, INFO, WARNING or ERROR")
    parser.add_argument("--allow-blocking", action="store_true", help="report no nodes that block their loop")
    parser.add_argument("--no-reload", action="store_true", help="accepted: nothing is reloaded")
    parser.add_argument("--no-browser", action="store_true", help="accepted: no browser is opened")
    options = parser.parse_args(argv)
    if options.n_jobs_per_worker < 0:
        parser.error("--n-jobs-per-worker must not be negative")
    return options


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
