"""The assistants endpoints, over the wire. Source: contract/core.md 3."""

import asyncio
import json
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import psycopg
import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import BadRequestError, ConflictError, NotFoundError

from assistants import graphs
from assistants.models import Assistant, AssistantVersion, sync_default_assistants
from assistants.startup import start
from config import headers
from config.project import ProjectError, project
from tests.conftest import LiveServer

ECHO = "046b5dc7-2108-582c-9c6c-31d556d138f0"
KEYS = {
    "assistant_id",
    "graph_id",
    "config",
    "context",
    "metadata",
    "name",
    "created_at",
    "updated_at",
    "version",
    "description",
}
UNKNOWN = str(uuid.uuid4())


def mark() -> dict[str, Any]:
    return {"mark": uuid.uuid4().hex}


# --- default assistants -----------------------------------------------------------------------------------------------


def test_ids_of_default_assistants_match_those_clients_derive() -> None:
    """contract/core.md trap 1"""
    assert str(graphs.assistant_id_of("agent")) == "fe096781-5601-53d2-b2f6-0d3403f7e9ca"
    assert str(graphs.assistant_id_of("echo")) == ECHO


async def test_a_default_assistant_says_what_its_graph_is(sdk: LangGraphClient) -> None:
    found = (await sdk.assistants.search(graph_id="chat", metadata={"created_by": "system"}))[0]
    assert set(found) == KEYS
    assert found["assistant_id"] == str(graphs.assistant_id_of("chat"))
    assert (found["version"], found["config"], found["context"]) == (1, {}, {})
    assert (found["name"], found["description"]) == ("chat", "A chat agent.")


async def test_a_compiled_graph_with_a_name_gives_it_to_its_assistant(sdk: LangGraphClient) -> None:
    assert (await sdk.assistants.get(str(graphs.assistant_id_of("drawn"))))["name"] == "Draughtsman"
    assert (await sdk.assistants.get(str(graphs.assistant_id_of("made"))))["name"] == "made"


@pytest.mark.django_db
def test_a_start_recreates_deleted_default_assistants_and_keeps_changed_ones() -> None:
    start()
    Assistant.objects.filter(pk=ECHO).delete()
    chat = Assistant.objects.get(pk=graphs.assistant_id_of("chat"))
    chat.revise({"config": {"tags": ["mine"]}, "name": "mine"})
    start()
    assert Assistant.objects.get(pk=ECHO).version == 1
    chat.refresh_from_db()
    assert (chat.name, chat.config, chat.version) == ("chat", {"tags": ["mine"]}, 3)


@pytest.mark.django_db
def test_a_default_config_comes_with_the_first_start_only() -> None:
    def wanted(config: dict[str, Any]) -> Assistant:
        return Assistant(assistant_id=uuid.UUID(ECHO), graph_id="echo", name="echo", config=config)

    sync_default_assistants([wanted({"tags": ["a"]})])
    sync_default_assistants([wanted({"tags": ["b"]})])
    assert Assistant.objects.get(pk=ECHO).config == {"tags": ["a"]}
    assert AssistantVersion.objects.filter(assistant_id=ECHO).count() == 1


# --- create -----------------------------------------------------------------------------------------------------------


async def test_a_new_assistant_has_all_ten_keys(sdk: LangGraphClient) -> None:
    created = await sdk.assistants.create("echo")
    assert set(created) == KEYS
    assert (created["name"], created["description"], created["version"]) == ("Untitled", None, 1)
    assert (created["config"], created["context"], created["metadata"]) == ({}, {}, {})
    assert created["created_at"] == created["updated_at"]
    assert await sdk.assistants.get(created["assistant_id"]) == created


async def test_an_empty_name_is_untitled(http: httpx.AsyncClient) -> None:
    answer = await http.post("/assistants", json={"graph_id": "echo", "name": "", "description": None})
    assert (answer.json()["name"], answer.json()["description"]) == ("Untitled", None)


async def test_an_existing_id_is_409_or_left_alone(sdk: LangGraphClient) -> None:
    first = await sdk.assistants.create("echo", name="first")
    wanted = first["assistant_id"]
    with pytest.raises(ConflictError, match=f"Assistant {wanted} already exists"):
        await sdk.assistants.create("echo", assistant_id=wanted)
    again = await sdk.assistants.create("echo", assistant_id=wanted, name="again", if_exists="do_nothing")
    assert again == first


