"""Encryption at rest: what is promised is not in the database in clear, and everything reads as if nothing were."""

import base64
import json
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from langgraph_sdk import get_client

from config import processes
from tests import services
from tests.conftest import ROOT, LiveServer, live_server, wait_until_up

SECONDS = 30.0
AES_KEY = "sixteen bytes..."
MARKERS = ("__encryption_context__", "__blob_encryption_context__")
TENANT = {"X-Encryption-Context": base64.b64encode(b'{"tenant": "loom"}').decode()}


def project(folder: Path, **sections: Any) -> str:
    """A langgraph.json with the graph that keeps everything."""
    graphs = {"keeper": f"{ROOT}/tests/graphs/keeping.py:graph", "changes": f"{ROOT}/tests/graphs/changes.py:changes"}
    document = {"graphs": graphs, **sections}
    (folder / "langgraph.json").write_text(json.dumps(document))
    return str(folder / "langgraph.json")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A PostgreSQL of our own, whose files can be searched: its address, and the directory."""
    folder = tmp_path_factory.mktemp("cluster")
    server, process = services.start_postgres(folder)
    yield server.uri, folder
    processes.stop(process, server.program)
    server.clear()


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory, cluster: tuple[str, Path]) -> Iterator[LiveServer]:
    """A server with an AES key and the keys of the graph's state, on that PostgreSQL."""
    folder = tmp_path_factory.mktemp("sealed")
    environment = {
        "DATABASE_URI": cluster[0],
        "WEFT_CONFIG": project(folder),
        "LANGGRAPH_AES_KEY": AES_KEY,
        "LANGGRAPH_AES_JSON_KEYS": "text,number,log,note,message,about,value",
    }
    with live_server(folder, **environment) as server:
        yield server


@pytest.fixture(scope="module")
def custom(tmp_path_factory: pytest.TempPathFactory, cluster: tuple[str, Path]) -> Iterator[LiveServer]:
    """A server with handlers of the project's own, which note what they are asked."""
    folder = tmp_path_factory.mktemp("custom")
    environment = {
        "DATABASE_URI": cluster[0],
        "WEFT_CONFIG": project(folder, encryption={"path": f"{ROOT}/tests/graphs/keeping.py:encryption"}),
        "KEEPING_NOTES": str(folder / "notes"),
    }
    with live_server(folder, **environment) as server:
        yield server


def notes_of(server: LiveServer) -> list[dict[str, Any]]:
    """What the handlers were asked so far."""
    path = Path(server.environment["KEEPING_NOTES"])
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def places(server: LiveServer, text: str) -> set[str]:
    """The tables in which the text stands, as text or within bytes."""
    found = set()
    with psycopg.connect(server.environment["DATABASE_URI"]) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        for (table,) in tables:
            query = f'SELECT FROM "{table}" AS t WHERE t::text LIKE %s OR t::text LIKE %s LIMIT 1'
            if connection.execute(query, [f"%{text}%", f"%{text.encode().hex()}%"]).rowcount:
                found.add(table)
    return found


def files_with(cluster: tuple[str, Path], text: str) -> list[str]:
    """The files of PostgreSQL's directory in which the text stands, once all is written."""
    with psycopg.connect(cluster[0], autocommit=True) as connection:
        connection.execute("CHECKPOINT")
    return [str(path) for path in cluster[1].rglob("*") if path.is_file() and text.encode() in path.read_bytes()]


def without_markers(answer: httpx.Response) -> Any:
    """The answer, which must tell nobody how it is stored."""
    assert answer.status_code == 200, answer.text
    assert not any(marker in answer.text for marker in MARKERS), answer.text
    return answer.json()


# --- what is stored ---------------------------------------------------------------------------------------------------


