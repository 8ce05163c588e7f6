"""The playground in a browser: a form or a message, live, stopped and sent on, two side by side, over a bad line."""

import json
import re
import time
from collections.abc import Callable
from typing import Any

import httpx
from playwright.sync_api import Browser, Page, expect

from assistants.graphs import assistant_id_of
from tests.conftest import LiveServer
from tests.console.conftest import in_server
from tests.console.test_runs import post
from tests.console.watching import shoot
from tests.proxy import Mode, Proxy

Open = Callable[..., Page]
THREADS = "from threads.models import Thread; print(Thread.objects.count())"


def test_an_assistant_is_run_stopped_at_a_breakpoint_and_sent_on(page_of: Open, console: LiveServer) -> None:
    page = page_of("operator")
    page.goto("/admin/assistants/?name=chat")
    page.get_by_role("link", name="chat", exact=True).click()
    shoot(page, "assistant")
    page.get_by_role("link", name="Open in playground").click()
    pane = page.locator("[data-pane]")
    shoot(page, "playground")
    page.get_by_label("Stop before tools").check()
    page.get_by_label("Message", exact=True).fill("What is 6 * 7?")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(pane.locator(".wf-asked")).to_contain_text("Stopped before tools")
    expect(pane.locator(".wf-from-ai")).to_contain_text("calls calculator")
    expect(pane.locator("[data-first-token]")).not_to_have_text("–")
    shoot(page, "playground-stopped")
    pane.get_by_role("button", name="Continue").click()
    expect(pane.locator(".wf-from-ai").last).to_contain_text("42")
    expect(pane.locator("[data-shown-status]")).to_have_text("success")
    expect(pane.locator("[data-node=tools]")).to_have_attribute("data-state", "done")

    # What was sent is the API's request, and what came back its answer.
    pane.get_by_text("Exact HTTP").click()
    shown = pane.locator("[data-sent] pre").inner_text()
    thread = page.get_by_label("Id of the thread").input_value()
    assert shown.startswith(f"POST /threads/{thread}/runs/stream\n")
    sent = json.loads(shown.split("\n\n", 1)[1])
    assert (sent["input"], sent["interrupt_before"]) == (None, ["tools"])
    answer = pane.locator("[data-answer]").inner_text()
    assert answer.startswith("HTTP 200") and f"content-location: /threads/{thread}/runs/" in answer
    assert "content-security-policy" not in answer
    expect(pane.get_by_role("button", name="curl")).to_have_attribute("data-copy", re.compile(r"^curl -N http"))
    pane.get_by_text("Events", exact=True).last.click()
    shoot(page, "playground-ended")
    state = httpx.get(f"{console.url}/threads/{thread}/state").json()
    assert "42" in state["values"]["messages"][-1]["content"]

    # The same thread goes on, and its runs' pages are linked.
    page.get_by_label("Stop before tools").uncheck()
    page.get_by_label("Message", exact=True).fill("My name is Ada")
    page.get_by_label("Message", exact=True).press("Control+Enter")
    expect(pane.locator(".wf-from-ai").last).to_contain_text("Your name is Ada.")
    expect(pane.locator("[data-shown-status]")).to_have_text("success")
    pane.locator("[data-run-link]").click()
    expect(page.locator("[data-run-status]")).to_contain_text("success")


def test_two_answer_the_same_message_beside_each_other(page_of: Open, console: LiveServer) -> None:
    made = post(console, "/assistants", {"graph_id": "chat", "name": f"Two {time.time_ns()}"})
    path = f"/assistants/{made['assistant_id']}"
    httpx.patch(f"{console.url}{path}", json={"context": {"style": "pirate"}}).raise_for_status()
    page = page_of("operator")
    page.goto(f"/admin/playground/?assistant={made['assistant_id']}")
    page.get_by_label("Message", exact=True).fill("Hello")
    page.get_by_role("link", name="Side by side").click()
    first, second = page.locator("[data-pane=a]"), page.locator("[data-pane=b]")
    expect(page.get_by_label("Message", exact=True)).to_have_value("Hello")  # what was typed is kept
    second.get_by_label(re.compile(r"^\s*Version")).select_option("1")  # the other one's label holds assistants' names
    expect(second.locator(".wf-why").first).to_contain_text("Of version 2 there stays: style.")
    second.get_by_label("Context", exact=True).fill('{"style": "friendly", "delay": 0.05}')
    shoot(page, "playground-beside")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(first.locator(".wf-from-ai")).to_contain_text("Ahoy!")
    expect(second.locator(".wf-from-ai")).to_contain_text("With pleasure!")
    for pane in (first, second):
        expect(pane.locator("[data-shown-status]")).to_have_text("success")
        for name in ("first-event", "first-token", "took"):
            expect(pane.locator(f"[data-{name}]")).to_have_text(re.compile(r"^[0-9.]+ m?s$"))
    shoot(page, "playground-beside-ended")