async def test_of_many_at_once_one_creates_the_assistant(sdk: LangGraphClient) -> None:
    wanted = str(uuid.uuid4())
    calls = [
        sdk.assistants.create("echo", assistant_id=wanted, name=str(number), if_exists="do_nothing")
        for number in range(8)
    ]
    assert len({found["name"] for found in await asyncio.gather(*calls)}) == 1
    assert len(await sdk.assistants.get_versions(wanted)) == 1


@pytest.mark.parametrize(
    "config",
    [
        {"tags": "a"},
        {"tags": [1]},
        {"recursion_limit": "5"},
        {"recursion_limit": 5.5},
        {"configurable": []},
        {"metadata": []},
        [],
    ],
)
async def test_a_malformed_config_is_422(http: httpx.AsyncClient, config: Any) -> None:
    assert (await http.post("/assistants", json={"graph_id": "echo", "config": config})).status_code == 422


async def test_other_config_keys_are_kept(sdk: LangGraphClient) -> None:
    config: Any = {"tags": ["a"], "recursion_limit": 7, "metadata": {"m": 1}, "whatever": [1]}
    assert (await sdk.assistants.create("echo", config=config))["config"] == config


async def test_configurable_and_context_are_mirrored(sdk: LangGraphClient) -> None:
    one = await sdk.assistants.create("echo", config={"configurable": {"a": 1}}, context={})
    assert (one["config"], one["context"]) == ({"configurable": {"a": 1}}, {"a": 1})
    other = await sdk.assistants.create("echo", config={"tags": ["t"]}, context={"b": 2})
    assert (other["config"], other["context"]) == ({"tags": ["t"], "configurable": {"b": 2}}, {"b": 2})


async def test_configurable_beside_context_is_400(sdk: LangGraphClient) -> None:
    """contract/core.md trap 12"""
    with pytest.raises(BadRequestError):
        await sdk.assistants.create("echo", config={"configurable": {"a": 1}}, context={"a": 1})
    created = await sdk.assistants.create("echo", config={"configurable": {}}, context={"a": 1})
    with pytest.raises(BadRequestError):
        await sdk.assistants.update(created["assistant_id"], config={"configurable": {"a": 1}}, context={"a": 1})


async def test_an_unregistered_graph_is_404_and_the_answer_names_the_others(sdk: LangGraphClient) -> None:
    calls = [
        sdk.assistants.create("nope"),
        sdk.assistants.update(ECHO, graph_id="nope"),
        sdk.assistants.search(graph_id="nope"),
        sdk.assistants.count(graph_id="nope"),
    ]
    for call in calls:
        with pytest.raises(NotFoundError, match="'approval', 'ask'"):
            await call


@pytest.mark.parametrize("body", [{}, {"graph_id": 1}, {"graph_id": "echo", "assistant_id": "zz"}, []])
async def test_a_malformed_body_is_422(http: httpx.AsyncClient, body: Any) -> None:
    answer = await http.post("/assistants", json=body)
    assert answer.status_code == 422
    assert isinstance(answer.json()["detail"], str)


# --- change -----------------------------------------------------------------------------------------------------------


async def test_every_patch_makes_a_version_even_an_empty_one(sdk: LangGraphClient) -> None:
    created = await sdk.assistants.create("echo")
    changed = await sdk.assistants.update(created["assistant_id"])
    assert changed["version"] == 2
    assert changed["created_at"] == created["created_at"] < changed["updated_at"]


async def test_metadata_is_merged_at_the_top_level_and_nulls_stay(http: httpx.AsyncClient) -> None:
    created = (await http.post("/assistants", json={"graph_id": "echo", "metadata": {"a": {"x": 1}, "b": 1}})).json()
    answer = await http.patch(f"/assistants/{created['assistant_id']}", json={"metadata": {"a": {"y": 2}, "b": None}})
    assert answer.json()["metadata"] == {"a": {"y": 2}, "b": None}


