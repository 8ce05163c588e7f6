"""What beat calls: delete the items whose time is up."""

from celery import shared_task

from config import sweeps
from config.ticks import Interval
from store.configuration import store_settings
from store.tables import sweep_expired

_interval = Interval()


@shared_task(name="store.sweep")
def sweep() -> None:
    """Once in `store.ttl.sweep_interval_minutes`. A store of the project's own sweeps itself."""
    current = store_settings()
    if current.path is None and _interval.is_over(current.sweep_minutes * 60):
        sweeps.note("items", sweep_expired())
