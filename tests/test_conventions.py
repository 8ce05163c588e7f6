"""What holds for every endpoint: JSON, errors, ids, reserved keys, pages, CORS. Source: contract/core.md 1."""

import asyncio
import uuid
from pathlib import Path
from typing import Any

import httpx
import pytest
from langgraph_sdk.client import LangGraphClient

from tests.conftest import LiveServer, live_server

ORIGIN = {"Origin": "https://smith.langchain.com"}
UNREADABLE = [
    b"",
    b"{",
    b'{"metadata": NaN}',
    b'{"a": Infinity}',
    b'{"a": 1e999}',
    b'"\\ud800"',
    b'{"a": "\xff"}',
    b"[1,]",
]


# --- bodies -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", UNREADABLE)
async def test_what_is_not_json_is_422(http: httpx.AsyncClient, body: bytes) -> None:
    answer = await http.post("/threads", content=body)
    assert (answer.status_code, answer.json()) == (422, {"detail": "Invalid JSON in request body"})


@pytest.mark.parametrize("path", ["/assistants/search", "/assistants/count", "/threads", "/threads/search"])
async def test_a_body_is_required_and_an_empty_object_is_enough(http: httpx.AsyncClient, path: str) -> None:
    assert (await http.post(path)).status_code == 422
    assert (await http.post(path, content=b"{}")).status_code == 200


async def test_the_content_type_is_not_looked_at(http: httpx.AsyncClient) -> None:
    answer = await http.post("/threads", content=b"{}", headers={"Content-Type": "text/plain; charset=latin-1"})
    assert answer.status_code == 200


async def test_of_a_repeated_key_the_last_wins(http: httpx.AsyncClient) -> None:
    answer = await http.post("/threads", content=b'{"metadata": {"a": 1}, "metadata": {"a": 2}}')
    assert answer.json()["metadata"] == {"a": 2}


async def test_integers_beyond_64_bits_become_floats(http: httpx.AsyncClient) -> None:
    answer = await http.post("/threads", content=b'{"metadata": {"a": 123456789012345678901234567890}}')
    assert answer.json()["metadata"] == {"a": 1.2345678901234568e29}


async def test_unknown_properties_are_ignored(http: httpx.AsyncClient) -> None:
    answer = await http.post("/threads/search", json={"limit": 1, "assistantId": "x", "strict_resume": True})
    assert answer.status_code == 200


async def test_null_counts_as_absent(http: httpx.AsyncClient) -> None:
    answer = await http.post("/threads", json={"metadata": None, "if_exists": None, "ttl": None})
    assert answer.json()["metadata"] == {}


@pytest.mark.parametrize(("limit", "status"), [(2.0, 200), (2.5, 422), ("2", 422), (True, 422), (0, 422), (1001, 422)])
async def test_an_integer_is_a_number_without_a_fraction(http: httpx.AsyncClient, limit: Any, status: int) -> None:
    assert (await http.post("/assistants/search", json={"limit": limit})).status_code == status


async def test_enums_are_case_sensitive(http: httpx.AsyncClient) -> None:
    answer = await http.post("/threads", json={"if_exists": "RAISE"})
    assert answer.status_code == 422
    assert "if_exists" in answer.json()["detail"]


async def test_nesting_deeper_than_can_be_stored_is_422(http: httpx.AsyncClient) -> None:
    body = b'{"metadata": {"a": ' + b"[" * 300 + b"]" * 300 + b"}}"
    assert (await http.post("/threads", content=body)).status_code == 422


async def test_413_names_the_limit(tmp_path: Path) -> None:
    with live_server(tmp_path, HTTP_MAX_REQUEST_BODY_BYTES="1000") as small:
        answer = await asyncio.to_thread(httpx.post, f"{small.url}/threads", content=b" " * 1001)
        assert answer.status_code == 413
        assert "1000" in answer.json()["detail"]
        streamed = await asyncio.to_thread(httpx.post, f"{small.url}/threads", content=iter([b" " * 600] * 2))
        assert streamed.status_code == 413
        exact = await asyncio.to_thread(httpx.post, f"{small.url}/threads", content=b"{}".ljust(1000))
        assert exact.status_code == 200


# --- answers ----------------------------------------------------------------------------------------------------------


async def test_json_is_compact_utf8_without_a_charset(http: httpx.AsyncClient) -> None:
    answer = await http.post("/threads", json={"metadata": {"name": "é☃"}})
    assert answer.headers["content-type"] == "application/json"
    assert '"metadata":{"name":"é☃"}' in answer.content.decode()


