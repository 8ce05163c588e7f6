"""The project's own Auth object, point by point. Source: contract/platform.md 6.2 to 6.7."""

import json
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from langgraph_sdk import Auth

from accounts import custom
from accounts.authorizer import warn_of_uncovered
from accounts.callers import StudioUser, User, user_from
from accounts.custom import CustomAuth, user_of
from config.project import ProjectError
from tests.conftest import LiveServer, live_server
from tests.people import ALICE, BOB, NOTHING, asked, client_of, headers_of, pairs
from tests.projects import forget


@pytest.fixture
def alice(owned: LiveServer) -> Iterator[httpx.Client]:
    with client_of(owned, ALICE) as client:
        yield client


@pytest.fixture
def bob(owned: LiveServer) -> Iterator[httpx.Client]:
    with client_of(owned, BOB) as client:
        yield client


@pytest.fixture
def nobody(owned: LiveServer) -> Iterator[httpx.Client]:
    with client_of(owned, None) as client:
        yield client


def with_token(owned: LiveServer, token: str, path: str = "/threads/count", **body: Any) -> httpx.Response:
    return httpx.post(f"{owned.url}{path}", json=body, headers=headers_of(token))


def new_thread(client: httpx.Client, **body: Any) -> str:
    answer = client.post("/threads", json=body)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["thread_id"])


def told(client: httpx.Client, graph_id: str, **body: Any) -> dict[str, Any]:
    answer = client.post("/runs/wait", json={"assistant_id": graph_id, "input": {"told": {}}, **body})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()["told"]
    return found


# --- 6.2 ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/ok", "/info", "/docs", "/openapi.json", "/admin/login/"])
def test_some_paths_are_open(nobody: httpx.Client, path: str) -> None:
    assert nobody.get(path).status_code == 200


@pytest.mark.parametrize("path", ["/ui/asset.js", "/uix"])
def test_assets_of_pages_are_open_to_get_alone(nobody: httpx.Client, path: str) -> None:
    assert nobody.get(path).status_code == 404
    assert nobody.post(path).status_code == 401


@pytest.mark.parametrize("path", ["/threads/x", "/no/such/path", "/mcp", "/.well-known/agent-card.json", "/okay"])
def test_everything_else_asks_first_who_is_calling(nobody: httpx.Client, path: str) -> None:
    assert nobody.get(path).status_code == 401
    assert nobody.head(path).status_code == 401


def test_an_unknown_path_is_404_for_who_is_known(alice: httpx.Client) -> None:
    assert alice.get("/no/such/path").status_code == 404


def test_a_preflight_needs_nobody(nobody: httpx.Client) -> None:
    headers = {"Origin": "https://a.example", "Access-Control-Request-Method": "POST"}
    assert nobody.options("/threads", headers=headers).status_code == 200


def test_a_refusal_can_be_read_by_a_browser(nobody: httpx.Client) -> None:
    answer = nobody.get("/threads/x", headers={"Origin": "https://a.example"})
    assert answer.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize("prefix", ["/noauth", "/noauth/"])
def test_the_way_past_auth_is_not_a_path_or_a_header(nobody: httpx.Client, prefix: str) -> None:
    headers = {"root_path": "/noauth", "X-Script-Name": "/noauth", "X-Forwarded-Prefix": "/noauth"}
    assert nobody.post(f"{prefix}/threads/search", json={}, headers=headers).status_code == 401
    assert nobody.post("/threads/search", json={}, headers=headers).status_code == 401


def test_a_refused_body_is_not_waited_for(owned: LiveServer) -> None:
    port = int(owned.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(b"POST /threads HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n{")
        assert connection.recv(100).startswith(b"HTTP/1.1 401")


# --- 6.3 ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("token", "status", "detail"),
    [
        ("unauthorized", 401, "Unauthorized"),
        ("forbidden", 403, "not you"),
        ("starlette", 403, "unreadable"),
        ("value", 400, "no such token"),
        ("number", 400, None),
        ("nameless", 400, None),
    ],
)
def test_what_authenticate_raises_is_answered(owned: LiveServer, token: str, status: int, detail: str | None) -> None:
    answer = with_token(owned, token)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/json"
    assert "www-authenticate" not in answer.headers
    assert detail is None or answer.json() == {"detail": detail}
    assert detail or "identity" in answer.json()["detail"]


