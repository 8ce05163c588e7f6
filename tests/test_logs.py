"""What the log says of requests and runs, and that it gives no secret away."""

import json
import logging
import time
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from langgraph_sdk import get_client

from config import redaction
from config.access import template_of
from config.headers import logged
from config.logs import line_formatter
from tests.conftest import ROOT, LiveServer, live_server

SECONDS = 20.0
# Each planted where its name says, and in texts where a careless library might put them.
PLANTED = {
    "authorization": "Bearer planted-authorization-8d1f",
    "x-api-key": "planted-api-key-77aa",
    "cookie": "session=planted-cookie-51c9",
}
SIGNING = "whsec_" + "cGxhbnRlZHBsYW50ZWRwbGFudGVkcGxhbnRlZA"
VARIABLE = "planted-variable-0c3e"
IN_TEXT = (
    "password=planted-password-1",
    '"token": "planted-token-2"',
    "postgresql://weft:planted-dsn-3@localhost:1/weft",
    "authorization: Basic cGxhbnRlZC00",
    "weft_planted5planted5planted5planted5",
    SIGNING,
    f"the provider refused {VARIABLE}",
)
SECRETS = ("planted", "cGxhbnRlZ")


@pytest.fixture(scope="module")
def telling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server that logs JSON and everything there is, some headers of requests included."""
    folder = tmp_path_factory.mktemp("telling")
    project = {
        "graphs": {"teller": f"{ROOT}/tests/graphs/telling.py:graph"},
        "http": {"logging_headers": {"includes": ["x-*", "authorization", "cookie"], "excludes": ["x-private-*"]}},
    }
    (folder / "langgraph.json").write_text(json.dumps(project))
    environment = {
        "WEFT_CONFIG": str(folder / "langgraph.json"),
        "LOG_JSON": "true",
        "LOG_LEVEL": "DEBUG",
        "SOME_PROVIDER_API_KEY": VARIABLE,
        "WEBHOOK_SECRETS": SIGNING,
    }
    with live_server(folder, **environment) as running:
        yield running


def lines_of(server: LiveServer) -> list[dict[str, Any]]:
    """The lines logged so far; each must be an object."""
    return [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]


def until_logged(server: LiveServer, **wanted: Any) -> dict[str, Any]:
    """Wait for a line with these fields."""
    deadline = time.monotonic() + SECONDS
    while True:
        for line in lines_of(server):
            if wanted.items() <= line.items():
                return line
        assert time.monotonic() < deadline, f"{wanted} not in\n{server.log.read_text()[-4000:]}"
        time.sleep(0.05)


# --- what a line carries ----------------------------------------------------------------------------------------------


def test_a_request_is_one_line_with_its_route_status_and_time(telling: LiveServer) -> None:
    thread_id, request_id = str(uuid.uuid4()), str(uuid.uuid4())
    answer = httpx.get(f"{telling.url}/threads/{thread_id}?secret=x", headers={"x-request-id": request_id})
    assert answer.status_code == 404
    line = until_logged(telling, logger="weft.access", request_id=request_id)
    assert line["event"] == "GET /threads/{thread_id}"
    assert (line["method"], line["route"], line["status"]) == ("GET", "/threads/{thread_id}", 404)
    assert line["thread_id"] == thread_id
    assert 0 < line["milliseconds"] < 60_000
    assert sum(line.get("request_id") == request_id for line in lines_of(telling)) == 1


def test_a_path_without_a_route_is_not_repeated_in_the_log(telling: LiveServer) -> None:
    request_id = str(uuid.uuid4())
    httpx.get(f"{telling.url}/no/such/planted/path", headers={"x-request-id": request_id})
    assert until_logged(telling, logger="weft.access", request_id=request_id)["route"] == "/{path}"


def test_looking_whether_the_server_is_alive_is_not_logged(telling: LiveServer) -> None:
    httpx.get(f"{telling.url}/ok")
    httpx.get(f"{telling.url}/info")
    until_logged(telling, logger="weft.access", route="/info")
    assert not [line for line in lines_of(telling) if line.get("route") == "/ok"]


def test_the_headers_that_are_asked_for_are_logged_and_credentials_never(telling: LiveServer) -> None:
    request_id = str(uuid.uuid4())
    mine = {"x-request-id": request_id, "X-Team": "looms", "x-private-note": "no"}
    httpx.get(f"{telling.url}/info", headers={**PLANTED, **mine})
    headers = until_logged(telling, logger="weft.access", request_id=request_id)["headers"]
    assert headers["x-team"] == "looms"
    assert not {"authorization", "cookie", "x-api-key", "x-private-note"} & headers.keys()


async def test_lines_of_a_graph_say_of_which_run_and_request_they_are(telling: LiveServer) -> None:
    request_id = str(uuid.uuid4())
    async with get_client(url=telling.url, headers={"x-request-id": request_id}, timeout=SECONDS) as client:
        thread_id = (await client.threads.create())["thread_id"]
        run = await client.runs.create(thread_id, "teller", input={"text": "warp"})
        await client.runs.join(thread_id, run["run_id"])
    expected = {
        "run_id": run["run_id"],
        "thread_id": thread_id,
        "assistant_id": run["assistant_id"],
        "attempt": 1,
        "request_id": request_id,
        "logger": "telling",
    }
    for kind in ("async", "sync"):
        until_logged(telling, event=f"{kind}: warp", **expected)


# --- secrets ----------------------------------------------------------------------------------------------------------


def test_planted_secrets_are_in_no_line_of_web_or_worker(telling: LiveServer) -> None:
    with httpx.Client(base_url=telling.url, headers=PLANTED, timeout=SECONDS) as client:
        for text in IN_TEXT:
            client.get("/threads/planted-id/state", params={"token": "planted-query-9"})
            body = {"assistant_id": "teller", "input": {"text": text, "fails": True}}
            assert "__error__" in client.post("/runs/wait", json=body).text
    failed = [line for line in lines_of(telling) if "ValueError" in line.get("exception", "")]
    assert len(failed) >= len(IN_TEXT), "the failures themselves are logged"
    written = telling.log.read_text()
    found = [line for line in written.splitlines() for secret in SECRETS if secret in line]
    assert not found, found[:3]
    for password in ("DATABASE_URI", "REDIS_URI"):
        assert telling.environment[password] not in written or "@" not in telling.environment[password]


@pytest.mark.parametrize("text", IN_TEXT[:-1])
def test_a_secret_is_known_by_its_form(text: str) -> None:
    cleaned = redaction.without_secrets(f"before {text} after")
    assert not any(secret in cleaned for secret in SECRETS)
    assert cleaned.startswith("before ") and cleaned.endswith(" after") and redaction.REDACTED in cleaned


@pytest.mark.parametrize("text", ["max_tokens: 5", "https://host:80/path", "task-1234567890123456", "token", "2:30"])
def test_what_is_no_secret_stays(text: str) -> None:
    assert redaction.without_secrets(text) == text


def test_a_secret_is_known_by_the_name_it_goes_under() -> None:
    line = {"headers": {"X-Api-Key": "a", "accept": "b"}, "list": [{"client_secret": "c"}], "token_count": 3}
    cleaned = {
        "headers": {"X-Api-Key": redaction.REDACTED, "accept": "b"},
        "list": [{"client_secret": redaction.REDACTED}],
        "token_count": 3,
    }
    assert redaction.without_secrets(line) == cleaned


def test_what_the_environment_keeps_secret_is_found_in_any_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "_known", {})
    redaction.learn({"MY_KEY": "hush-hush-1", "ADDRESS": "redis://:hu%40sh-2-hush@h/0", "NAME": "harmless-value"})
    assert redaction.without_secrets("hush-hush-1, hu@sh-2-hush, harmless-value") == (
        f"{redaction.REDACTED}, {redaction.REDACTED}, harmless-value"
    )


def test_reading_a_hostile_line_takes_no_longer_than_it_is_long() -> None:
    started = time.monotonic()
    redaction.without_secrets("a-" * 50_000 + "eyJ-" * 25_000 + "a://b:" * 15_000 + "token" * 20_000)
    assert time.monotonic() - started < 5.0


# --- forms ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("as_json", [True, False])
def test_a_traceback_is_logged_whole_but_for_its_secrets(as_json: bool) -> None:
    formatter = line_formatter(as_json=as_json, color=False)
    try:
        raise ValueError("token=planted-1")
    except ValueError as error:
        exc_info = (ValueError, error, error.__traceback__)
        record = logging.LogRecord("weft", logging.ERROR, "", 0, "failed: %s", ("password=planted-2",), exc_info)
    written = formatter.format(record)
    assert "Traceback" in written and "ValueError" in written and "planted" not in written
    assert json.loads(written)["event"] == f"failed: password={redaction.REDACTED}" if as_json else "\n" in written


def test_a_route_is_shown_as_its_template() -> None:
    assert template_of("threads/<str:thread_id>/runs/<uuid:run_id>") == "/threads/{thread_id}/runs/{run_id}"


def test_without_configuration_no_header_is_logged() -> None:
    assert logged({"x-team": "looms"}) == {}
