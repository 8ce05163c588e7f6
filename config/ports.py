"""Listening sockets, and who has the port somebody else took. Owns no server."""

import os
import socket
import subprocess
from contextlib import suppress
from pathlib import Path

from config.environment import ConfigurationError
from config.processes import command_of

LISTEN = "0A"  # state of a listening socket in /proc/net/tcp
COMMAND_SHOWN = 80


class PortTaken(ConfigurationError):
    """The port is in use. The message names who has it where the system tells us."""


def listen(host: str, port: int) -> socket.socket:
    """A bound, listening socket. Raises PortTaken, or ConfigurationError for an address that is not ours."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        if holder := _holder(port):
            raise PortTaken(f"Port {port} is taken by {holder}: choose another with --port.") from None
        if error.errno in (48, 98):  # EADDRINUSE of macOS and Linux
            find = f"`lsof -nP -iTCP:{port} -sTCP:LISTEN`"
            raise PortTaken(f"Port {port} is taken ({find} as root names who): choose another with --port.") from None
        raise ConfigurationError(f"Cannot listen on {host}:{port}: {error.strerror or error}.") from None
    except OverflowError:
        raise ConfigurationError(f"--port must be between 0 and 65535, not {port}.") from None


def _holder(port: int) -> str:
    pid = _pid_by_proc(port) or _pid_by_lsof(port)
    command = command_of(pid) if pid else ""
    if len(command) > COMMAND_SHOWN:
        command = command[:COMMAND_SHOWN] + "…"
    return f"pid {pid} ({command})" if command else ""


def _pid_by_proc(port: int) -> int:
    """The listener's pid from Linux's /proc; 0 elsewhere, and for a process we may not look into."""
    inodes = {f"socket:[{inode}]" for table in ("tcp", "tcp6") for inode in _listening_inodes(table, port)}
    if not inodes:
        return 0
    for folder in Path("/proc").glob("[0-9]*/fd"):
        with suppress(OSError):
            if any(_link(entry) in inodes for entry in folder.iterdir()):
                return int(folder.parent.name)
    return 0


def _listening_inodes(table: str, port: int) -> list[str]:
    with suppress(OSError):
        rows = [row.split() for row in Path(f"/proc/net/{table}").read_text().splitlines()[1:]]
        return [row[9] for row in rows if row[3] == LISTEN and int(row[1].rpartition(":")[2], 16) == port]
    return []


def _link(entry: Path) -> str:
    with suppress(OSError):
        return os.readlink(entry)
    return ""


def _pid_by_lsof(port: int) -> int:
    argv = ["lsof", "-nP", f"-iTCP:{port}", "-sTCP:LISTEN", "-t"]
    with suppress(OSError, ValueError, IndexError):
        answer = subprocess.run(argv, capture_output=True, text=True, check=False)  # noqa: S603 (no shell)
        return int(answer.stdout.split()[0])
    return 0