@pytest.mark.parametrize("token", ["teapot", "assertion"])
def test_any_other_failure_of_authenticate_is_500(owned: LiveServer, token: str) -> None:
    answer = with_token(owned, token)
    assert (answer.status_code, answer.text) == (500, "Internal Server Error")
    assert answer.headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize(
    ("token", "permissions"),
    [("text", []), ("pair", ["from the tuple"]), ("object", ["object"]), ("alice/reader", ["reader"])],
)
def test_a_user_comes_in_several_forms(owned: LiveServer, token: str, permissions: list[str]) -> None:
    with client_of(owned, token) as client:
        found = told(client, "who")
    assert (found["identity"], found["permissions"]) == ("alice", permissions)


def test_parameters_are_given_by_name(owned: LiveServer) -> None:
    with client_of(owned, "seen") as client:
        run = client.post("/threads", json={}).json()
        created = client.post(f"/threads/{run['thread_id']}/runs?a=1&b=2", json={"assistant_id": "who"}).json()
    seen = created["kwargs"]["config"]["configurable"]["langgraph_auth_user"]["seen"]
    assert seen == {
        "path": f"/threads/{run['thread_id']}/runs",
        "method": "POST",
        "query": {"a": "1", "b": "2"},
        "header_types": ["bytes"],
        "path_params": {},
        "scope": "http",
        "scopes": [],
        "user": None,
        "optional": 3,
    }


def test_a_user_is_a_mapping_with_attributes() -> None:
    user = user_of({"identity": "ann", "email": "a@example.com", "when": uuid.UUID(int=1)})
    assert (user.identity, user.display_name, user.is_authenticated, user.permissions) == ("ann", "ann", True, [])
    assert user.email == user["email"] == user.get("email") == "a@example.com"
    assert "email" in user and "phone" not in user and user.get("phone") is None
    assert (
        set(user)
        == set(user.keys())
        == {"identity", "email", "when", "is_authenticated", "display_name", "permissions"}
    )
    assert dict(user.items())["when"] == str(uuid.UUID(int=1))
    with pytest.raises(AttributeError):
        _ = user.phone


def test_a_user_survives_json() -> None:
    user = user_of((["a"], {"identity": "ann", "display_name": "Ann", "is_authenticated": False, "team": {"id": 3}}))
    again = user_from(orjson.loads(orjson.dumps(dict(user))))
    assert type(again) is User and dict(again) == dict(user)
    assert isinstance(user_from(dict(StudioUser())), StudioUser)
    assert user_from(None) is None


# --- 6.4 ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("permission", "status", "detail"),
    [
        ("no", 403, "Forbidden"),
        ("yes", 200, None),
        ("list", 500, "The handler of threads.update returned a list, not a bool, a filter or None."),
        ("assert", 403, "not today"),
        ("contains", 404, None),
        ("deep", 500, "The filter nests deeper than 2 levels."),
        ("nested", 404, None),
        ("bad", 500, "Unknown filter operator '$near' for 'owner'."),
        ("exact", 404, None),
    ],
)
def test_every_result_of_a_handler(
    owned: LiveServer, alice: httpx.Client, permission: str, status: int, detail: str | None
) -> None:
    thread_id = new_thread(alice, metadata={"tags": ["a"], "shape": {"sides": 3, "colour": "red"}})
    answer = httpx.patch(f"{owned.url}/threads/{thread_id}", json={}, headers=headers_of(f"alice/{permission}"))
    assert answer.status_code == status, answer.text
    assert detail is None or answer.json()["detail"] == detail


@pytest.mark.parametrize(
    ("permission", "metadata"),
    [
        ("contains", {"tags": ["b", "c", "a"]}),
        ("exact", {"shape": {"sides": 3}}),
        ("nested", {"y": 1, "z": 1}),
    ],
)
def test_filters_find_what_they_describe(
    owned: LiveServer, alice: httpx.Client, permission: str, metadata: dict[str, Any]
) -> None:
    thread_id = new_thread(alice, metadata=metadata)
    answer = httpx.patch(f"{owned.url}/threads/{thread_id}", json={}, headers=headers_of(f"alice/{permission}"))
    assert answer.status_code == 200


def test_headers_of_a_handlers_refusal_are_passed_on(owned: LiveServer) -> None:
    answer = with_token(owned, NOTHING)
    assert (answer.status_code, answer.json()) == (403, {"detail": "You may do nothing"})
    assert answer.headers["x-reason"] == "nothing"


