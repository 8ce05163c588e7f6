"""A page of another origin in a real browser: CORS, streams and reloads as people meet them. Needs Chromium."""

import functools
import http.server
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.chromium import chromium
from tests.conftest import LiveServer
from tests.javascript import FOLDER, INSTALL_SECONDS, node_with_packages

HOOKS = ["classic", "sse", "websocket"]
PATIENCE = 30_000  # milliseconds
HELLO = (
    "Hello! That was message 1 of this thread. "
    'Ask me "What is the weather in Paris?" or "What is 12 * 7?", or tell me your name.'
)
REFUNDED = "Refunded 25.0 EUR for order 7."

pytestmark = pytest.mark.timeout(INSTALL_SECONDS + 200)


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium without a window."""
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the page, served from an origin of its own."""
    folder = tmp_path_factory.mktemp("site")
    esbuild = [node_with_packages(), "node_modules/esbuild/bin/esbuild"]
    options = ["--bundle", f"--outfile={folder / 'bundle.js'}", '--define:process.env.NODE_ENV="production"']
    subprocess.run([*esbuild, "browser.mjs", *options], cwd=FOLDER, check=True, capture_output=True, timeout=60)
    shutil.copy(FOLDER / "index.html", folder)
    handler = functools.partial(Quiet, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{serving.server_port}/index.html"
        serving.shutdown()


@pytest.fixture(params=HOOKS)
def address(site: str, server: LiveServer, request: pytest.FixtureRequest) -> Callable[[str], str]:
    """Makes the page's address for an assistant."""
    return lambda assistant: f"{site}?{urlencode({'url': server.url, 'hook': request.param, 'assistant': assistant})}"


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """An empty page; the browser may find no fault with whatever it comes to show."""
    with browser.new_context() as context:
        opened = context.new_page()
        opened.set_default_timeout(PATIENCE)
        complaints: list[str] = []
        opened.on("pageerror", lambda error: complaints.append(str(error)))
        opened.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        yield opened
        assert not complaints


def say(page: Page, text: str) -> None:
    """Type a message and send it."""
    page.get_by_label("Message").fill(text)
    page.get_by_label("Message").press("Enter")


def shows(page: Page, *lines: str) -> None:
    """The page comes to rest with these messages."""
    expect(page.get_by_role("listitem")).to_have_text(lines, timeout=PATIENCE)
    expect(page.locator("main")).to_have_attribute("aria-busy", "false", timeout=PATIENCE)


def test_a_page_of_another_origin_holds_a_conversation(page: Page, address: Callable[[str], str]) -> None:
    page.goto(address("chat"))
    say(page, "hi")
    shows(page, "hi", HELLO)
    say(page, "my name is Ada")
    shows(page, "hi", HELLO, "my name is Ada", "Your name is Ada.")


def test_a_page_reloaded_while_the_answer_is_written_shows_it_whole_and_once(
    page: Page, address: Callable[[str], str]
) -> None:
    page.goto(address("chat"))
    say(page, "hi")
    expect(page.get_by_role("listitem")).to_contain_text(["hi", "Hello! That"], timeout=PATIENCE)
    page.reload()
    shows(page, "hi", HELLO)
    page.reload()
    shows(page, "hi", HELLO)


def test_a_person_accepts(page: Page, address: Callable[[str], str]) -> None:
    page.goto(address("approval"))
    say(page, "Refund order 7")
    page.get_by_role("button", name="Accept").click()
    shows(page, "Refund order 7", REFUNDED)


def test_a_person_accepts_on_a_page_that_was_reloaded(page: Page, address: Callable[[str], str]) -> None:
    page.goto(address("approval"))
    say(page, "Refund order 7")
    expect(page.get_by_role("button", name="Accept")).to_be_visible(timeout=PATIENCE)
    page.reload()
    page.get_by_role("button", name="Accept").click()
    shows(page, "Refund order 7", REFUNDED)


def test_a_page_stops_a_run_and_goes_on(page: Page, address: Callable[[str], str], server: LiveServer) -> None:
    page.goto(address("hesitant"))
    say(page, "hi")
    expect(page.get_by_role("listitem")).to_contain_text(["hi", "Hello! That"], timeout=PATIENCE)
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("main")).to_have_attribute("aria-busy", "false", timeout=PATIENCE)
    thread_id = parse_qs(urlsplit(page.url).query)["thread"][0]
    # What lets the graph go on with its next answer.
    item = {"namespace": ["go on", thread_id], "key": "my name is Ada", "value": {"now": True}}
    with httpx.Client(base_url=server.url) as http:
        assert http.put("/store/items", json=item).status_code == 204
        say(page, "my name is Ada")
        expect(page.get_by_text("Your name is Ada.")).to_be_visible(timeout=PATIENCE)
        expect(page.locator("main")).to_have_attribute("aria-busy", "false", timeout=PATIENCE)
        statuses = [run["status"] for run in http.get(f"/threads/{thread_id}/runs").json()]
    assert statuses == ["success", "interrupted"]
    expect(page.get_by_role("alert")).to_have_count(0)


def test_a_message_said_otherwise_makes_a_branch(page: Page, address: Callable[[str], str]) -> None:
    page.goto(address("chat"))
    say(page, "my name is Ada")
    shows(page, "my name is Ada", "Your name is Ada.")
    page.get_by_label("Message").fill("my name is Bob")
    page.get_by_role("button", name="Say it otherwise").click()
    expect(page.get_by_text("Your name is Bob.")).to_be_visible(timeout=PATIENCE)
    page.reload()
    shows(page, "my name is Bob", "Your name is Bob.")
