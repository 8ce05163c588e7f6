"""/a2a: envelopes, cards, both dialects, tasks, interrupts and the official client. Source: contract/platform.md 11."""

import itertools
import json
import uuid
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from a2a.client.client import Client, ClientConfig
from a2a.client.client_factory import ClientFactory
from a2a.client.transports.base import ClientTransport
from a2a.client.transports.jsonrpc import JsonRpcTransport
from a2a.compat.v0_3.jsonrpc_transport import CompatJsonRpcTransport
from a2a.types import a2a_pb2 as types
from a2a.utils.errors import MethodNotFoundError, TaskNotCancelableError, TaskNotFoundError, UnsupportedOperationError
from google.protobuf import json_format
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langgraph_sdk.client import LangGraphClient

from assistants.graphs import assistant_id_of
from interop.parts import answer_parts, content_of, history
from tests.conftest import LiveServer

Json = dict[str, Any]


def path_of(graph: str) -> str:
    """Where the agent of a graph's default assistant is."""
    return f"/a2a/{assistant_id_of(graph)}"


def message(text: str | None = None, *, parts: list[Json] | None = None, **more: Any) -> Json:
    """A message of the user's."""
    said = parts if parts is not None else [{"kind": "text", "text": text}]
    return {"messageId": str(uuid.uuid4()), "role": "user", "parts": said, **more}


async def rpc(http: httpx.AsyncClient, graph: str, method: str, params: Any = None) -> Json:
    """The JSON-RPC answer."""
    body = {"jsonrpc": "2.0", "id": 7, "method": method, **({} if params is None else {"params": params})}
    answer = await http.post(path_of(graph), json=body)
    assert answer.status_code == 200, answer.text
    document: Json = answer.json()
    assert (document["jsonrpc"], document["id"]) == ("2.0", 7)
    return document


async def result(http: httpx.AsyncClient, graph: str, method: str, params: Any = None) -> Json:
    """The result of a method that is carried out."""
    document = await rpc(http, graph, method, params)
    assert "result" in document, document
    found: Json = document["result"]
    return found


async def refusal(http: httpx.AsyncClient, graph: str, method: str, params: Any = None) -> int:
    """The code of the error."""
    code: int = (await rpc(http, graph, method, params))["error"]["code"]
    return code


async def events(http: httpx.AsyncClient, graph: str, method: str, params: Json) -> list[Json]:
    """What a stream's frames hold under `result` or `error`."""
    body = {"jsonrpc": "2.0", "id": "x", "method": method, "params": params}
    answer = await http.post(path_of(graph), json=body)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert (answer.headers["cache-control"], answer.headers["x-accel-buffering"]) == ("no-store", "no")
    blocks = [block for block in answer.content.split(b"\r\n\r\n") if block and not block.startswith(b":")]
    documents = []
    for block in blocks:
        name, data = block.split(b"\r\n", 1)
        assert name == b"event: message"
        documents.append(json.loads(data.removeprefix(b"data: ")))
    assert all(document["id"] == "x" for document in documents)
    return [document.get("result", document.get("error")) for document in documents]


async def values_of(sdk: LangGraphClient, task: Json) -> Json:
    """The state of the task's thread."""
    found = (await sdk.threads.get_state(task["contextId"]))["values"]
    assert isinstance(found, dict)
    return found


def texts(parts: list[Json]) -> str:
    """The text of the parts."""
    return "".join(part["text"] for part in parts if "text" in part)


# --- envelopes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "code", "request_id"),
    [
        (b"{", -32700, None),
        (b"", -32700, None),
        (b"[]", -32600, None),
        (b'[{"jsonrpc": "2.0", "id": 1, "method": "GetTask"}]', -32600, None),
        (b'{"jsonrpc": "1.0", "id": 3, "method": "GetTask"}', -32600, 3),
        (b'{"id": 3, "method": "GetTask"}', -32600, 3),
        (b'{"jsonrpc": "2.0", "id": {}, "method": "GetTask"}', -32600, None),
        (b'{"jsonrpc": "2.0", "id": 3, "method": 7}', -32601, 3),
        (b'{"jsonrpc": "2.0", "id": 3, "method": "tasks/list"}', -32601, 3),
        (b'{"jsonrpc": "2.0", "id": 3, "method": "message/send"}', -32602, 3),
        (b'{"jsonrpc": "2.0", "id": 3, "method": "message/send", "params": []}', -32602, 3),
        (b'{"jsonrpc": "2.0", "id": 3, "method": "SendMessage", "params": {}}', -32602, 3),
        (b'{"jsonrpc": "2.0", "id": 3, "method": "message/stream", "params": {"message": 1}}', -32602, 3),
        (b'{"jsonrpc": "2.0", "id": 3}', -32600, 3),
        (b'{"jsonrpc": "2.0", "method": "GetTask", "params": {"id": "x"}}', -32600, None),
        (b'{"jsonrpc": "2.0", "id": null, "method": "GetTask", "params": {"id": "x"}}', -32600, None),
    ],
)
async def test_an_envelope_out_of_order_is_a_json_rpc_error_with_200(
    http: httpx.AsyncClient, body: bytes, code: int, request_id: Any
) -> None:
    answer = await http.post(path_of("chat"), content=body)
    assert answer.status_code == 200
    assert (answer.json()["id"], answer.json()["error"]["code"]) == (request_id, code)