def test_what_a_handler_changes_is_kept(owned: LiveServer, alice: httpx.Client) -> None:
    thread_id = new_thread(alice, metadata={"a": 1})
    assert alice.get(f"/threads/{thread_id}").json()["metadata"] == {"a": 1, "owner": "alice"}
    run = alice.post(f"/threads/{thread_id}/runs", json={"assistant_id": "echo", "metadata": {"b": 2}}).json()
    assert run["metadata"]["owner"] == "alice" and run["metadata"]["b"] == 2
    made = alice.post("/assistants", json={"graph_id": "echo"}).json()
    assert made["metadata"]["owner"] == "alice"
    stateless = alice.post("/runs", json={"assistant_id": "echo", "on_completion": "keep"}).json()
    assert alice.get(f"/threads/{stateless['thread_id']}").json()["metadata"]["owner"] == "alice"


def test_who_does_not_own_it_finds_nothing(alice: httpx.Client, bob: httpx.Client) -> None:
    thread_id = new_thread(alice)
    read = bob.get(f"/threads/{thread_id}")
    assert read.status_code == 404 and thread_id in read.json()["detail"]
    created = bob.post(f"/threads/{thread_id}/runs", json={"assistant_id": "echo", "if_not_exists": "create"})
    assert (created.status_code, created.json()) == (404, {"detail": "Thread or assistant not found."})
    for body in ({}, {"if_exists": "do_nothing"}):
        assert bob.post("/threads", json={"thread_id": thread_id, **body}).status_code == 409
    assert alice.post("/threads", json={"thread_id": thread_id, "if_exists": "do_nothing"}).status_code == 200
    assert bob.post(f"/threads/{thread_id}/copy").status_code == 409
    assert bob.delete(f"/threads/{thread_id}").status_code == 404
    assert bob.post("/threads/prune", json={"thread_ids": [thread_id]}).status_code == 404
    assert bob.post("/threads/search", json={"ids": [thread_id]}).json() == []
    assert alice.post("/threads/count", json={"metadata": {"owner": "bob"}}).json() == 0
    assert alice.get(f"/threads/{thread_id}").status_code == 200


def test_the_graphs_own_assistants_are_everybodys_to_run_and_read(bob: httpx.Client) -> None:
    default = str(uuid.uuid5(uuid.UUID("6ba7b821-9dad-11d1-80b4-00c04fd430c8"), "echo"))
    assert bob.get(f"/assistants/{default}").status_code == 200
    assert bob.post("/runs/wait", json={"assistant_id": "echo", "input": {"text": "x"}}).status_code == 200
    assert bob.delete(f"/assistants/{default}").status_code == 404


def test_a_foreign_assistant_cannot_be_run(alice: httpx.Client, bob: httpx.Client) -> None:
    made = alice.post("/assistants", json={"graph_id": "echo"}).json()["assistant_id"]
    for path in ("/runs", "/runs/wait", f"/threads/{new_thread(bob)}/runs"):
        assert bob.post(path, json={"assistant_id": made}).status_code == 404
    assert bob.post("/runs/crons", json={"assistant_id": made, "schedule": "0 0 1 1 *"}).status_code == 404
    assert alice.post("/runs/wait", json={"assistant_id": made, "input": {}}).status_code == 200


def test_uncovered_pairs_are_warned_of(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    auth = Auth()

    @auth.on.threads
    async def only_threads(ctx: Any, value: Any) -> None: ...

    monkeypatch.setattr("accounts.authorizer.custom_auth", lambda: CustomAuth(auth, (), studio=False))
    warn_of_uncovered()
    assert "assistants.create" in caplog.text and "threads.create" not in caplog.text


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("auth = 3", "is a int, not a langgraph_sdk.Auth"),
        ("from langgraph_sdk import Auth\nauth = Auth()", "has no @auth.authenticate handler"),
        (
            "from langgraph_sdk import Auth\nauth = Auth()\n@auth.authenticate\nasync def who(token): ...",
            "asks for 'token'",
        ),
        ("other = 1", "has no 'auth'"),
    ],
)
def test_an_unusable_auth_object_is_one_sentence(settings: Any, tmp_path: Path, source: str, sentence: str) -> None:
    (tmp_path / "auth.py").write_text(source)
    settings.LANGGRAPH_CONFIG_FILE = tmp_path / "langgraph.json"
    document = {"graphs": {"g": "./g.py:g"}, "auth": {"path": "./auth.py:auth"}}
    settings.LANGGRAPH_CONFIG_FILE.write_text(json.dumps(document))
    forget()
    with pytest.raises(ProjectError, match=sentence):
        custom.custom_auth()


# --- 6.5 ------------------------------------------------------------------------------------------------------------

