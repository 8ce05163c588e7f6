"""/mcp: the transport's rules on the wire, tools, calls, and the official client. Source: contract/platform.md 10."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langgraph_sdk.client import LangGraphClient
from mcp import Client, MCPError

from interop.tools import simplified, tool_name
from tests.conftest import LiveServer

JSON = {"Accept": "application/json, text/event-stream"}
CURRENT = {**JSON, "MCP-Protocol-Version": "2025-06-18"}


async def rpc(http: httpx.AsyncClient, method: str, params: Any = None, headers: Any = None) -> dict[str, Any]:
    """The JSON-RPC answer to a request."""
    message = {"jsonrpc": "2.0", "id": 7, "method": method, **({} if params is None else {"params": params})}
    answer = await http.post("/mcp", json=message, headers=headers or JSON)
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    assert document["jsonrpc"] == "2.0" and document["id"] == 7
    return document


async def called(http: httpx.AsyncClient, tool: str, arguments: Any, headers: Any = None) -> dict[str, Any]:
    """The result of a tool's call."""
    result: dict[str, Any] = (await rpc(http, "tools/call", {"name": tool, "arguments": arguments}, headers))["result"]
    return result


async def tools(http: httpx.AsyncClient) -> dict[str, dict[str, Any]]:
    """Name to tool, over all pages."""
    found: dict[str, dict[str, Any]] = {}
    cursor = None
    for _ in range(100):
        page = (await rpc(http, "tools/list", {"cursor": cursor}))["result"]
        found |= {tool["name"]: tool for tool in page["tools"]}
        cursor = page.get("nextCursor")
        if cursor is None:
            return found
    raise AssertionError("the pages do not end")


# --- transport --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "status"), [("GET", 405), ("DELETE", 404)])
async def test_there_is_no_stream_of_the_servers_and_no_session_to_end(
    http: httpx.AsyncClient, method: str, status: int
) -> None:
    answer = await http.request(method, "/mcp")
    assert (answer.status_code, answer.content) == (status, b"")


async def test_other_methods_answer_405_in_our_shape(http: httpx.AsyncClient) -> None:
    answer = await http.put("/mcp")
    assert (answer.status_code, answer.json()) == (405, {"detail": "Method Not Allowed"})


@pytest.mark.parametrize("path", ["/mcp", "/mcp/"])
async def test_both_spellings_of_the_path_are_served(http: httpx.AsyncClient, path: str) -> None:
    answer = await http.post(path, json={"jsonrpc": "2.0", "id": 0, "method": "ping"}, headers=JSON)
    assert (answer.status_code, answer.json()) == (200, {"jsonrpc": "2.0", "id": 0, "result": {}})
    assert "mcp-session-id" not in answer.headers


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"",
        b"[]",
        b'[{"jsonrpc": "2.0", "id": 1, "method": "ping"}]',
        b'"x"',
        b'{"id": 1, "method": "ping"}',
        b'{"jsonrpc": "1.0", "id": 1, "method": "ping"}',
        b'{"jsonrpc": "2.0"}',
        b'{"jsonrpc": "2.0", "id": null}',
    ],
)
async def test_what_is_no_message_answers_400_in_plain_json(http: httpx.AsyncClient, body: bytes) -> None:
    answer = await http.post("/mcp", content=body, headers=JSON)
    assert answer.status_code == 400
    assert list(answer.json()) == ["error"]


@pytest.mark.parametrize("accept", ["*/*", "text/html", ""])
async def test_a_client_that_accepts_neither_type_gets_400(http: httpx.AsyncClient, accept: str) -> None:
    answer = await http.post("/mcp", json={"jsonrpc": "2.0", "id": 1, "method": "ping"}, headers={"Accept": accept})
    assert answer.status_code == 400 and "error" in answer.json()


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
async def test_one_of_the_two_types_is_enough(http: httpx.AsyncClient, accept: str) -> None:
    assert (await rpc(http, "ping", headers={"Accept": accept}))["result"] == {}


@pytest.mark.parametrize(
    "message",
    [
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "method": "tools/list", "id": None},
        {"jsonrpc": "2.0", "id": 5, "result": {}},
    ],
    ids=["notification", "null id", "response"],
)
async def test_what_needs_no_answer_gets_202_and_no_body(http: httpx.AsyncClient, message: Any) -> None:
    answer = await http.post("/mcp", json=message, headers=JSON)
    assert (answer.status_code, answer.content) == (202, b"")


