"""Looks into the table for runs nobody has come for, and executes them in the free slots of this process.

What is rung for usually arrives through Celery within milliseconds; this is for what it lost, for delayed runs, for
retries and for the runs of dead workers, and it needs nothing but PostgreSQL.
"""

import logging
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db import connection

from config.database import drop_dead_connections
from config.once import once
from runs.attempts import attempt, slots
from runs.leases import watch
from runs.models import Run
from runs.sweeper import pass_on_expired

logger = logging.getLogger(__name__)
LOOK_SECONDS = 1.0
HEARD_SECONDS = 1.0  # a pending run that waits this long has probably not been heard of
REST_SECONDS = 0.1  # between two looks at least


class Picker:
    """The thread that looks, and those that execute what it finds."""

    def __init__(self) -> None:
        self.threads = ThreadPoolExecutor(settings.N_JOBS_PER_WORKER, thread_name_prefix="picked")
        threading.Thread(target=self._look_for_ever, name="picker", daemon=True).start()

    def _look_for_ever(self) -> None:
        full = False
        while not watch().draining:
            slots().freed.clear()
            self._take_back()
            free = slots().free if watch().claims else 0
            if free:
                full = self._look(free) == free
            time.sleep(REST_SECONDS)
            # Not all at the same time, where there are many workers.
            pause = LOOK_SECONDS * random.uniform(0.8, 1.2) - REST_SECONDS  # noqa: S311
            if full:
                # There may be a run for every slot that becomes free.
                slots().freed.wait(pause)
            else:
                time.sleep(pause)

    def _take_back(self) -> None:
        """Whether or not there is a free slot: another worker may have one."""
        try:
            pass_on_expired()
        except Exception:
            logger.warning("Expired leases could not be looked for", exc_info=True)
            connection.close()
            drop_dead_connections()
        finally:
            connection.close()

    def _look(self, free: int) -> int:
        """Execute what is found, at most `free` runs; how many there were."""
        try:
            found = Run.objects.unheard(timedelta(seconds=HEARD_SECONDS), free)
        except Exception:
            logger.warning("Pending runs could not be looked for", exc_info=True)
            connection.close()
            drop_dead_connections()
            return 0
        finally:
            connection.close()
        for run_id in found:
            self.threads.submit(self._attempt, run_id)
        return len(found)

    def _attempt(self, run_id: UUID) -> None:
        try:
            attempt(run_id)
        except Exception:
            logger.exception("Run %s was picked and not brought to its end", run_id)


@once
def picker() -> Picker:
    """This process's picker, started at first use."""
    return Picker()
