"""The store over HTTP and the SDK: items, filters, meaning, time to live, and the same store inside graphs."""

import asyncio
import time
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from langgraph_sdk import get_sync_client
from langgraph_sdk.client import LangGraphClient

from tests.conftest import LiveServer
from tests.wire import detail

PATIENCE = 20.0
TWO_SECONDS: Any = 2 / 60  # minutes; the SDK's type asks for whole ones


def fresh(*labels: str) -> list[str]:
    """A namespace of this test alone."""
    return [f"t{uuid.uuid4().hex}", *labels]


async def put(sdk: LangGraphClient, namespace: list[str], items: dict[str, dict[str, Any]]) -> None:
    for key, value in items.items():
        await sdk.store.put_item(namespace, key, value)


async def keys(sdk: LangGraphClient, namespace: list[str], **arguments: Any) -> list[str]:
    found = await sdk.store.search_items(namespace, **arguments)
    return [item["key"] for item in found["items"]]


async def eventually(check: Callable[[], Any], wanted: Any) -> None:
    deadline = time.monotonic() + PATIENCE
    while (found := await check()) != wanted:
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.02)


# --- items ------------------------------------------------------------------------------------------------------------


async def test_every_method_of_the_async_client(sdk: LangGraphClient) -> None:
    space = fresh("prefs")
    assert await sdk.store.put_item(space, "theme", {"dark": True, "n": 1}) is None  # type: ignore[func-returns-value]
    item = await sdk.store.get_item(space, "theme")
    assert set(item) == {"namespace", "key", "value", "created_at", "updated_at"}
    assert (item["namespace"], item["key"], item["value"]) == (space, "theme", {"dark": True, "n": 1})
    assert datetime.fromisoformat(str(item["created_at"])).utcoffset() == timedelta()
    found = await sdk.store.search_items(space)
    assert found == {"items": [{**item, "score": None}]}
    assert await sdk.store.list_namespaces(prefix=space[:1]) == {"namespaces": [space]}
    assert await sdk.store.delete_item(space, "theme") is None  # type: ignore[func-returns-value]
    assert await sdk.store.get_item(space, "theme") is None
    assert await sdk.store.search_items(space) == {"items": []}
    assert await sdk.store.list_namespaces(prefix=space[:1]) == {"namespaces": []}


def test_every_method_of_the_sync_client(server: LiveServer) -> None:
    space = fresh()
    with get_sync_client(url=server.url, timeout=30) as client:
        client.store.put_item(space, "k", {"text": "red"}, index=["text"], ttl=5)
        item = client.store.get_item(space, "k", refresh_ttl=False)
        assert item["value"] == {"text": "red"}
        found = client.store.search_items(space, filter={"text": "red"}, limit=1, offset=0, query="red")
        assert [row["key"] for row in found["items"]] == ["k"]
        assert client.store.list_namespaces(prefix=space, max_depth=1, limit=5, offset=0) == {"namespaces": [space]}
        client.store.delete_item(space, "k")
        assert client.store.get_item(space, "k") is None


async def test_an_item_that_is_absent_is_200_and_null(http: httpx.AsyncClient) -> None:
    """contract/platform.md trap 1"""
    answer = await http.get("/store/items", params={"namespace": "a.b", "key": uuid.uuid4().hex})
    assert (answer.status_code, answer.content) == (200, b"null")


async def test_put_and_delete_answer_204_without_a_body_however_often(http: httpx.AsyncClient) -> None:
    """contract/platform.md traps 2 and 5"""
    address = {"namespace": fresh(), "key": "k"}
    for method, body in (("PUT", {**address, "value": {}}), ("DELETE", address), ("DELETE", address)):
        answer = await http.request(method, "/store/items", json=body)
        assert (answer.status_code, answer.content) == (204, b"")
    assert (await http.request("DELETE", "/store/items", json={"key": "k"})).status_code == 204