def kept_everywhere(server: LiveServer, secret: str, shown: str = "", **headers: str) -> None:
    """Have the secret pass input, state, checkpoints, store, an error, an interrupt and a kept answer.

    `shown` passes beside it in metadata, which is encrypted by nobody.
    """
    with httpx.Client(base_url=server.url, headers=headers, timeout=SECONDS) as client:
        thread = without_markers(client.post("/threads", json={"metadata": {"shown": shown}}))
        path = f"/threads/{thread['thread_id']}"
        run: dict[str, Any] = {"assistant_id": "keeper", "input": {"text": secret, "number": 4711, "log": [secret]}}
        ended = without_markers(client.post(f"{path}/runs/wait", json=run))
        assert ended == {"text": secret, "number": 4711, "log": [secret, secret, "end"]}
        state = without_markers(client.get(f"{path}/state"))
        assert state["values"] == ended
        history = without_markers(client.get(f"{path}/history"))
        assert [found["values"].get("text") for found in history][:1] == [secret]
        row = without_markers(client.get(path))
        assert row["values"] == ended and row["metadata"]["shown"] == shown
        [stored] = without_markers(client.get(f"{path}/runs"))
        assert stored["kwargs"]["input"] == run["input"]
        item = without_markers(client.get("/store/items", params={"namespace": "kept", "key": "note"}))
        assert item["value"] == {"note": secret}
        found = without_markers(client.post("/store/items/search", json={"namespace_prefix": ["kept"]}))
        assert found["items"][0]["value"] == {"note": secret}
        failing = {**run, "input": {"text": secret, "fails": True}, "if_not_exists": "create"}
        failed = without_markers(client.post(f"/threads/{uuid()}/runs/wait", json=failing))
        assert failed["__error__"]["message"] == secret
        other = f"/threads/{uuid()}/runs"
        asking = {**run, "input": {"text": secret, "asks": True}, "if_not_exists": "create"}
        assert "__interrupt__" in without_markers(client.post(f"{other}/wait", json=asking))
        resumed = client.post(f"{other}/wait", json={"assistant_id": "keeper", "command": {"resume": secret}})
        assert without_markers(resumed)["log"] == [secret, secret]
        later = {**run, "after_seconds": 3600}
        answers = [client.post("/runs", json=later, headers={"Idempotency-Key": secret[:8]}) for _ in range(2)]
        assert answers[0].json() == answers[1].json() and answers[1].json()["kwargs"]["input"] == run["input"]


def uuid() -> str:
    """Of a thread that does not exist yet."""
    return f"{secrets.token_hex(4)}-0000-4000-8000-{secrets.token_hex(6)}"


def test_with_a_key_and_the_states_keys_no_secret_is_in_the_database(sealed: LiveServer) -> None:
    secret, shown = secrets.token_hex(12), secrets.token_hex(12)
    kept_everywhere(sealed, secret, shown)
    assert "threads_thread" in places(sealed, shown), "what nobody encrypts is not found: the search is no good"
    assert places(sealed, secret) == set()


def test_with_handlers_no_secret_is_in_the_database_but_what_they_leave(custom: LiveServer) -> None:
    secret, shown = secrets.token_hex(12), secrets.token_hex(12)
    kept_everywhere(custom, secret, shown, **TENANT)
    assert "threads_thread" in places(custom, shown)
    assert places(custom, secret) == set()


@pytest.mark.parametrize("name", ["sealed", "custom"])
def test_the_files_of_the_database_hold_no_secret(
    request: pytest.FixtureRequest, name: str, cluster: tuple[str, Path]
) -> None:
    secret, shown = secrets.token_hex(12), secrets.token_hex(12)
    kept_everywhere(request.getfixturevalue(name), secret, shown)
    assert files_with(cluster, shown), "the search is no good"
    assert not files_with(cluster, secret)


@pytest.mark.parametrize("name", ["sealed", "custom"])
def test_a_channel_kept_as_changes_is_put_together_again(request: pytest.FixtureRequest, name: str) -> None:
    with httpx.Client(base_url=request.getfixturevalue(name).url, timeout=SECONDS) as client:
        path = f"/threads/{uuid()}"
        run = {"assistant_id": "changes", "input": {"log": ["asked"]}, "if_not_exists": "create"}
        expected: list[str] = []
        for _ in range(4):
            expected += ["asked", "noted", "slept"]
            assert without_markers(client.post(f"{path}/runs/wait", json=run))["log"] == expected
        history = without_markers(client.get(f"{path}/history", params={"limit": 50}))
        assert [found["values"]["log"] for found in history if not found["next"]][-1] == expected[:3]


