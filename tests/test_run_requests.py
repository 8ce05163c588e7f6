"""Which bodies create a run, which are refused and how. Source: contract/core.md 1.2 to 1.6, 5.2, 5.3."""

from typing import Any

import httpx
import pytest
from langgraph_sdk.client import LangGraphClient

from tests.wire import KWARGS, created, detail, new_thread

NOBODY = "00000000-0000-4000-8000-000000000000"
ECHO = "046b5dc7-2108-582c-9c6c-31d556d138f0"
CREATE = ("runs", "runs/wait", "runs/stream")


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", CREATE)
async def test_an_unknown_graph_answers_422_and_names_those_there_are(http: httpx.AsyncClient, path: str) -> None:
    answer = await http.post(f"/{path}", json={"assistant_id": "nope"})
    assert answer.status_code == 422
    assert "'nope'" in detail(answer) and "echo" in detail(answer)


@pytest.mark.parametrize("path", CREATE)
async def test_an_unknown_assistant_or_thread_answers_one_404(
    sdk: LangGraphClient, http: httpx.AsyncClient, path: str
) -> None:
    thread_id = await new_thread(sdk)
    stranger = await http.post(f"/threads/{thread_id}/{path}", json={"assistant_id": NOBODY})
    nowhere = await http.post(f"/threads/{NOBODY}/{path}", json={"assistant_id": "echo"})
    assert (stranger.status_code, nowhere.status_code) == (404, 404)
    assert detail(stranger) == detail(nowhere) == "Thread or assistant not found."
    assert (await sdk.threads.get(thread_id))["status"] == "idle"


@pytest.mark.parametrize("path", CREATE)
async def test_a_thread_id_that_is_no_uuid_answers_422(http: httpx.AsyncClient, path: str) -> None:
    answer = await http.post(f"/threads/zz/{path}", json={"assistant_id": "echo"})
    assert answer.status_code == 422 and "Invalid thread ID" in detail(answer)


async def test_the_body_is_checked_before_the_threads_id(http: httpx.AsyncClient) -> None:
    answer = await http.post("/threads/zz/runs", json={})
    assert answer.status_code == 422 and "assistant_id" in detail(answer)


