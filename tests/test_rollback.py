"""A run that is rolled back leaves the thread's checkpoints as it found them, those it had written on included."""

import asyncio
from typing import Any

import httpx
import psycopg
import pytest
from langgraph_sdk.client import LangGraphClient

from tests.conftest import LiveServer
from tests.wire import detail, finished, new_thread, until, until_settled, until_started, values_of

TABLES = ("checkpoints", "checkpoint_writes", "checkpoint_blobs")
RUN = ["noted", "slept"]
Rows = dict[str, list[Any]]


def rows(server: LiveServer, thread_id: str) -> Rows:
    """All that the thread's checkpoints consist of."""
    with psycopg.connect(server.environment["DATABASE_URI"]) as connection:
        return {
            table: sorted(map(str, connection.execute(f"SELECT * FROM {table} WHERE thread_id = %s", [thread_id])))
            for table in TABLES
        }


async def rolled_back(sdk: LangGraphClient, thread_id: str, graph_id: str, **given: Any) -> None:
    """Start a run that sleeps, let it write, and take it back."""
    run = await sdk.runs.create(thread_id, graph_id, **given)
    await until(sdk, thread_id, run["run_id"], ("running",))
    await asyncio.sleep(0.5)
    await sdk.runs.cancel(thread_id, run["run_id"], action="rollback", wait=True)
    await until_settled(sdk, thread_id)


async def ran(sdk: LangGraphClient, *lines: str) -> str:
    """A thread with a finished run for each line."""
    thread_id = await new_thread(sdk)
    for line in lines:
        await finished(sdk, thread_id, "changes", input={"log": [line]})
    return thread_id


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
@pytest.mark.parametrize("runs", [1, 2])
async def test_a_channel_kept_as_changes_is_what_it_was_before_the_run(
    sdk: LangGraphClient, server: LiveServer, durability: Any, runs: int
) -> None:
    thread_id = await ran(sdk, *"ab"[:runs])
    before, state = rows(server, thread_id), await sdk.threads.get_state(thread_id)
    sleeps: dict[str, Any] = {"log": ["never"], "seconds": 60}
    await rolled_back(sdk, thread_id, "changes", input=sleeps, durability=durability)
    assert rows(server, thread_id) == before
    assert await sdk.threads.get_state(thread_id) == state
    await finished(sdk, thread_id, "changes", input={"log": ["after"]})
    lines = [line for first in [*"ab"[:runs], "after"] for line in (first, *RUN)]
    assert (await values_of(sdk, thread_id))["log"] == lines


@pytest.mark.parametrize("durability", ["sync", "exit"])
async def test_what_a_command_wrote_on_the_last_checkpoint_is_not_read_by_later_runs(
    sdk: LangGraphClient, server: LiveServer, durability: Any
) -> None:
    thread_id = await ran(sdk, "a")
    before, state = rows(server, thread_id), await sdk.threads.get_state(thread_id)
    command: Any = {"update": {"log": ["never"], "seconds": 60}, "goto": "sleep"}
    await rolled_back(sdk, thread_id, "changes", command=command, durability=durability)
    assert rows(server, thread_id) == before
    assert await sdk.threads.get_state(thread_id) == state
    command["update"] = {"log": ["b"], "seconds": 0}
    await finished(sdk, thread_id, "changes", command=command, durability=durability)
    assert (await values_of(sdk, thread_id))["log"] == ["a", *RUN, "b", "slept"]


@pytest.mark.parametrize("graph_id", ["questions", "questions_inside"])
@pytest.mark.parametrize("answered", [0, 1])
async def test_a_question_waits_for_its_answer_again(
    sdk: LangGraphClient, server: LiveServer, graph_id: str, answered: int
) -> None:
    thread_id = await new_thread(sdk)
    await finished(sdk, thread_id, graph_id, input={"log": []})
    for _ in range(answered):
        await finished(sdk, thread_id, graph_id, command={"resume": "yes"})
    before, state = rows(server, thread_id), await sdk.threads.get_state(thread_id, subgraphs=True)
    thread: Any = await sdk.threads.get(thread_id)
    await rolled_back(sdk, thread_id, graph_id, command={"resume": "slowly"})
    assert rows(server, thread_id) == before
    assert await sdk.threads.get_state(thread_id, subgraphs=True) == state
    again: Any = await sdk.threads.get(thread_id)
    assert (again["status"], again["interrupts"]) == ("interrupted", thread["interrupts"])
    for _ in range(2 - answered):
        await finished(sdk, thread_id, graph_id, command={"resume": "no"})
    assert sorted((await values_of(sdk, thread_id))["log"]) == ["beside", "yes, no" if answered else "no, no"]


