"""The list of runs and a run's page: found, watched live, cancelled, run again; and what a viewer may not."""

import re
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.conftest import LiveServer
from tests.console.watching import shoot

Open = Callable[..., Page]


def post(console: LiveServer, path: str, body: Any) -> Any:
    """An answer of the API."""
    answer = httpx.post(f"{console.url}{path}", json=body, timeout=30)
    assert answer.status_code < 300, answer.text
    return answer.json()


def thread_of(console: LiveServer) -> str:
    """A new thread."""
    return str(post(console, "/threads", {})["thread_id"])


def started(console: LiveServer, graph: str, given: Any, **more: Any) -> Any:
    """A run on a thread of its own that goes on."""
    return post(console, f"/threads/{thread_of(console)}/runs", {"assistant_id": graph, "input": given, **more})


def ended(console: LiveServer, graph: str, given: Any, **more: Any) -> Any:
    """A run that has ended."""
    run = started(console, graph, given, **more)
    httpx.get(f"{console.url}/threads/{run['thread_id']}/runs/{run['run_id']}/join", timeout=30)
    return run


def test_the_list_finds_runs_by_what_is_known_of_them(page_of: Open, console: LiveServer) -> None:
    mark = f"list{time.time_ns()}"
    good = ended(console, "echo", {"text": "x"}, metadata={"mark": mark})
    bad = ended(console, "boom", {"kind": "value"}, metadata={"mark": mark})
    page = page_of("viewer")
    page.goto(f"/admin/runs/?metadata=mark:{mark}")
    expect(page.locator("tbody tr")).to_have_count(2)
    shoot(page, "runs")
    page.get_by_label("Status").select_option("error")
    page.get_by_role("button", name="Find").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.locator("tbody")).to_contain_text("ValueError: kaboom")
    page.get_by_role("link", name=re.compile(bad["run_id"][-12:])).click()
    expect(page.locator("[data-run-error]")).to_contain_text("kaboom")
    for query, count in (
        ("graph=echo", 1),
        ("error=kaboom", 1),
        ("longer=600", 0),
        ("source=cron", 0),
        ("source=api", 2),
    ):
        page.goto(f"/admin/runs/?metadata=mark:{mark}&{query}")
        expect(page.locator("tbody tr")).to_have_count(count)
    page.goto(f"/admin/runs/?thread={good['thread_id']}")
    expect(page.locator("tbody tr")).to_have_count(1)
    page.goto("/admin/runs/?thread=nonsense&longer=soon&metadata=x")
    expect(page.locator(".wf-why")).to_have_count(3)


def test_a_run_is_watched_live_and_cancelled(page_of: Open, console: LiveServer) -> None:
    run = started(console, "slow_job", {"seconds": 1, "steps": 60})
    page = page_of("operator")
    page.goto(f"/admin/runs/{run['run_id']}/")
    expect(page.locator(".wf-span.wf-live")).to_have_count(1)
    expect(page.locator("[data-run-status]")).to_contain_text("running")
    expect(page.locator(".wf-livedot")).to_have_attribute("data-state", "live")
    before = page.locator(".wf-span").count()
    expect(page.locator(".wf-span")).not_to_have_count(before)
    shoot(page, "run-timeline")
    page.goto(f"/admin/runs/{run['run_id']}/graph/")
    expect(page.locator('[data-node="step"]')).to_have_attribute("data-state", re.compile("running|done"))
    shoot(page, "run-graph")
    page.get_by_role("button", name="Cancel", exact=True).click()
    page.locator("#cancel-run").get_by_label("Reason").fill("enough of it")
    page.get_by_role("button", name="Cancel the run").click()
    expect(page.locator("[data-run-status]")).to_contain_text("interrupted")
    expect(page.locator(".wf-why")).to_contain_text("enough of it")
    expect(page.get_by_role("button", name="Run again").first).to_be_visible()


def test_an_ended_run_shows_what_it_said_and_changed(page_of: Open, console: LiveServer) -> None:
    said = {"messages": [{"role": "user", "content": "What is 6 * 7?"}]}
    run = ended(console, "chat", said)
    page = page_of("viewer")
    page.goto(f"/admin/runs/{run['run_id']}/")
    views = page.get_by_role("navigation", name="Views of the run")
    expect(page.locator(".wf-kind-tool")).to_contain_text("calculator")
    shoot(page, "run-ended")
    views.get_by_role("link", name="Messages").click()
    expect(page.locator(".wf-from-human")).to_contain_text("6 * 7")
    expect(page.locator(".wf-from-ai").last).to_contain_text("42")
    shoot(page, "run-messages")
    views.get_by_role("link", name="State").click()
    expect(page.locator(".wf-channel").first).to_contain_text("messages")
    expect(page.locator(".wf-change.wf-added").first).to_contain_text('"type": "human"')
    shoot(page, "run-state")
    views.get_by_role("link", name="Request").click()
    expect(page.locator(".wf-snippet").first).to_contain_text("curl -N")
    shoot(page, "run-request")
    views.get_by_role("link", name="Deliveries").click()
    expect(page.locator(".wf-nothing")).to_contain_text("Nobody is told")


def test_a_run_is_run_again_from_its_beginning(page_of: Open, console: LiveServer) -> None:
    run = ended(console, "echo", {"text": "again"})
    page = page_of("operator")
    page.goto(f"/admin/runs/{run['run_id']}/")
    page.get_by_role("button", name="Run again").first.click()
    page.get_by_label("From where this run began").check()
    page.locator("#retry-run").get_by_role("button", name="Run again").click()
    expect(page.locator(".wf-message")).to_contain_text("started again")
    assert run["run_id"] not in page.url
    expect(page.locator("[data-run-status]")).to_contain_text("success")


@pytest.mark.parametrize("verb", ["cancel", "retry"])
def test_a_viewer_cannot_act(page_of: Open, console: LiveServer, verb: str) -> None:
    run = started(console, "slow_job", {"seconds": 0.2, "steps": 20})
    page = page_of("viewer")
    page.goto(f"/admin/runs/{run['run_id']}/")
    expect(page.get_by_role("button", name="Cancel", exact=True)).to_have_count(0)
    token = page.context.cookies()
    cookies = {cookie["name"]: cookie["value"] for cookie in token}
    answer = httpx.post(
        f"{console.url}/admin/runs/{run['run_id']}/{verb}/",
        cookies=cookies,
        headers={"X-CSRFToken": cookies.get("csrftoken", ""), "Referer": console.url},
    )
    assert answer.status_code == 403


def test_what_is_not_there_says_so(page_of: Open) -> None:
    page = page_of("viewer")
    answer = page.request.get("/admin/runs/00000000-0000-0000-0000-000000000000/")
    assert answer.status == 404