async def test_a_checkpoint_id_that_is_no_uuid_answers_422(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    body = {"assistant_id": "echo", "checkpoint_id": "zz"}
    answer = await http.post(f"/threads/{await new_thread(sdk)}/runs", json=body)
    assert answer.status_code == 422 and "Invalid checkpoint ID" in detail(answer)


@pytest.mark.parametrize(
    "raw", [b"", b"{", b'{"a": NaN}', b'{"a": 1e999}', b'{"a": "\\ud800"}', b'{"a": "\xff"}', b"Infinity"]
)
@pytest.mark.parametrize("path", ["/runs", "/runs/wait", "/runs/stream", "/runs/batch", "/runs/cancel"])
async def test_what_is_no_json_answers_422(http: httpx.AsyncClient, path: str, raw: bytes) -> None:
    answer = await http.post(path, content=raw)
    assert (answer.status_code, detail(answer)) == (422, "Invalid JSON in request body")


@pytest.mark.parametrize(
    "wrong",
    [
        {"assistant_id": 5},
        {"metadata": []},
        {"config": 1},
        {"config": {"tags": "a"}},
        {"config": {"recursion_limit": "2"}},
        {"config": {"recursion_limit": 2.5}},
        {"config": {"configurable": []}},
        {"context": "x"},
        {"command": []},
        {"command": {"update": 1}},
        {"command": {"goto": 1}},
        {"checkpoint": "x"},
        {"stream_mode": "tools"},
        {"stream_mode": "lifecycle"},
        {"stream_mode": "VALUES"},
        {"stream_mode": ["values", "bogus"]},
        {"stream_mode": [1]},
        {"stream_subgraphs": "true"},
        {"stream_resumable": 1},
        {"multitask_strategy": "queue"},
        {"if_not_exists": "maybe"},
        {"on_disconnect": "stop"},
        {"durability": "never"},
        {"after_seconds": "1"},
        {"interrupt_before": "echo"},
        {"interrupt_after": [1]},
        {"feedback_keys": "x"},
        {"webhook": ""},
        {"langsmith_tracer": "x"},
    ],
    ids=str,
)
async def test_a_wrong_type_answers_422_and_changes_nothing(
    sdk: LangGraphClient, http: httpx.AsyncClient, wrong: dict[str, Any]
) -> None:
    thread_id = await new_thread(sdk)
    answer = await http.post(f"/threads/{thread_id}/runs", json={"assistant_id": "echo", **wrong})
    assert answer.status_code == 422 and detail(answer)
    assert await sdk.runs.list(thread_id) == []
    assert (await sdk.threads.get(thread_id))["status"] == "idle"


async def test_stateless_runs_do_not_check_breakpoints(http: httpx.AsyncClient) -> None:
    answer = await http.post("/runs/wait", json={"assistant_id": "echo", "input": {}, "interrupt_before": 5})
    assert answer.status_code == 200 and set(answer.json()) == {"__error__"}


async def test_context_and_configurable_together_answer_400(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    path = f"/threads/{await new_thread(sdk)}/runs"
    both = {"assistant_id": "echo", "context": {"a": 1}, "config": {"configurable": {"b": 1}}}
    assert (await http.post(path, json=both)).status_code == 400
    assert (await http.post(path, json={**both, "context": {}})).status_code == 200
    assert (await http.post(path, json={**both, "config": {"configurable": {}}})).status_code == 200


@pytest.mark.parametrize("path", CREATE)
async def test_a_stateless_run_cannot_resume(http: httpx.AsyncClient, path: str) -> None:
    answer = await http.post(f"/{path}", json={"assistant_id": "ask", "command": {"resume": "yes"}})
    assert (answer.status_code, detail(answer)) == (400, "You must provide a thread_id when resuming.")


@pytest.mark.parametrize("resume", [None, 0, False, ""])
async def test_a_stateless_run_takes_an_empty_resume(http: httpx.AsyncClient, resume: Any) -> None:
    assert (await http.post("/runs", json={"assistant_id": "ask", "command": {"resume": resume}})).status_code == 200


async def test_other_methods_answer_405_and_name_those_allowed(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    thread_id = await new_thread(sdk)
    for method, path, allowed in (
        ("DELETE", f"/threads/{thread_id}/runs", {"GET", "POST"}),
        ("PUT", f"/threads/{thread_id}/runs/wait", {"POST"}),
        ("GET", "/runs/batch", {"POST"}),
    ):
        answer = await http.request(method, path)
        assert (answer.status_code, detail(answer)) == (405, "Method Not Allowed")
        assert allowed <= {name.strip() for name in answer.headers["allow"].split(",")}


# --- what is accepted -------------------------------------------------------------------------------------------------


async def test_unknown_fields_are_ignored(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    extra = {"strict_resume": True, "assistantId": "x", "thread_id": 5, "on_completion": "keep", "select": ["x"]}
    assert (await created(http, await new_thread(sdk), **extra))["kwargs"]["temporary"] is False


async def test_null_counts_as_absent(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    names = ("metadata", "config", "context", "checkpoint", "checkpoint_id", "webhook", "stream_mode", "durability")
    nulls: dict[str, Any] = dict.fromkeys((*names, "multitask_strategy", "if_not_exists", "interrupt_before"))
    kwargs = (await created(http, await new_thread(sdk), **nulls))["kwargs"]
    assert {name: kwargs[name] for name in KWARGS} == KWARGS


async def test_the_content_type_is_not_looked_at(http: httpx.AsyncClient) -> None:
    answer = await http.post("/runs", content=b'{"assistant_id":"echo"}', headers={"Content-Type": "text/plain"})
    assert answer.status_code == 200


async def test_of_a_key_given_twice_the_last_counts(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    raw = b'{"assistant_id":"nope","assistant_id":"echo"}'
    assert (await http.post(f"/threads/{await new_thread(sdk)}/runs", content=raw)).status_code == 200


async def test_an_id_may_be_spelled_as_python_reads_it(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    thread_id = await new_thread(sdk)
    run = await created(http, thread_id, assistant_id=f"{{{ECHO}}}")
    assert run["assistant_id"] == ECHO
    for spelled in (f"urn:uuid:{thread_id}", thread_id.replace("-", ""), thread_id.upper()):
        found = await http.get(f"/threads/{spelled}/runs/{run['run_id']}")
        assert found.status_code == 200 and found.json()["thread_id"] == thread_id


async def test_whole_floats_are_integers(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    run = await created(http, await new_thread(sdk), config={"recursion_limit": 7.0})
    assert run["kwargs"]["config"]["recursion_limit"] == 7


async def test_reserved_metadata_is_dropped_in_silence(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    reserved = {
        "thread_id": "x",
        "run_id": "x",
        "assistant_id": "x",
        "cron_id": "x",
        "counters_since_delta_snapshot": 1,
    }
    body = {"metadata": {**reserved, "mine": 1}, "config": {"metadata": {**reserved, "ours": 2}}}
    run = await created(http, await new_thread(sdk), **body)
    assert run["metadata"] == {"created_by": "system", "assistant_id": ECHO, "mine": 1, "ours": 2}


async def test_reserved_configurable_is_dropped_in_silence(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    forged = {"langgraph_auth_user": {"identity": "root"}, "langgraph_auth_user_id": "root", "__after_seconds__": 7}
    run = await created(http, await new_thread(sdk), config={"configurable": {**forged, "mine": 1}})
    assert run["kwargs"]["context"] == {"mine": 1}
    configurable = run["kwargs"]["config"]["configurable"]
    assert (configurable["langgraph_auth_user"], configurable["langgraph_auth_user_id"]) == (None, "")
    assert configurable["__after_seconds__"] == 86400
    assert (await created(http, run["thread_id"], context=forged))["kwargs"]["context"] == {}


async def test_reserved_names_inside_input_are_the_callers_own(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    given = {"metadata": {"run_id": "mine"}, "config": {"configurable": {"langgraph_auth_user": 1}}}
    assert (await created(http, await new_thread(sdk), input=given))["kwargs"]["input"] == given


@pytest.mark.parametrize(
    "place", [{"config": {"a\0": 1}}, {"context": {"a\\u0000": 1}}, {"config": {"configurable": {"\\U0000": 1}}}]
)
async def test_nul_in_a_key_of_config_answers_422(
    sdk: LangGraphClient, http: httpx.AsyncClient, place: dict[str, Any]
) -> None:
    answer = await http.post(f"/threads/{await new_thread(sdk)}/runs", json={"assistant_id": "echo", **place})
    assert answer.status_code == 422 and detail(answer)


async def test_nul_elsewhere_becomes_a_replacement_character(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    run = await created(http, await new_thread(sdk), input={"te\0xt": "a\0b"}, metadata={"k\0": "v\0"})
    assert run["kwargs"]["input"] == {"te\ufffdxt": "a\ufffdb"}
    assert run["metadata"]["k\ufffd"] == "v\ufffd"
