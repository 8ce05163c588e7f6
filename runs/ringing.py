"""Tells workers and viewers what changed: the bells and the end of a stream. Nobody waits for it; it may be lost.

What is lost here is found by those who look: workers look into the table (picker.py), viewers at the row.
"""

import logging
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now
from redis.exceptions import RedisError

from config import dialect, loop
from config.celery import app
from config.once import once
from events import bell, log
from runs.closing import Closing
from runs.models import Run, RunStatus

logger = logging.getLogger(__name__)
EXECUTE = "runs.execute"  # the Celery task's name; tasks.py imports this module, so it is sent by name
WAITING = 1000  # rings on their way to Redis; while there are more, new ones are dropped


class Ringer:
    """Sends rings from a thread of its own, so that a Redis that is slow, hangs or is gone holds up no request.

    A ring that fails takes those behind it along: they would fail as slowly, and the picker is quicker.
    """

    def __init__(self) -> None:
        self.waiting: queue.Queue[tuple[str, list[str]]] = queue.Queue(WAITING)
        threading.Thread(target=self._send_for_ever, name="ringer", daemon=True).start()

    def ring(self, task: str, *arguments: str) -> None:
        """Send a worker the Celery task of that name soon, or never."""
        with suppress(queue.Full):
            self.waiting.put_nowait((task, list(arguments)))

    def _send_for_ever(self) -> None:
        while True:
            task, arguments = self.waiting.get()
            try:
                app.send_task(task, args=arguments, retry=False)
            except Exception as error:
                what = " ".join([task, *arguments])
                logger.warning("No worker was told to %s, those who look will find it: %s", what, error)
                self._drop_all()

    def _drop_all(self) -> None:
        with suppress(queue.Empty):
            while True:
                self.waiting.get_nowait()


@once
def ringer() -> Ringer:
    """This process's ringer, started at first use."""
    return Ringer()


def ring(run: Run) -> None:
    """Tell the workers about a pending run, after commit."""
    after_commit(ringer().ring, EXECUTE, str(run.run_id))


def ring_next(thread_id: UUID) -> None:
    """Ring for the thread's next run, if one is due."""
    due = Run.objects.filter(thread_id=thread_id, status=RunStatus.PENDING, created_at__lte=Now())
    following = due.in_turn().first()
    if following:
        ring(following)


def announce_cancel(worker: str) -> None:
    """Wake the worker's watch; without Redis it looks by itself within a second."""
    loop.start(_ring_worker(worker))


async def _ring_worker(worker: str) -> None:
    with suppress(RedisError):
        await bell.ring(f"worker.{worker}")


def close_stream(run: Run, closing: Closing) -> None:
    """Tell whoever follows the run that nothing more will come, and how it ended."""
    loop.start(_close(str(run.thread_id), str(run.run_id), dialect.dumps(closing.said_of(run))))


async def _close(stream: str, run_id: str, said: bytes) -> None:
    try:
        await log.append(stream, run_id, [log.Part(run_id, log.END, said)], turn=log.LAST_TURN, last=True)
    except RedisError as error:
        logger.warning("The stream of run %s is not closed, its viewers will look at the row: %s", run_id, error)


def after_commit(function: Callable[..., None], *arguments: Any) -> None:
    """Call it once all is committed. What it raises is logged: the request has been carried out by then.

    Not with a partial: Django wants the name of what failed for its log, and a partial has none.
    """
    transaction.on_commit(lambda: function(*arguments), robust=True)
