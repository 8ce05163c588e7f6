"""Children of one terminal: started, watched, restarted after growing pauses, ended in order.

One thread and one select loop. Knows nothing of what the children do.
"""

import os
import selectors
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import FrameType, TracebackType
from typing import Self

from config.processes import Program, kill_group, launch
from config.terminal import Terminal

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
HEALTHY_SECONDS = 60.0
# A quiet program's words of its first seconds are kept back, and shown only when it dies in them.
SETTLE_SECONDS = 2.0
# A terminal may deliver one Ctrl-C twice, through `make` and directly; a person takes longer.
SAME_KEYSTROKE_SECONDS = 0.3
PROGRESS_SECONDS = 5.0
LINE_BYTES = 65536
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopRequested(Exception):
    """Somebody asked us to stop while we waited for something else."""


@dataclass
class Child:
    """One program and its life so far. `failures` counts its own ends in a row; `due` is when it starts again.

    `kept` holds the lines not shown: all those of an errand, the first seconds' of a quiet program.
    """

    program: Program
    show: Callable[[str], None]
    restart: bool = True
    quiet: bool = False
    errand: bool = False
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    failures: int = 0
    due: float | None = None
    code: int | None = None
    partial: bytes = b""
    kept: list[str] = field(default_factory=list)

    def pause(self) -> float:
        """Seconds to wait before the next start."""
        return float(min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (self.failures - 1)))


