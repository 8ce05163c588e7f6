"""The live topics by name, the part before a colon. A page that moves adds its line."""

from console import bulk_page, dashboard, deliveries, delivery_page, inbox, queue, run_page, webhooks
from console.live import Topic

TOPICS: dict[str, Topic] = {
    "dashboard": dashboard.TOPIC,
    "overview": dashboard.OVERVIEW,
    "run": run_page.TOPIC,
    "bulk": bulk_page.TOPIC,
    "queue": queue.TOPIC,
    "interrupts": inbox.TOPIC,
    "webhooks": deliveries.TOPIC,
    "endpoint": webhooks.TOPIC,
    "delivery": delivery_page.TOPIC,
}


def find(name: str) -> Topic | None:
    """The topic of a full name such as `dashboard` or `run:<id>`."""
    return TOPICS.get(name.partition(":")[0])