async def test_times_have_microseconds_and_an_offset(http: httpx.AsyncClient) -> None:
    created = (await http.post("/threads", json={})).json()["created_at"]
    assert created.endswith("+00:00")
    assert len(created) in (len("2026-01-02T03:04:05.678901+00:00"), len("2026-01-02T03:04:05+00:00"))


async def test_204_has_neither_body_nor_content_type(http: httpx.AsyncClient) -> None:
    thread = (await http.post("/threads", json={})).json()
    answer = await http.delete(f"/threads/{thread['thread_id']}")
    assert (answer.status_code, answer.content, answer.headers.get("content-type")) == (204, b"", None)


async def test_an_unknown_path_is_404(http: httpx.AsyncClient) -> None:
    answer = await http.get("/no/such/path")
    assert (answer.status_code, answer.json()) == (404, {"detail": "Not Found"})


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_405_says_what_is_allowed(http: httpx.AsyncClient, method: str) -> None:
    answer = await http.request(method, "/threads/search")
    assert (answer.status_code, answer.json()) == (405, {"detail": "Method Not Allowed"})
    assert "POST" in answer.headers["allow"]


async def test_there_is_no_patch_of_a_state(http: httpx.AsyncClient) -> None:
    answer = await http.patch(f"/threads/{uuid.uuid4()}/state", json={})
    assert answer.status_code == 405
    assert set(answer.headers["allow"].replace(" ", "").split(",")) >= {"GET", "POST"}


async def test_a_trailing_slash_answers_307_to_the_absolute_url_without_it(
    http: httpx.AsyncClient, server: LiveServer
) -> None:
    answer = await http.post("/threads/search/?a=b", json={})
    assert answer.status_code == 307
    assert answer.headers["location"] == f"{server.url}/threads/search?a=b"


async def test_an_escaped_slash_is_not_a_trailing_slash(http: httpx.AsyncClient) -> None:
    assert (await http.get("/threads/x%2F")).status_code == 404


async def test_head_works_where_get_does(http: httpx.AsyncClient) -> None:
    answer = await http.head("/ok")
    assert (answer.status_code, answer.content) == (200, b"")
    assert (await http.head(f"/threads/{uuid.uuid4()}")).status_code == 404


# --- ids --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spelling", ["{{{0}}}", "urn:uuid:{0}", "{1}", "{2}"])
async def test_a_uuid_may_be_spelled_as_python_reads_it(http: httpx.AsyncClient, spelling: str) -> None:
    wanted = uuid.uuid4()
    text = spelling.format(wanted, wanted.hex, str(wanted).upper())
    created = await http.post("/threads", json={"thread_id": text})
    assert created.json()["thread_id"] == str(wanted)
    assert (await http.get(f"/threads/{text}")).json()["thread_id"] == str(wanted)


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
@pytest.mark.parametrize(("path", "kind"), [("/threads", "thread"), ("/assistants", "assistant")])
async def test_a_bad_id_is_422_before_the_body_is_read(
    http: httpx.AsyncClient, method: str, path: str, kind: str
) -> None:
    answer = await http.request(method, f"{path}/zz")
    assert (answer.status_code, answer.json()) == (422, {"detail": f"Invalid {kind} ID: must be a UUID"})


async def test_ids_made_by_the_server_are_uuid7_for_threads_and_uuid4_for_assistants(sdk: LangGraphClient) -> None:
    assert uuid.UUID((await sdk.threads.create())["thread_id"]).version == 7
    assert uuid.UUID((await sdk.assistants.create("echo"))["assistant_id"]).version == 4


# --- reserved keys and NUL --------------------------------------------------------------------------------------------

METADATA = {"thread_id": 1, "assistant_id": 1, "run_id": 1, "cron_id": 1, "counters_since_delta_snapshot": 1, "kept": 1}
CONFIGURABLE = {"langgraph_auth_user": 1, "langgraph_request_id": 1, "__after_seconds__": 1, "kept": 1}


async def test_reserved_metadata_is_dropped_silently_from_what_is_written(sdk: LangGraphClient) -> None:
    thread = await sdk.threads.create(metadata=METADATA)
    assert thread["metadata"] == {"kept": 1}
    changed = await sdk.threads.update(thread["thread_id"], metadata={**METADATA, "more": 2})
    assert changed["metadata"] == {"kept": 1, "more": 2}
    config: Any = {"metadata": METADATA}
    assistant = await sdk.assistants.create("echo", metadata=METADATA, config=config)
    assert (assistant["metadata"], assistant["config"]) == ({"kept": 1}, {"metadata": {"kept": 1}})


