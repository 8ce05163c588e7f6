"""The crons endpoints and clients, and a server that fires: contract/platform.md 4."""

import asyncio
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from langgraph_sdk import get_sync_client
from langgraph_sdk.client import LangGraphClient, SyncLangGraphClient

from crons.serializers import CRON_FIELDS
from tests.conftest import LiveServer
from tests.wire import detail, new_thread

NEVER = "0 0 1 1 *"  # but for New Year's midnight
PATIENCE = 30.0


@pytest.fixture
def sync_sdk(server: LiveServer) -> Iterator[SyncLangGraphClient]:
    with get_sync_client(url=server.url, timeout=30) as client:
        yield client


async def new_cron(http: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    answer = await http.post("/runs/crons", json={"assistant_id": "echo", "schedule": NEVER, **body})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def changed(http: httpx.AsyncClient, cron: dict[str, Any], **body: Any) -> dict[str, Any]:
    answer = await http.patch(f"/runs/crons/{cron['cron_id']}", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


# --- clients ----------------------------------------------------------------------------------------------------------


async def test_every_method_of_the_async_client(sdk: LangGraphClient) -> None:
    mark = {"mark": uuid.uuid4().hex}
    thread_id = await new_thread(sdk)
    end = datetime(2099, 1, 1, tzinfo=UTC)
    first: Any = await sdk.crons.create("echo", schedule=NEVER, metadata=mark, timezone=ZoneInfo("Asia/Tokyo"))
    second: Any = await sdk.crons.create_for_thread(
        thread_id, "echo", schedule="0 9 * * *", metadata=mark, input={"text": "hi"}, end_time=end, enabled=False
    )
    assert (first["timezone"], first["thread_id"], first["enabled"]) == ("Asia/Tokyo", None, True)
    assert (second["thread_id"], second["enabled"]) == (thread_id, False)
    assert datetime.fromisoformat(second["end_time"]) == end
    found = await sdk.crons.search(metadata=mark, limit=10)
    assert [cron["cron_id"] for cron in found] == [second["cron_id"], first["cron_id"]]
    assert await sdk.crons.count(metadata=mark) == 2
    assert await sdk.crons.count(thread_id=thread_id) == 1
    updated: Any = await sdk.crons.update(second["cron_id"], schedule="0 10 * * *", end_time=None)
    assert (updated["schedule"], updated["end_time"]) == ("0 10 * * *", None)
    for cron in (first, second):
        await sdk.crons.delete(cron["cron_id"])
    assert await sdk.crons.count(metadata=mark) == 0


def test_every_method_of_the_sync_client(sync_sdk: SyncLangGraphClient) -> None:
    mark = {"mark": uuid.uuid4().hex}
    thread_id = sync_sdk.threads.create()["thread_id"]
    first: Any = sync_sdk.crons.create("echo", schedule=NEVER, metadata=mark, on_run_completed="keep")
    second: Any = sync_sdk.crons.create_for_thread(thread_id, "echo", schedule=NEVER, metadata=mark)
    assert (first["on_run_completed"], second["on_run_completed"]) == ("keep", None)
    selected: Any = sync_sdk.crons.search(
        metadata=mark, select=["schedule", "cron_id"], sort_by="created_at", sort_order="asc"
    )
    assert selected == [{"cron_id": cron["cron_id"], "schedule": NEVER} for cron in (first, second)]
    assert sync_sdk.crons.count(metadata=mark) == 2
    changed_cron: Any = sync_sdk.crons.update(first["cron_id"], enabled=False)
    assert changed_cron["enabled"] is False
    assert [cron["cron_id"] for cron in sync_sdk.crons.search(metadata=mark, enabled=True)] == [second["cron_id"]]
    sync_sdk.crons.delete(first["cron_id"])
    sync_sdk.crons.delete(second["cron_id"])
    assert sync_sdk.crons.search(metadata=mark) == []


# --- the object -------------------------------------------------------------------------------------------------------


async def test_a_new_cron(http: httpx.AsyncClient) -> None:
    """contract/platform.md 4.1 and trap 6"""
    body = {
        "input": {"text": "hi"},
        "metadata": {"a": 1},
        "config": {"tags": ["t"]},
        "extra": [1],
        "end_time": "2099-01-01T00:00:00Z",
    }
    cron = await new_cron(http, **body)
    assert tuple(cron) == CRON_FIELDS
    assert uuid.UUID(cron["cron_id"]).version == 7
    assert (cron["user_id"], cron["thread_id"], cron["on_run_completed"]) == ("", None, "delete")
    assert (cron["metadata"], cron["timezone"], cron["enabled"]) == ({"a": 1}, None, True)
    assert cron["end_time"] == "2099-01-01T00:00:00+00:00"
    assert datetime.fromisoformat(cron["next_run_date"]) == datetime(datetime.now(UTC).year + 1, 1, 1, tzinfo=UTC)
    assert cron["next_run_date"].endswith("+00:00")
    payload = {**body, "assistant_id": cron["assistant_id"], "schedule": NEVER}
    payload["config"] = {"tags": ["t"], "configurable": {"cron_id": cron["cron_id"]}}
    assert cron["payload"] == payload
    assert (await http.get(f"/runs/crons/{cron['cron_id']}")).json() == cron


async def test_the_next_date_is_reckoned_in_the_crons_zone(http: httpx.AsyncClient) -> None:
    """contract/platform.md trap 8"""
    cron = await new_cron(http, schedule="0 9 * * *", timezone="Asia/Kathmandu")
    assert datetime.fromisoformat(cron["next_run_date"]).strftime("%H:%M %z") == "03:15 +0000"


async def test_on_a_thread_nothing_is_done_with_the_thread_afterwards(
    http: httpx.AsyncClient, sdk: LangGraphClient
) -> None:
    thread_id = await new_thread(sdk)
    body = {"assistant_id": "echo", "schedule": NEVER, "on_run_completed": "keep"}
    cron = (await http.post(f"/threads/{thread_id}/runs/crons", json=body)).json()
    assert (cron["thread_id"], cron["on_run_completed"]) == (thread_id, None)
    assert (await changed(http, cron, on_run_completed="delete"))["on_run_completed"] is None


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ({"assistant_id": "nope"}, 404, "Assistant 'nope' not found"),
        ({"assistant_id": str(uuid.UUID(int=5))}, 404, f"Assistant '{uuid.UUID(int=5)}' not found"),
        ({"assistant_id": None}, 422, "assistant_id"),
        ({"schedule": None}, 422, "schedule"),
        ({"schedule": "x y"}, 422, "Invalid cron schedule: 'x y'."),
        ({"schedule": "0 0 31 2 *"}, 400, "failed to find next date"),
        ({"schedule": "0 0 1 1 * 0 2099"}, 400, "failed to find next date"),
        ({"timezone": "X"}, 422, "Invalid timezone: 'X'."),
        ({"timezone": ""}, 400, "timezone"),
        ({"end_time": "tomorrow"}, 422, "end_time"),
        ({"end_time": 5}, 422, "end_time"),
        ({"webhook": ""}, 422, "webhook"),
        ({"webhook": "ftp://example.com"}, 422, "ebhook"),
        ({"on_run_completed": "x"}, 422, "on_run_completed"),
        ({"enabled": "yes"}, 422, "enabled"),
        ({"stream_mode": "x"}, 422, "stream_mode"),
        ({"overlap": "x"}, 422, "overlap"),
        ({"catch_up": "x"}, 422, "catch_up"),
        ({"pause_after_failures": -1}, 422, "pause_after_failures"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
async def test_a_cron_that_cannot_be(http: httpx.AsyncClient, body: dict[str, Any], status: int, text: str) -> None:
    answer = await http.post("/runs/crons", json={"assistant_id": "echo", "schedule": NEVER, **body})
    assert answer.status_code == status, answer.text
    assert text in detail(answer)


async def test_ids_that_are_none_or_nobodys(http: httpx.AsyncClient) -> None:
    nobody = uuid.uuid4()
    body = {"assistant_id": "echo", "schedule": NEVER}
    for method, path, sent, status, text in (
        ("POST", "/threads/zz/runs/crons", body, 422, "Invalid thread ID: must be a UUID"),
        ("POST", f"/threads/{nobody}/runs/crons", body, 404, f"Thread with ID {nobody} not found"),
        ("GET", "/runs/crons/zz", None, 422, "Invalid cron ID: must be a UUID"),
        ("GET", f"/runs/crons/{nobody}", None, 404, "Not Found"),
        ("PATCH", "/runs/crons/zz", {"enabled": True}, 422, "Invalid cron ID: must be a UUID"),
        ("PATCH", f"/runs/crons/{nobody}", {"enabled": True}, 404, f"Cron '{nobody}' not found"),
        ("PATCH", f"/runs/crons/{nobody}", {}, 400, "Request body cannot be empty"),
        ("DELETE", "/runs/crons/zz", None, 422, "Invalid cron ID: must be a UUID"),
        ("DELETE", f"/runs/crons/{nobody}", None, 404, "Not Found"),
        ("POST", "/runs/crons/search", {"assistant_id": "echo"}, 422, "Invalid assistant ID: must be a UUID"),
        ("POST", "/runs/crons/search", {"select": ["nope"]}, 422, "select"),
        ("POST", "/runs/crons/search", None, 422, "Invalid JSON in request body"),
        ("GET", f"/runs/crons/{nobody}/next", None, 404, "Not Found"),
        ("POST", f"/runs/crons/{nobody}/run", None, 404, "Not Found"),
    ):
        answer = await http.request(method, path, json=sent)
        assert (answer.status_code, detail(answer)[: len(text)]) == (status, text), path


# --- changes ----------------------------------------------------------------------------------------------------------


async def test_a_patch_merges_metadata_and_replaces_what_the_payload_has(http: httpx.AsyncClient) -> None:
    """contract/platform.md 4.5 and trap 7"""
    cron = await new_cron(
        http, metadata={"a": 1, "b": 1}, config={"tags": ["t"], "configurable": {"x": 1}}, input={"text": "a", "n": 1}
    )
    after = await changed(
        http, cron, metadata={"b": 2}, config={"recursion_limit": 7}, input={"text": "b"}, thread_id="zz", more=1
    )
    assert after["metadata"] == {"a": 1, "b": 2}
    payload = after["payload"]
    assert payload["metadata"] == {"b": 2}
    assert payload["config"] == {"recursion_limit": 7, "configurable": {"cron_id": cron["cron_id"]}}
    assert payload["input"] == {"text": "b"}
    assert (payload["thread_id"], payload["more"], after["thread_id"]) == ("zz", 1, None)
    assert payload["assistant_id"] == cron["assistant_id"]
    assert after["next_run_date"] == cron["next_run_date"]
    assert after["updated_at"] > cron["updated_at"]


async def test_only_the_end_is_taken_away_by_null(http: httpx.AsyncClient) -> None:
    cron = await new_cron(http, end_time="2099-01-01T00:00:00", timezone="Asia/Tokyo", input={"text": "a"})
    kept = await changed(http, cron, timezone=None, input=None, enabled=None, metadata=None, schedule=None)
    assert {**kept, "updated_at": 0} == {**cron, "updated_at": 0}
    assert (await changed(http, cron, end_time=None))["end_time"] is None


async def test_another_schedule_or_zone_sets_the_next_date_anew_and_enabling_does_not(http: httpx.AsyncClient) -> None:
    cron = await new_cron(http, schedule="0 9 * * *")
    zoned = await changed(http, cron, timezone="Asia/Kathmandu")
    assert datetime.fromisoformat(zoned["next_run_date"]).strftime("%H:%M") == "03:15"
    moved = await changed(http, cron, schedule="0 10 * * *")
    assert datetime.fromisoformat(moved["next_run_date"]).strftime("%H:%M") == "04:15"
    await changed(http, cron, enabled=False)
    assert (await changed(http, cron, enabled=True))["next_run_date"] == moved["next_run_date"]


async def test_a_change_that_cannot_be_changes_nothing(http: httpx.AsyncClient) -> None:
    cron = await new_cron(http)
    for body, status in (({"schedule": "x"}, 422), ({"timezone": "X"}, 422), ({"schedule": "0 0 31 2 *"}, 400)):
        answer = await http.patch(f"/runs/crons/{cron['cron_id']}", json={"input": {"text": "new"}, **body})
        assert answer.status_code == status
    assert (await http.get(f"/runs/crons/{cron['cron_id']}")).json() == cron


# --- lists ------------------------------------------------------------------------------------------------------------


async def test_search_filters_sorts_and_pages(http: httpx.AsyncClient, sdk: LangGraphClient) -> None:
    mark = {"mark": uuid.uuid4().hex}
    ends = ["2099-01-01T00:00:00+00:00", None, "2098-01-01T00:00:00+00:00"]
    crons = [
        await new_cron(http, metadata={**mark, "n": n}, **({"end_time": end} if end else {}))
        for n, end in enumerate(ends)
    ]
    ids = [cron["cron_id"] for cron in crons]

    async def found(**body: Any) -> list[int]:
        answer = await http.post("/runs/crons/search", json={"metadata": mark, **body})
        assert answer.status_code == 200, answer.text
        return [ids.index(cron["cron_id"]) for cron in answer.json()]

    assert await found() == await found(sort_by="created_at") == [2, 1, 0]
    assert await found(sort_order="asc") == [0, 1, 2]
    assert await found(sort_by="end_time", sort_order="asc") == [1, 2, 0]
    assert await found(sort_by="end_time") == [0, 2, 1]
    assert await found(limit=1, offset=1) == [1]
    assert await found(metadata={**mark, "n": 0}) == [0]
    assert sorted(await found(assistant_id=crons[0]["assistant_id"], sort_by="thread_id")) == [0, 1, 2]
    page = await http.post("/runs/crons/search", json={"metadata": mark, "limit": 2})
    assert (page.headers["x-pagination-next"], page.headers["x-pagination-total"]) == ("2", "3")
    assert (await http.post("/runs/crons/count", json={"metadata": mark})).content == b"3"


async def test_a_cron_goes_with_its_thread_and_with_its_assistant(
    http: httpx.AsyncClient, sdk: LangGraphClient
) -> None:
    thread_id = await new_thread(sdk)
    assistant = await sdk.assistants.create("echo")
    on_thread: Any = await sdk.crons.create_for_thread(thread_id, "echo", schedule=NEVER)
    of_assistant: Any = await sdk.crons.create(assistant["assistant_id"], schedule=NEVER)
    await sdk.threads.delete(thread_id)
    await sdk.assistants.delete(assistant["assistant_id"])
    for cron in (on_thread, of_assistant):
        assert (await http.get(f"/runs/crons/{cron['cron_id']}")).status_code == 404


# --- ours -------------------------------------------------------------------------------------------------------------


async def test_a_preview_needs_no_cron(http: httpx.AsyncClient) -> None:
    body = {"schedule": "0 0 1 1 *", "timezone": "Asia/Tokyo", "limit": 3}
    dates = (await http.post("/runs/crons/preview", json=body)).json()["next_run_dates"]
    assert [date[5:] for date in dates] == ["12-31T15:00:00+00:00"] * 3
    ended = {**body, "end_time": dates[1]}
    assert (await http.post("/runs/crons/preview", json=ended)).json()["next_run_dates"] == dates[:2]
    assert (await http.post("/runs/crons/preview", json={"schedule": "x"})).status_code == 422


async def test_a_crons_next_dates(http: httpx.AsyncClient) -> None:
    cron = await new_cron(http)
    dates = (await http.get(f"/runs/crons/{cron['cron_id']}/next", params={"limit": 2})).json()["next_run_dates"]
    assert (len(dates), dates[0]) == (2, cron["next_run_date"])
    for limit in ("0", "x", "101", "-1"):
        assert (await http.get(f"/runs/crons/{cron['cron_id']}/next", params={"limit": limit})).status_code == 400


async def test_a_cron_runs_by_hand(http: httpx.AsyncClient, sdk: LangGraphClient) -> None:
    thread_id = await new_thread(sdk)
    cron: Any = await sdk.crons.create_for_thread(
        thread_id, "echo", schedule=NEVER, input={"text": "by hand"}, enabled=False
    )
    run = (await http.post(f"/runs/crons/{cron['cron_id']}/run")).json()
    assert run["kwargs"]["config"]["configurable"]["cron_id"] == cron["cron_id"]
    values: Any = await sdk.runs.join(thread_id, run["run_id"])
    assert values["log"] == ["by hand"]


# --- a server that fires ----------------------------------------------------------------------------------------------


async def runs_of(sdk: LangGraphClient, thread_id: str, at_least: int) -> list[Any]:
    deadline = time.monotonic() + PATIENCE
    while len(runs := await sdk.runs.list(thread_id, limit=100)) < at_least:
        assert time.monotonic() < deadline, runs
        await asyncio.sleep(0.1)
    return runs


async def test_a_cron_of_every_second_runs_again_and_again_until_it_is_deleted(sdk: LangGraphClient) -> None:
    thread_id = await new_thread(sdk)
    cron: Any = await sdk.crons.create_for_thread(
        thread_id,
        "echo",
        schedule="* * * * * *",
        input={"text": "tick"},
        end_time=datetime.now(UTC) + timedelta(hours=1),
    )
    runs = await runs_of(sdk, thread_id, 3)
    await sdk.crons.delete(cron["cron_id"])
    for run in runs:
        await sdk.runs.join(thread_id, run["run_id"])
    state: Any = await sdk.threads.get_state(thread_id)
    assert state["values"]["log"][:3] == ["tick"] * 3
    seconds = [run["created_at"][:19] for run in runs]
    # A tick that comes late fires its slot in the second of the next one; that each is fired once is shown elsewhere.
    assert len(set(seconds)) > 1
    count = len(await sdk.runs.list(thread_id, limit=100))
    await asyncio.sleep(2.5)
    assert len(await sdk.runs.list(thread_id, limit=100)) == count


async def test_a_cron_whose_runs_fail_is_paused(http: httpx.AsyncClient) -> None:
    cron = await new_cron(http, assistant_id="boom", schedule="* * * * * *", pause_after_failures=2, overlap="skip")
    deadline = time.monotonic() + PATIENCE
    while (await http.get(f"/runs/crons/{cron['cron_id']}")).json()["enabled"]:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)
    await changed(http, cron, enabled=True)
    await http.delete(f"/runs/crons/{cron['cron_id']}")
