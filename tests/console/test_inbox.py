"""The inbox: a question is found, taken and answered once, in a browser; a viewer may only look."""

import threading
from collections.abc import Callable

import httpx
from playwright.sync_api import Page, expect

from tests.conftest import LiveServer
from tests.console.test_runs import ended
from tests.console.watching import shoot

Open = Callable[..., Page]
REFUND = {"messages": [{"role": "user", "content": "Refund 12 EUR for order 77"}]}


def address_of(console: LiveServer, thread_id: str) -> str:
    """The page of the thread's question."""
    thread = httpx.get(f"{console.url}/threads/{thread_id}").json()
    (interrupt,) = next(iter(thread["interrupts"].values()))
    return f"/admin/interrupts/{thread_id}/{interrupt['id']}/"


def test_a_question_is_found_taken_and_answered(page_of: Open, console: LiveServer) -> None:
    run = ended(console, "approval", REFUND)
    page = page_of("responder")
    page.goto("/admin/interrupts/?graph=approval")
    shoot(page, "inbox")
    address = address_of(console, run["thread_id"])
    page.goto(address)
    page.get_by_role("button", name="Take it").click()
    expect(page.get_by_role("button", name="Give it back")).to_be_visible()
    shoot(page, "interrupt")
    other = page_of("operator")
    other.goto(address)
    expect(other.locator(".wf-why")).to_contain_text("responder has taken")
    other.get_by_role("button", name="Accept", exact=True).click()
    expect(other.locator(".wf-why.wf-bad")).to_contain_text("responder has taken")
    page.get_by_label("Other arguments").fill("[")
    page.get_by_role("button", name="Accept with these").click()
    expect(page.locator(".wf-why.wf-bad")).to_contain_text("JSON")
    page.get_by_role("button", name="Accept", exact=True).click()
    expect(page.locator("[data-run-status]")).to_contain_text("success")
    state = httpx.get(f"{console.url}/threads/{run['thread_id']}/state").json()
    assert state["values"]["messages"][-1]["content"] == "Refunded 12.0 EUR for order 77."


def test_of_two_answers_at_once_one_counts(page_of: Open, console: LiveServer) -> None:
    run = ended(console, "approval", REFUND)
    address = address_of(console, run["thread_id"])
    page = page_of("operator")
    page.goto(address)
    cookies = {cookie["name"]: cookie["value"] for cookie in page.context.cookies()}
    token = page.locator("input[name=csrfmiddlewaretoken]").first.input_value()
    statuses: list[int] = []

    def send() -> None:
        body = {"way": "accept", "csrfmiddlewaretoken": token}
        headers = {"Referer": console.url}
        answer = httpx.post(f"{console.url}{address}answer/", data=body, cookies=cookies, headers=headers, timeout=30)
        statuses.append(answer.status_code)

    senders = [threading.Thread(target=send) for _ in range(4)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    assert sorted(statuses)[0] == 302 and set(statuses[1:] + statuses[:1]) <= {302, 404, 409}
    assert statuses.count(302) == 1
    runs = httpx.get(f"{console.url}/threads/{run['thread_id']}/runs").json()
    assert len(runs) == 2


def test_a_viewer_reads_the_question_and_cannot_answer(page_of: Open, console: LiveServer) -> None:
    run = ended(console, "approval", REFUND)
    page = page_of("viewer")
    page.goto(address_of(console, run["thread_id"]))
    expect(page.locator(".wf-why")).to_contain_text("needs the role responder")
    expect(page.get_by_role("button", name="Accept")).to_have_count(0)
