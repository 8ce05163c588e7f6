"""Every method of the official synchronous client against the live server: assistants, threads, runs."""

import inspect
import re
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langgraph_sdk import get_sync_client
from langgraph_sdk.client import SyncLangGraphClient
from langgraph_sdk.errors import ConflictError, NotFoundError

from tests.conftest import LiveServer
from tests.wire import PATIENCE

# These two are the event-streaming protocol's.
ELSEWHERE = {"threads.stream", "threads.join_stream"}


@pytest.fixture
def sdk(server: LiveServer) -> Iterator[SyncLangGraphClient]:
    """The official synchronous client."""
    with get_sync_client(url=server.url, timeout=30) as client:
        yield client


def new_thread(sdk: SyncLangGraphClient, **arguments: Any) -> str:
    """The id of a new thread."""
    return str(sdk.threads.create(**arguments)["thread_id"])


def until(sdk: SyncLangGraphClient, thread_id: str, run_id: str, status: str) -> None:
    """Wait for the run to have the status."""
    deadline = time.monotonic() + PATIENCE
    while sdk.runs.get(thread_id, run_id)["status"] != status:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_every_method_is_driven() -> None:
    client = get_sync_client(url="http://unused")
    source = Path(__file__).read_text()
    for group in ("assistants", "threads", "runs"):
        methods = {f"{group}.{name}" for name, _ in inspect.getmembers(getattr(client, group), inspect.isroutine)}
        public = {name for name in methods if "._" not in name} - ELSEWHERE
        assert {name for name in public if not re.search(rf"sdk\.{name}\(", source)} == set()


# --- assistants -------------------------------------------------------------------------------------------------------


def test_an_assistant_is_made_read_changed_and_deleted(sdk: SyncLangGraphClient) -> None:
    made = sdk.assistants.create("echo", metadata={"m": 1}, name="mine")
    assistant_id = made["assistant_id"]
    assert sdk.assistants.get(assistant_id) == made
    changed = sdk.assistants.update(assistant_id, config={"tags": ["a"]})
    assert (changed["version"], changed["config"]) == (2, {"tags": ["a"]})
    assert [version["version"] for version in sdk.assistants.get_versions(assistant_id)] == [2, 1]
    assert sdk.assistants.set_latest(assistant_id, 1)["config"] == {}
    sdk.assistants.delete(assistant_id)
    with pytest.raises(NotFoundError):
        sdk.assistants.get(assistant_id)


def test_assistants_are_searched_and_counted(sdk: SyncLangGraphClient) -> None:
    mark = {"mark": str(uuid.uuid4())}
    made = [sdk.assistants.create("echo", metadata=mark)["assistant_id"] for _ in range(2)]
    assert sdk.assistants.count(metadata=mark) == 2
    found: Any = sdk.assistants.search(metadata=mark, limit=1, response_format="object")
    assert [row["assistant_id"] for row in found["assistants"]] == made[1:] and found["next"] == "1"


def test_an_assistant_shows_its_graph(sdk: SyncLangGraphClient) -> None:
    found: Any = sdk.assistants.search(graph_id="parent", metadata={"created_by": "system"})
    assistant_id = found[0]["assistant_id"]
    assert len(sdk.assistants.get_graph(assistant_id)["nodes"]) == 4
    assert sdk.assistants.get_schemas(assistant_id)["graph_id"] == "parent"
    assert set(sdk.assistants.get_subgraphs(assistant_id)) == {"child"}


# --- threads ----------------------------------------------------------------------------------------------------------


def test_a_thread_is_made_read_changed_and_deleted(sdk: SyncLangGraphClient) -> None:
    made = sdk.threads.create(metadata={"m": 1})
    thread_id = made["thread_id"]
    assert sdk.threads.get(thread_id) == made
    assert sdk.threads.update(thread_id, metadata={"n": 2})["metadata"] == {"m": 1, "n": 2}
    mark = {"mark": str(uuid.uuid4())}
    sdk.threads.update(thread_id, metadata=mark)
    assert sdk.threads.count(metadata=mark) == 1
    assert [thread["thread_id"] for thread in sdk.threads.search(metadata=mark)] == [thread_id]
    sdk.threads.delete(thread_id)
    with pytest.raises(NotFoundError):
        sdk.threads.get(thread_id)


