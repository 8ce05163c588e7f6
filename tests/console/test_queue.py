"""The queue's page: paused and resumed by an operator, watched by others."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.conftest import LiveServer
from tests.console.conftest import in_server
from tests.console.test_runs import started
from tests.console.watching import shoot

Open = Callable[..., Page]
RESUME_SECONDS = 3.0
RESUME = "from runs import pausing; pausing.resume()"
AUDIT = """
from accounts.models import AuditEntry
for entry in AuditEntry.objects.filter(object_type="runs.pause").order_by("pk"):
    print(entry.actor, entry.action, entry.reason)
"""


@pytest.fixture
def resumed(console: LiveServer) -> Iterator[None]:
    """Whatever a test comes to, the next one finds the queue open."""
    yield
    in_server(console, RESUME)


def status_of(console: LiveServer, run: Any) -> str:
    """Of a run now."""
    answer = httpx.get(f"{console.url}/threads/{run['thread_id']}/runs/{run['run_id']}", timeout=30)
    return str(answer.json()["status"])


@pytest.mark.usefixtures("resumed")
def test_a_paused_queue_holds_runs_back_until_it_is_resumed(page_of: Open, console: LiveServer) -> None:
    going = started(console, "slow_job", {"seconds": 0.5, "steps": 12})
    page, other = page_of("operator"), page_of("viewer")
    other.goto("/admin/queue/")
    page.goto("/admin/queue/")
    page.get_by_role("button", name="Pause", exact=True).click()
    page.get_by_label("Reason").fill("the database moves")
    page.get_by_role("button", name="Pause the queue").click()
    expect(page.locator(".wf-message")).to_contain_text("paused")
    run = started(console, "echo", {"text": "later"})
    expect(other.locator(".wf-why")).to_contain_text("Paused by operator")
    expect(other.locator("[data-live-html='queue:waiting']")).to_contain_text(run["run_id"][-12:])
    expect(other.locator("tr", has_text=run["run_id"][-12:])).to_contain_text("paused")
    shoot(page, "queue-paused")
    time.sleep(RESUME_SECONDS)
    assert status_of(console, run) == "pending"
    httpx.get(f"{console.url}/threads/{going['thread_id']}/runs/{going['run_id']}/join", timeout=30)
    assert status_of(console, going) == "success", "what runs goes on"
    page.get_by_role("button", name="Resume").click()
    expect(page.locator(".wf-message")).to_contain_text("begin again")
    deadline = time.monotonic() + RESUME_SECONDS
    while status_of(console, run) == "pending":
        assert time.monotonic() < deadline, "nobody came for what waited"
        time.sleep(0.05)
    expect(other.locator(".wf-why")).to_have_count(0)
    said = in_server(console, AUDIT)
    assert "operator pause the database moves" in said and "operator resume" in said


def test_the_queues_page_says_what_waits_and_why(page_of: Open, console: LiveServer) -> None:
    first = started(console, "slow_job", {"seconds": 1, "steps": 30})
    second = httpx.post(
        f"{console.url}/threads/{first['thread_id']}/runs",
        json={"assistant_id": "echo", "input": {"text": "x"}, "multitask_strategy": "enqueue"},
        timeout=30,
    ).json()
    later = started(console, "echo", {"text": "x"}, after_seconds=3600)
    page = page_of("viewer")
    page.goto("/admin/queue/")
    for run, code in ((second, "thread_busy"), (later, "scheduled_for")):
        expect(page.locator("tr", has_text=run["run_id"][-12:])).to_contain_text(code)
    shoot(page, "queue")
    for run in (first, second, later):
        httpx.post(f"{console.url}/threads/{run['thread_id']}/runs/{run['run_id']}/cancel", timeout=30)
    expect(page.locator("tr", has_text=second["run_id"][-12:])).to_have_count(0)


@pytest.mark.parametrize("verb", ["pause", "resume", "workers/any/order"])
@pytest.mark.parametrize("role", ["viewer", "responder"])
def test_who_is_no_operator_cannot_switch_the_queue(page_of: Open, console: LiveServer, role: str, verb: str) -> None:
    page = page_of(role)
    page.goto("/admin/queue/")
    expect(page.get_by_role("button", name="Pause", exact=True)).to_have_count(0)
    page.goto("/admin/password_change/")  # a form, so that there is a token
    token = page.locator("input[name=csrfmiddlewaretoken]").first.input_value()
    cookies = {cookie["name"]: cookie["value"] for cookie in page.context.cookies()}
    headers = {"X-CSRFToken": token, "Referer": console.url}
    answer = httpx.post(f"{console.url}/admin/queue/{verb}/", cookies=cookies, headers=headers)
    assert answer.status_code == 403
    assert "This needs the role operator." in answer.text


def test_a_worker_is_told_to_be_quiet_and_to_go_on(page_of: Open, console: LiveServer) -> None:
    running = started(console, "slow_job", {"seconds": 1, "steps": 60})
    page = page_of("operator")
    page.goto("/admin/queue/")
    row = page.locator("[data-live-html='queue:workers'] tbody tr")
    expect(row).to_contain_text("active")
    expect(row).to_contain_text(running["run_id"][-12:])
    shoot(page, "queue-workers")
    row.get_by_role("link").first.click()
    page.get_by_role("button", name="Quiet", exact=True).click()
    page.get_by_role("button", name="Quiet the worker").click()
    expect(row).to_contain_text("quiet")
    run = started(console, "echo", {"text": "later"})
    expect(page.locator("tr", has_text=run["run_id"][-12:])).to_contain_text("no_worker")
    time.sleep(RESUME_SECONDS)
    assert status_of(console, run) == "pending" and status_of(console, running) == "running"
    row.get_by_role("link").first.click()
    shoot(page, "queue-worker")
    page.get_by_role("button", name="Go on").click()
    expect(row).to_contain_text("active")
    httpx.get(f"{console.url}/threads/{run['thread_id']}/runs/{run['run_id']}/join", timeout=30)
    assert status_of(console, run) == "success"
    httpx.post(f"{console.url}/threads/{running['thread_id']}/runs/{running['run_id']}/cancel", timeout=30)
