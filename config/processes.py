"""Child processes: how one is started, told apart, ended and outlived. Knows nothing of what they run."""

import ctypes
import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

# Numbers of linux/prctl.h, linux/securebits.h and linux/capability.h.
PR_SET_PDEATHSIG = 1
PR_SET_SECUREBITS = 28
SECBIT_NO_SETUID_FIXUP = 1 << 2
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
CAP_DAC_OVERRIDE = 1
CAPABILITY_VERSION_3 = 0x20080522


@dataclass(frozen=True)
class Program:
    """What to run, as whom, and how it wants to be ended. `env` is added to ours; `grace` is seconds until SIGKILL."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    account: str = ""
    stop_signal: signal.Signals = signal.SIGTERM
    # Sent by the kernel (Linux only) when we die without a chance to stop anything.
    death_signal: signal.Signals = signal.SIGKILL
    grace: float = 10.0


def launch(program: Program, output: IO[bytes] | int) -> subprocess.Popen[bytes]:
    """Start `program` in a process group of its own, both its streams going to `output`.

    The group keeps the terminal's Ctrl-C away from it. Call it from a thread that lives as long as the child should:
    on Linux the child dies with that thread. Raises OSError when the file cannot be run.
    """
    return subprocess.Popen(  # noqa: S603 (argv is ours, there is no shell)
        program.argv,
        env={**os.environ, **program.env},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT if output == subprocess.PIPE else output,
        process_group=0,
        preexec_fn=_child_setup(program),
    )


def stop(process: subprocess.Popen[bytes], program: Program) -> None:
    """Ask `process` to end, wait up to its grace, then kill whatever is left of its group. Returns when it is gone."""
    if process.poll() is None:
        process.send_signal(program.stop_signal)
        with suppress(subprocess.TimeoutExpired):
            process.wait(program.grace)
    kill_group(process)


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """End the process and everything it started in its group, at once; a group already gone is no error."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def process_exists(pid: int) -> bool:
    """Whether any process, ours or not, has this number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def command_of(pid: int) -> str:
    """The command line of a living process, arguments joined by spaces; "" when there is none or we may not see it."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        pass
    try:
        argv = ["ps", "-o", "command=", "-p", str(pid)]
        answer = subprocess.run(argv, capture_output=True, text=True, check=False)  # noqa: S603 (no shell)
    except OSError:
        return ""
    return answer.stdout.strip()


def end_leftover(pid: int, mark: str, signum: signal.Signals, seconds: float) -> bool:
    """End a process of an earlier life, if `pid` still is that process: its command line must hold `mark`.

    Returns False when it outlived SIGKILL, True otherwise (also when there was nothing to end).
    """
    for number in (signum, signal.SIGKILL):
        if mark not in command_of(pid):
            return True
        with suppress(ProcessLookupError):
            os.kill(pid, number)
        deadline = time.monotonic() + seconds
        while mark in command_of(pid) and time.monotonic() < deadline:
            time.sleep(0.05)
    return mark not in command_of(pid)


def _child_setup(program: Program) -> Callable[[], None]:
    """What the child does between fork and exec. Everything it needs is looked up before the fork."""
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    account = pwd.getpwnam(program.account) if program.account else None
    parent = os.getpid()

    def setup() -> None:
        if account:
            _become(account, libc)
        if libc:
            # After the change of user, which clears it.
            libc.prctl(PR_SET_PDEATHSIG, int(program.death_signal), 0, 0, 0)
            if os.getppid() != parent:
                os._exit(1)

    return setup


def _become(account: pwd.struct_passwd, libc: ctypes.CDLL | None) -> None:
    """Turn root into `account`, keeping (Linux) only root's right to pass any directory.

    A checkout below /root is closed to other users, and opening a home directory is not ours to do. The right has to
    outlast setuid, and to count for access(2) too, by which PostgreSQL looks for its own programs.
    """
    if libc:
        libc.prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0)
    os.setgroups([])
    os.setgid(account.pw_gid)
    os.setuid(account.pw_uid)
    if libc:
        mask = 1 << CAP_DAC_OVERRIDE
        header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
        # effective, permitted, inheritable; the second triple holds capabilities 32 and above.
        sets = (ctypes.c_uint32 * 6)(mask, mask, mask, 0, 0, 0)
        libc.capset(header, sets)
        libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE, 0, 0)