@pytest.mark.parametrize(
    ("asked", "given"),
    [("2024-11-05", "2024-11-05"), ("2025-06-18", "2025-06-18"), ("1999-01-01", "2025-11-25"), (None, "2025-11-25")],
)
async def test_the_version_asked_for_is_kept_if_it_is_known(
    http: httpx.AsyncClient, asked: str | None, given: str
) -> None:
    result = (await rpc(http, "initialize", {"protocolVersion": asked} if asked else {}))["result"]
    assert result["protocolVersion"] == given
    assert result["capabilities"] == {"tools": {"listChanged": False}}
    assert set(result["serverInfo"]) == {"name", "version"}


@pytest.mark.parametrize("method", ["resources/list", "prompts/list", "tools", 7, ["ping"]])
async def test_an_unknown_method_is_a_json_rpc_error(http: httpx.AsyncClient, method: Any) -> None:
    error = (await rpc(http, method))["error"]
    assert error == {"code": -32601, "message": f"Method not found: {method}"}


# --- tools ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Nice Name", "Nice_Name"),
        ("  a\t b ", "a_b"),
        ("ünï/co?de.1-x", "ncode.1-x"),
        ("x" * 200, "x" * 128),
        ("é", ""),
    ],
)
def test_a_tools_name_has_only_the_letters_the_protocol_allows(name: str, expected: str) -> None:
    assert tool_name(name) == expected


async def test_every_assistant_with_a_schema_is_a_tool(http: httpx.AsyncClient) -> None:
    found = await tools(http)
    assert found["counter"] == {
        "name": "counter",
        "title": "counter",
        "description": "Tool based on the counter assistant",
        "inputSchema": found["counter"]["inputSchema"],
        "annotations": {
            "readOnlyHint": False,
            "destructiveHint": False,
            "idempotentHint": False,
            "openWorldHint": True,
        },
    }
    assert found["chat"]["description"] == "A chat agent."
    assert found["counter"]["inputSchema"]["type"] == "object"
    assert set(found["counter"]["inputSchema"]["properties"]) == {"steps", "count", "log"}
    assert "not_a_graph" not in found


async def test_messages_are_asked_for_as_text(http: httpx.AsyncClient) -> None:
    schema = (await tools(http))["echo"]["inputSchema"]
    assert schema["properties"]["messages"]["type"] == "string"
    assert schema["properties"]["messages"]["description"] == "The user message to send to the agent."
    assert "$defs" not in schema


def test_definitions_that_are_still_needed_stay() -> None:
    point = {"type": "object", "properties": {"unit": {"$ref": "#/$defs/Unit"}}}
    message = {"type": "object", "properties": {"usage": {"$ref": "#/$defs/Usage"}}}
    schema: dict[str, Any] = {
        "$defs": {"Point": point, "Unit": {"type": "string"}, "HumanMessage": message, "Usage": {"type": "integer"}},
        "properties": {
            "at": {"$ref": "#/$defs/Point"},
            "said": {"anyOf": [{"type": "array", "items": {"$ref": "#/$defs/HumanMessage"}}, {"type": "null"}]},
        },
    }
    result = simplified(schema)
    assert result["properties"]["at"] == {"$ref": "#/$defs/Point"}
    assert result["properties"]["said"]["type"] == "string"
    assert set(result["$defs"]) == {"Point", "Unit"}
    assert schema["properties"]["said"].keys() == {"anyOf"}, "the graph's own schema was changed"


@pytest.mark.parametrize("cursor", [None, "", "junk", -3, 0, "0", {}, [], True, 1e400])
async def test_a_cursor_that_says_nothing_means_the_first_page(http: httpx.AsyncClient, cursor: Any) -> None:
    params = json.dumps({"cursor": cursor}).replace("Infinity", "1e30")
    body = f'{{"jsonrpc": "2.0", "id": 7, "method": "tools/list", "params": {params}}}'
    answer = await http.post("/mcp", content=body, headers=JSON)
    assert answer.status_code == 200 and "tools" in answer.json()["result"]


async def test_a_full_page_has_a_cursor_to_the_next(http: httpx.AsyncClient, many: str) -> None:
    first = (await rpc(http, "tools/list"))["result"]
    assert len(first["tools"]) == 100 and first["nextCursor"] == "100"
    second = (await rpc(http, "tools/list", {"cursor": "100"}))["result"]
    assert second == (await rpc(http, "tools/list", {"cursor": 100}))["result"]
    names = {tool["name"] for tool in first["tools"]} & {tool["name"] for tool in second["tools"]}
    assert not names and second["tools"]


@pytest.fixture
async def many(sdk: LangGraphClient) -> AsyncIterator[str]:
    """A hundred assistants more, newest of all."""
    made = [await sdk.assistants.create("echo", name=f"many {number}") for number in range(100)]
    yield "many"
    for assistant in made:
        await sdk.assistants.delete(assistant["assistant_id"])