async def test_config_and_context_are_replaced(sdk: LangGraphClient) -> None:
    """contract/core.md trap 12"""
    created = await sdk.assistants.create("echo", config={"tags": ["t"], "configurable": {"a": 1}})

    async def changed(**changes: Any) -> tuple[Any, Any]:
        found = await sdk.assistants.update(created["assistant_id"], **changes)
        return found["config"], found["context"]

    assert await changed(config={}) == ({"tags": ["t"], "configurable": {"a": 1}}, {"a": 1})
    assert await changed(context={}) == ({"tags": ["t"], "configurable": {"a": 1}}, {})
    assert await changed(context={"b": 2}) == ({"configurable": {"b": 2}}, {"b": 2})
    assert await changed(config={"tags": ["u"]}) == ({"tags": ["u"]}, {"b": 2})
    assert await changed(config={"configurable": {"c": 3}}) == ({"configurable": {"c": 3}}, {"c": 3})


async def test_name_description_and_graph_are_replaced(http: httpx.AsyncClient) -> None:
    created = (await http.post("/assistants", json={"graph_id": "echo", "name": "a", "description": "b"})).json()
    changes = {"graph_id": "counter", "name": "c", "description": ""}
    changed = (await http.patch(f"/assistants/{created['assistant_id']}", json=changes)).json()
    assert (changed["graph_id"], changed["name"], changed["description"]) == ("counter", "c", "")


async def test_an_unknown_assistant_is_404(sdk: LangGraphClient) -> None:
    with pytest.raises(NotFoundError, match="Not Found"):
        await sdk.assistants.get(UNKNOWN)
    with pytest.raises(NotFoundError, match=f"Assistant {UNKNOWN} not found"):
        await sdk.assistants.update(UNKNOWN)
    with pytest.raises(NotFoundError, match=f"Assistant with ID {UNKNOWN} not found"):
        await sdk.assistants.delete(UNKNOWN)
    for call in (sdk.assistants.get_graph, sdk.assistants.get_schemas, sdk.assistants.get_subgraphs):
        with pytest.raises(NotFoundError):
            await call(UNKNOWN)


@pytest.mark.parametrize("path", ["", "/schemas", "/subgraphs"])
async def test_elsewhere_a_graph_id_is_no_assistant_id(http: httpx.AsyncClient, path: str) -> None:
    assert (await http.get(f"/assistants/echo{path}")).status_code == 422


# --- versions ---------------------------------------------------------------------------------------------------------


async def test_versions_come_newest_first_without_updated_at(sdk: LangGraphClient) -> None:
    created = await sdk.assistants.create("echo", metadata={"n": 1})
    await sdk.assistants.update(created["assistant_id"], metadata={"n": 2})
    found = await sdk.assistants.get_versions(created["assistant_id"])
    assert [row["version"] for row in found] == [2, 1]
    assert set(found[0]) == KEYS - {"updated_at"}
    assert found[1]["created_at"] == created["created_at"] < found[0]["created_at"]
    filtered = await sdk.assistants.get_versions(created["assistant_id"], metadata={"n": 1})
    assert [row["version"] for row in filtered] == [1]


async def test_versions_with_nothing_to_show_are_404(http: httpx.AsyncClient) -> None:
    """contract/core.md trap 20"""
    for body in ({"offset": 5}, {"metadata": {"no": "such"}}):
        assert (await http.post(f"/assistants/{ECHO}/versions", json=body)).status_code == 404
    assert (await http.post(f"/assistants/{UNKNOWN}/versions", json={})).status_code == 404


async def test_an_earlier_version_becomes_the_latest_whole(sdk: LangGraphClient) -> None:
    first = await sdk.assistants.create("echo", name="first", context={"a": 1}, metadata={"n": 1})
    wanted = first["assistant_id"]
    await sdk.assistants.update(wanted, graph_id="counter", name="second", context={"b": 2}, metadata={"n": 2})
    back = await sdk.assistants.set_latest(wanted, 1)
    assert back == {**first, "updated_at": back["updated_at"]}
    assert back["updated_at"] > first["updated_at"]
    assert len(await sdk.assistants.get_versions(wanted)) == 2
    assert (await sdk.assistants.update(wanted))["version"] == 3


async def test_a_missing_version_is_404(http: httpx.AsyncClient) -> None:
    for body in ({"version": 99}, {"version": -1}, {"version": 1e300}, {}):
        assert (await http.post(f"/assistants/{ECHO}/latest", json=body)).status_code == 404
    assert (await http.post(f"/assistants/{UNKNOWN}/latest", json={"version": 1})).status_code == 404


