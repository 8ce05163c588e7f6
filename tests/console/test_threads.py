"""Threads in a browser: found, copied, looked at step by step, changed in a branch, compared, run on, pruned."""

from collections.abc import Callable
from typing import Any

import httpx
from playwright.sync_api import Page, expect

from tests.conftest import LiveServer
from tests.console.test_runs import ended
from tests.console.watching import shoot

Open = Callable[..., Page]


def values_of(console: LiveServer, thread_id: str) -> Any:
    """A thread's values, as the API tells them."""
    return httpx.get(f"{console.url}/threads/{thread_id}/state").json()["values"]


def test_a_copy_is_changed_in_a_branch_compared_run_from_there_and_pruned(page_of: Open, console: LiveServer) -> None:
    run = ended(console, "counter", {"steps": 3})
    page = page_of("operator")
    page.goto("/admin/threads/?graph=counter")
    shoot(page, "threads")
    page.goto(f"/admin/threads/{run['thread_id']}/")
    expect(page.locator(".wf-rail li")).to_have_count(5)
    assert "{#" not in page.content()
    page.get_by_role("button", name="Copy thread").press("Enter")
    expect(page.locator(".wf-message")).to_contain_text(f"the copy of {run['thread_id']}")
    copied = page.url.rstrip("/").rpartition("/")[2]
    assert copied != run["thread_id"]
    expect(page.locator(".wf-rail li")).to_have_count(5)

    page.locator(".wf-rail a").nth(1).press("Enter")  # all of it by keyboard
    expect(page.locator(".wf-rail a").nth(1)).to_be_focused()
    page.get_by_text("Change the state from here").press("Enter")
    page.get_by_label("Values").fill('{"log": ["by hand"]}')
    page.get_by_role("button", name="Write it").press("Enter")
    expect(page.locator(".wf-message")).to_contain_text("Written")
    expect(page.locator(".wf-rail [data-lane='1']")).to_have_count(1)
    expect(page.locator(".wf-rail")).to_contain_text("forks")
    shoot(page, "thread")
    page.get_by_role("link", name="Changes").press("Enter")
    expect(page.locator(".wf-channel").first).to_contain_text("by hand")
    page.get_by_label("Compared to").select_option(index=6)
    page.get_by_role("button", name="Compare").press("Enter")
    expect(page.get_by_role("heading", name="From step -1 (input) to step")).to_be_visible()
    shoot(page, "thread-branch")

    page.get_by_role("button", name="Run from here").press("Enter")
    expect(page.locator("[data-run-status]")).to_contain_text("success")
    state = values_of(console, copied)
    assert "by hand" in state["log"] and state["count"] == 3
    assert "by hand" not in values_of(console, run["thread_id"])["log"]

    page.goto(f"/admin/threads/{copied}/")
    page.get_by_role("button", name="Prune").first.press("Enter")
    expect(page.locator("#prune")).to_contain_text("frees about")
    promised = page.locator("#prune p").inner_text().partition("frees about ")[2].partition(" of ")[0]
    shoot(page, "thread-prune")
    page.locator("#prune").get_by_role("button", name="Prune").press("Enter")
    expect(page.locator(".wf-message")).to_contain_text(f"{promised} freed: ")
    expect(page.locator(".wf-rail li")).to_have_count(1)
    assert values_of(console, copied) == state


def test_what_is_no_json_changes_nothing(page_of: Open, console: LiveServer) -> None:
    run = ended(console, "counter", {"steps": 1})
    page = page_of("operator")
    page.goto(f"/admin/threads/{run['thread_id']}/")
    page.get_by_text("Change the state from here").click()
    page.get_by_label("Values").fill("{")
    page.get_by_role("button", name="Write it").click()
    expect(page.locator(".wf-message")).to_contain_text("not JSON")


def test_only_admins_delete(page_of: Open, console: LiveServer) -> None:
    run = ended(console, "chat", {"messages": [{"role": "user", "content": "hello"}]})
    page = page_of("operator")
    address = f"/admin/threads/{run['thread_id']}/"
    page.goto(f"{address}?tab=chat")
    expect(page.get_by_role("button", name="Delete", exact=True)).to_have_count(0)
    expect(page.locator(".wf-from-human")).to_contain_text("hello")
    shoot(page, "thread-chat")
    admin = page_of("admin")
    admin.goto(address)
    admin.get_by_role("button", name="Delete", exact=True).click()
    admin.get_by_role("button", name="Delete it").click()
    expect(admin.locator(".wf-message")).to_contain_text("is deleted")
    assert httpx.get(f"{console.url}/threads/{run['thread_id']}").status_code == 404