class Supervisor:
    """Use it as a context: leaving it stops every child, in the order of the names in `stop_order`."""

    def __init__(self, terminal: Terminal, stop_order: Sequence[str]) -> None:
        self.terminal = terminal
        self.stop_order = stop_order
        self.children: list[Child] = []
        self.asked = 0.0
        self.hurry = False
        self.stopping = False
        self._selector = selectors.DefaultSelector()
        self._wake, self._woken = socket.socketpair()
        self._handlers: dict[int, object] = {}

    def __enter__(self) -> Self:
        for end in (self._wake, self._woken):
            end.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ, self._drain_wakeups)
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        for signum in STOP_SIGNALS:
            self._handlers[signum] = signal.signal(signum, self._asked_to_stop)
        # Only to wake the loop: a handler must exist for the wakeup to be written.
        self._handlers[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda *_: None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop_all()
        signal.set_wakeup_fd(-1)
        for signum, handler in self._handlers.items():
            signal.signal(signum, handler)  # type: ignore[arg-type]
        self._selector.close()
        self._wake.close()
        self._woken.close()

    # --- starting and waiting -----------------------------------------------------------------------------------

    def start(self, program: Program, *, restart: bool = True, quiet: bool = False) -> Child:
        """Launch `program`, its lines going to the terminal behind its name. Raises OSError when it cannot run."""
        child = Child(program, self.terminal.lines_of(program.name), restart=restart, quiet=quiet)
        self.children.append(child)
        self._launch(child)
        return child

    def begin(self, program: Program) -> Child:
        """Launch an errand: a program that ends by itself and whose lines are kept. `finish` waits for it."""
        child = Child(program, self.terminal.lines_of(program.name), restart=False, errand=True)
        self.children.append(child)
        self._launch(child)
        return child

    def finish(self, errand: Child, doing: str, seconds: float) -> int:
        """Wait for the errand's end, killing it after `seconds`; gives its exit status. Raises StopRequested."""
        if not self.wait_for(lambda: errand.process is None, doing, seconds):
            self._end([errand])
        self.children.remove(errand)
        return errand.code or 0

    def wait_for(self, condition: Callable[[], bool], doing: str, seconds: float) -> bool:
        """Serve the children until `condition` holds (True) or `seconds` are over (False). Raises StopRequested."""
        self.terminal.progress(doing)
        started = said = time.monotonic()
        while not condition():
            now = time.monotonic()
            if self.asked:
                raise StopRequested
            if now - started > seconds:
                return False
            if now - said > PROGRESS_SECONDS:
                self.terminal.progress(f"{doing} (still)")
                said = now
            self.turn(0.05)
        return True

    def watch(self) -> None:
        """Serve the children until somebody asks us to stop."""
        while not self.asked:
            due = [child.due for child in self.children if child.due is not None]
            self.turn(max(0.0, min(due) - time.monotonic()) if due else None)

    def turn(self, seconds: float | None) -> None:
        """One round: wait up to `seconds` for something to happen, pass lines on, notice ends, start what is due."""
        for key, _ in self._selector.select(seconds):
            key.data()
        for child in self.children:
            if child.process and child.process.poll() is not None:
                self._ended(child)
            elif child.due is not None and child.due <= time.monotonic() and not self.stopping:
                self._launch(child)

    # --- stopping -----------------------------------------------------------------------------------------------

    def stop_all(self) -> None:
        """End every child: each group of `stop_order` is asked, waited for within its grace, then killed."""
        self.stopping = True
        if any(child.process for child in self.children):
            self.terminal.say("Stopping everything.")
        for child in self.children:
            child.due = None
        # First what has no place in the order: programs that were to end by themselves.
        self._end([child for child in self.children if _group(child) not in self.stop_order])
        for name in self.stop_order:
            self._end([child for child in self.children if _group(child) == name])

    def _end(self, group: list[Child]) -> None:
        for child in group:
            if child.process and not self.hurry:
                child.process.send_signal(child.program.stop_signal)
        asked = said = time.monotonic()
        while any(child.process for child in group) and not self.hurry:
            now = time.monotonic()
            if now - said > PROGRESS_SECONDS:
                names = ", ".join(child.program.name for child in group if child.process)
                self.terminal.say(f"Waiting for {names} to finish; Ctrl-C again ends everything now.")
                said = now
            for child in group:
                if child.process and now - asked > child.program.grace:
                    kill_group(child.process)
            self.turn(0.1)
        for child in group:
            if child.process:
                kill_group(child.process)
                self._ended(child)

    def _asked_to_stop(self, signum: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        if self.asked and signum == signal.SIGINT and now - self.asked > SAME_KEYSTROKE_SECONDS:
            self.hurry = True
        self.asked = self.asked or now

    # --- one child ----------------------------------------------------------------------------------------------

    def _launch(self, child: Child) -> None:
        child.due, child.code = None, None
        child.partial = b""
        child.kept.clear()
        child.started = time.monotonic()
        child.process = launch(child.program, subprocess.PIPE)
        assert child.process.stdout is not None  # noqa: S101 (for the type checker)
        os.set_blocking(child.process.stdout.fileno(), False)
        self._selector.register(child.process.stdout, selectors.EVENT_READ, lambda: self._read(child))

    def _read(self, child: Child) -> bool:
        """Pass on what the child has written; False when there is nothing more for now."""
        stdout = child.process.stdout if child.process else None
        if stdout is None or stdout.closed:
            return False
        try:
            data = os.read(stdout.fileno(), LINE_BYTES)
        except BlockingIOError:
            return False
        if not data:
            self._selector.unregister(stdout)
            stdout.close()
            return False
        *lines, child.partial = (child.partial + data).split(b"\n")
        if len(child.partial) > LINE_BYTES:
            lines, child.partial = [*lines, child.partial], b""
        for line in lines:
            self._show(child, line)
        return True

    def _show(self, child: Child, line: bytes) -> None:
        text = line.decode(errors="replace").rstrip("\r")
        if child.errand:
            child.kept.append(text)
        elif not child.quiet:
            child.show(text)
        elif time.monotonic() - child.started < SETTLE_SECONDS:
            child.kept.append(text)
        elif not self.stopping:
            child.show(text)

    def _ended(self, child: Child) -> None:
        process = child.process
        if process is None:
            return
        while self._read(child):
            pass
        if child.partial:
            self._show(child, child.partial)
        if process.stdout and not process.stdout.closed:
            self._selector.unregister(process.stdout)
            process.stdout.close()
        # Whatever it started itself must not outlive it.
        kill_group(process)
        child.process, child.code = None, process.returncode
        if child.restart and not self.stopping:
            self._plan_restart(child)

    def _plan_restart(self, child: Child) -> None:
        now = time.monotonic()
        if now - child.started < SETTLE_SECONDS:
            for text in child.kept:
                child.show(text)
        child.failures = 1 if now - child.started > HEALTHY_SECONDS else child.failures + 1
        pause = child.pause()
        child.due = now + pause
        self.terminal.line(child.program.name, f"{_how_it_ended(child.code)}; starts again in {pause:g} s")

    def _drain_wakeups(self) -> None:
        with suppress(BlockingIOError):
            while self._woken.recv(4096):
                pass


def _group(child: Child) -> str:
    """worker-1 and worker-2 stop together."""
    return child.program.name.split("-")[0]


def _how_it_ended(code: int | None) -> str:
    if code is not None and code < 0:
        with suppress(ValueError):
            return f"was ended by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"