async def test_what_a_rollback_would_need_is_forgotten_with_the_runs_end(
    sdk: LangGraphClient, server: LiveServer
) -> None:
    thread_id = await new_thread(sdk)
    await finished(sdk, thread_id, "questions", input={"log": []})
    run = await sdk.runs.create(thread_id, "questions", command={"resume": "slowly"})
    await until(sdk, thread_id, run["run_id"], ("running",))
    while not former(server, thread_id):
        await asyncio.sleep(0.05)
    await sdk.runs.cancel(thread_id, run["run_id"], wait=True)
    assert former(server, thread_id) == 0


def former(server: LiveServer, thread_id: str) -> int:
    with psycopg.connect(server.environment["DATABASE_URI"]) as connection:
        found = connection.execute("SELECT count(*) FROM threads_formerwrite WHERE thread_id = %s", [thread_id])
        return int((found.fetchone() or [0])[0])


async def test_a_fork_that_is_rolled_back_leaves_both_branches(sdk: LangGraphClient, server: LiveServer) -> None:
    thread_id = await ran(sdk, "a", "b")
    history = await sdk.threads.get_history(thread_id, limit=100)
    base = next(state["checkpoint"] for state in history if (state["values"] or {}).get("log") == ["a", *RUN])  # type: ignore[union-attr]
    before = rows(server, thread_id)
    sleeps: dict[str, Any] = {"log": ["never"], "seconds": 60}
    await rolled_back(sdk, thread_id, "changes", input=sleeps, checkpoint_id=base["checkpoint_id"])
    assert rows(server, thread_id) == before
    await finished(sdk, thread_id, "changes", input={"log": ["c"]}, checkpoint_id=base["checkpoint_id"])
    assert (await values_of(sdk, thread_id))["log"] == ["a", *RUN, "c", *RUN]
    old = await sdk.threads.get_state(thread_id, checkpoint=history[0]["checkpoint"])
    assert old["values"]["log"] == ["a", *RUN, "b", *RUN]  # type: ignore[call-overload]


async def test_a_copy_has_what_its_channels_are_made_of(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    thread_id = await ran(sdk, "a")
    copy = (await http.post(f"/threads/{thread_id}/copy")).json()
    await sdk.threads.delete(thread_id)
    await finished(sdk, copy["thread_id"], "changes", input={"log": ["b"]})
    assert (await values_of(sdk, copy["thread_id"]))["log"] == ["a", *RUN, "b", *RUN]


async def test_a_thread_whose_channels_need_their_history_is_not_pruned_to_its_last_checkpoint(
    sdk: LangGraphClient, http: httpx.AsyncClient, server: LiveServer
) -> None:
    thread_id = await ran(sdk, "a")
    before = rows(server, thread_id)
    answer = await http.post("/threads/prune", json={"thread_ids": [thread_id], "strategy": "keep_latest"})
    assert answer.status_code == 422 and thread_id in detail(answer)
    assert rows(server, thread_id) == before


async def test_a_busy_thread_is_not_pruned_and_can_be_rolled_back(
    sdk: LangGraphClient, http: httpx.AsyncClient, server: LiveServer
) -> None:
    thread_id = await new_thread(sdk)
    await finished(sdk, thread_id, "sleeper", input={"seconds": 0})
    before = rows(server, thread_id)
    run = await sdk.runs.create(thread_id, "sleeper", input={"seconds": 60})
    await until_started(sdk, thread_id, run["run_id"], "sleep")
    answer = await http.post("/threads/prune", json={"thread_ids": [thread_id], "strategy": "keep_latest"})
    assert answer.json() == {"pruned_count": 0}
    await sdk.runs.cancel(thread_id, run["run_id"], action="rollback", wait=True)
    assert rows(server, thread_id) == before
