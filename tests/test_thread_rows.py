"""Thread rows over the wire: create, change, search, copy, prune, delete. Source: contract/core.md 4.1 to 4.12."""

import asyncio
import json
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

import httpx
import psycopg
import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import ConflictError, NotFoundError

from config import loop
from config.paging import ordered
from config.project import project
from tests.conftest import LiveServer
from threads import checkpointer, expiry
from threads.models import Thread

KEYS = {
    "thread_id",
    "created_at",
    "updated_at",
    "state_updated_at",
    "metadata",
    "status",
    "config",
    "values",
    "interrupts",
    "error",
}
UNKNOWN = str(uuid.uuid4())
TABLES = ("checkpoints", "checkpoint_blobs", "checkpoint_writes")


def mark() -> dict[str, Any]:
    return {"mark": uuid.uuid4().hex}


async def ran(sdk: LangGraphClient, graph: str = "echo", given: Any = None, **options: Any) -> str:
    """A thread on which a run has ended."""
    thread = await sdk.threads.create(**options)
    given = given or {"text": "hi"}
    await sdk.runs.wait(thread["thread_id"], graph, input=given, raise_error=False)
    return thread["thread_id"]


def checkpoint_rows(server: LiveServer, thread_id: str) -> list[int]:
    with psycopg.connect(server.environment["DATABASE_URI"]) as database:
        queries: Any = [f"SELECT count(*) FROM {table} WHERE thread_id = %s" for table in TABLES]
        found = [database.execute(query, [thread_id]).fetchone() for query in queries]
    return [row[0] for row in found if row]


# --- create -----------------------------------------------------------------------------------------------------------


async def test_a_new_thread_has_all_keys_and_no_state(sdk: LangGraphClient) -> None:
    thread: Any = await sdk.threads.create()
    assert set(thread) == KEYS
    assert (thread["status"], thread["values"], thread["error"]) == ("idle", None, None)
    assert (thread["metadata"], thread["config"], thread["interrupts"]) == ({}, {}, {})
    assert thread["created_at"] == thread["updated_at"] == thread["state_updated_at"]
    assert await sdk.threads.get(thread["thread_id"]) == thread


async def test_an_existing_thread_is_409_or_left_alone(sdk: LangGraphClient) -> None:
    first = await sdk.threads.create(metadata={"a": 1})
    wanted = first["thread_id"]
    with pytest.raises(ConflictError, match=f"Thread with ID {wanted} already exists"):
        await sdk.threads.create(thread_id=wanted)
    assert await sdk.threads.create(thread_id=wanted, if_exists="do_nothing", metadata={"b": 2}) == first


async def test_of_many_at_once_one_creates_the_thread(sdk: LangGraphClient) -> None:
    wanted = str(uuid.uuid4())
    calls = [sdk.threads.create(thread_id=wanted) for _ in range(8)]
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(isinstance(result, ConflictError) for result in results) == 7


@pytest.mark.parametrize(
    "body",
    [
        {"thread_id": "zz"},
        {"thread_id": 5},
        {"metadata": []},
        {"ttl": 10},
        {"ttl": {"strategy": "burn", "ttl": 1}},
        {"ttl": {"ttl": "1"}},
        {"supersteps": {}},
        {"supersteps": [{}]},
        {"supersteps": [{"updates": [{"values": {}}]}]},
        {"supersteps": [{"updates": [{"values": 5, "as_node": "x"}]}]},
        [],
    ],
)
async def test_a_malformed_body_is_422(http: httpx.AsyncClient, body: Any) -> None:
    answer = await http.post("/threads", json=body)
    assert answer.status_code == 422
    assert isinstance(answer.json()["detail"], str)


async def test_an_unknown_thread_is_404(http: httpx.AsyncClient) -> None:
    detail = {"detail": f"Thread with ID {UNKNOWN} not found"}
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/storage"), ("GET", "/state"), ("GET", "/history")):
        answer = await http.request(method, f"/threads/{UNKNOWN}{path}")
        assert (answer.status_code, answer.json()) == (404, detail)
    answer = await http.patch(f"/threads/{UNKNOWN}", json={})
    assert (answer.status_code, answer.json()) == (404, {"detail": "Not Found"})


# --- what runs leave on the row ---------------------------------------------------------------------------------------