async def test_a_second_put_replaces_the_value_and_keeps_the_time_of_creation(sdk: LangGraphClient) -> None:
    space = fresh()
    await sdk.store.put_item(space, "k", {"a": 1, "b": 2})
    first: Any = await sdk.store.get_item(space, "k")
    await sdk.store.put_item(space, "k", {"c": 3})
    second: Any = await sdk.store.get_item(space, "k")
    assert second["value"] == {"c": 3}
    assert second["created_at"] == first["created_at"]
    assert second["updated_at"] > first["updated_at"]


async def test_a_value_comes_back_as_it_went_in(sdk: LangGraphClient) -> None:
    space = fresh()
    value: dict[str, Any] = {
        "π": "ü\u2028",
        "n": [1, -0.5, 2**53, None, True, {"deep": [[]]}],
        "": {},
        "big": "x" * 100_000,
    }
    await sdk.store.put_item(space, "ключ/%_'\"", {**value, "nul": "a\0b"})
    assert (await sdk.store.get_item(space, "ключ/%_'\""))["value"] == {**value, "nul": "a\ufffdb"}


# --- what is refused --------------------------------------------------------------------------------------------------

LABEL = "Namespace label {} must be a non-empty string without periods"


@pytest.mark.parametrize("label", ["a.", "", "a.b"])
@pytest.mark.parametrize(
    ("method", "path", "field"),
    [
        ("PUT", "/store/items", "namespace"),
        ("DELETE", "/store/items", "namespace"),
        ("POST", "/store/items/search", "namespace_prefix"),
        ("POST", "/store/namespaces", "prefix"),
        ("POST", "/store/namespaces", "suffix"),
    ],
)
async def test_a_bad_label_is_422_as_bare_text(
    http: httpx.AsyncClient, method: str, path: str, field: str, label: str
) -> None:
    """contract/platform.md 3.1"""
    answer = await http.request(method, path, json={field: ["fine", label], "key": "k", "value": {}})
    assert (answer.status_code, answer.text) == (422, LABEL.format(repr(label)))
    assert "content-type" not in answer.headers


async def test_the_namespace_of_a_get_is_one_parameter_joined_by_dots(
    http: httpx.AsyncClient, sdk: LangGraphClient
) -> None:
    """contract/platform.md trap 4"""
    space = fresh("a", "b")
    await sdk.store.put_item(space, "k", {"here": 1})
    for given in ([".".join(space)], ["other", ".".join(space)]):
        answer = await http.get("/store/items", params={"namespace": given, "key": "k"})
        assert answer.json()["value"] == {"here": 1}
    for missing in ({"key": "k"}, {"key": "k", "namespace": ""}, {"key": "k", "namespace": "a..b"}):
        answer = await http.get("/store/items", params=missing)
        assert (answer.status_code, answer.text) == (422, LABEL.format("''"))


async def test_a_get_without_a_key_is_400_under_error(http: httpx.AsyncClient) -> None:
    for params in ({"namespace": "a"}, {"namespace": "a", "key": ""}):
        answer = await http.get("/store/items", params=params)
        assert (answer.status_code, answer.json()) == (400, {"error": "Key is required"})


@pytest.mark.parametrize(
    ("namespace", "text"),
    [([], "Namespace cannot be empty."), (["langgraph", "a"], "langgraph"), (["a\0b"], "NUL")],
    ids=["empty", "langgraph", "nul"],
)
async def test_a_namespace_the_store_keeps_to_itself_is_400(
    http: httpx.AsyncClient, namespace: list[str], text: str
) -> None:
    answer = await http.put("/store/items", json={"namespace": namespace, "key": "k", "value": {}})
    assert answer.status_code == 400
    assert text in detail(answer)


FITS = {"namespace": ["a"], "key": "k", "value": {}}