async def test_reserved_configurable_is_dropped_silently(sdk: LangGraphClient) -> None:
    assistant = await sdk.assistants.create("echo", config={"configurable": CONFIGURABLE})
    assert assistant["config"] == {"configurable": {"kept": 1}}
    assert (await sdk.assistants.create("echo", context=CONFIGURABLE))["context"] == {"kept": 1}


async def test_reserved_metadata_stays_in_a_search(sdk: LangGraphClient) -> None:
    """contract/core.md trap 11"""
    thread = await sdk.threads.create(metadata={"mark": uuid.uuid4().hex})
    await sdk.runs.wait(thread["thread_id"], "echo", input={"text": "hi"})
    row: Any = await sdk.threads.get(thread["thread_id"])
    wanted = {"assistant_id": row["metadata"]["assistant_id"], "mark": row["metadata"]["mark"]}
    assert [found["thread_id"] for found in await sdk.threads.search(metadata=wanted)] == [thread["thread_id"]]


@pytest.mark.parametrize("key", ["a\0b", "a\\u0000b", "\\U0000"])
@pytest.mark.parametrize("place", [{"config": ...}, {"config": {"configurable": ...}}, {"context": ...}])
async def test_nul_in_a_config_key_is_422(http: httpx.AsyncClient, key: str, place: dict[str, Any]) -> None:
    def fill(part: Any) -> Any:
        return {key: 1} if part is ... else {name: fill(inner) for name, inner in part.items()}

    answer = await http.post("/assistants", json={"graph_id": "echo", **fill(place)})
    assert answer.status_code == 422


async def test_nul_elsewhere_becomes_the_replacement_character(sdk: LangGraphClient) -> None:
    assistant = await sdk.assistants.create("echo", name="a\0b", metadata={"k\0": "v\0", "escaped": "\\u0000"})
    assert assistant["name"] == "a\ufffdb"
    assert assistant["metadata"] == {"k\ufffd": "v\ufffd", "escaped": "\\u0000"}
    assert await sdk.assistants.get(assistant["assistant_id"]) == assistant


# --- pages ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["assistants", "threads"])
async def test_pagination_headers(http: httpx.AsyncClient, kind: str) -> None:
    mark = {"mark": uuid.uuid4().hex}
    for _ in range(3):
        await http.post(f"/{kind}", json={"metadata": mark, "graph_id": "echo"})

    async def page(limit: int, offset: int) -> tuple[int, str | None, str | None]:
        answer = await http.post(f"/{kind}/search", json={"metadata": mark, "limit": limit, "offset": offset})
        headers = answer.headers
        return len(answer.json()), headers.get("x-pagination-total"), headers.get("x-pagination-next")

    assert await page(2, 0) == (2, "3", "2")
    assert await page(2, 2) == (1, "3", None)
    assert await page(3, 0) == (3, "3", None)
    assert await page(2, 50) == (0, "50", None)


async def test_a_count_is_a_bare_integer(http: httpx.AsyncClient) -> None:
    answer = await http.post("/threads/count", json={"metadata": {"mark": uuid.uuid4().hex}})
    assert answer.content == b"0"


# --- CORS -------------------------------------------------------------------------------------------------------------


async def test_a_browser_may_read_the_headers_that_sdks_need(http: httpx.AsyncClient) -> None:
    """contract/core.md trap 20"""
    answer = await http.get("/ok", headers=ORIGIN)
    assert answer.headers["access-control-allow-origin"] == "*"
    exposed = {name.strip() for name in answer.headers["access-control-expose-headers"].lower().split(",")}
    assert exposed == {"x-pagination-total", "x-pagination-next", "content-location"}


async def test_errors_carry_cors_headers_too(http: httpx.AsyncClient) -> None:
    for path in ("/no/such/path", "/threads/zz"):
        assert (await http.get(path, headers=ORIGIN)).headers["access-control-allow-origin"] == "*"


async def test_a_preflight_allows_what_was_asked_for(http: httpx.AsyncClient) -> None:
    asked = {"Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "x-api-key, content-type"}
    answer = await http.options("/threads/search", headers={**ORIGIN, **asked})
    assert answer.status_code == 200
    assert "PATCH" in answer.headers["access-control-allow-methods"]
    assert answer.headers["access-control-allow-headers"] == "x-api-key, content-type"
    assert answer.headers["access-control-max-age"] == "600"
    assert "access-control-allow-credentials" not in answer.headers


async def test_a_preflight_from_a_public_page_to_a_private_network_is_allowed(http: httpx.AsyncClient) -> None:
    asked = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Private-Network": "true"}
    answer = await http.options("/ok", headers={**ORIGIN, **asked})
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-private-network"] == "true"