async def test_a_run_leaves_values_and_names_its_graph(sdk: LangGraphClient) -> None:
    thread: Any = await sdk.threads.get(await ran(sdk, metadata={"mine": 1}))
    assert (thread["status"], thread["error"], thread["interrupts"]) == ("idle", None, {})
    assert thread["values"] == {"text": "hi", "log": ["hi"], "messages": []}
    assert (thread["metadata"]["graph_id"], thread["metadata"]["mine"]) == ("echo", 1)
    assert thread["updated_at"] == thread["state_updated_at"] > thread["created_at"]


async def test_an_interrupt_is_kept_under_its_task(sdk: LangGraphClient) -> None:
    """contract/core.md trap 4"""
    wanted = await ran(sdk, "ask", {"q": "ok"})
    thread: Any = await sdk.threads.get(wanted)
    task = (await sdk.threads.get_state(wanted))["tasks"][0]
    assert thread["status"] == "interrupted"
    assert set(thread["interrupts"]) == {task["id"]}
    assert set(thread["interrupts"][task["id"]][0]) == {"id", "value"}
    assert thread["interrupts"][task["id"]][0]["value"] == {"question": "ok!"}


async def test_a_breakpoint_interrupts_without_interrupts(sdk: LangGraphClient) -> None:
    thread = await sdk.threads.get(await ran(sdk, "stops", {"depth": 1}))
    assert (thread["status"], thread["interrupts"], thread["values"]) == ("interrupted", {}, {"depth": 2})


async def test_a_failed_run_leaves_its_error(sdk: LangGraphClient) -> None:
    thread: Any = await sdk.threads.get(await ran(sdk, "boom", {"kind": "value"}))
    assert (thread["status"], thread["error"]) == ("error", {"error": "ValueError", "message": "kaboom"})


# --- change -----------------------------------------------------------------------------------------------------------


async def test_patch_merges_metadata_and_leaves_the_state_alone(http: httpx.AsyncClient, sdk: LangGraphClient) -> None:
    wanted = await ran(sdk, metadata={"a": {"x": 1}, "b": 1})
    before = (await http.get(f"/threads/{wanted}")).json()
    after = (await http.patch(f"/threads/{wanted}", json={"metadata": {"a": {"y": 2}, "b": None}})).json()
    assert after["metadata"] == {**before["metadata"], "a": {"y": 2}, "b": None}
    assert after["updated_at"] > before["updated_at"]
    assert after["state_updated_at"] == before["state_updated_at"]
    assert after["values"] == before["values"]


@pytest.mark.parametrize(("preference", "status"), [("return=minimal", 204), ("return=representation", 200)])
async def test_a_minimal_patch_answers_204(http: httpx.AsyncClient, preference: str, status: int) -> None:
    thread = (await http.post("/threads", json={})).json()
    path = f"/threads/{thread['thread_id']}"
    answer = await http.patch(path, json={"metadata": {"a": 1}}, headers={"Prefer": preference})
    assert (answer.status_code, bool(answer.content)) == (status, status == 200)
    assert (await http.get(path)).json()["metadata"] == {"a": 1}


# --- lifetimes --------------------------------------------------------------------------------------------------------


async def test_a_ttl_is_shown_only_when_asked_for(http: httpx.AsyncClient, sdk: LangGraphClient) -> None:
    created = await sdk.threads.create(ttl=10)
    assert set(created) == KEYS
    path = f"/threads/{created['thread_id']}"
    shown = (await http.get(f"{path}?include=nope&include=values, ttl")).json()["ttl"]
    assert (shown["strategy"], shown["ttl_minutes"]) == ("delete", 10)
    lifetime = datetime.fromisoformat(shown["expires_at"]) - datetime.fromisoformat(str(created["created_at"]))
    assert timedelta(minutes=10) <= lifetime < timedelta(minutes=10, seconds=10)
    assert set((await http.get(f"{path}?include=ttl&include=nope")).json()) == KEYS