@pytest.mark.parametrize(
    "change",
    [
        {"value": None},
        {"value": []},
        {"value": "x"},
        {"key": 1},
        {"key": None},
        {"namespace": "a"},
        {"namespace": [1]},
        {"namespace": None},
        {"index": True},
        {"index": "text"},
        {"index": [1]},
        {"ttl": "5"},
        {"ttl": True},
    ],
    ids=str,
)
async def test_a_put_that_breaks_the_schema_is_422(http: httpx.AsyncClient, change: dict[str, Any]) -> None:
    answer = await http.put("/store/items", json={**FITS, **change})
    assert answer.status_code == 422, answer.text
    assert detail(answer)


@pytest.mark.parametrize("field", ["namespace", "key", "value"])
async def test_a_put_needs_namespace_key_and_value(http: httpx.AsyncClient, field: str) -> None:
    answer = await http.put("/store/items", json={name: FITS[name] for name in FITS if name != field})
    assert answer.status_code == 422
    assert field in detail(answer)


@pytest.mark.parametrize(
    "change",
    [
        {"namespace": ["a"] * 21},
        {"namespace": ["ä" * 501]},
        {"key": "k" * 1001},
        {"index": ["f"] * 51},
        {"index": ["f" * 401]},
        {"value": {"text": "x" * 8_388_608}},
    ],
    ids=["depth", "namespace", "key", "fields", "field", "value"],
)
async def test_what_is_beyond_the_bounds_is_400(http: httpx.AsyncClient, change: dict[str, Any]) -> None:
    answer = await http.put("/store/items", json={**FITS, **change})
    assert answer.status_code == 400, answer.text
    assert len(detail(answer)) < 200


async def test_what_is_just_within_the_bounds_is_stored(sdk: LangGraphClient) -> None:
    noise = "".join(chr(33 + (i * 7919) % 90) for i in range(1000)).replace(".", ",")
    space = [uuid.uuid4().hex, noise[:960]]
    await sdk.store.put_item(space, noise, {"f" * 400: "red"}, index=["f" * 400])
    assert (await sdk.store.get_item(space, noise))["key"] == noise


@pytest.mark.parametrize("body", [{"limit": -1}, {"offset": -1}, {"limit": 10_001}, {"limit": 1.5}, {"filter": []}])
async def test_a_search_that_breaks_the_schema_is_422(http: httpx.AsyncClient, body: dict[str, Any]) -> None:
    answer = await http.post("/store/items/search", json={"namespace_prefix": ["a"], **body})
    assert answer.status_code == 422
    assert detail(answer)


@pytest.mark.parametrize("body", [{"prefix": None}, {"suffix": None}, {"max_depth": 0}, {"limit": -1}], ids=str)
async def test_a_listing_that_breaks_the_schema_is_422(http: httpx.AsyncClient, body: dict[str, Any]) -> None:
    assert (await http.post("/store/namespaces", json=body)).status_code == 422


# --- search -----------------------------------------------------------------------------------------------------------


async def test_a_prefix_is_matched_label_by_label(sdk: LangGraphClient) -> None:
    root = fresh()[0]
    for space in ([root], [root, "user"], [root, "user", "x"], [root, "users"], [root, "us_r"], [root, "US"]):
        await sdk.store.put_item(space, "/".join(space[1:]) or "root", {})
    assert sorted(await keys(sdk, [root, "user"])) == ["user", "user/x"]
    assert await keys(sdk, [root, "us_r"]) == ["us_r"]
    assert len(await keys(sdk, [root])) == 6
    assert await keys(sdk, [root[:-1]]) == []


async def test_no_prefix_at_all_searches_everything(http: httpx.AsyncClient, sdk: LangGraphClient) -> None:
    mark = uuid.uuid4().hex
    await sdk.store.put_item(fresh(), "k", {"mark": mark})
    prefixes: list[dict[str, Any]] = [{}, {"namespace_prefix": None}, {"namespace_prefix": []}]
    for prefix in prefixes:
        answer = await http.post("/store/items/search", json={**prefix, "filter": {"mark": mark}})
        assert [item["key"] for item in answer.json()["items"]] == ["k"]