RUN_KEYS = sorted(
    [
        "thread_id",
        "assistant_id",
        "run_id",
        "status",
        "metadata",
        "prevent_insert_if_inflight",
        "multitask_strategy",
        "if_not_exists",
        "after_seconds",
        "kwargs",
    ]
)
CRON_KEYS = sorted(["payload", "schedule", "cron_id", "thread_id", "user_id", "end_time", "metadata"])
CRON_CHANGE = sorted(["cron_id", "schedule", "end_time", "enabled", "on_run_completed", "payload", "metadata"])
CRON = {"assistant_id": "echo", "schedule": "0 0 1 1 *"}
CRON_SEARCH = ["assistant_id", "enabled", "limit", "metadata", "offset", "thread_id"]
THREAD_SEARCH = ["limit", "metadata", "offset", "status", "values"]
ASSISTANT = ["assistant_id", "config", "context", "graph_id", "metadata", "name"]


# Method, path, body, and what handlers are asked.
Row = tuple[str, str, Any, list[tuple[str, list[str]]]]
READ = ("threads.read", ["thread_id"])
RUN = ("threads.create_run", RUN_KEYS)
CANCEL = ("threads.update", ["action", "metadata", "thread_id"])
READ_ASSISTANT = ("assistants.read", ["assistant_id"])
THREADS: list[Row] = [
    ("POST", "/threads", {}, [("threads.create", ["if_exists", "metadata", "thread_id"])]),
    ("GET", "/threads/{thread}", None, [READ]),
    ("GET", "/threads/{thread}/state", None, [READ]),
    ("POST", "/threads/{thread}/history", {}, [READ]),
    ("GET", "/threads/{thread}/storage", None, [READ]),
    ("GET", "/threads/{thread}/runs", None, [READ, ("threads.search", ["metadata", "thread_id"])]),
    ("POST", "/threads/search", {}, [("threads.search", THREAD_SEARCH)]),
    ("POST", "/threads/count", {}, [("threads.search", THREAD_SEARCH)]),
    ("PATCH", "/threads/{thread}", {"metadata": {}}, [("threads.update", ["metadata", "thread_id"])]),
    ("PATCH", "/threads/{thread}", {}, [("threads.update", ["thread_id"])]),
    ("POST", "/threads/{thread}/state", {"values": {"text": "x"}}, [("threads.update", ["thread_id"])]),
    ("POST", "/threads/{thread}/copy", None, [READ, ("threads.create", ["thread_id"])]),
]
RUNS: list[Row] = [
    ("POST", "/threads/{thread}/runs", {"assistant_id": "echo"}, [RUN]),
    ("POST", "/threads/{thread}/runs/wait", {"assistant_id": "echo"}, [RUN]),
    ("POST", "/runs", {"assistant_id": "echo"}, [RUN]),
    ("POST", "/runs", {"assistant_id": "{assistant}"}, [READ_ASSISTANT, RUN]),
    ("POST", "/runs/batch", [{"assistant_id": "echo"}] * 2, [RUN, RUN]),
    ("GET", "/threads/{thread}/runs/{run}", None, [READ]),
    ("GET", "/threads/{thread}/runs/{run}/join", None, [READ]),
    ("POST", "/threads/{thread}/runs/{run}/cancel", None, [CANCEL]),
    ("DELETE", "/threads/{thread}/runs/{run}", None, [("threads.delete", ["run_id", "thread_id"])]),
]
ASSISTANTS: list[Row] = [
    ("POST", "/assistants", {"graph_id": "echo"}, [("assistants.create", ASSISTANT)]),
    ("GET", "/assistants/{assistant}", None, [READ_ASSISTANT]),
    ("GET", "/assistants/{assistant}/graph", None, [READ_ASSISTANT]),
    ("GET", "/assistants/{assistant}/schemas", None, [READ_ASSISTANT]),
    ("GET", "/assistants/{assistant}/subgraphs", None, [READ_ASSISTANT]),
    ("POST", "/assistants/{assistant}/versions", {}, [READ_ASSISTANT]),
    ("POST", "/assistants/search", {}, [("assistants.search", ["graph_id", "limit", "metadata", "offset"])]),
    ("POST", "/assistants/count", {}, [("assistants.search", ["graph_id", "limit", "metadata", "offset"])]),
    ("PATCH", "/assistants/{assistant}", {}, [("assistants.update", ASSISTANT)]),
    ("POST", "/assistants/{assistant}/latest", {"version": 1}, [("assistants.update", ["assistant_id", "version"])]),
    ("DELETE", "/assistants/{assistant}", None, [("assistants.delete", ["assistant_id"])]),
]
CRONS: list[Row] = [
    ("POST", "/runs/crons", CRON, [("crons.create", CRON_KEYS)]),
    ("POST", "/threads/{thread}/runs/crons", CRON, [("crons.create", CRON_KEYS), READ]),
    ("GET", "/runs/crons/{cron}", None, [("crons.read", ["cron_id"])]),
    ("PATCH", "/runs/crons/{cron}", {"metadata": {}}, [("crons.update", CRON_CHANGE)]),
    ("DELETE", "/runs/crons/{cron}", None, [("crons.delete", ["cron_id"])]),
    ("POST", "/runs/crons/search", {}, [("crons.search", CRON_SEARCH), ("threads.search", [])]),
    ("POST", "/runs/crons/count", {"thread_id": "{thread}"}, [("crons.search", CRON_SEARCH), READ]),
]
STORE: list[Row] = [
    (
        "PUT",
        "/store/items",
        {"namespace": ["n"], "key": "k", "value": {}},
        [("store.put", ["index", "key", "namespace", "ttl", "value"])],
    ),
    ("GET", "/store/items?namespace=n&key=k", None, [("store.get", ["key", "namespace", "refresh_ttl"])]),
    (
        "POST",
        "/store/items/search",
        {"namespace_prefix": []},
        [("store.search", ["filter", "limit", "namespace", "offset", "query", "refresh_ttl"])],
    ),
    (
        "POST",
        "/store/namespaces",
        {},
        [("store.list_namespaces", ["limit", "max_depth", "namespace", "offset", "suffix"])],
    ),
    ("DELETE", "/store/items", {"namespace": ["n"], "key": "k"}, [("store.delete", ["key", "namespace"])]),
]


