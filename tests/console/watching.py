"""What a page of the console is held to, whatever it shows: `assert_clean`; and pictures of it: `shoot`."""

import os
from pathlib import Path
from typing import Any

from playwright.sync_api import ConsoleMessage, Page, Request

from tests.javascript import FOLDER, node_with_packages

SHOTS = os.environ.get("WEFT_SHOTS", "")
WIDE, NARROW = {"width": 1360, "height": 860}, {"width": 360, "height": 780}
TALLEST = 1500  # pixels of a picture
GRAVE = ("serious", "critical")
AXE_OPTIONS = {"resultTypes": ["violations"], "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]}


class Watched:
    """Notes what a page complains of, and what it loads from elsewhere."""

    def __init__(self, page: Page, own: str) -> None:
        self.page, self.own, self.complaints = page, own, list[str]()
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", self._hear)
        page.on("request", self._see)
        page.on("websocket", lambda socket: self._note_foreign(socket.url.replace("ws", "http", 1)))

    def _hear(self, said: ConsoleMessage) -> None:
        # An answer of 403 or 404 that the test asks for is said as an error, too.
        if said.type == "error" and "the server responded with a status of 4" not in said.text:
            self.complaints.append(f"{said.text} ({said.location})")

    def _see(self, request: Request) -> None:
        self._note_foreign(request.url)

    def _note_foreign(self, url: str) -> None:
        if not url.startswith((self.own + "/", "data:", "blob:")):
            self.complaints.append(f"loads {url}")


def assert_clean(page: Page, *allowed: str) -> None:
    """Assert that axe finds nothing serious in what is shown, but for the rules `allowed` names, and that no line is
    wider than the window. (`page_of` sees to errors and to other hosts.)
    """
    node_with_packages()
    axe = (FOLDER / "node_modules/axe-core/axe.min.js").read_text()
    session = page.context.new_cdp_session(page)  # a script tag would need a hole in the page's policy
    session.send("Runtime.evaluate", {"expression": axe})
    found: dict[str, Any] = page.evaluate("(options) => axe.run(document, options)", AXE_OPTIONS)
    grave = [
        f"{violation['id']}: {violation['help']}: {node['html'][:200]} {node['failureSummary']}"
        for violation in found["violations"]
        if violation["impact"] in GRAVE and violation["id"] not in allowed
        for node in violation["nodes"][:4]
    ]
    assert not grave, "\n".join(grave)
    wider = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wider <= 1, f"{page.url} is {wider} pixels wider than its window"


def shoot(page: Page, name: str) -> None:
    """Hold the page to `assert_clean` in light, in dark and on a telephone, and take a picture of each."""
    for look, scheme, size in (("light", "light", WIDE), ("dark", "dark", WIDE), ("narrow", "light", NARROW)):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
        page.set_viewport_size(size)  # type: ignore[arg-type]
        page.wait_for_timeout(150)
        picture(page, f"{name}-{look}")
        assert_clean(page)
    page.set_viewport_size(WIDE)  # type: ignore[arg-type]


def picture(page: Page, name: str) -> None:
    """A picture of the page in the folder WEFT_SHOTS names, where it names one."""
    if SHOTS:
        Path(SHOTS).mkdir(parents=True, exist_ok=True)
        height = page.evaluate("document.documentElement.scrollHeight")
        width = page.viewport_size["width"] if page.viewport_size else WIDE["width"]
        clip = {"x": 0, "y": 0, "width": width, "height": min(height, TALLEST)}
        page.screenshot(path=Path(SHOTS, f"{name}.png"), full_page=True, clip=clip)  # type: ignore[arg-type]
