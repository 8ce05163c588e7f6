"""The dashboard in a browser: how it looks, empty and full, and that it is alive."""

import re
import statistics
import time
from collections.abc import Callable

import httpx
from playwright.sync_api import Browser, Page, expect

from tests.conftest import LiveServer, wait_until_up
from tests.console.conftest import in_server
from tests.console.watching import assert_clean, shoot

EVENTS = 10
NEWS_SECONDS = 0.25
HISTORY = """
import random
from datetime import timedelta
from django.utils import timezone
from assistants.models import Assistant
from console import rollup
from console.models import Rollup
from runs.models import Run
from threads.models import Thread
random.seed(7)
now, assistant = timezone.now(), Assistant.objects.first()
threads = Thread.objects.bulk_create(Thread() for _ in range(40))
ages = [random.uniform(0, 3600) for _ in range(900)] + [3600 * 24 * 30 * random.random() ** 2 for _ in range(6000)]
def run(age):
    status = random.choices(["success", "error", "timeout", "interrupted"], [84, 9, 2, 5])[0]
    created = now - timedelta(seconds=age + 9)
    start = created + timedelta(milliseconds=random.lognormvariate(3, 1))
    name = random.choice(["ValueError", "ValueError", "RateLimitError", "TimeoutError"])
    error = {"error": name, "message": "the model answered with something else than the schema asks for"}
    kwargs = {"config": {"configurable": {"graph_id": assistant.graph_id}}}
    return Run(thread=random.choice(threads), assistant_id=assistant.pk, kwargs=kwargs, created_at=created,
               started_at=start, ended_at=start + timedelta(milliseconds=random.lognormvariate(7, 0.6)), attempt=1,
               status=status, worker=f"box-{random.randrange(4)}",
               error=error if status in ("error", "timeout") else None)
Run.objects.bulk_create([run(age) for age in ages])
Rollup.objects.all().delete()
Thread.objects.bulk_create(Thread(status="interrupted", created_at=now - timedelta(hours=3)) for _ in range(3))
while not rollup.roll_up():
    pass
"""

# When each text came, in the page itself: looking from outside takes longer than the news.
NOTE_ARRIVALS = """element => {
    window.arrivals = {};
    const note = () => (window.arrivals[element.textContent] ??= Date.now());
    new MutationObserver(note).observe(element, {childList: true, characterData: true, subtree: true});
}"""
HIDE = """hidden => {
    Object.defineProperty(document, "hidden", {value: hidden, configurable: true});
    document.dispatchEvent(new Event("visibilitychange"));
}"""


NOTHING_YET = """
from console.models import Rollup
from runs.models import Run
from threads.models import Thread
for rows in (Run, Thread, Rollup):
    rows.objects.all().delete()
"""


def test_a_new_server_shows_how_to_begin(page_of: Callable[..., Page], console: LiveServer) -> None:
    in_server(console, NOTHING_YET)  # other modules may have used it
    page = page_of("viewer")
    page.goto("/admin/")
    expect(page.get_by_text(f'get_sync_client(url="{console.url}")')).to_be_visible()
    shoot(page, "dashboard-new")


def test_it_says_at_a_glance_what_is_the_matter(page_of: Callable[..., Page], console: LiveServer) -> None:
    in_server(console, HISTORY)
    page = page_of("viewer")
    page.goto("/admin/")
    expect(page.get_by_text("threads wait for somebody's answer")).to_be_visible()
    expect(page.get_by_text(re.compile("^Live$"))).to_be_visible()
    shoot(page, "dashboard")
    for name in ("24 hours", "30 days"):
        page.get_by_role("link", name=name, exact=True).click()
        expect(page.get_by_role("link", name=name, exact=True)).to_have_attribute("aria-current", "page")
        assert_clean(page)
    shoot(page, "dashboard-month")


def test_an_event_is_seen_within_a_quarter_of_a_second(page_of: Callable[..., Page], console: LiveServer) -> None:
    page = page_of("viewer")
    page.goto("/admin/")
    expect(page.get_by_text(re.compile("^Live$"))).to_be_visible()
    note = page.locator('[data-live="dashboard:pending.note"]')
    later = {"assistant_id": "echo", "input": {"text": "hi"}, "after_seconds": 3600}
    note.evaluate(NOTE_ARRIVALS)
    delays = []
    with httpx.Client(base_url=console.url) as client:
        thread = client.post("/threads", json={}).json()["thread_id"]
        for number in range(1, EVENTS + 1):
            assert client.post(f"/threads/{thread}/runs", json=later).status_code == 200
            begun = time.time()
            expect(note).to_have_text(f"{number} more scheduled")
            delays.append(page.evaluate("text => arrivals[text]", f"{number} more scheduled") / 1000 - begun)
            time.sleep(0.1)
    assert statistics.median(delays) < NEWS_SECONDS, delays


def test_a_hidden_page_hangs_up_and_comes_back(page_of: Callable[..., Page]) -> None:
    page = page_of("viewer")
    page.goto("/admin/")
    dot = page.locator("[data-livedot]")
    expect(dot).to_have_attribute("data-state", "live")
    page.evaluate(HIDE, True)
    expect(dot).to_have_attribute("data-state", "paused")
    page.evaluate(HIDE, False)
    expect(dot).to_have_attribute("data-state", "live")


def test_a_page_says_that_the_server_is_away_and_finds_it_again(
    browser: Browser, console: LiveServer, session_keys: dict[str, str]
) -> None:
    with browser.new_context(base_url=console.url) as context:
        context.add_cookies([{"name": "sessionid", "value": session_keys["viewer"], "url": console.url}])
        page, told = context.new_page(), list[str | bytes]()
        page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: told.append(frame)))
        page.goto("/admin/")
        dot = page.locator("[data-livedot]")
        expect(dot).to_have_attribute("data-state", "live", timeout=10_000)
        deadline = time.monotonic() + 10
        while not any('"topic":"dashboard"' in str(frame) for frame in told):
            assert time.monotonic() < deadline
            page.wait_for_timeout(50)
        console.processes["web"].terminate()
        try:
            expect(dot).to_have_text(re.compile("Reconnecting, data from"), timeout=20_000)
        finally:
            console.processes["web"].wait(20)
            console.start("web", "web", f"--port={console.url.rpartition(':')[2]}")
            wait_until_up(console)
        expect(dot).to_have_attribute("data-state", "live", timeout=30_000)