async def test_an_answer_to_something_never_asked_gets_202(http: httpx.AsyncClient) -> None:
    answer = await http.post(path_of("chat"), json={"jsonrpc": "2.0", "id": 1, "result": {}})
    assert (answer.status_code, answer.content) == (202, b"")


@pytest.mark.parametrize(
    ("method", "accept", "status"),
    [
        ("GetTask", "text/event-stream", 400),
        ("GetTask", "application/*", 200),
        ("SendStreamingMessage", "application/json", 400),
        ("SendStreamingMessage", "text/event-stream", 200),
        ("SendStreamingMessage", "*/*", 200),
    ],
)
async def test_only_the_wrong_accept_header_answers_400(
    http: httpx.AsyncClient, method: str, accept: str, status: int
) -> None:
    params = {"id": "x", "message": message("hello")}
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    answer = await http.post(path_of("chat"), json=body, headers={"Accept": accept})
    assert answer.status_code == status
    if status == 400:
        assert list(answer.json()) == ["error"]


@pytest.mark.parametrize("name", ["chat", "00000000-0000-0000-0000-000000000000"])
async def test_agents_are_named_by_the_ids_of_assistants_alone(http: httpx.AsyncClient, name: str) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": {"message": message("hello")}}
    answer = await http.post(f"/a2a/{name}", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (200, -32602)


@pytest.mark.parametrize(("method", "status"), [("DELETE", 405), ("PUT", 405), ("PATCH", 405)])
async def test_other_methods_are_405(http: httpx.AsyncClient, method: str, status: int) -> None:
    answer = await http.request(method, path_of("chat"))
    assert answer.status_code == status
    assert answer.content == b"" if method == "DELETE" else answer.json() == {"detail": "Method Not Allowed"}


# --- cards ------------------------------------------------------------------------------------------------------------


async def test_the_card_is_the_same_wherever_it_is_asked_for(http: httpx.AsyncClient, server: LiveServer) -> None:
    base = path_of("chat")
    paths = [
        base,
        f"{base}/",
        f"{base}/.well-known/agent-card.json",
        f"{base}/.well-known/agent.json",
        f"/.well-known/agent-card.json?assistant_id={assistant_id_of('chat')}",
    ]
    cards = [(await http.get(path)).json() for path in paths]
    assert all(card == cards[0] for card in cards)
    assert await result(http, "chat", "GetExtendedAgentCard") == cards[0]
    card = cards[0]
    assert card["name"] == "chat" and card["description"] == "A chat agent."
    assert card["url"] == f"{server.url}{base}"
    assert card["supportedInterfaces"] == [{"url": card["url"], "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}]
    assert card["capabilities"]["streaming"] is True and card["capabilities"]["pushNotifications"] is False
    assert card["skills"][0]["metadata"]["inputSchema"]["supportsA2A"] is True
    assert card["skills"][0]["id"] == f"{assistant_id_of('chat')}-main"


@pytest.mark.parametrize("query", ["", "?assistant_id=chat", "?assistant_id=0e294c4c-543c-4af6-bcff-8a50a48a7a09"])
async def test_a_card_of_nobody_is_400_in_json_rpcs_words(http: httpx.AsyncClient, query: str) -> None:
    answer = await http.get(f"/.well-known/agent-card.json{query}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, -32602)


async def test_the_root_has_no_agent_json(http: httpx.AsyncClient) -> None:
    assert (await http.get("/.well-known/agent.json")).status_code == 404


async def test_an_assistant_may_say_its_own_modes(http: httpx.AsyncClient, sdk: LangGraphClient) -> None:
    made = await sdk.assistants.create("chat", metadata={"a2a": {"input_modes": ["image/png"]}}, name="Painter")
    card = (await http.get(f"/a2a/{made['assistant_id']}")).json()
    assert card["defaultInputModes"] == card["skills"][0]["inputModes"] == ["image/png"]
    await sdk.assistants.update(made["assistant_id"], metadata={"a2a": {"output_modes": []}})
    assert (await http.get(f"/a2a/{made['assistant_id']}")).status_code == 400


async def test_behind_a_proxy_the_card_has_the_outer_scheme(http: httpx.AsyncClient) -> None:
    card = (await http.get(path_of("chat"), headers={"X-Forwarded-Proto": "https"})).json()
    assert card["url"].startswith("https://127.0.0.1")


# --- sending ----------------------------------------------------------------------------------------------------------


async def test_a_message_is_answered_by_a_completed_task_in_the_legacy_dialect(http: httpx.AsyncClient) -> None:
    task = await result(http, "chat", "message/send", {"message": message("What is 6 * 7?")})
    assert task["kind"] == "task"
    assert task["id"].partition(":")[0] == task["contextId"]
    assert task["status"]["state"] == "completed"
    assert [artifact["name"] for artifact in task["artifacts"]] == ["Assistant Response"]
    assert "42" in texts(task["artifacts"][0]["parts"])
    assert task["history"][0]["role"] == "user" and texts(task["history"][0]["parts"]) == "What is 6 * 7?"
    assert task["history"][-1]["role"] == "agent"
    results = [part["data"]["tool_results"] for said in task["history"] for part in said["parts"] if "data" in part]
    assert results[0][0]["name"] == "calculator" and "42" in results[0][0]["content"]


async def test_the_modern_dialect_wraps_the_task_and_says_states_in_capitals(http: httpx.AsyncClient) -> None:
    wrapped = await result(http, "chat", "SendMessage", {"message": message("hello", role="ROLE_USER")})
    task = wrapped["task"]
    assert task["status"]["state"] == "TASK_STATE_COMPLETED"
    assert {said["role"] for said in task["history"]} == {"ROLE_USER", "ROLE_AGENT"}
    found = await result(http, "chat", "GetTask", {"id": task["id"]})
    assert found["status"]["state"] == "TASK_STATE_COMPLETED" and "artifacts" not in found
    assert texts(found["status"]["message"]["parts"]) == "Task completed successfully"


async def test_what_a_user_says_is_never_translated(http: httpx.AsyncClient) -> None:
    data = {"role": "user", "state": "completed", "text": "x"}
    task = (await result(http, "echo", "SendMessage", {"message": message(parts=[{"data": data}])}))["task"]
    assert json.loads(texts(task["artifacts"][0]["parts"])) == {"text": "x", "log": ["x"], "messages": []}
    sent = await events(http, "echo", "SendStreamingMessage", {"message": message(parts=[{"data": data}])})
    assert sent[0]["task"]["history"][0]["parts"] == [{"data": data}]


async def test_several_texts_are_several_messages(http: httpx.AsyncClient, sdk: LangGraphClient) -> None:
    said = message(parts=[{"text": "one"}, {"text": "two"}])
    task = await result(http, "chat", "message/send", {"message": said})
    values = await values_of(sdk, task)
    assert [one["content"] for one in values["messages"][:2]] == ["one", "two"]
    assert values["messages"][0]["id"] == said["messageId"]


async def test_a_file_makes_one_message_of_blocks_and_is_never_fetched(
    http: httpx.AsyncClient, sdk: LangGraphClient
) -> None:
    parts: list[Json] = [
        {"kind": "text", "text": "look"},
        {"kind": "file", "file": {"bytes": "aGk=", "mimeType": "image/png", "name": "a.png"}},
        {"kind": "file", "file": {"uri": "http://127.0.0.1:9/x.pdf", "mimeType": "application/pdf"}},
        {"raw": "aGk=", "mediaType": "audio/wav"},
        {"url": "http://127.0.0.1:9/y"},
    ]
    task = await result(http, "echo", "message/send", {"message": message(parts=parts)})
    values = await values_of(sdk, task)
    assert values["messages"][0]["content"] == [
        {"type": "text", "text": "look"},
        {"type": "image", "base64": "aGk=", "mime_type": "image/png", "extras": {"filename": "a.png"}},
        {"type": "file", "url": "http://127.0.0.1:9/x.pdf", "mime_type": "application/pdf"},
        {"type": "audio", "base64": "aGk=", "mime_type": "audio/wav"},
        {"type": "file", "url": "http://127.0.0.1:9/y"},
    ]


@pytest.mark.parametrize(
    "part",
    [{}, {"text": "a", "data": {}}, {"data": []}, {"data": "x"}, {"text": 7}, {"file": {}}, {"file": "x"}, 7, None],
)
async def test_a_part_of_no_kind_is_refused(http: httpx.AsyncClient, part: Any) -> None:
    assert await refusal(http, "chat", "message/send", {"message": message(parts=[part])}) == -32005


@pytest.mark.parametrize(
    "change",
    [
        {"messageId": None},
        {"messageId": ""},
        {"role": "system"},
        {"role": None},
        {"parts": []},
        {"parts": None},
        {"contextId": 7},
        {"contextId": "no uuid"},
        {"taskId": 7},
        {"command": {"resume": 1}},
        {"command": 7},
        {"parts": [{"data": {"resume": 1}}]},
    ],
)
async def test_a_message_out_of_order_is_refused(http: httpx.AsyncClient, change: Json) -> None:
    assert await refusal(http, "chat", "SendMessage", {"message": {**message("x"), **change}}) == -32602


async def test_text_for_a_graph_without_messages_names_its_fields(http: httpx.AsyncClient) -> None:
    error = (await rpc(http, "counter", "message/send", {"message": message("x")}))["error"]
    assert error["code"] == -32602
    assert "count, log, steps" in error["message"]


async def test_a_context_goes_on_over_several_tasks(http: httpx.AsyncClient) -> None:
    first = await result(http, "chat", "message/send", {"message": message("My name is Ada")})
    sent = {"message": message("What is 2 * 3?", contextId=first["contextId"])}
    second = await result(http, "chat", "message/send", {**sent, "configuration": {"historyScope": "task"}})
    assert second["contextId"] == first["contextId"] and second["id"] != first["id"]
    assert texts(second["history"][0]["parts"]) == "What is 2 * 3?"
    assert all(said["taskId"] == second["id"] for said in second["history"])
    whole = await result(http, "chat", "GetTask", {"id": second["id"]})
    assert whole["history"][0]["taskId"] == first["id"]
    header = {"LangGraph-A2A-History-Scope": "task"}
    body = {"jsonrpc": "2.0", "id": 1, "method": "GetTask", "params": {"id": second["id"], "historyLength": 1}}
    last = (await http.post(path_of("chat"), json=body, headers=header)).json()["result"]
    assert last["history"] == [{**second["history"][-1], "role": "ROLE_AGENT"}]


@pytest.mark.parametrize("configuration", [{"historyLength": -1}, {"historyLength": 11}, {"historyScope": "all"}])
async def test_a_history_out_of_bounds_is_refused(http: httpx.AsyncClient, configuration: Json) -> None:
    params = {"message": message("x"), "configuration": configuration}
    assert await refusal(http, "chat", "SendMessage", params) == -32602


async def test_no_history_is_sent_where_none_is_wanted(http: httpx.AsyncClient) -> None:
    params = {"message": message("x"), "configuration": {"historyLength": 0}}
    assert "history" not in await result(http, "chat", "message/send", params)


async def test_the_context_of_the_run_is_passed_on(http: httpx.AsyncClient) -> None:
    params = {"message": message("hello"), "context": {"style": "pirate"}}
    task = await result(http, "chat", "message/send", params)
    assert texts(task["artifacts"][0]["parts"]).startswith("Ahoy!")


async def test_a_failure_names_the_exceptions_type_alone(http: httpx.AsyncClient) -> None:
    task = await result(http, "boom", "message/send", {"message": message(parts=[{"data": {"kind": "text"}}])})
    assert task["status"]["state"] == "failed"
    said = texts(task["status"]["message"]["parts"])
    assert said.startswith("Error executing assistant: ") and "kaboom" not in said
    assert "timestamp" not in task["status"] and "artifacts" not in task
    found = await result(http, "boom", "tasks/get", {"id": task["id"]})
    assert texts(found["status"]["message"]["parts"]) == "Task failed with status: error"


@pytest.mark.parametrize("configuration", [{"blocking": False}, {"returnImmediately": True}])
async def test_a_client_that_does_not_wait_gets_the_task_at_once(http: httpx.AsyncClient, configuration: Json) -> None:
    params = {"message": message(parts=[{"data": {"seconds": 30}}]), "configuration": configuration}
    task = await result(http, "sleeper", "message/send", params)
    assert task["status"]["state"] == "submitted"
    found = await result(http, "sleeper", "tasks/cancel", {"id": task["id"]})
    assert found["status"]["state"] == "canceled"


# --- answering --------------------------------------------------------------------------------------------------------


async def asked(http: httpx.AsyncClient) -> Json:
    """A task that waits for input."""
    task = await result(http, "ask", "message/send", {"message": message(parts=[{"data": {"q": "sure"}}])})
    assert task["status"]["state"] == "input-required"
    assert task["artifacts"][0]["name"] == "Interrupt"
    assert task["artifacts"][0]["parts"][0]["data"]["value"] == {"question": "sure!"}
    return task


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        ({"parts": [{"text": "yes"}]}, "yes"),
        ({"parts": [{"data": {"resume": {"ok": 1}}}]}, {"ok": 1}),
        ({"parts": [{"text": "ignored"}], "command": {"resume": [1]}}, [1]),
        ({"parts": [{"data": {"free": "form"}}]}, {"free": "form"}),
    ],
    ids=["text", "data", "command", "free data"],
)
async def test_a_task_that_asks_goes_on_with_the_answer(
    http: httpx.AsyncClient, sdk: LangGraphClient, answer: Json, kept: Any
) -> None:
    task = await asked(http)
    reply = {**message("x", contextId=task["contextId"], taskId=task["id"]), **answer}
    done = await result(http, "ask", "message/send", {"message": reply})
    assert (done["id"], done["status"]["state"]) == (task["id"], "completed")
    values = await values_of(sdk, task)
    assert values["answer"] == kept
    assert (await result(http, "ask", "tasks/get", {"id": task["id"]}))["status"]["state"] == "completed"
    again = {"message": message("more", contextId=task["contextId"], taskId=task["id"])}
    assert await refusal(http, "ask", "message/send", again) == -32004


async def test_a_task_nobody_knows_is_not_found(http: httpx.AsyncClient) -> None:
    task = await result(http, "echo", "message/send", {"message": message(parts=[{"data": {"text": "x"}}])})
    unknown = f"{uuid.uuid4()}:{uuid.uuid4()}"
    for graph, task_id in (("echo", unknown), ("echo", "x"), ("chat", task["id"])):
        for method in ("GetTask", "tasks/get", "CancelTask"):
            assert await refusal(http, graph, method, {"id": task_id}) == -32001
        assert await refusal(http, graph, "SendMessage", {"message": message("x", taskId=task_id)}) == -32001
    run_id = task["id"].partition(":")[2]
    found = await result(http, "echo", "GetTask", {"id": run_id, "contextId": task["contextId"]})
    assert found["id"] == task["id"]


async def test_a_task_that_asks_can_be_cancelled_and_stays_so(http: httpx.AsyncClient, sdk: LangGraphClient) -> None:
    task = await asked(http)
    cancelled = await result(http, "ask", "CancelTask", {"id": task["id"]})
    assert cancelled["status"]["state"] == "TASK_STATE_CANCELED"
    assert texts(cancelled["status"]["message"]["parts"]) == "Task was canceled"
    assert (await result(http, "ask", "tasks/get", {"id": task["id"]}))["status"]["state"] == "canceled"
    assert await refusal(http, "ask", "CancelTask", {"id": task["id"]}) == -32002
    assert (await sdk.threads.get(task["contextId"]))["status"] == "idle"
    assert (await sdk.threads.get_state(task["contextId"]))["next"] == []


async def test_tasks_are_listed_newest_first_a_page_at_a_time(http: httpx.AsyncClient, sdk: LangGraphClient) -> None:
    context = str(uuid.uuid4())
    made = [
        await result(
            http, "echo", "message/send", {"message": message(parts=[{"data": {"text": "x"}}], contextId=context)}
        )
        for _ in range(3)
    ]
    ids = [task["id"] for task in reversed(made)]
    page = await result(http, "echo", "ListTasks", {"contextId": context, "pageSize": 2})
    assert [task["id"] for task in page["tasks"]] == ids[:2]
    assert (page["totalSize"], page["pageSize"]) == (3, 2)
    rest = await result(
        http, "echo", "ListTasks", {"contextId": context, "pageSize": 2, "pageToken": page["nextPageToken"]}
    )
    assert [task["id"] for task in rest["tasks"]] == ids[2:] and rest["nextPageToken"] == ""
    done = {"contextId": context, "status": "TASK_STATE_COMPLETED"}
    assert (await result(http, "echo", "ListTasks", done))["totalSize"] == 3
    assert (await result(http, "echo", "ListTasks", {**done, "status": "failed"}))["totalSize"] == 0
    late = {"contextId": context, "statusTimestampAfter": "2999-01-01T00:00:00Z"}
    assert (await result(http, "echo", "ListTasks", late))["tasks"] == []
    assert (await result(http, "chat", "ListTasks", {"contextId": context}))["tasks"] == []
    assert page["tasks"][0]["artifacts"] == []
    with_artifacts = await result(http, "echo", "ListTasks", {"contextId": context, "includeArtifacts": True})
    assert "artifacts" not in with_artifacts["tasks"][0]


@pytest.mark.parametrize(
    "params",
    [
        {"pageSize": 0},
        {"pageSize": 101},
        {"pageSize": "x"},
        {"pageToken": "x"},
        {"status": "done"},
        {"contextId": "x"},
        {"statusTimestampAfter": "soon"},
        {"historyLength": "x"},
    ],
)
async def test_a_listing_out_of_bounds_is_refused(http: httpx.AsyncClient, params: Json) -> None:
    assert await refusal(http, "echo", "ListTasks", params) == -32602


# --- streams ----------------------------------------------------------------------------------------------------------


async def test_a_stream_shows_text_as_it_grows_then_the_artifact_then_the_end(http: httpx.AsyncClient) -> None:
    said = message("hello")
    seen = await events(http, "chat", "message/stream", {"message": said})
    assert seen[0]["kind"] == "task" and seen[0]["status"]["state"] == "submitted"
    assert [one["messageId"] for one in seen[0]["history"]] == [said["messageId"]]
    growing = [texts(event["status"]["message"]["parts"]) for event in seen[1:-2]]
    assert len(growing) > 2
    assert all(event["status"]["state"] == "working" and event["final"] is False for event in seen[1:-2])
    assert all(after.startswith(before) and after != before for before, after in itertools.pairwise(growing))
    artifact, last = seen[-2:]
    assert artifact["kind"] == "artifact-update" and (artifact["append"], artifact["lastChunk"]) == (False, True)
    assert texts(artifact["artifact"]["parts"]) == growing[-1]
    assert (last["kind"], last["status"]["state"], last["final"]) == ("status-update", "completed", True)
    assert "message" not in last["status"]
    assert len({event["status"]["message"]["messageId"] for event in seen[1:-2]}) == len(growing)


async def test_a_stream_of_the_modern_dialect_names_each_event_by_its_key(http: httpx.AsyncClient) -> None:
    seen = await events(http, "chat", "SendStreamingMessage", {"message": message("hello")})
    kinds = [next(iter(event)) for event in seen]
    assert kinds[0] == "task" and set(kinds[1:-2]) == {"statusUpdate"}
    assert kinds[-2:] == ["artifactUpdate", "statusUpdate"]
    assert seen[-1]["statusUpdate"]["status"]["state"] == "TASK_STATE_COMPLETED"


async def test_a_stream_that_stops_for_a_human_ends_with_the_question(http: httpx.AsyncClient) -> None:
    seen = await events(http, "ask", "message/stream", {"message": message(parts=[{"data": {"q": "sure"}}])})
    assert [event["kind"] for event in seen] == ["task", "artifact-update", "status-update"]
    assert "append" not in seen[1] and seen[1]["artifact"]["name"] == "Interrupt"
    assert (seen[2]["status"]["state"], seen[2]["final"]) == ("input-required", True)


async def test_a_stream_that_fails_ends_with_the_exceptions_message(http: httpx.AsyncClient) -> None:
    seen = await events(http, "boom", "message/stream", {"message": message(parts=[{"data": {"kind": "value"}}])})
    assert (seen[-1]["status"]["state"], seen[-1]["final"]) == ("failed", True)
    assert texts(seen[-1]["status"]["message"]["parts"]) == "kaboom"


async def test_a_stream_that_cannot_begin_is_one_frame_with_the_error(http: httpx.AsyncClient) -> None:
    seen = await events(http, "chat", "message/stream", {"message": message("x", taskId="x")})
    assert [error["code"] for error in seen] == [-32001]


async def test_line_separators_inside_text_do_not_split_a_frame(http: httpx.AsyncClient) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": "message/stream", "params": {"message": message("a\u2028b\u0085c")}}
    answer = await http.post(path_of("chat"), json=body)
    assert not {"\u2028", "\u2029", "\u0085"} & set(answer.text)
    assert "a\\u2028b\\u0085c" in answer.text


# --- the official client ----------------------------------------------------------------------------------------------


@pytest.fixture(params=["modern", "legacy"])
async def transport(request: pytest.FixtureRequest, server: LiveServer) -> AsyncIterator[type[ClientTransport]]:
    """The official client's transport of one dialect."""
    yield JsonRpcTransport if request.param == "modern" else CompatJsonRpcTransport


def official(kind: Any, http: httpx.AsyncClient, graph: str) -> Any:
    """The transport, to the agent of a graph."""
    return kind(http, types.AgentCard(), f"{str(http.base_url).rstrip('/')}{path_of(graph)}", is_shared_httpx=True)


def request_of(text: str, **more: Any) -> types.SendMessageRequest:
    """A message in the official types."""
    said = types.Message(message_id=str(uuid.uuid4()), role=types.ROLE_USER, parts=[types.Part(text=text)], **more)
    return types.SendMessageRequest(message=said)


def data_request(data: Json, **more: Any) -> types.SendMessageRequest:
    """One with a data part."""
    part = json_format.ParseDict({"data": data}, types.Part())
    said = types.Message(message_id=str(uuid.uuid4()), role=types.ROLE_USER, parts=[part], **more)
    return types.SendMessageRequest(message=said)


async def test_the_official_client_sends_and_reads_the_task(transport: Any, http: httpx.AsyncClient) -> None:
    client = official(transport, http, "chat")
    task = (await client.send_message(request_of("What is 6 * 7?"))).task
    assert task.status.state == types.TASK_STATE_COMPLETED
    assert "42" in task.artifacts[0].parts[0].text
    found = await client.get_task(types.GetTaskRequest(id=task.id))
    assert found.status.state == types.TASK_STATE_COMPLETED and len(found.history) >= 2
    with pytest.raises(TaskNotFoundError):
        await client.get_task(types.GetTaskRequest(id=f"{uuid.uuid4()}:{uuid.uuid4()}"))


async def test_the_official_client_streams(transport: Any, http: httpx.AsyncClient) -> None:
    client = official(transport, http, "chat")
    kinds = [event.WhichOneof("payload") async for event in client.send_message_streaming(request_of("hello"))]
    assert kinds[0] == "task" and kinds[-2:] == ["artifact_update", "status_update"] and len(kinds) > 4


async def test_the_official_client_answers_a_question(transport: Any, http: httpx.AsyncClient) -> None:
    client = official(transport, http, "ask")
    task = (await client.send_message(data_request({"q": "sure"}))).task
    assert task.status.state == types.TASK_STATE_INPUT_REQUIRED
    reply = request_of("yes", task_id=task.id, context_id=task.context_id)
    done = (await client.send_message(reply)).task
    assert (done.id, done.status.state) == (task.id, types.TASK_STATE_COMPLETED)
    with pytest.raises(UnsupportedOperationError):
        await client.send_message(request_of("again", task_id=task.id, context_id=task.context_id))


async def test_the_official_client_cancels_what_runs(transport: Any, http: httpx.AsyncClient) -> None:
    client = official(transport, http, "sleeper")
    stream = client.send_message_streaming(data_request({"seconds": 30}))
    task = (await anext(stream)).task
    cancelled = await client.cancel_task(types.CancelTaskRequest(id=task.id))
    assert cancelled.status.state == types.TASK_STATE_CANCELED
    rest = [event async for event in stream]
    assert rest[-1].status_update.status.state == types.TASK_STATE_CANCELED
    with pytest.raises(TaskNotCancelableError):
        await client.cancel_task(types.CancelTaskRequest(id=task.id))


async def test_the_official_client_comes_back_to_a_task_that_goes_on(transport: Any, http: httpx.AsyncClient) -> None:
    client = official(transport, http, "chat")
    asked_for = request_of("hello")
    asked_for.configuration.return_immediately = True
    task = (await client.send_message(asked_for)).task
    try:
        seen = [event async for event in client.subscribe(types.SubscribeToTaskRequest(id=task.id))]
    except UnsupportedOperationError:
        return  # it had ended before we asked
    assert seen[0].task.id == task.id and seen[-1].status_update.status.state == types.TASK_STATE_COMPLETED


async def test_the_official_client_finds_its_way_from_the_card(http: httpx.AsyncClient, server: LiveServer) -> None:
    factory = ClientFactory(ClientConfig(httpx_client=http, streaming=False))
    client: Client = await factory.create_from_url(f"{server.url}{path_of('chat')}")
    answers = [answer async for answer in client.send_message(request_of("hello"))]
    assert answers[-1].task.status.state == types.TASK_STATE_COMPLETED
    listed = await client.list_tasks(types.ListTasksRequest(context_id=answers[-1].task.context_id))
    assert [task.id for task in listed.tasks] == [answers[-1].task.id]


async def test_a_method_of_the_protocol_that_is_not_served_is_an_error_of_the_client(http: httpx.AsyncClient) -> None:
    client = official(JsonRpcTransport, http, "chat")
    with pytest.raises(MethodNotFoundError):
        await client.list_task_push_notification_configs(types.ListTaskPushNotificationConfigsRequest(task_id="x"))


# --- pieces -----------------------------------------------------------------------------------------------------------


def test_an_answer_is_the_last_agent_message_of_this_turn_with_content() -> None:
    values = {
        "messages": [
            {"type": "human", "id": "1", "content": "a"},
            {"type": "ai", "id": "2", "content": "old"},
            {"type": "human", "id": "3", "content": "b"},
            {
                "type": "ai",
                "id": "4",
                "content": [{"type": "reasoning", "reasoning": "hm"}, {"type": "text", "text": "new"}],
            },
            {"type": "ai", "id": "5", "content": ""},
        ]
    }
    assert answer_parts(values, ["3"]) == [{"kind": "text", "text": "new"}]
    assert json.loads(answer_parts(values, ["5"])[0]["text"]) == values


def test_results_of_tools_nobody_called_and_system_messages_are_not_shown() -> None:
    values = {
        "messages": [
            {"type": "system", "content": "secret"},
            {"type": "tool", "tool_call_id": "x", "content": "stray"},
            {"type": "ai", "id": "a", "content": "", "tool_calls": [{"id": "1", "name": "add", "args": {}}]},
            {"type": "tool", "id": "b", "tool_call_id": "1", "content": "2"},
        ]
    }
    shown = history(values, context_id="c", starts={}, task_id=None, tools=None)
    assert [part["data"] for part in shown[0]["parts"]] == [
        {"tool_results": [{"toolCallId": "1", "content": "2", "name": "add", "status": "success"}]}
    ]
    assert len(shown) == 1
    assert history(values, context_id="c", starts={}, task_id=None, tools=frozenset({"other"})) == []


def test_data_parts_are_merged() -> None:
    assert content_of([{"data": {"a": 1}}, {"data": {"b": 2}}]).data == {"a": 1, "b": 2}


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
METHODS = st.sampled_from(["SendMessage", "message/stream", "GetTask", "tasks/cancel", "ListTasks", "SubscribeToTask"])
MESSAGES = st.fixed_dictionaries(
    {},
    optional={
        "messageId": st.text(max_size=5) | JSON_VALUES,
        "role": st.sampled_from(["user", "agent", "ROLE_USER"]) | JSON_VALUES,
        "parts": st.lists(
            st.fixed_dictionaries({}, optional={"text": JSON_VALUES, "data": JSON_VALUES, "file": JSON_VALUES})
        )
        | JSON_VALUES,
        "taskId": JSON_VALUES,
        "contextId": JSON_VALUES,
        "command": JSON_VALUES,
    },
)
PARAMS = st.fixed_dictionaries(
    {}, optional={"message": MESSAGES, "id": JSON_VALUES, "configuration": JSON_VALUES, "context": JSON_VALUES}
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=st.fixed_dictionaries(
        {"jsonrpc": st.just("2.0")},
        optional={"id": JSON_VALUES, "method": METHODS | JSON_VALUES, "params": PARAMS | JSON_VALUES},
    )
    | JSON_VALUES
)
def test_no_envelope_breaks_the_server(server: LiveServer, body: Any) -> None:
    answer = httpx.post(f"{server.url}{path_of('echo')}", content=json.dumps(body), timeout=30)
    assert answer.status_code in (200, 202)