async def test_items_are_listed_latest_change_first_in_pages(sdk: LangGraphClient) -> None:
    space = fresh()
    await put(sdk, space, {f"k{i:02}": {} for i in range(12)})
    await sdk.store.put_item(space, "k03", {"again": True})
    listed = await keys(sdk, space, limit=100)
    assert listed == ["k03", *(f"k{i:02}" for i in range(11, -1, -1) if i != 3)]
    assert await keys(sdk, space) == await keys(sdk, space, limit=0) == listed[:10]
    assert await keys(sdk, space, limit=5, offset=10) == listed[10:]


VALUES: dict[str, dict[str, Any]] = {
    "one": {"n": 1, "tag": "a", "deep": {"x": {"y": 1}, "z": 2}, "list": [1, 2], "when": "2024-01-01"},
    "ten": {"n": 10, "tag": "b", "list": [2, 1], "none": None, "when": "2024-06-01"},
    "text": {"n": "7.5", "tag": "c", "list": [1, 2, 3]},
    "odd": {"n": [5], "tag": True},
}


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"tag": "a"}, "one"),
        ({"tag": "a", "n": 1}, "one"),
        ({"tag": "a", "n": 10}, ""),
        ({"list": [1, 2]}, "one"),
        ({"deep": {"x": {"y": 1}}}, "one"),
        ({"deep": {"x": {"y": 2}}}, ""),
        ({"deep": {}}, "one"),
        ({"deep": {"x": {"y": {"$gte": 1}}}}, "one"),
        ({"n": {"$eq": 1}}, "one"),
        ({"n": {"$ne": 1}}, "odd ten text"),
        ({"none": {"$ne": 5}}, "odd one ten text"),
        ({"none": None}, "odd one ten text"),
        ({"n": {"$gt": 9}}, "ten"),
        ({"n": {"$gt": 7}}, "ten text"),
        ({"n": {"$gte": 1, "$lt": 10}}, "one text"),
        ({"n": {"$lte": "7.5"}}, "one text"),
        ({"missing": {"$gt": 0}}, ""),
        ({"when": {"$gt": "2024-03"}}, "ten"),
        ({"tag": {"$lt": 5}}, ""),
        ({"$and": [{"tag": "a"}]}, ""),
        ({"tag": ""}, ""),
        ({"a\0b": 1}, ""),
    ],
    ids=str,
)
async def test_filters(sdk: LangGraphClient, http: httpx.AsyncClient, wanted: dict[str, Any], found: str) -> None:
    space = ["filters"]
    if await sdk.store.get_item(space, "odd") is None:
        await put(sdk, space, VALUES)
    assert " ".join(sorted(await keys(sdk, space, filter=wanted))) == found


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        ({"n": {"$in": [1]}}, "Unsupported operator: $in"),
        ({"n": {"$gt": None}}, "$gt compares"),
        ({"n": {"$lt": True}}, "$lt compares"),
        ({str(i): i for i in range(2000)}, "conditions"),
    ],
    ids=["operator", "null", "true", "many"],
)
async def test_a_filter_that_says_nothing_is_400(http: httpx.AsyncClient, wanted: dict[str, Any], text: str) -> None:
    answer = await http.post("/store/items/search", json={"namespace_prefix": [], "filter": wanted})
    assert answer.status_code == 400
    assert text in detail(answer)


# --- meaning ----------------------------------------------------------------------------------------------------------


async def scores(sdk: LangGraphClient, space: list[str], query: str, **arguments: Any) -> list[tuple[str, Any]]:
    found = await sdk.store.search_items(space, query=query, **arguments)
    return [(item["key"], item["score"]) for item in found["items"]]


