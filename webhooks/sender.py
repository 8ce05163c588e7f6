"""What sends in this process: claims due deliveries and sends many at once, on a loop and in a thread of its own.

Not on the graph loop, which user code may block, and not in a Celery thread, of which a slow receiver would take one
from the runs. Workers have one, and beat when nobody else sends.
"""

import asyncio
import logging
import threading
import time
from collections import Counter
from datetime import timedelta

import httpx
from django.conf import settings

from config.database import in_thread
from config.project import project
from runs.ringing import ringer
from webhooks import outcome, sending, signing
from webhooks.models import WebhookDelivery

logger = logging.getLogger(__name__)
SEND = "webhooks.send"  # the Celery task's name; tasks.py imports this module, so it is sent by name
AT_ONCE = 64  # requests of this process
PER_LANE = 8  # of those, to one receiver; up to BATCH - 1 more when they were claimed together
BATCH = 4
LEASE_MARGIN_SECONDS = 10.0  # beyond the time an answer may take: to read its beginning and write it down
RETRY_SECONDS = 1.0


class Sender:
    """The deliveries in flight in this process."""

    def __init__(self) -> None:
        self.woken = asyncio.Event()
        self.in_flight: Counter[str] = Counter()
        self.tasks: set[asyncio.Task[None]] = set()
        self.draining = False
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self._run, name="webhook-sender", daemon=True).start()

    def wake(self) -> None:
        """Look for due deliveries now. From any thread."""
        self.loop.call_soon_threadsafe(self.woken.set)

    def drain(self) -> None:
        """Claim no more: this process is going down."""
        self.draining = True

    def finish(self, seconds: float) -> None:
        """Wait for what is in flight; what takes longer is sent again by another process when its lease is over."""
        until = time.monotonic() + seconds
        while self.tasks and time.monotonic() < until:
            time.sleep(0.05)

    def _run(self) -> None:
        self.loop.run_until_complete(self._send_for_ever())

    async def _send_for_ever(self) -> None:
        async with sending.client(project().webhooks.policy) as client:
            while True:
                await self.woken.wait()
                self.woken.clear()
                try:
                    await self._start_due(client)
                except Exception:
                    logger.warning("Due webhooks cannot be looked for", exc_info=True)
                    await asyncio.sleep(RETRY_SECONDS)

    async def _start_due(self, client: httpx.AsyncClient) -> None:
        """Claim a few and start them, again and again while there are any and there is room."""
        while not self.draining and len(self.tasks) <= AT_ONCE - BATCH:
            full = [lane for lane, count in self.in_flight.items() if count >= PER_LANE]
            claimed = await in_thread(WebhookDelivery.objects.claim, BATCH, lease(), full)
            for delivery in claimed:
                self.in_flight[delivery.lane] += 1
                task = asyncio.create_task(self._send(client, delivery))
                self.tasks.add(task)
                task.add_done_callback(self.tasks.discard)
            if len(claimed) < BATCH:
                return

    async def _send(self, client: httpx.AsyncClient, delivery: WebhookDelivery) -> None:
        try:
            endpoint = await in_thread(outcome.receiver_of, delivery)
            if endpoint is None or endpoint.enabled:
                url, body = endpoint.url if endpoint else delivery.url, delivery.body.encode()
                secrets = endpoint.secrets() if endpoint else settings.WEBHOOK_SECRETS
                headers = {"Content-Type": "application/json", "User-Agent": f"Weft/{settings.VERSION}"}
                headers |= signing.headers(str(delivery.pk), int(time.time()), body, secrets)
                configured = {} if endpoint else project().webhooks.headers
                attempt = await sending.send(client, url, body, headers, configured)
                await in_thread(outcome.record, delivery, endpoint, attempt)
        except Exception:
            logger.warning("Delivery %s is sent again when its lease is over", delivery.pk, exc_info=True)
        finally:
            self.in_flight[delivery.lane] -= 1
            if not self.in_flight[delivery.lane]:
                del self.in_flight[delivery.lane]
            self.woken.set()  # there is room for another


def lease() -> timedelta:
    """How long a claim holds: longer than an attempt can take."""
    return timedelta(seconds=settings.WEBHOOK_TIMEOUT_SECS + LEASE_MARGIN_SECONDS)


_starting = threading.Lock()
_sender: Sender | None = None


def start() -> Sender:
    """This process's sender, started at first use."""
    global _sender
    with _starting:
        if _sender is None:
            _sender = Sender()
        return _sender


def ring() -> None:
    """Have due deliveries sent: here, where something sends, else by a worker. Without Redis the tick sees to it."""
    if _sender and not _sender.draining:
        _sender.wake()
    else:
        ring_workers()


def ring_workers() -> None:
    """Wake the sender of some worker. Without Redis an attempt to takes seconds, which nobody here waits for."""
    ringer().ring(SEND)
