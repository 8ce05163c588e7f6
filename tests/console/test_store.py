"""The store's pages: a tree of namespaces, items found, mended and deleted; and who may."""

import re
import time
from collections.abc import Callable

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.conftest import LiveServer
from tests.console.conftest import in_server
from tests.console.watching import shoot

Open = Callable[..., Page]
AUDIT = """
from accounts.models import AuditEntry
for entry in AuditEntry.objects.filter(object_type="store.item").order_by("pk"):
    print(entry.actor, entry.action, entry.object_id)
"""


def put(console: LiveServer, namespace: list[str], key: str, value: object) -> None:
    """Through the API."""
    body = {"namespace": namespace, "key": key, "value": value}
    assert httpx.put(f"{console.url}/store/items", json=body, timeout=30).status_code == 204


def value_of(console: LiveServer, namespace: str, key: str) -> object:
    """Through the API; None when there is none."""
    found = httpx.get(f"{console.url}/store/items", params={"namespace": namespace, "key": key}, timeout=30).json()
    return found and found["value"]


def test_the_store_is_walked_filtered_mended_and_deleted_from(page_of: Open, console: LiveServer) -> None:
    root = f"tree{time.time_ns()}"
    put(console, [root, "ada"], "colour", {"kind": "taste", "is": "green"})
    put(console, [root, "ada"], "town", {"kind": "fact", "is": "London"})
    put(console, [root, "bob"], "town", {"kind": "fact", "is": "Paris"})
    page = page_of("admin")
    page.goto(f"/admin/store/?prefix={root}")
    below = page.get_by_role("navigation", name="Namespaces below")
    expect(below.get_by_role("link")).to_have_count(2)
    expect(page.locator("tbody tr")).to_have_count(3)
    shoot(page, "store")
    page.get_by_label("Filter").fill('{"kind": "fact"}')
    page.get_by_role("button", name="Find").click()
    expect(page.locator("tbody tr")).to_have_count(2)
    page.get_by_label("Filter").fill("kind")
    page.get_by_role("button", name="Find").click()
    expect(page.locator(".wf-why")).to_contain_text("no JSON")
    page.goto(f"/admin/store/?prefix={root}")
    below.get_by_role("link", name="ada").click()
    expect(page.locator("tbody tr")).to_have_count(2)
    page.get_by_role("link", name="town").click()
    page.get_by_label("JSON").fill("[1]")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".wf-why")).to_contain_text("must be a JSON object")
    page.get_by_label("JSON").fill('{"kind": "fact", "is": "Oxford"}')
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".wf-message")).to_contain_text("new value")
    assert value_of(console, f"{root}.ada", "town") == {"kind": "fact", "is": "Oxford"}
    shoot(page, "store-item")
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("button", name="Delete the item").click()
    expect(page.locator(".wf-message")).to_contain_text("deleted")
    assert value_of(console, f"{root}.ada", "town") is None
    said = in_server(console, AUDIT)
    assert f"admin edit {root}.ada/town" in said and f"admin delete {root}.ada/town" in said


@pytest.mark.parametrize(("role", "verb"), [("viewer", "edit"), ("viewer", "delete"), ("operator", "delete")])
def test_who_lacks_the_role_changes_nothing(page_of: Open, console: LiveServer, role: str, verb: str) -> None:
    root = f"kept{time.time_ns()}"
    put(console, [root], "town", {"is": "London"})
    page = page_of(role)
    page.goto(f"/admin/store/item/?prefix={root}&key=town")
    expect(page.locator(".wf-content")).to_contain_text("London")
    expect(page.get_by_role("button", name="Delete", exact=True)).to_have_count(0)
    page.goto("/admin/password_change/")  # a form, so that there is a token
    token = page.locator("input[name=csrfmiddlewaretoken]").first.input_value()
    cookies = {cookie["name"]: cookie["value"] for cookie in page.context.cookies()}
    answer = httpx.post(
        f"{console.url}/admin/store/item/{verb}/",
        cookies=cookies,
        headers={"X-CSRFToken": token, "Referer": console.url},
        data={"prefix": root, "key": "town", "value": "{}"},
    )
    assert answer.status_code == 403
    assert value_of(console, root, "town") == {"is": "London"}


PUT_FOR_TENANT = """
from accounts.models import Tenant
from config import loop
from store.opening import open_store
Tenant.objects.get_or_create(slug="acme")
async def put():
    await (await open_store("acme")).aput(("theirs",), "town", {"is": "Rome"})
loop.run(put())
"""


def test_items_are_found_by_meaning_and_of_a_tenant_and_none_is_made_blank(page_of: Open, console: LiveServer) -> None:
    root = f"meant{time.time_ns()}"
    put(console, [root], "town", {"text": "London is a town"})
    in_server(console, PUT_FOR_TENANT)
    page = page_of("operator")
    page.goto(f"/admin/store/?prefix={root}")
    page.get_by_label("Meaning").fill("a town")
    page.get_by_role("button", name="Find").click()
    expect(page.locator("[data-label=Score]")).to_have_text([re.compile(r"\d\.\d{3}")])
    page.get_by_role("link", name="town").click()
    page.get_by_label("JSON").fill("")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".wf-why")).to_contain_text("must be a JSON object")
    page.goto("/admin/store/?prefix=theirs")
    expect(page.locator("tbody tr")).to_have_count(0)
    page.get_by_label("Tenant").select_option("acme")
    page.get_by_role("button", name="Find").click()
    page.get_by_role("link", name="town").click()
    expect(page.locator(".wf-content")).to_contain_text("Rome")
