"""The watch of one worker process: renews its leases and passes on cancel requests, from a thread of its own.

Not on the graph's loop, so that a node which blocks the loop costs no run its lease. Source: design, promises 2 to 5.
"""

import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from django.conf import settings
from django.db import close_old_connections, connection

from config import loop
from config.once import once
from events import bell
from runs.checks import LOOK_SECONDS
from runs.dispatch import lease
from runs.execution import Execution, Stop
from runs.models import Run

logger = logging.getLogger(__name__)


class Watch:
    """The executions of this process, and the thread that looks after them."""

    def __init__(self) -> None:
        self.worker = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
        self.held: dict[uuid.UUID, Execution] = {}
        self.woken = threading.Event()
        self.renewed = time.monotonic()
        self.drained_by = float("inf")
        self.quiet = False  # somebody asked it to claim nothing more: see presence.py
        threading.Thread(target=self._look_for_ever, name="lease-watch", daemon=True).start()
        loop.start(self._listen())

    @property
    def draining(self) -> bool:
        """Whether this process is going down and claims nothing more."""
        return self.drained_by < float("inf")

    @property
    def claims(self) -> bool:
        """Whether this process may claim runs."""
        return not (self.draining or self.quiet)

    @contextmanager
    def holding(self, run: Run, claimed: float) -> Iterator[Execution]:
        """Look after a claimed run while the block lasts; `claimed` is time.monotonic() before the claim was sent."""
        with loop.loop_for_a_run() as own:
            execution = Execution(run, claimed + settings.RUN_LEASE_SECONDS, own)
            self.held[run.run_id] = execution
            try:
                yield execution
            finally:
                del self.held[run.run_id]

    def drain(self) -> None:
        """This process is going down: what still runs when the grace period is over is handed back."""
        self.drained_by = time.monotonic() + settings.BG_JOB_SHUTDOWN_GRACE_PERIOD_SECS

    def wait_until_idle(self) -> None:
        """Return when nothing is executed here any more; after the grace period that is a matter of moments."""
        while self.held and time.monotonic() < self.drained_by + settings.RUN_LEASE_SECONDS:
            time.sleep(0.05)

    def _look_for_ever(self) -> None:
        while True:
            self.woken.wait(LOOK_SECONDS)
            self.woken.clear()
            try:
                self._look()
            except Exception:
                logger.warning("Leases could not be looked after", exc_info=True)
                close_old_connections()

    def _look(self) -> None:
        held = dict(self.held)
        if not held:
            return
        try:
            if time.monotonic() - self.renewed >= settings.RUN_LEASE_RENEWAL_SECONDS:
                self._renew(held)
            self._obey(held)
        finally:
            connection.close()
            # With or without PostgreSQL: when the lease has run out another worker may have the run.
            for execution in held.values():
                if not execution.has_lease():
                    self._stop(execution, Stop.LEASE_LOST)
                elif time.monotonic() >= self.drained_by:
                    self._stop(execution, Stop.DRAIN)

    def _obey(self, held: dict[uuid.UUID, Execution]) -> None:
        """Stop what was cancelled, and what was deleted or taken over."""
        orders = Run.objects.orders(self.worker)
        for run_id, execution in held.items():
            if run_id not in self.held:
                continue
            action = orders.get(run_id, Stop.LEASE_LOST)
            if action:
                self._stop(execution, action)

    def _renew(self, held: dict[uuid.UUID, Execution]) -> None:
        now = time.monotonic()
        kept = Run.objects.renew(self.worker, lease(), list(held))
        self.renewed = now
        for run_id, execution in held.items():
            if run_id in kept:
                execution.lease_until = now + settings.RUN_LEASE_SECONDS
            elif run_id in self.held:
                self._stop(execution, Stop.LEASE_LOST)

    def _stop(self, execution: Execution, why: str) -> None:
        if execution.stop is None:
            with suppress(RuntimeError):  # a loop of the run's own is closed once the run is over
                execution.loop.call_soon_threadsafe(execution.tell_to_stop, why)

    async def _listen(self) -> None:
        async with bell.listening(f"worker.{self.worker}") as rung:
            while True:
                await rung.wait()
                rung.clear()
                self.woken.set()


@once
def watch() -> Watch:
    """This process's watch, started at first use."""
    return Watch()