async def test_a_ttl_can_be_set_later(http: httpx.AsyncClient, sdk: LangGraphClient) -> None:
    thread = await sdk.threads.create()
    path = f"/threads/{thread['thread_id']}"
    assert "ttl" not in (await http.get(f"{path}?include=ttl")).json()
    await sdk.threads.update(thread["thread_id"], metadata={}, ttl={"ttl": 1.5, "strategy": "keep_latest"})
    shown = (await http.get(f"{path}?include=ttl")).json()["ttl"]
    assert (shown["strategy"], shown["ttl_minutes"]) == ("keep_latest", 1.5)


@pytest.mark.parametrize("minutes", [-5, 0, 1e300])
async def test_an_extreme_ttl_is_taken_as_the_nearest_possible(http: httpx.AsyncClient, minutes: float) -> None:
    answer = await http.post("/threads", json={"ttl": {"ttl": minutes}})
    shown = (await http.get(f"/threads/{answer.json()['thread_id']}?include=ttl")).json()["ttl"]
    assert shown["ttl_minutes"] == min(max(minutes, 0), expiry.LONGEST)


@pytest.mark.django_db
def test_a_thread_gets_the_default_ttl_unless_it_names_one(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANGGRAPH_THREAD_TTL", "7")
    project.cache_clear()
    for body, minutes in (({}, 7), ({"ttl": {"ttl": 3}}, 3)):
        created = client.post("/threads", body, content_type="application/json").json()
        assert Thread.objects.get(pk=created["thread_id"]).ttl_minutes == minutes


# --- delete -----------------------------------------------------------------------------------------------------------


async def test_delete_takes_runs_and_checkpoints_along(sdk: LangGraphClient, server: LiveServer) -> None:
    wanted = await ran(sdk)
    assert all(checkpoint_rows(server, wanted))
    await sdk.threads.delete(wanted)
    assert checkpoint_rows(server, wanted) == [0, 0, 0]
    with psycopg.connect(server.environment["DATABASE_URI"]) as database:
        assert database.execute("SELECT count(*) FROM runs_run WHERE thread_id = %s", [wanted]).fetchone() == (0,)
    with pytest.raises(NotFoundError):
        await sdk.threads.delete(wanted)


async def test_a_thread_created_anew_has_nothing_of_the_deleted_one(sdk: LangGraphClient) -> None:
    wanted = await ran(sdk)
    await sdk.threads.delete(wanted)
    await sdk.threads.create(thread_id=wanted, graph_id="echo")
    assert (await sdk.threads.get_state(wanted))["values"] == {}


async def test_a_busy_thread_can_be_deleted(sdk: LangGraphClient) -> None:
    thread = await sdk.threads.create()
    await sdk.runs.create(thread["thread_id"], "sleeper", input={"seconds": 30})
    await sdk.threads.delete(thread["thread_id"])
    with pytest.raises(NotFoundError):
        await sdk.threads.get(thread["thread_id"])


# --- search -----------------------------------------------------------------------------------------------------------


async def test_search_filters_by_ids_metadata_values_and_status(sdk: LangGraphClient) -> None:
    tag = mark()
    fresh = (await sdk.threads.create(metadata={**tag, "deep": {"a": 1, "b": 2}}))["thread_id"]
    asked = await ran(sdk, "ask", {"q": "ok"}, metadata=tag)

    async def found(**filters: Any) -> set[str]:
        filters["metadata"] = {**tag, **filters.get("metadata", {})}
        rows = await sdk.threads.search(**filters)
        if "ids" not in filters:
            assert await sdk.threads.count(**filters) == len(rows)
        return {row["thread_id"] for row in rows}

    assert await found() == await found(ids=[]) == {fresh, asked}
    assert await found(ids=[asked, UNKNOWN]) == {asked}
    assert await found(metadata={"deep": {"a": 1}}) == {fresh}
    assert await found(values={"q": "ok!"}) == {asked}
    assert await found(status="interrupted") == {asked}
    assert await found(values={"q": "nope"}) == set()


async def test_search_is_newest_first_and_sorts_by_what_is_shown(sdk: LangGraphClient) -> None:
    tag = mark()
    first, second, third = [(await sdk.threads.create(metadata=tag))["thread_id"] for _ in range(3)]
    await sdk.runs.wait(second, "echo", input={"text": "hi"})
    await sdk.threads.update(first, metadata={"later": 1})

    async def order(**options: Any) -> list[str]:
        return [row["thread_id"] for row in await sdk.threads.search(metadata=tag, **options)]

    assert await order() == [third, second, first]
    assert await order(sort_by="updated_at") == [first, second, third]
    assert await order(sort_by="state_updated_at") == [first, second, third]
    assert await order(sort_by="created_at", sort_order="asc") == [first, second, third]
    assert await order(sort_by="thread_id") == sorted([first, second, third], reverse=True)
    assert len(await order(sort_by="status", sort_order="asc")) == 3


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"ids": ["zz"]}, 400),
        ({"ids": "zz"}, 422),
        ({"status": "Idle"}, 422),
        ({"select": ["error"]}, 422),
        ({"select": ["ttl"]}, 422),
        ({"select": ["context"]}, 422),
        ({"sort_by": "metadata"}, 422),
        ({"limit": 0}, 422),
        ({"offset": -1}, 422),
        ({"offset": 1e300}, 422),
        ({"extract": {str(n): "values" for n in range(11)}}, 422),
        ({"extract": {"1a": "values.a"}}, 422),
        ({"extract": {"status": "values.a"}}, 422),
        ({"extract": {"a": ""}}, 422),
        ({"extract": {"a": "status"}}, 422),
        ({"extract": {"a": "valuesx.a"}}, 422),
        ({"extract": {"a": 1}}, 422),
    ],
)
async def test_a_malformed_search_is_refused(http: httpx.AsyncClient, body: Any, status: int) -> None:
    answer = await http.post("/threads/search", json=body)
    assert (answer.status_code, list(answer.json())) == (status, ["detail"])


