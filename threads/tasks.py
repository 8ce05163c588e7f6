"""What beat calls: deal with threads whose time is up."""

from celery import shared_task

from config import sweeps
from config.project import project
from config.ticks import Interval
from threads.sweeping import sweep_expired

TICK_SECONDS = 5.0
_interval = Interval()
_left = 0  # how many more this interval's sweep may take


@shared_task(name="threads.sweep")
def sweep() -> None:
    """Once in `sweep_interval_minutes` up to `sweep_limit` threads; over several ticks when there are many."""
    global _left
    ttl = project().thread_ttl
    if _interval.is_over(ttl.sweep_interval_minutes * 60):
        _left = ttl.sweep_limit
    if _left:
        done = sweep_expired(_left, TICK_SECONDS)
        sweeps.note("threads", done)
        _left = _left - done if done else 0
