"""Assistants in a browser: their addresses lead somewhere, a version is compared and set back."""

import time
from collections.abc import Callable

import httpx
from playwright.sync_api import Page, expect

from assistants.graphs import assistant_id_of
from tests.conftest import LiveServer
from tests.console.test_runs import post
from tests.console.watching import shoot

Open = Callable[..., Page]


def test_its_addresses_lead_to_the_agent_and_the_tool(page_of: Open, console: LiveServer) -> None:
    page = page_of("viewer")
    page.goto(f"/admin/assistants/{assistant_id_of('chat')}/")
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