async def test_extract_adds_what_paths_lead_to(http: httpx.AsyncClient, sdk: LangGraphClient) -> None:
    tag = mark()
    await ran(sdk, metadata={**tag, "list": [1, {"a": 2}], "_secret": 1})
    paths = {
        "last": "metadata.list[-1].a",
        "first": "values.log[0]",
        "letter": "values.text[0]",
        "beyond": "metadata.list[7]",
        "far": "metadata.list[" + "9" * 5000 + "]",
        "hidden": "metadata._secret",
        "whole": "interrupts",
        "config": "config.no.such",
    }
    paths["conf"] = paths.pop("config")
    body = {"metadata": tag, "select": ["status"], "extract": paths}
    row = (await http.post("/threads/search", json=body)).json()[0]
    assert set(row) == {"status", "extracted"}
    nothing = dict.fromkeys(("letter", "beyond", "far", "hidden", "conf"))
    assert row["extracted"] == {"last": 2, "first": "hi", "whole": {}, **nothing}


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["search", "count"])
def test_one_query_answers_a_search(client: Any, django_assert_max_num_queries: Any, path: str) -> None:
    Thread.objects.bulk_create(Thread(metadata={"n": n}) for n in range(30))
    with django_assert_max_num_queries(1):
        answer = client.post(f"/threads/{path}", data={"limit": 25}, content_type="application/json")
    assert answer.status_code == 200