# --- calls ------------------------------------------------------------------------------------------------------------


async def test_a_call_runs_the_graph_and_answers_with_json_text(http: httpx.AsyncClient) -> None:
    result = await called(http, "counter", {"steps": 2})
    assert list(result) == ["content"]
    (content,) = result["content"]
    assert content["type"] == "text"
    assert json.loads(content["text"]) == {"steps": 2, "count": 2, "log": ["step 1", "step 2"]}


async def test_a_client_new_enough_gets_structured_content_too(http: httpx.AsyncClient) -> None:
    result = await called(http, "counter", {"steps": 1}, CURRENT)
    assert result["structuredContent"] == json.loads(result["content"][0]["text"])


async def test_text_for_messages_reaches_the_graph_as_a_users_message(http: httpx.AsyncClient) -> None:
    result = await called(http, "echo", {"messages": "hello"}, CURRENT)
    (message,) = result["structuredContent"]["messages"]
    assert (message["type"], message["content"]) == ("human", "hello")


async def test_a_failing_graph_is_a_result_that_names_the_kind_of_error(http: httpx.AsyncClient) -> None:
    result = await called(http, "boom", {})
    assert result == {"isError": True, "content": [{"type": "text", "text": "ValueError"}]}


async def test_an_interrupt_is_no_error(http: httpx.AsyncClient) -> None:
    result = await called(http, "ask", {"q": "ok?"})
    assert "isError" not in result
    assert json.loads(result["content"][0]["text"])["__interrupt__"][0]["value"] == {"question": "ok?!"}


async def test_a_call_leaves_no_thread_behind(http: httpx.AsyncClient, sdk: LangGraphClient) -> None:
    before = await sdk.threads.count(metadata={"graph_id": "picky"})
    await called(http, "picky", {})
    assert await sdk.threads.count(metadata={"graph_id": "picky"}) == before


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({}, "Unknown tool: None"),
        ({"name": "nope"}, "Unknown tool: nope"),
        ({"name": ["counter"]}, "Unknown tool: ['counter']"),
        ({"name": "counter", "arguments": []}, "arguments must be an object"),
        ([], "params must be an object"),
    ],
)
async def test_a_call_that_cannot_be_made_is_a_json_rpc_error(
    http: httpx.AsyncClient, params: Any, message: str
) -> None:
    assert (await rpc(http, "tools/call", params))["error"] == {"code": -32602, "message": message}


async def test_a_context_that_is_no_object_is_an_error_of_the_call(http: httpx.AsyncClient) -> None:
    error = (await rpc(http, "tools/call", {"name": "counter", "context": [1]}))["error"]
    assert error["code"] == -32602 and "context" in error["message"]


async def test_two_assistants_of_one_name_cannot_be_called(http: httpx.AsyncClient, sdk: LangGraphClient) -> None:
    twins = [await sdk.assistants.create("echo", name="twin one") for _ in range(2)]
    error = (await rpc(http, "tools/call", {"name": "twin_one"}))["error"]
    assert error == {"code": -32602, "message": "Multiple tools found with the same name."}
    assert "twin_one" in await tools(http)
    for twin in twins:
        await sdk.assistants.delete(twin["assistant_id"])


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(["2.0", "ping", "tools/call", "counter", "x"]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["jsonrpc", "id", "method", "params", "name", "cursor"]), inner, max_size=5
            )
        ),
        max_leaves=12,
    )
)
def test_no_envelope_makes_the_server_fail(server: LiveServer, message: Any) -> None:
    answer = httpx.post(f"{server.url}/mcp", json=message, headers=JSON)
    assert answer.status_code in (200, 202, 400), answer.text


# --- the official client ----------------------------------------------------------------------------------------------


async def _listed(client: Client) -> set[str]:
    """The names of all tools, page by page: whoever shares the server may have made many assistants."""
    names, cursor = set[str](), None
    while True:
        page = await client.list_tools(cursor=cursor)
        names |= {tool.name for tool in page.tools}
        if (cursor := page.next_cursor) is None:
            return names


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_the_official_client_lists_and_calls_tools(server: LiveServer, mode: str) -> None:
    async with Client(f"{server.url}/mcp", mode=mode) as client:
        assert client.protocol_version == "2025-11-25"
        assert "counter" in await _listed(client)
        result = await client.call_tool("counter", {"steps": 3})
        assert result.structured_content["count"] == 3 and not result.is_error
        failed = await client.call_tool("boom", {})
        assert failed.is_error and [part.model_dump()["text"] for part in failed.content] == ["ValueError"]
        with pytest.raises(MCPError, match="Unknown tool"):
            await client.call_tool("nope", {})
