"""What beat calls: keep the roll-up of runs up to date, and know the largest threads."""

from celery import shared_task

from console.rollup import roll_up
from console.storage import measure


@shared_task(name="console.roll_up")
def tick() -> None:
    """Roll up what ended since the last tick, or a bounded piece of it."""
    roll_up()


@shared_task(name="console.measure")
def measure_threads() -> None:
    """Measure the threads that a sample of the checkpoint tables names."""
    measure()
