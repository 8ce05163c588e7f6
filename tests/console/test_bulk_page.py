"""Many runs at once, in a browser: chosen, cancelled while one looks on, run again, found again under a name."""

import time
from collections.abc import Callable

import httpx
from playwright.sync_api import Page, expect

from tests.conftest import LiveServer
from tests.console.test_runs import ended, post
from tests.console.watching import shoot

Open = Callable[..., Page]
MANY = 150
# What the page says while nobody loads it again.
WATCH = """() => {
    window.told = [];
    const line = () => document.querySelector(".wf-progress-line b").textContent;
    new MutationObserver(() => window.told.push(line())).observe(
        document.querySelector(".wf-bulk-panel"), {childList: true, subtree: true});
}"""


def test_all_that_match_are_cancelled_while_somebody_looks_on(page_of: Open, console: LiveServer) -> None:
    mark = f"bulk{time.time_ns()}"
    body = {"assistant_id": "echo", "input": {"text": "x"}, "metadata": {"mark": mark}, "after_seconds": 3600}
    post(console, "/runs/batch", [body] * MANY)
    page, viewer = page_of("operator"), page_of("viewer")
    address = f"/admin/runs/?metadata=mark%3A{mark}"
    viewer.goto(address)
    expect(viewer.locator("tbody tr")).to_have_count(50)
    expect(viewer.locator("input[type=checkbox]")).to_have_count(0)

    page.goto(address)
    ask_to_cancel_all(page)
    expect(page.get_by_role("heading", name="Cancel runs")).to_be_visible()
    page.evaluate(WATCH)
    viewer.goto(page.url)
    expect(page.locator(".wf-chip")).to_have_text("done", timeout=60_000)
    expect(viewer.locator(".wf-chip")).to_have_text("done")
    expect(page.locator(".wf-progress-line")).to_contain_text(f"{MANY} of {MANY} runs")
    told = [int(number) for number in page.evaluate("window.told")]
    assert told == sorted(told) and len(set(told)) > 2, told
    expect(page.get_by_role("button", name="Stop")).to_have_count(0)
    expect(page.locator(".wf-facts")).to_contain_text("by operator: enough of them")
    shoot(page, "bulk-done")
    page.get_by_role("link", name=f"mark:{mark}").click()
    expect(page.locator('tbody [data-status="interrupted"]')).to_have_count(50)


def ask_to_cancel_all(page: Page) -> None:
    """In the list: all that match, for a reason. Each question says how many they are."""
    cancel = page.get_by_role("button", name="Cancel", exact=True)
    expect(cancel).to_be_disabled()
    page.get_by_label("Choose all runs of this page").check()
    expect(page.locator("[data-chosen]")).to_have_text("50")
    shoot(page, "bulk-list")
    page.get_by_label(f"All {MANY} that match").check()
    cancel.click()
    dialog = page.locator("#bulk-cancel")
    expect(dialog).to_contain_text(f"Asks all {MANY} that match to end")
    shoot(page, "bulk-dialog")
    dialog.get_by_label("Reason").fill("enough of them")
    dialog.get_by_label("Reason").press("Enter")
    expect(dialog, "Enter does nothing").to_be_visible()
    page.get_by_role("button", name="Cancel the runs").click()


def test_chosen_runs_are_run_again_and_found_under_a_name(page_of: Open, console: LiveServer) -> None:
    mark = f"again{time.time_ns()}"
    runs = [ended(console, "boom", {"kind": "value"}, metadata={"again": mark}) for _ in range(3)]
    page = page_of("operator")
    page.goto(f"/admin/runs/?metadata=again:{mark}")
    for run in runs[:2]:
        page.get_by_label(f"Choose run …{run['run_id'][-12:]}").check()
    page.get_by_role("button", name="Run again", exact=True).click()
    expect(page.locator("#bulk-retry")).to_contain_text("Starts 2 chosen runs once more")
    page.get_by_label("From where each run began").check()
    page.get_by_role("button", name="Run them again").click()
    expect(page.locator(".wf-chip")).to_have_text("done", timeout=30_000)
    expect(page.locator(".wf-tile", has_text="Run again")).to_contain_text("2")
    asked = {"metadata": {"again": mark}, "limit": 50}
    found = httpx.post(f"{console.url}/runs/search", json=asked, timeout=30).json()
    retried = [run["metadata"]["retry_of"] for run in found if "retry_of" in run["metadata"]]
    assert sorted(retried) == sorted(run["run_id"] for run in runs[:2])
    page.goto("/admin/runs/bulk/")
    expect(page.locator("tbody tr", has_text="Retry runs from their beginning").first).to_contain_text("operator")

    page.goto(f"/admin/runs/?metadata=again:{mark}")
    keep_for_everybody(page, "Again and again")
    viewer = page_of("viewer")
    viewer.goto("/admin/runs/")
    viewer.get_by_role("link", name="Again and again").click()
    expect(viewer.locator("tbody tr")).to_have_count(5)
    expect(viewer.get_by_role("button", name="Delete view")).to_have_count(0)
    page.get_by_role("button", name="Delete view").click()
    page.get_by_role("button", name="Delete the view").click()
    expect(page.get_by_role("link", name="Again and again")).to_have_count(0)


def keep_for_everybody(page: Page, name: str) -> None:
    """Save the list's filters under the name; it becomes the current tab."""
    page.get_by_role("button", name="Save as a view").click()
    page.get_by_label("Name").fill(name)
    page.get_by_label("Show it to everybody").check()
    page.get_by_role("button", name="Save", exact=True).click()
    tab = page.get_by_role("navigation", name="Saved views").get_by_role("link", name=name)
    expect(tab).to_have_attribute("aria-current", "page")
    shoot(page, "views")