@pytest.mark.django_db
@pytest.mark.parametrize("column", ["metadata", "values"])
def test_a_search_by_content_can_use_the_index(column: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
    wanted: Any = {column: {"a": 1}}
    assert f"thread_{column}" in Thread.objects.matching(**wanted).order_by().explain()


@pytest.mark.django_db
def test_the_newest_page_comes_from_the_index_without_sorting_the_table(client: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("SET LOCAL enable_sort = off")
    plan = ordered(Thread.objects.all(), {}, default="created_at")[:11].explain()
    assert "thread_created" in plan


# --- copy, prune, storage ---------------------------------------------------------------------------------------------


async def test_a_copy_has_the_state_and_history_but_no_runs(http: httpx.AsyncClient, sdk: LangGraphClient) -> None:
    wanted = await ran(sdk, "ask", {"q": "ok"}, metadata={"mine": {"a": 1}})
    source: Any = await sdk.threads.get(wanted)
    copy: Any = (await http.post(f"/threads/{wanted}/copy")).json()
    assert uuid.UUID(copy["thread_id"]).version == 4
    for name in ("metadata", "status", "values", "interrupts"):
        assert copy[name] == source[name]
    assert copy["config"] == {}
    assert await sdk.runs.list(copy["thread_id"]) == []
    history = await sdk.threads.get_history(copy["thread_id"])
    originals = await sdk.threads.get_history(wanted)
    assert [state["checkpoint_id"] for state in history] == [state["checkpoint_id"] for state in originals]  # type: ignore[typeddict-item]
    assert {state["metadata"]["thread_id"] for state in history} == {copy["thread_id"]}  # type: ignore[index]
    assert {state["metadata"].get("run_id") for state in history} == {s["metadata"].get("run_id") for s in originals}  # type: ignore[union-attr]


async def test_a_copy_goes_its_own_way(http: httpx.AsyncClient, sdk: LangGraphClient) -> None:
    wanted = await ran(sdk, "ask", {"q": "ok"})
    copy = (await http.post(f"/threads/{wanted}/copy")).json()["thread_id"]
    assert await sdk.runs.wait(copy, "ask", command={"resume": 7}) == {"q": "ok!", "answer": 7}
    assert (await sdk.threads.get(wanted))["status"] == "interrupted"
    await sdk.threads.delete(wanted)
    assert (await sdk.threads.get_state(copy))["values"] == {"q": "ok!", "answer": 7}


async def test_a_busy_thread_is_copied_as_it_is(http: httpx.AsyncClient, sdk: LangGraphClient) -> None:
    thread = await sdk.threads.create()
    run = await sdk.runs.create(thread["thread_id"], "sleeper", input={"seconds": 30})
    async with asyncio.timeout(20):
        while (await sdk.threads.get_state(thread["thread_id"]))["values"].get("log") != ["first"]:  # type: ignore[union-attr]
            await asyncio.sleep(0.05)
    copy = (await http.post(f"/threads/{thread['thread_id']}/copy")).json()
    assert (copy["status"], copy["values"]["log"]) == ("interrupted", ["first"])
    await sdk.runs.cancel(thread["thread_id"], run["run_id"], wait=True)


async def test_a_copy_of_an_unknown_thread_is_409(http: httpx.AsyncClient) -> None:
    """contract/core.md trap 20"""
    answer = await http.post(f"/threads/{UNKNOWN}/copy")
    assert (answer.status_code, answer.json()) == (409, {"detail": "Conflict"})


async def test_a_thread_without_a_usable_graph_is_copied(http: httpx.AsyncClient) -> None:
    for graph_id in (None, "gone", "not_a_graph", 5, ["echo"]):
        thread = (await http.post("/threads", json={"metadata": {"graph_id": graph_id}})).json()
        copy = await http.post(f"/threads/{thread['thread_id']}/copy")
        assert (copy.status_code, copy.json()["metadata"]) == (200, {"graph_id": graph_id})


async def test_prune_deletes_and_skips_what_is_not_there(http: httpx.AsyncClient, sdk: LangGraphClient) -> None:
    wanted = await ran(sdk)
    answer = await http.post("/threads/prune", json={"thread_ids": [wanted, UNKNOWN]})
    assert (answer.status_code, answer.json()) == (200, {"pruned_count": 1})
    assert (await http.get(f"/threads/{wanted}")).status_code == 404
    assert (await http.post("/threads/prune", json={"thread_ids": []})).json() == {"pruned_count": 0}


async def test_prune_can_keep_the_latest_checkpoint(
    http: httpx.AsyncClient, sdk: LangGraphClient, server: LiveServer
) -> None:
    wanted = await ran(sdk, "counter", {"steps": 5})
    before = await sdk.threads.get_state(wanted)
    body = {"thread_ids": [wanted, UNKNOWN], "strategy": "keep_latest"}
    assert (await http.post("/threads/prune", json=body)).json() == {"pruned_count": 1}
    after = await sdk.threads.get_state(wanted)
    assert (after["values"], after["checkpoint"]) == (before["values"], before["checkpoint"])
    assert len(await sdk.threads.get_history(wanted)) == 1
    assert checkpoint_rows(server, wanted)[0] == 1
    again = await sdk.runs.wait(wanted, "counter", input={"steps": 7})
    assert again["count"] == 7  # type: ignore[call-overload]


@pytest.mark.parametrize("body", [{}, {"thread_ids": ["zz"]}, {"thread_ids": [], "strategy": "x"}, {"thread_ids": "x"}])
async def test_a_malformed_prune_is_422(http: httpx.AsyncClient, body: Any) -> None:
    assert (await http.post("/threads/prune", json=body)).status_code == 422


async def test_storage_counts_what_a_thread_takes(http: httpx.AsyncClient, sdk: LangGraphClient) -> None:
    wanted = await ran(sdk)
    found = (await http.get(f"/threads/{wanted}/storage")).json()
    parts = [found[name] for name in ("checkpoints", "channel_values", "pending_writes")]
    assert all(part["count"] > 0 and part["bytes"] > 0 for part in parts)
    assert found["total_bytes"] == sum(part["bytes"] for part in parts)
    assert set(found["channel_values"]["by_channel"]["log"]) == {"versions", "bytes"}


async def test_storage_of_a_new_thread_is_nothing(http: httpx.AsyncClient, sdk: LangGraphClient) -> None:
    wanted = (await sdk.threads.create())["thread_id"]
    none = {"count": 0, "bytes": 0}
    assert (await http.get(f"/threads/{wanted}/storage")).json() == {
        "thread_id": wanted,
        "total_bytes": 0,
        "checkpoints": none,
        "channel_values": {**none, "by_channel": {}},
        "pending_writes": none,
    }


# --- whatever comes ---------------------------------------------------------------------------------------------------

NAMES = [
    *KEYS,
    *("ids", "limit", "offset", "sort_by", "sort_order", "select", "extract", "ttl", "strategy", "supersteps"),
    *("updates", "as_node", "command", "goto", "update", "resume", "thread_ids", "checkpoint", "checkpoint_id"),
    *("checkpoint_ns", "checkpoint_map", "before", "configurable", "subgraphs", "graph_id", "text", "a\0", ""),
]
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
    | st.sampled_from(
        ["echo", "asc", "idle", "__start__", "__copy__", "__end__", "__input__", "child:1", UNKNOWN, "\0"]
    )
    | st.sampled_from(["values.a[0]", "keep_latest", "do_nothing", 2**63, 10**400])
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3),
    max_leaves=8,
)
BODIES = st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=6) | VALUES
ROUTES = [
    ("POST", "/threads"),
    ("POST", "/threads/search"),
    ("POST", "/threads/count"),
    ("POST", "/threads/prune"),
    ("PATCH", "/threads/{id}"),
    ("POST", "/threads/{id}/state"),
    ("POST", "/threads/{id}/state/checkpoint"),
    ("POST", "/threads/{id}/history"),
]