async def test_latest_reads_the_body_before_the_id(http: httpx.AsyncClient) -> None:
    answer = await http.post("/assistants/zz/latest", json={"version": "1"})
    assert "version" in answer.json()["detail"]


# --- delete -----------------------------------------------------------------------------------------------------------


async def test_delete_takes_the_versions_along_and_leaves_threads(sdk: LangGraphClient, server: LiveServer) -> None:
    created = await sdk.assistants.create("echo")
    thread = await sdk.threads.create()
    await sdk.runs.wait(thread["thread_id"], created["assistant_id"], input={"text": "hi"})
    await sdk.assistants.delete(created["assistant_id"])
    with pytest.raises(NotFoundError):
        await sdk.assistants.get(created["assistant_id"])
    with psycopg.connect(server.environment["DATABASE_URI"]) as database:
        query = "SELECT count(*) FROM assistants_assistantversion WHERE assistant_id = %s"
        assert database.execute(query, [created["assistant_id"]]).fetchone() == (0,)
    assert (await sdk.runs.list(thread["thread_id"]))[0]["assistant_id"] == created["assistant_id"]


async def test_delete_cancels_the_runs_of_the_assistant(sdk: LangGraphClient) -> None:
    created = await sdk.assistants.create("sleeper")
    thread = await sdk.threads.create()
    wanted = created["assistant_id"]
    runs = [await sdk.runs.create(thread["thread_id"], wanted, input={"seconds": 30}) for _ in range(2)]
    await sdk.assistants.delete(wanted)
    for run in runs:
        await sdk.runs.join(thread["thread_id"], run["run_id"])
        assert (await sdk.runs.get(thread["thread_id"], run["run_id"]))["status"] == "interrupted"


@pytest.mark.parametrize(("text", "gone"), [("TRUE", True), ("1", False)])
async def test_delete_threads_means_the_word_true(
    http: httpx.AsyncClient, sdk: LangGraphClient, text: str, gone: bool
) -> None:
    created = await sdk.assistants.create("echo")
    thread = await sdk.threads.create()
    await sdk.runs.wait(thread["thread_id"], created["assistant_id"], input={"text": "hi"})
    answer = await http.delete(f"/assistants/{created['assistant_id']}", params={"delete_threads": text})
    assert (answer.status_code, answer.content) == (204, b"")
    assert ((await http.get(f"/threads/{thread['thread_id']}")).status_code == 404) is gone


# --- search -----------------------------------------------------------------------------------------------------------


async def test_search_filters_by_containment_graph_and_part_of_the_name(sdk: LangGraphClient) -> None:
    tag = mark()
    await sdk.assistants.create("echo", name="Müller's 100% Agent", metadata={**tag, "deep": {"a": 1, "b": [1, 2]}})
    await sdk.assistants.create("counter", name="other", metadata=tag)

    async def names(**filters: Any) -> list[str]:
        metadata = {**tag, **filters.pop("metadata", {})}
        found = await sdk.assistants.search(metadata=metadata, sort_by="name", sort_order="asc", **filters)
        assert await sdk.assistants.count(metadata=metadata, **filters) == len(found)
        return [row["name"] for row in found]

    assert await names() == ["Müller's 100% Agent", "other"]
    assert await names(metadata={"deep": {"a": 1}}) == ["Müller's 100% Agent"]
    assert await names(metadata={"deep": {"a": 2}}) == []
    assert await names(graph_id="counter") == ["other"]
    assert await names(name="MÜLLER") == ["Müller's 100% Agent"]
    assert await names(name="0% a") == ["Müller's 100% Agent"]
    assert await names(name="_") == []


async def test_search_is_newest_first_and_an_order_without_a_key_is_ignored(sdk: LangGraphClient) -> None:
    tag = mark()
    for name in ("b", "A", "c"):
        await sdk.assistants.create("echo", name=name, metadata=tag)

    async def names(**order: Any) -> str:
        return "".join([row["name"] for row in await sdk.assistants.search(metadata=tag, **order)])

    assert await names() == await names(sort_order="asc") == "cAb"
    assert await names(sort_by="name") == "cbA"
    assert await names(sort_by="name", sort_order="asc") == "Abc"
    assert await names(sort_by="created_at", sort_order="asc") == "bAc"


