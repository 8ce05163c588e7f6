"""The state directory: who has it, its secret key, and the addresses other commands find the running servers by."""

import fcntl
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from config.environment import ConfigurationError


class AlreadyRunning(ConfigurationError):
    """Another `up` has this state directory."""


@contextmanager
def locked(state: Path) -> Iterator[None]:
    """Hold `state`, made if missing, until the end of the block or of the process. Raises AlreadyRunning."""
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    # The lock is the kernel's and ends with us, however we end; the number in the file is for people.
    with (state / "up.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
            raise AlreadyRunning(
                f"Weft already runs from {state} (pid {holder}): stop it, or set WEFT_STATE_DIR to another directory."
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def secret_key(state: Path) -> str:
    """The key kept in `state`, generated at first use and readable by its owner only."""
    path = state / "secret_key"
    if not path.exists():
        draft = path.with_suffix(".new")
        draft.unlink(missing_ok=True)
        _write_private(draft, secrets.token_urlsafe(48))
        draft.rename(path)
    return path.read_text().strip()


@contextmanager
def addresses(state: Path) -> Iterator[Path]:
    """The file where `write_addresses` leaves what is running; removed at the end of the block."""
    path = state / "environment"
    path.unlink(missing_ok=True)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def write_addresses(path: Path, variables: Mapping[str, str]) -> None:
    """Write variables as NAME='value' lines, for a shell or python-dotenv, readable by their owner only."""
    path.unlink(missing_ok=True)
    _write_private(path, "".join(f"{name}='{value}'\n" for name, value in variables.items()))


def _write_private(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