# --- what handlers see ------------------------------------------------------------------------------------------------


def test_the_context_of_a_request_goes_with_its_run_to_the_worker(custom: LiveServer) -> None:
    kept_everywhere(custom, secrets.token_hex(8), **TENANT)
    notes = notes_of(custom)
    wanted = {"tenant": "loom", "mapped": True}
    for kind, model in (("encrypt.json", "thread"), ("encrypt.blob", "checkpoint"), ("encrypt.json", "store")):
        asked = [note["metadata"] for note in notes if (note["kind"], note["model"]) == (kind, model)]
        assert wanted in asked, (kind, model, asked[:3])
    assert wanted in [note["metadata"] for note in notes if note["kind"] == "decrypt.blob"]


def test_handlers_are_asked_field_by_field_and_see_no_bookkeeping(custom: LiveServer) -> None:
    kept_everywhere(custom, secrets.token_hex(8))
    asked = {(note["model"], note["field"]) for note in notes_of(custom) if note["kind"] == "encrypt.json"}
    assert asked >= {
        ("thread", "metadata"),
        ("thread", "values"),
        ("run", "input"),
        ("run", "configurable"),
        ("run", "metadata"),
        ("store", "value"),
        ("checkpoint", "metadata"),
    }
    seen = {key for note in notes_of(custom) for key in note["keys"] or ()}
    assert not seen & {
        *("run_id", "thread_id", "assistant_id", "graph_id", "checkpoint_id", "task_id", "step", "source", "parents"),
        *("run_attempt", "langgraph_request_id", "langgraph_version", "__after_seconds__", *MARKERS),
    }


def test_an_encryptor_that_changes_keys_fails_the_request_and_stores_nothing(custom: LiveServer) -> None:
    thread_id = uuid()
    answer = httpx.post(f"{custom.url}/threads", json={"thread_id": thread_id, "metadata": {"breaks": 1}})
    assert answer.status_code == 500
    assert httpx.get(f"{custom.url}/threads/{thread_id}").status_code == 404


def test_a_context_handler_that_fails_leaves_the_header_as_it_is(custom: LiveServer) -> None:
    header = {"X-Encryption-Context": base64.b64encode(b'{"tenant": "nobody"}').decode()}
    answer = httpx.post(f"{custom.url}/threads", json={"metadata": {"a": 1}}, headers=header)
    assert answer.json()["metadata"] == {"a": 1}
    assert {"tenant": "nobody"} in [note["metadata"] for note in notes_of(custom) if note["kind"] == "encrypt.json"]


@pytest.mark.parametrize("path", ["/threads/x", "/ok", "/info", "/no/such/path", "/runs/x/stream"])
@pytest.mark.parametrize("given", ["%%%", base64.b64encode(b"[1]").decode(), base64.b64encode(b"{").decode(), "e30"])
async def test_a_malformed_context_is_422_on_every_route(http: httpx.AsyncClient, path: str, given: str) -> None:
    answer = await http.get(path, headers={"X-Encryption-Context": given})
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("Invalid X-Encryption-Context header")


async def test_a_marker_from_a_client_is_dropped_and_cannot_make_a_row_unreadable(http: httpx.AsyncClient) -> None:
    forged = {MARKERS[0]: {"__langgraph_encryption_type__": "aes"}, "kept": 1}
    thread = (await http.post("/threads", json={"metadata": forged})).json()
    assert (await http.get(f"/threads/{thread['thread_id']}")).json()["metadata"] == {"kept": 1}
    body = {"assistant_id": "echo", "input": {"text": "x", **forged}, "after_seconds": 3600}
    run = (await http.post(f"/threads/{thread['thread_id']}/runs", json=body)).json()
    assert (await http.get(f"/threads/{thread['thread_id']}/runs/{run['run_id']}")).status_code == 200