@pytest.mark.parametrize("key", ["assistant_id", "created_at", "updated_at", "name", "graph_id"])
async def test_every_sort_key_works(sdk: LangGraphClient, key: Any) -> None:
    assert await sdk.assistants.search(sort_by=key, sort_order="asc", limit=2)


async def test_select_limits_the_keys_of_a_row(http: httpx.AsyncClient) -> None:
    answer = await http.post("/assistants/search", json={"select": ["name", "version"], "limit": 1})
    assert set(answer.json()[0]) == {"name", "version"}
    assert (await http.post("/assistants/search", json={"select": ["nope"]})).status_code == 422


@pytest.mark.django_db
def test_assistants_of_unregistered_graphs_are_hidden(client: Any) -> None:
    row = Assistant.objects.create(graph_id="gone")
    body: Any = {"data": {}, "content_type": "application/json"}
    assert client.post("/assistants/search", **body).json() == []
    assert client.post("/assistants/count", **body).json() == 0
    assert client.get(f"/assistants/{row.pk}").status_code == 404


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["search", "count"])
def test_one_query_answers_a_search(client: Any, django_assert_max_num_queries: Any, path: str) -> None:
    Assistant.objects.bulk_create(Assistant(graph_id="echo", metadata={"n": n}) for n in range(30))
    with django_assert_max_num_queries(1):
        answer = client.post(f"/assistants/{path}", data={"limit": 25}, content_type="application/json")
    assert answer.status_code == 200


@pytest.mark.django_db
def test_a_metadata_search_can_use_the_index() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
    plan = Assistant.objects.matching(metadata={"a": 1}).order_by().explain()
    assert "assistant_metadata" in plan


# --- the graph --------------------------------------------------------------------------------------------------------


async def test_a_drawing_has_nodes_and_edges(sdk: LangGraphClient) -> None:
    drawing = await sdk.assistants.get_graph("drawn")
    nodes = {node["id"]: node for node in drawing["nodes"]}
    assert nodes["__start__"] == {"id": "__start__", "type": "runnable", "data": {"name": "__start__"}}
    assert nodes["left"] == {"id": "left", "type": "runnable", "data": {"name": "left"}, "metadata": {"k": 1}}
    assert nodes["__end__"] == {"id": "__end__"}
    labelled = {"source": "__start__", "target": "left", "data": "yes", "conditional": True}
    assert labelled in drawing["edges"]
    assert {"source": "left", "target": "__end__"} in drawing["edges"]


async def test_xray_puts_the_subgraphs_in_place_of_their_nodes(sdk: LangGraphClient) -> None:
    async def ids(xray: Any) -> set[Any]:
        return {node["id"] for node in (await sdk.assistants.get_graph("nest", xray=xray))["nodes"]}

    assert "middle" in await ids(False)
    assert "middle:lower" in await ids(1)
    assert {"middle:lower:dig"} < await ids(True)
    assert "middle" not in await ids(True)


@pytest.mark.parametrize("xray", ["0", "-1", "yes", "1.5", "TRUE", "9" * 30])
async def test_any_other_xray_is_422(http: httpx.AsyncClient, xray: str) -> None:
    answer = await http.get("/assistants/echo/graph", params={"xray": xray})
    assert (answer.status_code, answer.json()) == (422, {"detail": "Invalid xray value"})


async def test_a_drawing_of_what_is_no_graph_and_no_id_is_422(http: httpx.AsyncClient) -> None:
    assert (await http.get("/assistants/Echo/graph")).status_code == 422


async def test_schemas_of_a_graph(sdk: LangGraphClient) -> None:
    found: Any = await sdk.assistants.get_schemas(str(graphs.assistant_id_of("contextual")))
    assert found["graph_id"] == "contextual"
    assert found["state_schema"]["title"] == "contextual_state"
    assert found["state_schema"]["properties"]["seen"]["default"] is None
    assert found["input_schema"]["properties"].keys() == {"seen"}
    assert found["context_schema"]["properties"]["tone"]["default"] == "plain"
    assert set(found) == {"graph_id", *(f"{n}_schema" for n in ("input", "output", "state", "config", "context"))}


