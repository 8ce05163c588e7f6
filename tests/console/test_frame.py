"""The frame around every page of the console: who sees what, what pages may load, and how they look."""

import re
from collections.abc import Callable

import httpx
import pytest
from django.contrib import admin
from playwright.sync_api import Browser, Page, expect

from tests.conftest import LiveServer
from tests.console.watching import assert_clean, picture, shoot

PAGES = (
    "/admin/doctor/",
    "/admin/audit/",
    "/admin/jump/",
    "/admin/queue/",
    "/admin/store/",
    "/admin/crons/",
    "/admin/storage/",
    "/admin/playground/",
    "/admin/webhooks/",
    "/admin/webhooks/deliveries/",
    "/admin/crons/calendar/",
)
# Lists, forms to add and the rest: unfold's scripts differ between them.
ROWS = ("/admin/runs/run/", "/admin/auth/user/add/", "/admin/auth/group/", "/admin/password_change/")


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_clean_in_light_in_dark_and_on_a_telephone(page_of: Callable[..., Page], path: str) -> None:
    page = page_of("admin")
    page.goto(path)
    shoot(page, path.strip("/").replace("/", "-"))


@pytest.mark.parametrize("path", ROWS)
def test_the_admins_pages_of_rows_obey_their_policy(page_of: Callable[..., Page], path: str) -> None:
    page = page_of("superuser")
    answer = page.goto(path)
    assert answer is not None and answer.status == 200
    expect(page.get_by_role("navigation", name="Main")).to_be_visible()
    picture(page, f"rows{path.replace('/', '-')}")


def test_our_pages_may_run_nothing_written_into_them(page_of: Callable[..., Page]) -> None:
    page = page_of("admin")
    answer = page.goto("/admin/doctor/")
    assert answer is not None
    policy = answer.header_value("Content-Security-Policy") or ""
    assert "unsafe" not in policy
    assert "default-src 'self'" in policy and "frame-ancestors 'none'" in policy


def test_a_script_written_into_a_page_does_not_run(
    browser: Browser, console: LiveServer, session_keys: dict[str, str]
) -> None:
    with browser.new_context(base_url=console.url) as context:
        context.add_cookies([{"name": "sessionid", "value": session_keys["admin"], "url": console.url}])
        page = context.new_page()
        page.goto("/admin/doctor/")
        ran = page.evaluate(INJECT)
        assert ran is False


INJECT = """() => {
            const script = document.createElement("script");
            script.textContent = "window.injected = true";
            document.body.append(script);
            return window.injected === true;
        }"""


def test_a_stranger_is_sent_to_the_login(page_of: Callable[..., Page]) -> None:
    page = page_of(None)
    page.goto("/admin/doctor/")
    expect(page).to_have_url("/admin/login/?next=/admin/doctor/")
    assert_clean(page)


def test_who_lacks_the_role_is_told_so(page_of: Callable[..., Page]) -> None:
    page = page_of("responder")
    answer = page.goto("/admin/audit/")
    assert answer is not None and answer.status == 403
    expect(page.get_by_text("This needs the role operator.")).to_be_visible()
    expect(page.get_by_role("link", name="Audit log")).to_have_count(0)
    assert_clean(page)


def test_lists_are_read_without_scripts(page_of: Callable[..., Page]) -> None:
    page = page_of("admin", java_script_enabled=False)
    page.goto("/admin/doctor/")
    expect(page.get_by_role("cell", name="PostgreSQL", exact=True)).to_be_visible()
    expect(page.get_by_role("link", name="Runs", exact=True)).to_be_visible()


def test_the_menu_of_a_telephone_is_reached_by_keyboard(page_of: Callable[..., Page]) -> None:
    page = page_of("admin")
    page.set_viewport_size({"width": 360, "height": 780})
    page.goto("/admin/doctor/")
    menu = page.get_by_role("navigation", name="Main")
    expect(menu).not_to_be_visible()
    page.get_by_role("button", name="Menu", exact=True).press("Enter")
    expect(menu).to_be_visible()
    page.keyboard.press("Escape")
    expect(menu).not_to_be_visible()


def test_the_jump_box_finds_pages_by_name_and_things_by_id(page_of: Callable[..., Page], console: LiveServer) -> None:
    with httpx.Client(base_url=console.url) as client:
        thread = client.post("/threads", json={}).json()["thread_id"]
    page = page_of("viewer")
    page.goto("/admin/doctor/")
    page.keyboard.press("Control+k")
    box = page.get_by_role("combobox", name="Page or id")
    box.fill("thre")
    expect(page.get_by_role("option")).to_have_text([re.compile("Threads")])
    box.fill(thread)
    expect(page.get_by_role("option")).to_have_text([re.compile(thread)])
    shoot(page, "palette")
    box.press("Enter")
    expect(page).to_have_url(re.compile(thread))


def test_a_button_copies_and_a_switch_changes_the_colours(page_of: Callable[..., Page], console: LiveServer) -> None:
    page = page_of("viewer")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto("/admin/jump/")
    page.get_by_role("button", name="Change between light and dark").click()
    expect(page.locator("html")).to_have_class(re.compile("dark"))
    page.goto("/admin/runs/run/")
    expect(page.locator("html")).to_have_class(re.compile("dark"))
    page.get_by_role("button", name="Change between light and dark").click()
    expect(page.locator("html")).not_to_have_class(re.compile("dark"))
    page.goto("/admin/jump/")
    expect(page.locator("html")).not_to_have_class(re.compile("dark"))


def test_every_list_and_form_of_rows_obeys_its_policy(page_of: Callable[..., Page]) -> None:
    page = page_of("superuser")
    page.goto("/admin/doctor/")
    for model in admin.site._registry:
        path = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
        answer = page.goto(path)
        assert answer is not None and answer.status == 200, path
        if page.locator(f'a[href^="{path}add/"]').count():
            answer = page.goto(f"{path}add/")
            assert answer is not None and answer.status == 200, path