def test_state_is_read_written_copied_and_pruned(sdk: SyncLangGraphClient) -> None:
    thread_id = new_thread(sdk)
    sdk.runs.wait(thread_id, "path", input={"note": "a"})
    history = sdk.threads.get_history(thread_id)
    assert [state["next"] for state in history] == [[], ["three"], ["two"], ["one"], ["__start__"]]
    sdk.threads.update_state(thread_id, {"note": "b"}, as_node="two")
    state: Any = sdk.threads.get_state(thread_id)
    assert (state["next"], state["values"]["note"]) == (["three"], "b")
    copy: Any = sdk.threads.copy(thread_id)  # type: ignore[func-returns-value]
    assert sdk.threads.get_state(copy["thread_id"])["values"] == state["values"]
    assert sdk.threads.prune([thread_id, copy["thread_id"]]) == {"pruned_count": 2}


# --- runs -------------------------------------------------------------------------------------------------------------


def test_a_run_is_made_listed_joined_and_deleted(sdk: SyncLangGraphClient) -> None:
    thread_id = new_thread(sdk)
    seen: list[Any] = []
    run = sdk.runs.create(thread_id, "sleeper", input={"seconds": 0.2}, on_run_created=seen.append)
    assert seen == [{"run_id": run["run_id"], "thread_id": thread_id}]
    assert sdk.runs.join(thread_id, run["run_id"]) == {"seconds": 0.2, "log": ["first", "slept"]}
    assert [found["status"] for found in sdk.runs.list(thread_id)] == ["success"]
    sdk.runs.delete(thread_id, run["run_id"])
    with pytest.raises(NotFoundError):
        sdk.runs.get(thread_id, run["run_id"])


def test_a_stream_is_read_and_joined(sdk: SyncLangGraphClient) -> None:
    thread_id = new_thread(sdk)
    parts = list(
        sdk.runs.stream(thread_id, "ticker", input={"ticks": 3}, stream_mode=["custom"], stream_resumable=True)
    )
    assert [part.event for part in parts] == ["metadata", "custom", "custom", "custom"]
    run_id = parts[0].data["run_id"]
    assert list(sdk.runs.join_stream(thread_id, run_id, last_event_id="-1")) == parts
    assert list(sdk.runs.join_stream(thread_id, run_id)) == []


def test_an_interrupt_is_answered(sdk: SyncLangGraphClient) -> None:
    thread_id = new_thread(sdk)
    asked: Any = sdk.runs.wait(thread_id, "ask", input={"q": "a"})
    assert asked["__interrupt__"][0]["value"] == {"question": "a!"}
    assert sdk.runs.wait(thread_id, "ask", command={"resume": False}) == {"q": "a!", "answer": False}


def test_runs_are_cancelled_one_by_one_and_together(sdk: SyncLangGraphClient) -> None:
    thread_id = new_thread(sdk)
    first, second = (sdk.runs.create(thread_id, "sleeper", input={"seconds": 60}) for _ in range(2))
    until(sdk, thread_id, first["run_id"], "running")
    with pytest.raises(ConflictError):
        sdk.runs.create(thread_id, "echo", multitask_strategy="reject")
    sdk.runs.cancel(thread_id, second["run_id"])
    sdk.runs.cancel_many(thread_id=thread_id, run_ids=[first["run_id"]])
    until(sdk, thread_id, first["run_id"], "interrupted")


def test_a_batch_is_made(sdk: SyncLangGraphClient) -> None:
    payloads: Any = [{"assistant_id": "echo", "input": {"text": str(n)}} for n in range(3)]
    made: Any = sdk.runs.create_batch(payloads)
    assert [run["kwargs"]["input"]["text"] for run in made] == ["0", "1", "2"]