async def test_a_graph_without_settings_has_an_empty_config_schema(sdk: LangGraphClient) -> None:
    found = await sdk.assistants.get_schemas(ECHO)
    assert (found["config_schema"], found["context_schema"]) == ({}, None)


async def test_a_schema_that_cannot_be_made_is_null_and_the_others_are_there(sdk: LangGraphClient) -> None:
    found: Any = await sdk.assistants.get_schemas(str(graphs.assistant_id_of("schemaless")))
    assert (found["input_schema"], found["output_schema"]) == (None, None)
    assert found["config_schema"] == {}


async def test_subgraphs_by_namespace(sdk: LangGraphClient) -> None:
    wanted = str(graphs.assistant_id_of("nest"))
    found = await sdk.assistants.get_subgraphs(wanted)
    assert set(found) == {"middle"}
    assert set(found["middle"]) == {f"{n}_schema" for n in ("input", "output", "state", "config", "context")}
    assert set(await sdk.assistants.get_subgraphs(wanted, recurse=True)) == {"middle", "middle|lower"}
    assert set(await sdk.assistants.get_subgraphs(wanted, namespace="middle|lower", recurse=True)) == {"middle|lower"}
    assert await sdk.assistants.get_subgraphs(wanted, namespace="nope") == {}
    assert await sdk.assistants.get_subgraphs(ECHO) == {}


async def test_a_factory_that_makes_no_graph_is_424(http: httpx.AsyncClient) -> None:
    wanted = graphs.assistant_id_of("not_a_graph")
    for part in ("graph", "schemas", "subgraphs"):
        answer = await http.get(f"/assistants/{wanted}/{part}")
        assert (answer.status_code, list(answer.json())) == (424, ["detail"])


@pytest.mark.parametrize("graph_id", ["made", "made_async", "made_in_context"])
async def test_a_factory_of_any_form_makes_the_graph_that_is_drawn(sdk: LangGraphClient, graph_id: str) -> None:
    found: Any = await sdk.assistants.get_graph(graph_id)
    assert "tell" in {node["id"] for node in found["nodes"]}


async def test_a_factory_sees_the_config_of_the_assistant(sdk: LangGraphClient) -> None:
    created = await sdk.assistants.create("insider", config={"configurable": {"flavour": "mint"}})
    assert _told(await sdk.assistants.get_graph(created["assistant_id"])) == ["assistants.read", "mint", False, None]


@pytest.mark.django_db
def test_a_factory_sees_the_headers_the_project_lets_through(client: Any, project_file: Any) -> None:
    Assistant.objects.create(pk=graphs.assistant_id_of("insider"), graph_id="insider")
    graphs.load_all()
    graphs.default_assistant_ids()
    project_file('{"graphs": {"a": "./a.py:a"}, "http": {"configurable_headers": {"include": ["fl*"]}}}')
    answer = client.get("/assistants/insider/graph", headers={"Flavour": "lime"})
    assert _told(answer.json()) == ["assistants.read", "lime", False, None]


def _told(drawing: Any) -> Any:
    return next(node["metadata"]["told"] for node in drawing["nodes"] if node["id"] == "dig")


# --- the project ------------------------------------------------------------------------------------------------------


@pytest.fixture
def project_file(tmp_path: Path, settings: Any) -> Any:
    def write(text: str) -> None:
        settings.LANGGRAPH_CONFIG_FILE = tmp_path / "langgraph.json"
        settings.LANGGRAPH_CONFIG_FILE.write_text(text)
        project.cache_clear()
        headers._passes.cache_clear()

    return write


def test_by_default_only_tracing_headers_reach_a_graph() -> None:
    trace = {"Langsmith-Trace": "t", "Baggage": "langsmith-metadata=%7B%22a%22%3A1%7D,langsmith-tags=x%2Cy,other=1"}
    assert headers.configurable_headers({"X-Mine": "1", "User-Agent": "me", "Baggage": "langsmith-tags=x"}) == {}
    found = headers.configurable_headers(trace)
    assert found == {"langsmith-trace": "t", "langsmith-metadata": {"a": 1}, "langsmith-tags": ["x", "y"]}