@pytest.fixture(scope="module")
def things(owned: LiveServer) -> dict[str, str]:
    """A thread of alice's with a run that waits, an assistant and a cron."""
    with client_of(owned, ALICE) as alice:
        thread_id = new_thread(alice)
        assistant = alice.post("/assistants", json={"graph_id": "echo"}).json()["assistant_id"]
        cron = alice.post("/runs/crons", json=CRON).json()["cron_id"]
        alice.post(f"/threads/{thread_id}/runs/wait", json={"assistant_id": "echo", "input": {"text": "x"}})
        return {"thread": thread_id, "assistant": assistant, "cron": cron}


@pytest.mark.parametrize("row", [*THREADS, *RUNS, *ASSISTANTS, *CRONS, *STORE], ids=lambda row: f"{row[0]} {row[1]}")
def test_what_handlers_are_asked(owned: LiveServer, alice: httpx.Client, things: dict[str, str], row: Any) -> None:
    method, path, body, expected = row
    here = dict(things)
    if "{run}" in path:
        here["thread"] = new_thread(alice)
        created = alice.post(f"/threads/{here['thread']}/runs", json={"assistant_id": "echo", "after_seconds": 60})
        here["run"] = created.json()["run_id"]
    if path.endswith("/join"):
        alice.post(f"/threads/{here['thread']}/runs/{here['run']}/cancel")
    if method == "DELETE" and "{assistant}" in path:
        here["assistant"] = alice.post("/assistants", json={"graph_id": "echo"}).json()["assistant_id"]
    if method == "DELETE" and "{cron}" in path:
        here["cron"] = alice.post("/runs/crons", json=CRON).json()["cron_id"]
    text = None if body is None else orjson.dumps(body).decode()
    for name, value in here.items():
        path, text = path.replace(f"{{{name}}}", value), text and text.replace(f"{{{name}}}", value)
    with asked(owned) as lines:
        answer = alice.request(method, path, content=text)
        assert answer.status_code < 300, answer.text
    assert pairs(lines) == expected
    assert all(line["user"] == "alice" for line in lines)


def test_values_are_what_the_request_says(owned: LiveServer, alice: httpx.Client) -> None:
    with asked(owned) as lines:
        created = alice.post(
            "/runs", json={"assistant_id": "echo", "input": {"text": "x"}, "metadata": {"m": 1}, "after_seconds": 60}
        ).json()
        alice.post("/threads/search", json={"status": "idle", "limit": 3, "metadata": {"a": 1}})
        alice.put("/store/items", json={"namespace": ["a", "b"], "key": "k", "value": {"v": 1}})
    run, search, put = (line["value"] for line in lines)
    assert run["thread_id"] is None and run["if_not_exists"] == "create" and run["run_id"] == created["run_id"]
    assert run["kwargs"]["input"] == {"text": "x"} and run["metadata"] == {"m": 1} and run["status"] == "pending"
    assert search == {"status": "idle", "limit": 3, "offset": 0, "metadata": {"a": 1}, "values": {}}
    assert put == {"namespace": ["a", "b"], "key": "k", "value": {"v": 1}, "index": None, "ttl": None}


