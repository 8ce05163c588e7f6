"""What follows a failed attempt: another, an error, or an end on time. On the shared server."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from langgraph_sdk.client import LangGraphClient

from assistants.retries import retry_policies
from config.project import ProjectError
from tests import wire
from tests.conftest import LiveServer
from tests.projects import forget

BREAK = (
    "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity"
    " WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%%checkpoints%%'"
)


@contextlib.asynccontextmanager
async def failing_checkpointer(server: LiveServer) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """While the block lasts every statement about checkpoints waits; `broken` then fails them."""
    uri = server.environment["DATABASE_URI"]
    async with await psycopg.AsyncConnection.connect(uri) as locking:
        await locking.execute("LOCK TABLE checkpoints IN ACCESS EXCLUSIVE MODE")
        async with await psycopg.AsyncConnection.connect(uri, autocommit=True) as breaking:
            yield breaking
        await locking.rollback()


async def broken(breaking: psycopg.AsyncConnection[Any]) -> int:
    """How many statements failed just now."""
    row = await (await breaking.execute(BREAK)).fetchone()
    assert row
    return int(row[0])


def attempts_of(server: LiveServer, run_id: str) -> tuple[int, str]:
    with psycopg.connect(server.environment["DATABASE_URI"]) as connection:
        row = connection.execute("SELECT attempt, status FROM runs_run WHERE run_id = %s", [run_id]).fetchone()
    assert row
    return row


async def stream_of(client: LangGraphClient, thread_id: str, run_id: str) -> list[Any]:
    return [part async for part in client.runs.join_stream(thread_id, run_id, last_event_id="-1")]


async def test_a_run_goes_on_after_postgres_failed_the_server_in_the_middle_of_it(
    server: LiveServer, sdk: LangGraphClient
) -> None:
    thread_id = await wire.new_thread(sdk)
    run = await sdk.runs.create(thread_id, "slow_job", input={"steps": 4, "seconds": 0.4}, durability="sync")
    async with asyncio.timeout(30):
        while not (await wire.values_of(sdk, thread_id)).get("count"):
            await asyncio.sleep(0.05)
        async with failing_checkpointer(server) as breaking:
            while not await broken(breaking):
                await asyncio.sleep(0.05)
    parts = await stream_of(sdk, thread_id, run["run_id"])
    assert [part.data["attempt"] for part in parts if part.event == "metadata"] == [1, 2]
    assert not [part for part in parts if part.event == "error"]
    assert attempts_of(server, run["run_id"]) == (2, "success")
    assert (await wire.values_of(sdk, thread_id))["count"] == 4
    history = await sdk.threads.get_history(thread_id, limit=50)
    assert sum((state["metadata"] or {}).get("source") == "input" for state in history) == 1


async def test_a_run_whose_attempts_are_used_up_by_postgres_ends_with_a_reason(
    server: LiveServer, sdk: LangGraphClient
) -> None:
    thread_id = await wire.new_thread(sdk)
    async with failing_checkpointer(server) as breaking:
        run = await sdk.runs.create(thread_id, "echo", input={"text": "hi"})
        async with asyncio.timeout(60):
            while attempts_of(server, run["run_id"])[1] in ("pending", "running"):
                await broken(breaking)
                await asyncio.sleep(0.1)
    assert attempts_of(server, run["run_id"]) == (3, "error")
    error: Any = (await sdk.threads.get(thread_id))["error"]  # type: ignore[typeddict-item]
    assert error["error"] == "AttemptsExhausted" and "PostgreSQL" in error["message"]


@pytest.mark.parametrize(
    ("graph_id", "error", "attempts", "status"),
    [
        ("flaky", "postgres", 1, "error"),
        ("flaky", "connection", 1, "error"),
        ("retried", "value", 1, "error"),
        ("retried", "connection", 2, "success"),
    ],
)
async def test_what_a_graph_raises_is_tried_again_only_where_the_project_says_so(
    graph_id: str, error: str, attempts: int, status: str, server: LiveServer, sdk: LangGraphClient
) -> None:
    thread_id = await wire.new_thread(sdk)
    run = await sdk.runs.create(thread_id, graph_id, input={"error": error, "until": 2})
    assert await wire.until(sdk, thread_id, run["run_id"], ("error", "success")) == status
    assert attempts_of(server, run["run_id"]) == (attempts, status)
    log = (await wire.values_of(sdk, thread_id))["log"]
    assert log == ["first", "attempt 2"] if status == "success" else ["first"]


async def test_a_policy_ends_after_its_attempts_with_the_graphs_own_error(
    server: LiveServer, sdk: LangGraphClient
) -> None:
    thread_id = await wire.new_thread(sdk)
    run = await sdk.runs.create(thread_id, "retried", input={"error": "connection", "until": 99})
    assert await wire.until(sdk, thread_id, run["run_id"], ("error", "success")) == "error"
    assert attempts_of(server, run["run_id"]) == (3, "error")
    error: Any = (await sdk.threads.get(thread_id))["error"]  # type: ignore[typeddict-item]
    assert error["error"] == "ConnectionResetError"


async def test_a_waiting_client_gets_the_values_of_the_last_attempt(sdk: LangGraphClient) -> None:
    values = await wire.finished(sdk, None, "retried", input={"error": "connection", "until": 3})
    assert values["log"] == ["first", "attempt 3"]


# --- on time ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("graph_id", "given"),
    [("sleeper", {"seconds": 60}), ("sleeper", {"seconds": 20, "sync": True}), ("stubborn", {"seconds": 20})],
    ids=["async", "sync", "ignores being cancelled"],
)
async def test_a_run_ends_on_time_whatever_its_node_does(
    graph_id: str, given: dict[str, Any], sdk: LangGraphClient, http: httpx.AsyncClient
) -> None:
    thread_id = await wire.new_thread(sdk)
    started = time.monotonic()
    body = {"assistant_id": graph_id, "input": given, "timeout_seconds": 0.5}
    run = (await http.post(f"/threads/{thread_id}/runs", json=body)).json()
    assert run["kwargs"]["timeout_seconds"] == 0.5
    assert await wire.until(sdk, thread_id, run["run_id"], ("error", "success", "timeout")) == "timeout"
    assert time.monotonic() - started < 15
    thread = await sdk.threads.get(thread_id)
    assert (thread["status"], thread["error"]) == ("error", {"error": "TimeoutError", "message": ""})  # type: ignore[typeddict-item]
    assert (await wire.finished(sdk, thread_id, "echo", input={"text": "next"}))["text"] == "next"


@pytest.mark.parametrize("seconds", [0, -1, "1", True, 1e12])
async def test_a_timeout_must_be_a_number_of_seconds(seconds: Any, http: httpx.AsyncClient) -> None:
    answer = await http.post("/runs", json={"assistant_id": "echo", "timeout_seconds": seconds})
    assert answer.status_code == 422 and "timeout_seconds" in wire.detail(answer)


# --- the section of langgraph.json ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"nobody": {"retry_on": ["builtins.ValueError"]}}, "no graph"),
        ({"echo": []}, "must be an object"),
        ({"echo": {}}, "needs 'retry_on'"),
        ({"echo": {"retry_on": ["builtins.ValueErorr"]}}, "no exception"),
        ({"echo": {"retry_on": ["builtins.KeyboardInterrupt"]}}, "no exception"),
        ({"echo": {"retry_on": [1]}}, "no exception"),
        ({"echo": {"retry_on": ["builtins.ValueError"], "attempts": 2}}, "nothing but"),
        ({"echo": {"retry_on": ["builtins.ValueError"], "max_attempts": 0}}, "max_attempts"),
        ({"echo": {"retry_on": ["builtins.ValueError"], "initial_seconds": -1}}, "initial_seconds"),
        ({"echo": {"retry_on": ["builtins.ValueError"], "initial_seconds": 9, "max_seconds": 3}}, "not be more"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_policy_that_cannot_be_used_is_refused(
    given: dict[str, Any], said: str, tmp_path: Path, settings: Any
) -> None:
    settings.LANGGRAPH_CONFIG_FILE = tmp_path / "langgraph.json"
    settings.LANGGRAPH_CONFIG_FILE.write_text(json.dumps({"graphs": {"echo": "./a.py:b"}, "retry": given}))
    forget()
    with pytest.raises(ProjectError, match=said):
        retry_policies()