def test_a_form_is_refused_filled_in_stopped_and_a_question_answered(page_of: Open, console: LiveServer) -> None:
    page = page_of("operator")
    page.goto(f"/admin/playground/?assistant={assistant_id_of('slow_job')}")
    before = in_server(console, THREADS)
    problem, pane = page.locator("[data-problem]"), page.locator("[data-pane]")
    run = page.get_by_role("button", name="Run", exact=True)
    page.locator(".wf-switch").get_by_text("JSON").click()
    page.get_by_label("Input as JSON").fill("{")
    run.click()
    expect(problem).to_contain_text("The input is not JSON")
    expect(page.get_by_label("Input as JSON")).to_be_focused()
    page.locator(".wf-switch").get_by_text("Form").click()
    page.get_by_label("Steps").fill("400")
    page.get_by_label("Seconds").fill("0.05")
    page.get_by_text("Context and config").click()
    page.get_by_label("Context", exact=True).fill("[1]")
    run.click()
    expect(problem).to_contain_text("must be a JSON object")
    shoot(page, "playground-refused")
    page.get_by_label("Context", exact=True).fill("{}")
    page.get_by_label("Config", exact=True).fill('{"tags": 1}')
    run.click()
    expect(pane.locator("[data-failure]")).to_contain_text("tags")
    assert in_server(console, THREADS) == before
    page.get_by_label("Config", exact=True).fill('{"recursion_limit": 1000}')
    run.click()
    expect(pane.locator("[data-log] li")).not_to_have_count(0)
    pane.get_by_role("button", name="Stop", exact=True).click()
    expect(pane.locator("[data-shown-status]")).to_have_text("interrupted")
    expect(pane.locator("[data-state-fold]")).to_contain_text('"seconds": 0.05')
    shoot(page, "playground-form")

    page.locator("select[name=assistant]").select_option(label="approval")
    page.get_by_label("Message", exact=True).fill("Refund 12 EUR for order 77")
    run.click()
    expect(pane.locator(".wf-asked")).to_contain_text("May it refund?")
    shoot(page, "playground-question")
    pane.get_by_role("button", name="Resume").click()
    expect(pane.locator(".wf-from-ai").last).to_contain_text("Refunded 12.0 EUR for order 77.")

    page.locator("select[name=assistant]").select_option(label="echo")
    page.locator(".wf-switch").get_by_text("Form").click()
    page.get_by_text("none: stateless").click()
    page.get_by_label("Text", exact=True).fill("gone")
    run.click()
    expect(pane.locator("[data-state-fold]")).to_contain_text("gone")
    expect(pane.locator("[data-shown-status]")).to_have_text("ended")


def test_a_lost_connection_is_taken_up_where_it_was(
    browser: Browser, console: LiveServer, session_keys: dict[str, str]
) -> None:
    port = int(console.url.rsplit(":", 1)[1])
    with Proxy(("127.0.0.1", port)) as line, browser.new_context(base_url=f"http://127.0.0.1:{line.port}") as context:
        context.add_cookies([{"name": "sessionid", "value": session_keys["operator"], "url": console.url}])
        page = context.new_page()
        page.goto(f"/admin/playground/?assistant={assistant_id_of('slow_job')}")
        page.get_by_label("Steps").fill("20")
        page.get_by_label("Seconds").fill("0.2")
        page.get_by_role("button", name="Run", exact=True).click()
        expect(page.locator("[data-log]")).to_contain_text('"count":3')
        line.mode = Mode.RESET
        page.wait_for_timeout(700)
        line.mode = Mode.PASS
        expect(page.locator("[data-shown-status]")).to_have_text("success", timeout=20_000)
        # One of metadata, and of each step values and updates: none twice, none left out.
        expect(page.locator("[data-kinds]")).to_have_text(re.compile(r"^metadata 1 · values 22 · updates 21$"))


def test_a_viewer_sees_what_could_be_run(page_of: Open) -> None:
    page = page_of("viewer")
    page.goto("/admin/playground/")
    expect(page.locator(".wf-why").first).to_contain_text("role operator")
    expect(page.get_by_role("button", name="Run", exact=True)).to_have_count(0)


def test_the_answer_is_the_one_the_api_gives(console: LiveServer, session_keys: dict[str, str]) -> None:
    cookies = {"sessionid": session_keys["operator"], "csrftoken": "a" * 32}
    body = {
        "assistant_id": "talker",
        "input": {"messages": [{"type": "human", "content": "hi", "id": "u1"}]},
        "if_not_exists": "create",
        "stream_mode": ["values", "messages-tuple", "debug"],
    }

    def answered(prefix: str, thread: str) -> tuple[str, Any]:
        with httpx.Client(base_url=console.url, cookies=cookies, headers={"X-CSRFToken": "a" * 32}) as http:
            answer = http.post(f"{prefix}/threads/{thread}/runs/stream", json=body, timeout=30)
        run = answer.headers["content-location"].rsplit("/", 1)[1]
        names = ("content-type", "cache-control", "content-location", "location", "x-accel-buffering")
        headers = [answer.headers[name] for name in names]
        lines = [line for line in answer.text.splitlines() if line.startswith("event: ")]
        return str(headers).replace(run, "R").replace(thread, "T"), (answer.status_code, lines)

    ours = answered("/admin/playground", "019aaaaa-0000-7000-8000-000000000001")
    assert ours == answered("", "019aaaaa-0000-7000-8000-000000000002")
    assert ours[1][1][0] == "event: metadata" and len(ours[1][1]) > 5