def test_store_namespaces_are_as_the_handler_made_them(alice: httpx.Client, bob: httpx.Client) -> None:
    item: dict[str, Any] = {"namespace": ["notes"], "key": str(uuid.uuid4()), "value": {"text": "red"}}
    assert alice.put("/store/items", json=item).status_code == 204
    asked_for = {"namespace": "notes", "key": item["key"]}
    assert alice.get("/store/items", params=asked_for).json()["namespace"] == ["alice", "notes"]
    assert bob.get("/store/items", params=asked_for).json() is None
    found = alice.post("/store/items/search", json={"namespace_prefix": ["notes"]}).json()["items"]
    assert item["key"] in [one["key"] for one in found]
    # Other tests may have stored something of Bob's own.
    seen = bob.post("/store/items/search", json={"namespace_prefix": [], "limit": 1000}).json()["items"]
    assert item["key"] not in [one["key"] for one in seen]
    of_bob = bob.post("/store/namespaces", json={"limit": 1000}).json()["namespaces"]
    assert {namespace[0] for namespace in of_bob} <= {"bob"}
    assert ["alice", "notes"] in alice.post("/store/namespaces", json={}).json()["namespaces"]


# --- 6.6 and 6.7 ------------------------------------------------------------------------------------------------------

WHO = {"assistant_id": "who", "input": {"told": {}}}
STUDIO = {"x-auth-scheme": "langsmith"}


def test_the_studio_header_is_nothing_outside_of_development(nobody: httpx.Client) -> None:
    assert nobody.post("/threads/count", json={}, headers=STUDIO).status_code == 401


def test_studio_gets_in_in_development(tmp_path: Path, owned: LiveServer) -> None:
    config = owned.environment["WEFT_CONFIG"]
    with live_server(tmp_path, WEFT_CONFIG=config, STUDIO_WITHOUT_CREDENTIALS="true") as server:
        found = httpx.post(f"{server.url}/runs/wait", json=WHO, headers=STUDIO, timeout=30).json()
        assert found["told"]["identity"] == "langgraph-studio-user"
        assert "kind" in found["told"]["fields"]
        count = f"{server.url}/threads/count"
        assert httpx.post(count, json={}).status_code == 401
        for origin, status in (("https://smith.langchain.com", 200), ("https://evil.example", 401), ("null", 401)):
            assert httpx.post(count, json={}, headers={**STUDIO, "Origin": origin}).status_code == status


def test_graphs_see_who_called(alice: httpx.Client) -> None:
    found = told(alice, "who")
    assert found.pop("fields") == ["display_name", "email", "identity", "is_authenticated", "permissions"]
    assert found == {
        "identity": "alice",
        "email": "alice@example.com",
        "permissions": [],
        "auth_user_id": "alice",
        "user_id": "alice",
        "runtime": "alice",
    }


def test_a_factory_makes_its_graph_for_the_caller(alice: httpx.Client) -> None:
    assert told(alice, "who_made") == {"made_for": "alice", "ensured": "alice"}
    default = str(uuid.uuid5(uuid.UUID("6ba7b821-9dad-11d1-80b4-00c04fd430c8"), "who_made"))
    assert alice.get(f"/assistants/{default}/schemas").status_code == 200


def test_nobody_says_who_they_are_in_the_body(alice: httpx.Client) -> None:
    forged = {"langgraph_auth_user": {"identity": "bob"}, "langgraph_auth_user_id": "bob"}
    assert told(alice, "who", config={"configurable": forged})["identity"] == "alice"
    assert told(alice, "who", context=forged)["auth_user_id"] == "alice"


async def test_without_auth_nobody_is_told_apart(http: httpx.AsyncClient) -> None:
    created = (await http.post("/threads", json={})).json()
    run = await http.post(f"/threads/{created['thread_id']}/runs", json={"assistant_id": "echo"})
    known = run.json()["kwargs"]["config"]["configurable"]
    assert known["langgraph_auth_user"] is None
    assert (known["langgraph_auth_user_id"], known["langgraph_auth_permissions"], known["user_id"]) == ("", [], "")
