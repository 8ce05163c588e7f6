"""Finds nodes that keep a loop from turning, from a thread the loop cannot hold up, and notes them on their run.

Only reports: a blocked loop costs no run its lease (leases.py), and nothing here can free it.
"""

import asyncio
import logging
import sys
import threading
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.db import connection
from django.utils import timezone

from config import loop, metrics
from config.once import once
from runs.execution import Execution
from runs.leases import watch
from runs.models import Run

logger = logging.getLogger(__name__)
LOOKS = 4  # how often a loop is looked at within the time it may block
MOST_NOTES = 10  # of one run; of more only the log tells
STACK_FRAMES = 20
STACK_CHARACTERS = 4000


@dataclass
class Pulse:
    """What is known of one loop. It is asked to answer, and until it does the task it executes is the suspect."""

    loop: asyncio.AbstractEventLoop
    since: float = field(default_factory=time.monotonic)  # when the suspect was first seen, or the loop last asked
    answered: float | None = 0.0  # when the loop last did; None while it has yet to
    suspect: "asyncio.Task[Any] | None" = None
    note: "Note | None" = None

    def ask(self) -> None:
        """Have the loop answer in its next turn."""
        self.since, self.answered, self.suspect = time.monotonic(), None, None
        with suppress(RuntimeError):  # a run's own loop is closed once the run is over
            self.loop.call_soon_threadsafe(self._answer)

    def _answer(self) -> None:
        self.answered = time.monotonic()


@dataclass
class Note:
    """One time a task kept its loop for itself."""

    execution: Execution
    shown: dict[str, Any]  # as it is kept on the run: at, attempt, milliseconds, stack

    def keep(self, seconds: float) -> None:
        """Write it on the run, if it is still the run's attempt."""
        self.shown["milliseconds"] = round(seconds * 1000)
        run = self.execution.run
        Run.objects.note_blocked(run.run_id, run.attempt, run.blocked)


class BlockWatch:
    """The thread that looks. `count` and `seconds` say how often loops were blocked in this process, and how long."""

    def __init__(self) -> None:
        self.limit = settings.BLOCKED_LOOP_MILLISECONDS / 1000
        self.count = 0
        self.seconds = 0.0
        self.pulses: dict[asyncio.AbstractEventLoop, Pulse] = {}
        if self.limit:
            threading.Thread(target=self._look_for_ever, name="block-watch", daemon=True).start()

    def _look_for_ever(self) -> None:
        while True:
            time.sleep(self.limit / LOOKS)
            try:
                self._look()
            except Exception:
                logger.warning("Loops could not be looked after", exc_info=True)
            finally:
                connection.close()

    def _look(self) -> None:
        loops = {execution.loop for execution in list(watch().held.values())}
        for gone in self.pulses.keys() - loops:
            self._freed(self.pulses.pop(gone))
        for each in loops:
            pulse = self.pulses.setdefault(each, Pulse(each))
            if pulse.answered is None:
                self._suspect(pulse)
            else:
                self._freed(pulse)
                pulse.ask()

    def _suspect(self, pulse: Pulse) -> None:
        now, task = time.monotonic(), asyncio.current_task(pulse.loop)
        if task is not pulse.suspect:
            self._freed(pulse)
            # The first one seen since the loop was asked has probably been at it all the time.
            pulse.since, pulse.suspect = (now if pulse.suspect else pulse.since), task
        elif task and pulse.note is None and now - pulse.since >= self.limit:
            self._blocked(pulse, task, now - pulse.since)

    def _blocked(self, pulse: Pulse, task: "asyncio.Task[Any]", seconds: float) -> None:
        owner, stack = loop.owner_of(task), _stack(pulse.loop)
        if not isinstance(owner, Execution):
            return
        self.count += 1
        logger.warning("Run %s has blocked its loop for %.1f s:\n%s", owner.run.run_id, seconds, stack)
        shown = {"at": timezone.now().isoformat(), "attempt": owner.run.attempt, "stack": stack}
        pulse.note = Note(owner, shown)
        if len(owner.run.blocked) < MOST_NOTES:
            owner.run.blocked.append(shown)
        pulse.note.keep(seconds)

    def _freed(self, pulse: Pulse) -> None:
        if pulse.note is None:
            return
        note, pulse.note = pulse.note, None
        seconds = (pulse.answered or time.monotonic()) - pulse.since
        self.seconds += seconds
        metrics.LOOP_STALLS.observe(seconds * 1000)
        logger.warning("Run %s blocked its loop for %.1f s in all", note.execution.run.run_id, seconds)
        note.keep(seconds)


@once
def block_watch() -> BlockWatch:
    """This process's watch, started at first use."""
    return BlockWatch()


def _stack(of: asyncio.AbstractEventLoop) -> str:
    """What the loop's thread is executing, innermost last."""
    frame = sys._current_frames().get(loop.thread_of(of) or 0)
    if frame is None:
        return ""
    return "".join(traceback.format_list(traceback.extract_stack(frame)[-STACK_FRAMES:]))[-STACK_CHARACTERS:]