async def test_a_query_finds_the_nearest_first_and_items_without_vectors_last(sdk: LangGraphClient) -> None:
    space = fresh()
    await put(sdk, space, {"red": {"text": "red red"}, "mixed": {"text": "red green"}, "blue": {"text": "blue"}})
    await sdk.store.put_item(space, "none", {"text": "red"}, index=False)
    await sdk.store.put_item(space, "other", {"colour": "red"})
    found = await scores(sdk, space, "red")
    assert [key for key, _ in found[:3]] == ["red", "mixed", "blue"]
    assert {key for key, score in found[3:] if score is None} == {"none", "other"}
    numbers = [score for _, score in found[:3]]
    assert numbers == sorted(numbers, reverse=True)
    assert 0.99 < numbers[0] <= 1.0
    assert await scores(sdk, space, "red", limit=2, offset=1) == found[1:3]
    assert [key for key, _ in await scores(sdk, space, "red", filter={"text": "blue"})] == ["blue"]


async def test_an_item_counts_by_the_best_of_its_vectors(sdk: LangGraphClient) -> None:
    space = fresh()
    await sdk.store.put_item(space, "many", {"all": ["blue", "green", "red red"]}, index=["all[*]"])
    await sdk.store.put_item(space, "one", {"text": "red green"})
    assert [key for key, _ in await scores(sdk, space, "red")] == ["many", "one"]


async def test_a_replaced_item_is_found_by_its_new_value_only(sdk: LangGraphClient) -> None:
    space = fresh()
    await sdk.store.put_item(space, "k", {"text": "red"})
    await sdk.store.put_item(space, "k", {"colour": "blue"})
    assert await scores(sdk, space, "red") == [("k", None)]
    await sdk.store.put_item(space, "k", {"text": "blue"})
    ((_, score),) = await scores(sdk, space, "red")
    assert score < 0.5


async def test_an_embedding_that_fails_fails_the_put_and_stores_nothing(
    http: httpx.AsyncClient, sdk: LangGraphClient
) -> None:
    space = fresh()
    await sdk.store.put_item(space, "k", {"text": "red"})
    answer = await http.put("/store/items", json={"namespace": space, "key": "k", "value": {"text": "fail"}})
    assert (answer.status_code, detail(answer)) == (502, "The embedding function failed: RuntimeError")
    assert (await sdk.store.get_item(space, "k"))["value"] == {"text": "red"}


# --- namespaces -------------------------------------------------------------------------------------------------------


async def test_namespaces_by_prefix_suffix_wildcard_and_depth(sdk: LangGraphClient) -> None:
    root = fresh()[0]
    spaces = [[root, "a", "x"], [root, "a", "y"], [root, "a-b"], [root, "b", "x", "deep"], [root, "bx"]]
    for space in spaces:
        await sdk.store.put_item(space, "k", {})

    async def listed(prefix: list[str], **arguments: Any) -> list[str]:
        found = await sdk.store.list_namespaces(prefix=[root, *prefix], **arguments)
        assert all(space[0] == root for space in found["namespaces"])
        return ["/".join(space[1:]) for space in found["namespaces"]]

    assert await listed([]) == ["a/x", "a/y", "a-b", "b/x/deep", "bx"]
    assert await listed(["a"]) == ["a/x", "a/y"]
    assert await listed(["*", "x"]) == ["a/x", "b/x/deep"]
    assert await listed([], suffix=["x"]) == ["a/x"]
    assert await listed([], suffix=["x", "*"]) == ["b/x/deep"]
    assert await listed([], max_depth=2) == ["a", "a-b", "b", "bx"]
    assert await listed([], max_depth=2, limit=2, offset=1) == ["a-b", "b"]
    assert await listed([], limit=0) == []


async def test_reading_a_namespace_does_not_make_it(sdk: LangGraphClient) -> None:
    space = fresh("read")
    await sdk.store.get_item(space, "k")
    await sdk.store.search_items(space)
    assert await sdk.store.list_namespaces(prefix=space) == {"namespaces": []}


async def test_namespaces_are_an_object_and_all_when_nothing_is_asked(http: httpx.AsyncClient) -> None:
    answer = await http.post("/store/namespaces", json={})
    assert answer.status_code == 200
    assert list(answer.json()) == ["namespaces"]


# --- time to live -----------------------------------------------------------------------------------------------------


