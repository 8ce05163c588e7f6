"""Fixtures for pages of the console: a live server, and a browser signed in as each role."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from playwright.sync_api import Browser, Page

from tests.chromium import chromium
from tests.conftest import ROOT, LiveServer, live_server
from tests.console.watching import Watched
from tests.javascript import INSTALL_SECONDS

PATIENCE = 15_000  # milliseconds
SIGN_IN = """
import json
from django.contrib.auth.models import Group, User
from django.contrib.sessions.backends.db import SessionStore
keys = {}
for role in ("none", "viewer", "responder", "operator", "admin", "superuser"):
    user = User.objects.create_user(role, is_staff=True, is_superuser=role == "superuser")
    user.groups.set(Group.objects.filter(name=role))
    session = SessionStore()
    session["_auth_user_id"] = str(user.pk)
    session["_auth_user_backend"] = "django.contrib.auth.backends.ModelBackend"
    session["_auth_user_hash"] = user.get_session_auth_hash()
    session.create()
    keys[role] = session.session_key
print("KEYS" + json.dumps(keys))
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first test may have to install axe."""
    for item in items:
        if "/tests/console/" in str(item.path):
            item.add_marker(pytest.mark.timeout(INSTALL_SECONDS + 200))


@pytest.fixture(scope="session")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """The server whose pages are looked at, with examples' graphs."""
    with live_server(tmp_path_factory.mktemp("console")) as running:
        assert running.start("static", "collectstatic", "--noinput", "--verbosity=0").wait(60) == 0
        del running.processes["static"]
        yield running


@pytest.fixture(scope="session")
def session_keys(console: LiveServer) -> dict[str, str]:
    """Sessions of one person of each role: none, viewer, responder, operator, admin, superuser."""
    keys: dict[str, str] = json.loads(in_server(console, SIGN_IN).split("KEYS")[1])
    return keys


def in_server(console: LiveServer, code: str) -> str:
    """Run Python with the server's settings and database; returns what it prints. A few seconds: do much at once."""
    command = [sys.executable, "manage.py", "shell", "-v0", "-c", code]
    done = subprocess.run(command, cwd=ROOT, env=console.environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium without a window. Of the module: while it is open, no async test can run."""
    with chromium() as opened:
        yield opened


@pytest.fixture
def page_of(browser: Browser, console: LiveServer, session_keys: dict[str, str]) -> Iterator[Callable[..., Page]]:
    """Opens an empty page of a person with a role: `page_of("operator")`, or a stranger's: `page_of(None)`.

    Paths such as `/admin/` are of the live server. Options are Playwright's for a context. Whatever a page complains of
    or loads from another host fails the test.
    """
    opened: list[Watched] = []

    def open_page(role: str | None, **options: object) -> Page:
        context = browser.new_context(base_url=console.url, **options)  # type: ignore[arg-type]
        if role is not None:
            context.add_cookies([{"name": "sessionid", "value": session_keys[role], "url": console.url}])
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        opened.append(Watched(page, console.url))
        return page

    yield open_page
    complaints = [complaint for watched in opened for complaint in watched.complaints]
    for watched in opened:
        watched.page.context.close()
    assert not complaints


@pytest.fixture
def sign_in(db: Any) -> Callable[[str], Client]:
    """Gives a client of Django's, without a server, of somebody with a role."""

    def signed_in(role: str) -> Client:
        user, _ = User.objects.get_or_create(username=f"a {role}", is_staff=True)
        user.groups.set(Group.objects.filter(name=role))
        client = Client()
        client.force_login(user)
        return client

    return signed_in
