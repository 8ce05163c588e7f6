"""Keys in a browser: made, copied, rotated and revoked, with no complaint of the page's policy."""

import re
from collections.abc import Callable

from playwright.sync_api import Page, expect

from accounts.issuing import FORM
from tests.console.watching import picture


def test_a_key_is_made_rotated_and_revoked(page_of: Callable[..., Page]) -> None:
    page = page_of("admin", color_scheme="light", viewport={"width": 1280, "height": 900})
    page.goto("/admin/accounts/apikey/add/")
    page.fill("[name=name]", "browser")
    picture(page, "key-add")
    page.click("[name=_save]")
    first = page.locator("#key").inner_text()
    assert re.fullmatch(FORM, first)
    picture(page, "key-made")
    page.get_by_text("I have copied it").click()
    expect(page.get_by_text(first[:13], exact=True)).to_be_visible()
    picture(page, "key-page")
    page.get_by_role("link", name="Rotate").click()
    picture(page, "key-rotate")
    page.get_by_role("button", name="Rotate").click()
    second = page.locator("#key").inner_text()
    assert re.fullmatch(FORM, second) and second != first
    assert "good until" in page.content()
    page.get_by_text("I have copied it").click()
    page.get_by_role("link", name="Revoke").click()
    page.get_by_label("Reason, for the audit log").fill("leaked")
    picture(page, "key-revoke")
    page.get_by_role("button", name="Revoke").click()
    expect(page.get_by_text("Revoked 1 key.")).to_be_visible()
    page.goto("/admin/accounts/apikey/")
    picture(page, "key-list")
    assert first not in page.content() and second not in page.content()
    page.goto("/admin/accounts/auditentry/")
    expect(page.get_by_text("leaked")).to_be_visible()
    picture(page, "audit-list")
