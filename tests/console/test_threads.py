"""Threads in a browser: found, looked at step by step, changed in a branch, run from there, pruned, deleted."""

from collections.abc import Callable

import httpx
from playwright.sync_api import Page, expect

from tests.conftest import LiveServer
from tests.console.test_runs import ended
from tests.console.watching import shoot

Open = Callable[..., Page]


def test_a_thread_is_changed_in_a_branch_and_run_from_there(page_of: Open, console: LiveServer) -> None:
    run = ended(console, "counter", {"steps": 3})
    page = page_of("operator")
    page.goto("/admin/threads/?graph=counter")
    shoot(page, "threads")
    page.goto(f"/admin/threads/{run['thread_id']}/")
    expect(page.locator(".wf-rail li")).to_have_count(5)
    assert "{#" not in page.content()
    shoot(page, "thread")
    page.locator(".wf-rail a").nth(1).click()
    page.get_by_text("Change the state from here").click()
    page.get_by_label("Values").fill('{"log": ["by hand"]}')
    page.get_by_role("button", name="Write it").click()
    expect(page.locator(".wf-message")).to_contain_text("Written")
    expect(page.locator(".wf-rail li.wf-lane-1")).not_to_have_count(0)
    expect(page.locator(".wf-rail")).to_contain_text("forks")
    page.get_by_role("link", name="Changes").click()
    expect(page.locator(".wf-channel").first).to_contain_text("by hand")
    shoot(page, "thread-branch")
    page.get_by_role("button", name="Run from here").click()
    expect(page.locator("[data-run-status]")).to_contain_text("success")
    state = httpx.get(f"{console.url}/threads/{run['thread_id']}/state").json()
    assert "by hand" in state["values"]["log"] and state["values"]["count"] == 3


def test_what_is_no_json_changes_nothing(page_of: Open, console: LiveServer) -> None:
    run = ended(console, "counter", {"steps": 1})
    page = page_of("operator")
    page.goto(f"/admin/threads/{run['thread_id']}/")
    page.get_by_text("Change the state from here").click()
    page.get_by_label("Values").fill("{")
    page.get_by_role("button", name="Write it").click()
    expect(page.locator(".wf-message")).to_contain_text("not JSON")


def test_pruning_says_what_it_freed_and_only_admins_delete(page_of: Open, console: LiveServer) -> None:
    run = ended(console, "chat", {"messages": [{"role": "user", "content": "hello"}]})
    page = page_of("operator")
    address = f"/admin/threads/{run['thread_id']}/"
    page.goto(address)
    expect(page.get_by_role("button", name="Delete", exact=True)).to_have_count(0)
    page.get_by_role("button", name="Prune").first.click()
    page.locator("#prune").get_by_role("button", name="Prune").click()
    expect(page.locator(".wf-message")).to_contain_text("freed")
    expect(page.locator(".wf-rail li")).to_have_count(1)
    page.goto(f"{address}?tab=chat")
    expect(page.locator(".wf-from-human")).to_contain_text("hello")
    admin = page_of("admin")
    admin.goto(address)
    admin.get_by_role("button", name="Delete", exact=True).click()
    admin.get_by_role("button", name="Delete it").click()
    expect(admin.locator(".wf-message")).to_contain_text("is deleted")
    assert httpx.get(f"{console.url}/threads/{run['thread_id']}").status_code == 404
