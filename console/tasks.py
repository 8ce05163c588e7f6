"""What beat calls: roll up runs, know the largest threads, act on many runs. Each does a bounded piece."""

from celery import shared_task

from console.bulk import work
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


@shared_task(name="console.bulk")
def act() -> None:
    """Go on with what people asked for many runs."""
    work()
