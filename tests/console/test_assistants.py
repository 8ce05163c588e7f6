"""Assistants in a browser: tried by a message, their addresses copied, a version compared and set back."""

import time
from collections.abc import Callable

import httpx
from playwright.sync_api import Page, expect

from assistants.graphs import assistant_id_of
from tests.conftest import LiveServer
from tests.console.test_runs import post
from tests.console.watching import shoot

Open = Callable[..., Page]


def test_an_assistant_is_tried_by_a_message(page_of: Open) -> None:
    page = page_of("operator")
    page.goto("/admin/assistants/?name=chat")
    page.get_by_role("link", name="chat", exact=True).click()
    expect(page.locator("svg [data-node]")).not_to_have_count(0)
    shoot(page, "assistant")
    page.get_by_label("Say something").fill("What is 6 * 7?")
    page.get_by_role("button", name="Send").click()
    expect(page.locator(".wf-from-ai").last).to_contain_text("42")


def test_its_addresses_lead_to_the_agent_and_the_tool(page_of: Open, console: LiveServer) -> None:
    page = page_of("viewer")
    page.goto(f"/admin/assistants/{assistant_id_of('chat')}/")
    expect(page.locator(".wf-why")).to_contain_text("role operator")
    address = page.locator("dd code").nth(2).inner_text()
    assert httpx.get(address).json()["name"] == "chat"
    expect(page.locator("dd code").nth(1)).to_have_text("chat")


def test_a_version_is_compared_and_set_back(page_of: Open, console: LiveServer) -> None:
    made = post(console, "/assistants", {"graph_id": "chat", "name": f"Versions {time.time_ns()}"})
    where = f"/assistants/{made['assistant_id']}"
    httpx.patch(f"{console.url}{where}", json={"context": {"style": "pirate"}}).raise_for_status()
    page = page_of("operator")
    page.goto(f"/admin{where}/?tab=versions&version=1")
    expect(page.locator(".wf-channel").first).to_contain_text("pirate")
    shoot(page, "assistant-versions")
    page.get_by_role("button", name="Make version 1").click()
    expect(page.locator(".wf-message")).to_contain_text("Version 1")
    assert httpx.get(f"{console.url}{where}").json()["version"] == 1


def test_input_that_is_no_json_runs_nothing(page_of: Open) -> None:
    page = page_of("operator")
    page.goto(f"/admin/assistants/{assistant_id_of('echo')}/")
    page.get_by_label("Input as JSON").fill("{")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.locator(".wf-message")).to_contain_text("not JSON")