@pytest.fixture(scope="module")
def graph_pool() -> Iterator[None]:
    """The graph loop's connections to the test database end with the tests that used them."""

    async def close() -> None:
        await (await checkpointer.pool()).close()
        checkpointer._pool = None

    yield
    loop.run(close())


@pytest.mark.django_db
@pytest.mark.usefixtures("graph_pool")
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(route=st.sampled_from(ROUTES), body=BODIES)
def test_no_body_makes_a_threads_endpoint_fail(client: Any, route: tuple[str, str], body: Any) -> None:
    row = Thread.objects.create(metadata={"graph_id": "parent"})
    before = Thread.objects.count()
    path = route[1].format(id=row.pk)
    answer = client.generic(route[0], path, data=json.dumps(body), content_type="application/json")
    assert answer.status_code in (200, 201, 400, 404, 409, 422)
    if answer.status_code != 200:
        assert list(answer.json()) == ["detail"]
        assert isinstance(answer.json()["detail"], str)
        assert Thread.objects.count() == before or "supersteps" in body


@pytest.mark.django_db
@pytest.mark.usefixtures("graph_pool")
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    wanted=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40) | st.just(None),
    part=st.sampled_from(["", "/state", "/state/{}", "/history", "/storage", "/nope"]),
    text=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20),
    query=st.dictionaries(st.sampled_from(["include", "subgraphs", "limit", "before"]), st.text(max_size=5)),
)
def test_no_path_makes_a_threads_endpoint_fail(client: Any, wanted: Any, part: str, text: str, query: Any) -> None:
    row = Thread.objects.create(metadata={"graph_id": "parent"})
    path = f"/threads/{quote(wanted or str(row.pk), safe='')}{part.format(quote(text, safe=''))}"
    answer = client.get(path, query)
    assert answer.status_code in (200, 404, 405, 422)
    assert answer.status_code == 200 or list(answer.json()) == ["detail"]