def test_assistants_and_crons_are_encrypted_too_and_a_cron_fires_under_its_own_context(custom: LiveServer) -> None:
    secret = secrets.token_hex(12)
    with httpx.Client(base_url=custom.url, headers=TENANT, timeout=SECONDS) as client:
        given = {"config": {"tags": [secret]}, "context": {"k": secret}, "metadata": {"m": secret}}
        made = without_markers(client.post("/assistants", json={"graph_id": "keeper", **given}))
        path = f"/assistants/{made['assistant_id']}"
        changed = without_markers(client.patch(path, json={"metadata": {"n": secret}}))
        assert changed["metadata"] == {"m": secret, "n": secret}
        assert without_markers(client.get(path)) == changed
        versions = without_markers(client.post(f"{path}/versions", json={}))
        assert [version["metadata"] for version in versions] == [changed["metadata"], made["metadata"]]
        timetable = {
            "schedule": "0 0 1 1 *",
            "input": {"text": secret},
            "on_run_completed": "keep",
            "metadata": {"c": 1},
        }
        cron = without_markers(client.post("/runs/crons", json={"assistant_id": made["assistant_id"], **timetable}))
        path = f"/runs/crons/{cron['cron_id']}"
        assert without_markers(client.get(path))["payload"]["input"] == {"text": secret}
        without_markers(client.patch(path, json={"input": {"text": f"{secret}!"}}))
    before = len(notes_of(custom))
    # By somebody else, who has no context.
    fired = without_markers(httpx.post(f"{custom.url}{path}/run", timeout=SECONDS))
    assert places(custom, secret) == set()
    sealed_since = [
        note for note in notes_of(custom)[before:] if note["kind"] == "encrypt.json" and note["field"] == "input"
    ]
    assert [note["metadata"].get("tenant") for note in sealed_since] == ["loom"], fired


# --- keys that come and go --------------------------------------------------------------------------------------------


def restarted(server: LiveServer, **environment: str) -> None:
    """The same server again, with other settings."""
    for name in ("web", "worker"):
        server.processes[name].send_signal(signal.SIGTERM)
        server.processes[name].wait(20)
    for name, value in environment.items():
        server.environment.pop(name, None)
        if value:
            server.environment[name] = value
    server.start("worker", "worker")
    server.start("web", "web", f"--port={server.url.rpartition(':')[2]}")
    wait_until_up(server)


async def test_rows_from_before_the_key_stay_readable_and_those_behind_it_are_lost_without_it(tmp_path: Path) -> None:
    run: dict[str, Any] = {"text": "warp", "log": ["a"]}
    with live_server(tmp_path, WEFT_CONFIG=project(tmp_path)) as server:
        async with get_client(url=server.url, timeout=SECONDS) as client:
            before = (await client.threads.create())["thread_id"]
            await client.runs.wait(before, "keeper", input=run)
            restarted(server, LANGGRAPH_AES_KEY=AES_KEY)
            state: Any = await client.threads.get_state(before)
            assert state["values"]["log"] == ["a", "warp", "end"]
            await client.runs.wait(before, "keeper", input={"text": "weft"})
            after: Any = await client.threads.get_state(before)
            assert after["values"]["log"] == ["a", "warp", "end", "weft", "end"]
        with psycopg.connect(server.environment["DATABASE_URI"]) as connection:
            types = {row[0] for row in connection.execute("SELECT type FROM checkpoint_blobs")}
        assert {"msgpack", "msgpack+aes"} <= types
        restarted(server, LANGGRAPH_AES_KEY="another key.....")
        assert httpx.get(f"{server.url}/threads/{before}/state").status_code == 500


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"LANGGRAPH_AES_KEY": "short"}, "16, 24 or 32 bytes"),
        ({"LANGGRAPH_AES_JSON_KEYS": "a"}, "needs LANGGRAPH_AES_KEY"),
        ({"LANGGRAPH_AES_KEY": AES_KEY, "LANGGRAPH_AES_JSON_KEYS": "langgraph_auth_user"}, "cannot name"),
    ],
)
def test_settings_that_would_not_encrypt_stop_the_start(
    server: LiveServer, environment: dict[str, str], said: str
) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=ROOT,
        env={**server.environment, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1 and said in done.stderr