async def test_an_item_is_gone_when_its_time_is_up_and_a_read_begins_it_anew(sdk: LangGraphClient) -> None:
    space = fresh()
    for key in ("left", "read", "peeked"):
        await sdk.store.put_item(space, key, {}, ttl=TWO_SECONDS)
    begun = time.monotonic()
    while time.monotonic() - begun < 2.5:
        assert await sdk.store.get_item(space, "read") is not None
        await sdk.store.get_item(space, "peeked", refresh_ttl=False)
        await asyncio.sleep(0.1)
    assert await keys(sdk, space, refresh_ttl=False) == ["read"]
    assert await sdk.store.get_item(space, "peeked") is None
    await eventually(lambda: sdk.store.list_namespaces(prefix=space), {"namespaces": []})


async def test_a_search_refreshes_what_it_finds_when_it_says_so(http: httpx.AsyncClient, sdk: LangGraphClient) -> None:
    space = fresh()
    await sdk.store.put_item(space, "k", {"text": "red"}, ttl=TWO_SECONDS)
    begun = time.monotonic()
    while time.monotonic() - begun < 2.5:
        assert await keys(sdk, space, query="red", refresh_ttl=True) == ["k"]
        await asyncio.sleep(0.1)
    while time.monotonic() - begun < 2.5 + PATIENCE and await keys(sdk, space, refresh_ttl=False):
        await asyncio.sleep(0.1)
    assert await keys(sdk, space) == []


async def test_what_replaces_an_expired_item_is_new(sdk: LangGraphClient) -> None:
    space = fresh()
    await sdk.store.put_item(space, "k", {"old": 1})
    first: Any = await sdk.store.get_item(space, "k")
    await sdk.store.put_item(space, "k", {"old": 2}, ttl=0)
    assert await sdk.store.get_item(space, "k") is None
    await sdk.store.put_item(space, "k", {"new": 1})
    second: Any = await sdk.store.get_item(space, "k")
    assert second["created_at"] > first["created_at"]


# --- inside graphs ----------------------------------------------------------------------------------------------------


async def test_a_graph_and_the_api_see_the_same_store(sdk: LangGraphClient) -> None:
    space = fresh("inside")
    await sdk.store.put_item(space[:1], "from the api", {"n": 1})
    given: Any = {"namespace": space, "key": "from the graph", "value": {"text": "green", "when": "now"}}
    threads: list[Any] = [None, (await sdk.threads.create())["thread_id"]]
    for thread_id in threads:
        values: Any = await sdk.runs.wait(thread_id, "memo", input=given)
        assert values["found"]["keys"] == ["from the api", "from the graph"]
        assert values["found"]["item"]["value"] == given["value"]
    assert (await sdk.store.get_item(space, "from the graph"))["value"] == given["value"]
    ((key, score),) = await scores(sdk, space, "green")
    assert key == "from the graph"
    assert score > 0.9


async def test_what_the_store_refuses_fails_the_run_and_says_why(sdk: LangGraphClient) -> None:
    thread_id = (await sdk.threads.create())["thread_id"]
    given: Any = {"namespace": fresh(), "key": "k" * 2000, "value": {}}
    values: Any = await sdk.runs.wait(thread_id, "memo", input=given, raise_error=False)
    assert values["__error__"] == {"error": "UnfitItem", "message": "A key takes at most 1000 bytes"}


async def test_the_memory_example_knows_in_one_thread_what_was_said_in_another(sdk: LangGraphClient) -> None:
    user = {"user": uuid.uuid4().hex}

    async def say(text: str) -> str:
        thread_id = (await sdk.threads.create())["thread_id"]
        said: Any = {"messages": [{"role": "user", "content": text}]}
        values: Any = await sdk.runs.wait(thread_id, "memory", context=user, input=said)
        return str(values["messages"][-1]["content"])

    assert "nothing" in await say("What do you know?")
    assert await say("Remember that my bicycle is red") == "I will remember: my bicycle is red"
    assert "my bicycle is red" in await say("Which colour is my bicycle?")