def test_a_baggage_that_makes_no_sense_is_left_out() -> None:
    given = {"langsmith-trace": "t", "baggage": "langsmith-metadata=[1], ,=,langsmith-project=p;langsmith-tags"}
    assert headers.configurable_headers(given) == {"langsmith-trace": "t", "langsmith-project": "p;langsmith-tags"}


def test_the_project_says_which_headers_reach_a_graph(project_file: Any) -> None:
    project_file(
        '{"graphs": {"a": "./a.py:a"}, "http": {"configurable_headers": {"include": ["x-*"], "excludes": ["x-no*"]}}}'
    )
    given = {"X-Mine": "1", "X-Not": "2", "X-Api-Key": "3", "Other": "4", "x-request-id": "5"}
    assert headers.configurable_headers(given) == {"x-mine": "1", "x-request-id": "5"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30", ("delete", 30.0, 5.1, 10_000)),
        (
            '{"strategy": "keep_latest", "default_ttl": 1.5, "sweep_interval_minutes": 2, "sweep_limit": 7}',
            ("keep_latest", 1.5, 2.0, 7),
        ),
        ("", ("delete", 60.0, 5.1, 10_000)),
    ],
)
def test_a_thread_ttl_from_the_environment_wins(
    project_file: Any, monkeypatch: pytest.MonkeyPatch, text: str, expected: tuple[Any, ...]
) -> None:
    project_file('{"graphs": {"a": "./a.py:a"}, "checkpointer": {"ttl": {"default_ttl": 60}}}')
    monkeypatch.setenv("LANGGRAPH_THREAD_TTL", text)
    found = project().thread_ttl
    assert (found.strategy, found.minutes, found.sweep_interval_minutes, found.sweep_limit) == expected


@pytest.mark.parametrize("text", ['{"strategy": "burn"}', "soon", '{"default_ttl": []}', "{"])
def test_a_thread_ttl_that_cannot_be_read_stops_the_start(
    project_file: Any, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    project_file('{"graphs": {"a": "./a.py:a"}}')
    monkeypatch.setenv("LANGGRAPH_THREAD_TTL", text)
    with pytest.raises(ProjectError, match="LANGGRAPH_THREAD_TTL"):
        project()


# --- whatever comes ---------------------------------------------------------------------------------------------------

NAMES = [*KEYS, "if_exists", "limit", "offset", "sort_by", "sort_order", "select", "tags", "configurable", "a\0", ""]
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
    | st.sampled_from(["echo", "asc", "name", "do_nothing", ECHO, "\0", "\\u0000", 2**63, 10**400])
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3),
    max_leaves=8,
)
BODIES = st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=6) | VALUES
ROUTES = [
    ("POST", "/assistants"),
    ("POST", "/assistants/search"),
    ("POST", "/assistants/count"),
    ("PATCH", "/assistants/{id}"),
    ("POST", "/assistants/{id}/versions"),
    ("POST", "/assistants/{id}/latest"),
]


@pytest.mark.django_db
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(route=st.sampled_from(ROUTES), body=BODIES)
def test_no_body_makes_an_assistants_endpoint_fail(client: Any, route: tuple[str, str], body: Any) -> None:
    row, _ = Assistant.objects.get_or_create(graph_id="echo", name="prey")
    before = Assistant.objects.count()
    path = route[1].format(id=row.pk)
    answer = client.generic(route[0], path, data=json.dumps(body), content_type="application/json")
    assert answer.status_code in (200, 400, 404, 409, 422)
    if answer.status_code != 200:
        assert list(answer.json()) == ["detail"]
        assert isinstance(answer.json()["detail"], str)
        assert Assistant.objects.count() == before


@pytest.mark.django_db
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    wanted=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40) | st.uuids().map(str),
    part=st.sampled_from(["", "/graph", "/schemas", "/subgraphs", "/subgraphs/x", "/nope"]),
    query=st.dictionaries(st.sampled_from(["xray", "recurse", "delete_threads"]), st.text(max_size=5)),
)
def test_no_path_makes_an_assistants_endpoint_fail(client: Any, wanted: str, part: str, query: Any) -> None:
    answer = client.get(f"/assistants/{quote(wanted, safe='')}{part}", query)
    assert answer.status_code in (404, 405, 422)
    assert list(answer.json()) == ["detail"]
