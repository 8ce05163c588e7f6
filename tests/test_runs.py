"""Runs as rows: create, read, list, delete, in batches too. Source: contract/core.md 5.1 to 5.6."""

import asyncio
import re
import uuid
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from langgraph_sdk.client import LangGraphClient

from tests.wire import KWARGS, created, detail, finished, new_thread, until, until_settled, until_started, values_of

KEYS = {
    "run_id",
    "thread_id",
    "assistant_id",
    "created_at",
    "updated_at",
    "status",
    "metadata",
    "kwargs",
    "multitask_strategy",
    "langsmith_session_name",
}
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?\+00:00")
NOBODY = "00000000-0000-4000-8000-000000000000"
ECHO = "046b5dc7-2108-582c-9c6c-31d556d138f0"


# --- the object -------------------------------------------------------------------------------------------------------


async def test_a_run_has_ten_keys(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    run = await created(http, await new_thread(sdk))
    assert set(run) == KEYS
    assert (run["status"], run["multitask_strategy"], run["langsmith_session_name"]) == ("pending", "enqueue", None)
    assert MOMENT.fullmatch(run["created_at"]) and MOMENT.fullmatch(run["updated_at"])


async def test_ids_are_uuid7_and_the_assistant_is_the_graphs_own(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    run = await created(http, await new_thread(sdk))
    assert [uuid.UUID(run[name]).version for name in ("run_id", "thread_id")] == [7, 7]
    assert run["assistant_id"] == ECHO


async def test_kwargs_hold_the_defaults(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    kwargs = (await created(http, await new_thread(sdk)))["kwargs"]
    assert set(kwargs) == {*KWARGS, "config", "context"}
    assert {name: kwargs[name] for name in KWARGS} == KWARGS


async def test_kwargs_hold_what_was_asked_for(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    asked = {
        "input": {"text": "hi"},
        "interrupt_before": "*",
        "interrupt_after": ["echo"],
        "feedback_keys": ["user"],
        "durability": "sync",
    }
    body = {**asked, "stream_mode": ["values", "updates"], "stream_subgraphs": True, "stream_resumable": True}
    kwargs = (await created(http, await new_thread(sdk), **body))["kwargs"]
    assert {name: kwargs[name] for name in asked} == asked
    assert (kwargs["stream_mode"], kwargs["subgraphs"], kwargs["resumable"]) == (["values", "updates"], True, True)


@pytest.mark.parametrize(
    ("body", "during", "durability"),
    [
        ({"checkpoint_during": True}, True, "async"),
        ({"checkpoint_during": False}, False, "exit"),
        ({"checkpoint_during": False, "durability": "sync"}, False, "sync"),
    ],
)
async def test_durability_wins_over_checkpoint_during(
    sdk: LangGraphClient, http: httpx.AsyncClient, body: dict[str, Any], during: bool, durability: str
) -> None:
    kwargs = (await created(http, await new_thread(sdk), **body))["kwargs"]
    assert (kwargs["checkpoint_during"], kwargs["durability"]) == (during, durability)


@pytest.mark.parametrize(("given", "stored"), [("updates", ["updates"]), ([], ["values"]), (["debug"], ["debug"])])
async def test_stream_mode_is_stored_as_an_array(
    sdk: LangGraphClient, http: httpx.AsyncClient, given: Any, stored: list[str]
) -> None:
    run = await created(http, await new_thread(sdk), stream_mode=given)
    assert run["kwargs"]["stream_mode"] == stored


# --- where clients find the run ---------------------------------------------------------------------------------------


async def test_content_location_names_thread_and_run(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    thread_id = await new_thread(sdk)
    answer = await http.post(f"/threads/{thread_id}/runs", json={"assistant_id": "echo"})
    assert answer.headers["content-location"] == f"/threads/{thread_id}/runs/{answer.json()['run_id']}"
    assert answer.headers["content-type"] == "application/json"


async def test_content_location_of_a_stateless_run_names_the_run_only(http: httpx.AsyncClient) -> None:
    answer = await http.post("/runs", json={"assistant_id": "echo"})
    assert answer.headers["content-location"] == f"/runs/{answer.json()['run_id']}"


async def test_browsers_on_other_origins_may_read_content_location(http: httpx.AsyncClient) -> None:
    answer = await http.post("/runs", json={"assistant_id": "echo"}, headers={"Origin": "https://elsewhere.example"})
    assert answer.headers["access-control-allow-origin"] == "*"
    exposed = {name.strip() for name in answer.headers["access-control-expose-headers"].split(",")}
    assert exposed == {"x-pagination-total", "x-pagination-next", "content-location"}


# --- the thread of a run ----------------------------------------------------------------------------------------------


async def test_if_not_exists_create_makes_the_thread(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    thread_id = str(uuid.uuid4())
    extra = {"metadata": {"a": 1, "both": "run"}, "config": {"metadata": {"b": 2, "both": "config"}}}
    await created(http, thread_id, if_not_exists="create", **extra)
    thread = await sdk.threads.get(thread_id)
    assert thread["status"] == "busy"
    assert thread["metadata"] == {"graph_id": "echo", "assistant_id": ECHO, "a": 1, "b": 2, "both": "run"}


async def test_a_run_makes_its_thread_busy_and_names_its_graph(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    thread_id = await new_thread(sdk, metadata={"mine": 1})
    await created(http, thread_id, metadata={"not": "copied"})
    thread = await sdk.threads.get(thread_id)
    assert thread["status"] == "busy"
    assert thread["metadata"] == {"mine": 1, "graph_id": "echo", "assistant_id": ECHO}


async def test_a_busy_thread_keeps_its_metadata_and_config(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    thread_id = await new_thread(sdk)
    await created(http, thread_id, config={"tags": ["first"]})
    before = await sdk.threads.get(thread_id)
    await created(http, thread_id, assistant_id="counter", config={"tags": ["second"]})
    assert await sdk.threads.get(thread_id) == before


async def test_a_temporary_thread_is_there_while_its_run_is(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    run = (await http.post("/runs", json={"assistant_id": "sleeper", "input": {"seconds": 1.0}})).json()
    assert run["kwargs"]["temporary"] is True
    thread_id = run["thread_id"]
    assert (await sdk.threads.get(thread_id))["status"] == "busy"
    await until(sdk, thread_id, run["run_id"], ("running",))
    assert (await values_of(sdk, thread_id)) == {}
    await sdk.runs.join(thread_id, run["run_id"])
    gone = [await http.get(f"/threads/{thread_id}"), await http.get(f"/threads/{thread_id}/runs/{run['run_id']}")]
    assert [answer.status_code for answer in gone] == [404, 404]


async def test_on_completion_keep_leaves_an_ordinary_thread(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    body = {"assistant_id": "ask", "input": {"q": "a"}, "on_completion": "keep"}
    run = (await http.post("/runs", json=body)).json()
    assert run["kwargs"]["temporary"] is False
    assert (await until_settled(sdk, run["thread_id"]))["status"] == "interrupted"
    assert (await finished(sdk, run["thread_id"], "ask", command={"resume": 1}))["answer"] == 1


# --- when it starts ---------------------------------------------------------------------------------------------------


async def test_created_at_is_the_earliest_start(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    run = await created(http, await new_thread(sdk), after_seconds=3600)
    start, written = (datetime.fromisoformat(str(run[name])) for name in ("created_at", "updated_at"))
    assert abs(start - written - timedelta(hours=1)) < timedelta(seconds=1)
    assert run["kwargs"]["config"]["configurable"]["__after_seconds__"] == 3600


async def test_a_delayed_run_starts_when_it_is_due(sdk: LangGraphClient) -> None:
    thread_id = await new_thread(sdk)
    run = await sdk.runs.create(thread_id, "echo", input={"text": "a"}, after_seconds=2)
    assert (await sdk.runs.get(thread_id, run["run_id"]))["status"] == "pending"
    await until(sdk, thread_id, run["run_id"], ("success",))
    ended = datetime.fromisoformat(str((await sdk.runs.get(thread_id, run["run_id"]))["updated_at"]))
    assert timedelta(0) <= ended - datetime.fromisoformat(str(run["created_at"])) < timedelta(seconds=9)


async def test_a_negative_delay_means_now(sdk: LangGraphClient) -> None:
    assert (await finished(sdk, await new_thread(sdk), "echo", input={"text": "a"}, after_seconds=-5))["log"] == ["a"]


# --- reading ----------------------------------------------------------------------------------------------------------


async def test_runs_are_listed_newest_first(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    thread_id = await new_thread(sdk)
    made = [(await created(http, thread_id, after_seconds=5000 + n))["run_id"] for n in range(3)]
    answer = await http.get(f"/threads/{thread_id}/runs")
    assert [run["run_id"] for run in answer.json()] == made[::-1]
    assert not [name for name in answer.headers if name.startswith("x-pagination")]
    page = await http.get(f"/threads/{thread_id}/runs", params={"limit": 1, "offset": 1})
    assert [run["run_id"] for run in page.json()] == [made[1]]


async def test_ten_runs_are_listed_by_default(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    thread_id = await new_thread(sdk)
    for _ in range(11):
        await created(http, thread_id)
    assert len((await http.get(f"/threads/{thread_id}/runs")).json()) == 10


@pytest.mark.parametrize(
    ("query", "status"),
    [("limit=x", 400), ("offset=1.5", 400), ("limit=", 400), ("select=bogus", 422), ("select=[1", 422)],
)
async def test_a_wrong_list_parameter_is_refused(
    sdk: LangGraphClient, http: httpx.AsyncClient, query: str, status: int
) -> None:
    answer = await http.get(f"/threads/{await new_thread(sdk)}/runs?{query}")
    assert answer.status_code == status and detail(answer)


@pytest.mark.parametrize("query", ["limit=0", "limit=-3", "status=bogus", "status=success", "offset=99"])
async def test_a_list_may_be_empty(sdk: LangGraphClient, http: httpx.AsyncClient, query: str) -> None:
    thread_id = await new_thread(sdk)
    await created(http, thread_id)
    answer = await http.get(f"/threads/{thread_id}/runs?{query}")
    assert (answer.status_code, answer.json()) == (200, [])


@pytest.mark.parametrize("query", ["select=run_id&select=status", "select=run_id,status", 'select=["run_id","status"]'])
async def test_select_takes_every_form_sdks_send(sdk: LangGraphClient, http: httpx.AsyncClient, query: str) -> None:
    thread_id = await new_thread(sdk)
    run = await created(http, thread_id)
    answer = await http.get(f"/threads/{thread_id}/runs?{query}")
    assert answer.json() == [{"run_id": run["run_id"], "status": "pending"}]


async def test_runs_are_filtered_by_status(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    thread_id = await new_thread(sdk)
    await sdk.runs.wait(thread_id, "echo", input={"text": "a"})
    waiting = await created(http, thread_id)
    assert [run["run_id"] for run in await sdk.runs.list(thread_id, status="pending")] == [waiting["run_id"]]
    assert [run["status"] for run in await sdk.runs.list(thread_id, status="success")] == ["success"]


async def test_reading_what_is_not_there_answers_404(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    run = await created(http, await new_thread(sdk))
    elsewhere = await http.get(f"/threads/{await new_thread(sdk)}/runs/{run['run_id']}")
    nowhere = await http.get(f"/threads/{NOBODY}/runs/{run['run_id']}")
    unlisted = await http.get(f"/threads/{NOBODY}/runs")
    assert [a.status_code for a in (elsewhere, nowhere, unlisted)] == [404, 404, 404]
    assert detail(elsewhere) == "Not Found"
    assert detail(nowhere) == detail(unlisted) == f"Thread with ID {NOBODY} not found"


@pytest.mark.parametrize("path", ["/threads/zz/runs", f"/threads/zz/runs/{NOBODY}", f"/threads/{NOBODY}/runs/zz"])
async def test_reading_with_an_id_that_is_no_uuid_answers_422(http: httpx.AsyncClient, path: str) -> None:
    answer = await http.get(path)
    assert answer.status_code == 422 and detail(answer).endswith("must be a UUID")


async def test_head_works_where_get_does(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    run = await created(http, await new_thread(sdk))
    answer = await http.head(f"/threads/{run['thread_id']}/runs/{run['run_id']}")
    assert (answer.status_code, answer.content) == (200, b"")


# --- deleting ---------------------------------------------------------------------------------------------------------


async def test_a_deleted_run_takes_its_checkpoints_along(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    thread_id = await new_thread(sdk)
    await sdk.runs.wait(thread_id, "echo", input={"text": "stays"})
    last = await created(http, thread_id, input={"text": "goes"}, after_seconds=0)
    await sdk.runs.join(thread_id, last["run_id"])
    answer = await http.delete(f"/threads/{thread_id}/runs/{last['run_id']}")
    assert (answer.status_code, answer.content, answer.headers.get("content-type")) == (204, b"", None)
    assert (await values_of(sdk, thread_id))["log"] == ["stays"]
    again = await http.delete(f"/threads/{thread_id}/runs/{last['run_id']}")
    assert (again.status_code, detail(again)) == (404, "Run not found")


async def test_a_deleted_running_run_stops_and_frees_its_thread(sdk: LangGraphClient) -> None:
    thread_id = await new_thread(sdk)
    run = await sdk.runs.create(thread_id, "sleeper", input={"seconds": 60})
    await until_started(sdk, thread_id, run["run_id"], "sleep")
    await sdk.runs.delete(thread_id, run["run_id"])
    assert (await until_settled(sdk, thread_id))["status"] == "idle"
    assert (await values_of(sdk, thread_id)) == {}
    assert (await finished(sdk, thread_id, "sleeper", input={"seconds": 0}))["log"] == ["first", "slept"]


async def test_a_deleted_run_leaves_no_checkpoint_behind_however_busy_it_was(sdk: LangGraphClient) -> None:
    thread_id = await new_thread(sdk)
    run = await sdk.runs.create(thread_id, "slow_job", input={"steps": 500, "seconds": 0.005})
    await until(sdk, thread_id, run["run_id"], ("running",))
    await asyncio.sleep(0.3)
    assert (await values_of(sdk, thread_id))["count"] > 1
    await sdk.runs.delete(thread_id, run["run_id"])
    await asyncio.sleep(1.5)
    assert await sdk.threads.get_history(thread_id) == []


async def test_a_deleted_pending_run_frees_its_thread(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    run = await created(http, await new_thread(sdk))
    await sdk.runs.delete(run["thread_id"], run["run_id"])
    assert (await sdk.threads.get(run["thread_id"]))["status"] == "idle"


# --- batches ----------------------------------------------------------------------------------------------------------


async def test_a_batch_answers_its_runs_in_order(http: httpx.AsyncClient) -> None:
    bodies = [{"assistant_id": "echo", "input": {"text": str(n)}} for n in range(3)]
    answer = await http.post("/runs/batch", json=bodies)
    assert answer.status_code == 200 and "content-location" not in answer.headers
    runs = answer.json()
    assert [run["kwargs"]["input"]["text"] for run in runs] == ["0", "1", "2"]
    assert len({run["thread_id"] for run in runs}) == 3
    assert len({run["kwargs"]["config"]["configurable"]["langgraph_request_id"] for run in runs}) == 1


@pytest.mark.parametrize(
    ("last", "status"),
    [({"assistant_id": "nope"}, 422), ({"assistant_id": NOBODY}, 404), ({}, 422), (5, 422)],
    ids=str,
)
async def test_a_batch_is_all_or_nothing(sdk: LangGraphClient, http: httpx.AsyncClient, last: Any, status: int) -> None:
    mark = {"mark": str(uuid.uuid4())}
    answer = await http.post(
        "/runs/batch", json=[{"assistant_id": "echo", "metadata": mark, "on_completion": "keep"}, last]
    )
    assert answer.status_code == status and detail(answer)
    assert await sdk.threads.count(metadata=mark) == 0


@pytest.mark.parametrize("body", [[], {}, {"assistant_id": "echo"}, "echo", None])
async def test_a_batch_is_a_non_empty_array(http: httpx.AsyncClient, body: Any) -> None:
    answer = await http.post("/runs/batch", json=body)
    assert answer.status_code == 422 and detail(answer)
