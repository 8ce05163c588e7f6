"""`wait` and `join`: headers at once, then one JSON document. Source: contract/core.md 2.1 and 5.7."""

import asyncio
import time
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient

from tests.conftest import LiveServer, live_server
from tests.wire import finished, new_thread, status_of, stream, until, until_settled, until_started

NOBODY = "00000000-0000-4000-8000-000000000000"


async def waited(http: httpx.AsyncClient, graph_id: str, given: Any, thread_id: str | None = None, **body: Any) -> Any:
    """The document `wait` answers."""
    path = f"/threads/{thread_id}/runs/wait" if thread_id else "/runs/wait"
    answer = await http.post(path, json={"assistant_id": graph_id, "input": given, **body})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    return answer.json()


async def joined(http: httpx.AsyncClient, thread_id: str, run_id: str) -> Any:
    """The document `join` answers."""
    answer = await http.get(f"/threads/{thread_id}/runs/{run_id}/join")
    assert answer.status_code == 200
    return answer.json()


# --- headers ----------------------------------------------------------------------------------------------------------


async def test_wait_names_the_run_before_it_is_over(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    thread_id = await new_thread(sdk)
    body = {"assistant_id": "sleeper", "input": {"seconds": 1.5}}
    async with http.stream("POST", f"/threads/{thread_id}/runs/wait", json=body) as response:
        location = response.headers["content-location"]
        assert response.headers["location"] == f"{location}/join"
        assert (await http.get(location)).json()["status"] in ("pending", "running")
        assert (await response.aread()).startswith(b"{")
    assert (await http.get(response.headers["location"])).json()["log"] == ["first", "slept"]


async def test_a_stateless_wait_names_its_temporary_thread(http: httpx.AsyncClient) -> None:
    answer = await http.post("/runs/wait", json={"assistant_id": "echo", "input": {"text": "a"}})
    _, threads, thread_id, runs, run_id = answer.headers["content-location"].split("/")
    assert (threads, runs, uuid.UUID(thread_id).version, uuid.UUID(run_id).version) == ("threads", "runs", 7, 7)
    assert (await http.get(f"/threads/{thread_id}")).status_code == 404


async def test_join_names_itself(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    thread_id = await new_thread(sdk)
    run = await sdk.runs.create(thread_id, "echo", input={"text": "a"})
    path = f"/threads/{thread_id}/runs/{run['run_id']}"
    answer = await http.get(f"{path}/join")
    assert (answer.headers["location"], answer.headers["content-location"]) == (f"{path}/join", path)


# --- values -----------------------------------------------------------------------------------------------------------


async def test_wait_answers_the_last_values(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    assert await waited(http, "path", {"note": ""}) == {"note": "", "log": ["one:", "two:", "three:"]}


async def test_wait_answers_the_threads_values_when_none_are_streamed(
    sdk: LangGraphClient, http: httpx.AsyncClient
) -> None:
    thread_id = await new_thread(sdk)
    assert (await waited(http, "echo", {"text": "a"}, thread_id, stream_mode="updates"))["log"] == ["a"]


async def test_wait_answers_an_object_when_there_is_nothing_to_say(http: httpx.AsyncClient) -> None:
    assert await waited(http, "echo", {"text": "a"}, stream_mode="updates") == {}


async def test_values_of_a_subgraph_are_not_the_answer(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    answer = await waited(http, "parent", {"foo": "a"}, stream_subgraphs=True)
    assert answer == {"foo": "a", "log": ["pre", "pre", "inner"]}


async def test_a_temporary_run_has_no_checkpointer(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    body = {"assistant_id": "contextual", "input": {}}
    async with http.stream("POST", "/runs/wait", json=body) as response:
        await response.aread()
    thread_id = response.headers["content-location"].split("/")[2]
    assert (await http.get(f"/threads/{thread_id}/state")).status_code == 404


# --- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("value", {"error": "ValueError", "message": "kaboom"}),
        ("secret", {"error": "SecretError", "message": "An internal error occurred"}),
        ("timeout", {"error": "TimeoutError", "message": "inside the graph"}),
    ],
)
async def test_a_failing_run_answers_200_and_its_error(
    sdk: LangGraphClient, http: httpx.AsyncClient, kind: str, error: dict[str, str]
) -> None:
    assert await waited(http, "boom", {"kind": kind}) == {"__error__": error}
    thread_id = await new_thread(sdk)
    assert await waited(http, "boom", {"kind": kind}, thread_id) == {"__error__": error}
    thread: Any = await sdk.threads.get(thread_id)
    assert (thread["status"], thread["error"]) == ("error", error)
    assert (await sdk.runs.list(thread_id))[0]["status"] == "error"


async def test_a_node_that_cancels_itself_is_an_error(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    thread_id = await new_thread(sdk)
    answer = await waited(http, "boom", {"kind": "cancelled"}, thread_id)
    assert answer["__error__"]["error"] == "NodeCancelledError"
    assert (await sdk.runs.list(thread_id))[0]["status"] == "error"


async def test_the_error_inside_the_state_is_a_repr(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    thread_id = await new_thread(sdk)
    await waited(http, "boom", {"kind": "secret"}, thread_id)
    [task] = (await sdk.threads.get_state(thread_id))["tasks"]
    assert task["error"] == "SecretError('the password is hunter2')"


@pytest.mark.parametrize("given", [None, 5, "text", [1]])
async def test_unfit_input_fails_the_run_not_the_request(http: httpx.AsyncClient, given: Any) -> None:
    answer = await waited(http, "counter", given)
    assert answer["__error__"]["error"] in ("EmptyInputError", "InvalidUpdateError")


async def test_a_factory_that_makes_no_graph_fails_the_run(http: httpx.AsyncClient) -> None:
    assert "__error__" in await waited(http, "not_a_graph", {})


async def test_a_failed_run_frees_its_thread_for_the_next(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    thread_id = await new_thread(sdk)
    await waited(http, "boom", {"kind": "value"}, thread_id)
    assert await waited(http, "boom", {"kind": "none"}, thread_id) == {
        "kind": "none",
        "log": ["before", "before", "fine"],
    }
    thread: Any = await sdk.threads.get(thread_id)
    assert (thread["status"], thread["error"]) == ("idle", None)


# --- interrupts -------------------------------------------------------------------------------------------------------


async def test_an_interrupted_run_answers_values_and_interrupts(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    thread_id = await new_thread(sdk)
    answer = await waited(http, "ask", {"q": "a"}, thread_id)
    [interrupt] = answer.pop("__interrupt__")
    assert answer == {"q": "a!"}
    assert set(interrupt) == {"value", "id", "response_schema"} and interrupt["value"] == {"question": "a!"}


async def test_interrupts_are_answered_alone_in_updates_mode(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    answer = await waited(http, "ask", {"q": "a"}, await new_thread(sdk), stream_mode="updates")
    assert set(answer) == {"__interrupt__"} and len(answer["__interrupt__"]) == 1


async def test_every_interrupt_is_answered_once(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    answer = await waited(
        http, "parallel_ask", {"names": ["a", "b"]}, await new_thread(sdk), stream_mode=["updates", "values"]
    )
    assert [interrupt["value"]["name"] for interrupt in answer["__interrupt__"]] == ["a", "b"]
    assert answer["names"] == ["a", "b"]


async def test_a_breakpoint_answers_values_only(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    answer = await waited(http, "path", {"note": ""}, await new_thread(sdk), interrupt_after=["one"])
    assert answer == {"note": "", "log": ["one:"]}


async def test_a_temporary_run_shows_its_interrupt(http: httpx.AsyncClient) -> None:
    answer = await waited(http, "ask", {"q": "a"})
    assert answer["__interrupt__"][0]["value"] == {"question": "a!"}


# --- join -------------------------------------------------------------------------------------------------------------


async def test_join_answers_when_the_run_is_over(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    thread_id = await new_thread(sdk)
    run = await sdk.runs.create(thread_id, "sleeper", input={"seconds": 0.5})
    assert (await joined(http, thread_id, run["run_id"]))["log"] == ["first", "slept"]
    assert await status_of(sdk, thread_id, run["run_id"]) == "success"


async def test_joining_a_finished_run_answers_what_the_thread_holds_now(
    sdk: LangGraphClient, http: httpx.AsyncClient
) -> None:
    thread_id = await new_thread(sdk)
    run = await sdk.runs.create(thread_id, "boom", input={"kind": "none"})
    await until(sdk, thread_id, run["run_id"], ("success",))
    assert (await joined(http, thread_id, run["run_id"]))["log"] == ["before", "fine"]
    await waited(http, "boom", {"kind": "value"}, thread_id)
    answer = await joined(http, thread_id, run["run_id"])
    assert answer == {"__error__": {"error": "ValueError", "message": "kaboom"}}


async def test_joining_a_finished_run_answers_open_interrupts(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    thread_id = await new_thread(sdk)
    run = await sdk.runs.create(thread_id, "ask", input={"q": "a"})
    await until(sdk, thread_id, run["run_id"], ("success",))
    answer = await joined(http, thread_id, run["run_id"])
    assert list(answer) == ["__interrupt__"]
    assert [(set(item), item["value"]) for item in answer["__interrupt__"]] == [({"id", "value"}, {"question": "a!"})]


async def test_joining_an_unknown_run_answers_404(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    for thread_id in (await new_thread(sdk), NOBODY):
        answer = await http.get(f"/threads/{thread_id}/runs/{NOBODY}/join")
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/json")
        assert isinstance(answer.json()["detail"], str)


async def test_many_joins_get_one_answer(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    thread_id = await new_thread(sdk)
    run = await sdk.runs.create(thread_id, "sleeper", input={"seconds": 1})
    answers = await asyncio.gather(*(joined(http, thread_id, run["run_id"]) for _ in range(20)))
    assert all(answer == {"seconds": 1, "log": ["first", "slept"]} for answer in answers)


async def test_waiting_for_a_run_that_is_cancelled_answers_what_there_is(
    sdk: LangGraphClient, http: httpx.AsyncClient
) -> None:
    thread_id = await new_thread(sdk)
    waiting = asyncio.create_task(waited(http, "sleeper", {"seconds": 60}, thread_id))
    while not (runs := await sdk.runs.list(thread_id)):
        await asyncio.sleep(0.02)
    await until_started(sdk, thread_id, runs[0]["run_id"], "sleep")
    await sdk.runs.cancel(thread_id, runs[0]["run_id"])
    async with asyncio.timeout(3):
        assert await waiting == {"seconds": 60, "log": ["first"]}


async def test_waiting_for_a_run_that_is_superseded_ends(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    thread_id = await new_thread(sdk)
    body = {"assistant_id": "sleeper", "input": {"seconds": 60}}
    async with http.stream("POST", f"/threads/{thread_id}/runs/wait", json=body) as response:
        run_id = response.headers["content-location"].rsplit("/", 1)[1]
        await until_started(sdk, thread_id, run_id, "sleep")
        await sdk.runs.create(thread_id, "echo", input={"text": "a"}, multitask_strategy="rollback")
        async with asyncio.timeout(3):
            assert (await response.aread()).strip().startswith(b"{")


# --- time limit -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hurried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server whose runs may take one second, and whose streams are forgotten a second later."""
    limits = {"BG_JOB_TIMEOUT_SECS": "1", "RESUMABLE_STREAM_TTL_SECONDS": "1"}
    with live_server(tmp_path_factory.mktemp("hurried"), **limits) as running:
        yield running


async def test_a_run_that_takes_too_long_ends_as_timeout(hurried: LiveServer) -> None:
    async with get_client(url=hurried.url) as sdk:
        thread_id = await new_thread(sdk)
        before = time.monotonic()
        answer = await sdk.runs.wait(thread_id, "sleeper", input={"seconds": 60})
        assert answer == {"seconds": 60, "log": ["first"]} and time.monotonic() - before < 5
        assert (await sdk.runs.list(thread_id))[0]["status"] == "timeout"
        thread: Any = await until_settled(sdk, thread_id)
        assert (thread["status"], thread["error"]) == ("error", {"error": "TimeoutError", "message": ""})
        assert thread["values"] == {"seconds": 60, "log": ["first"]}
        assert (await finished(sdk, thread_id, "sleeper", input={"seconds": 0}))["log"][-1] == "slept"


async def test_of_a_stream_that_is_forgotten_the_end_is_told(hurried: LiveServer) -> None:
    async with get_client(url=hurried.url) as sdk, httpx.AsyncClient(base_url=hurried.url) as http:
        thread_id = await new_thread(sdk)
        run = await sdk.runs.create(thread_id, "echo", input={"text": "a"}, stream_resumable=True)
        assert (await joined(http, thread_id, run["run_id"]))["log"] == ["a"]
        await asyncio.sleep(2)
        found = await stream(http, f"/threads/{thread_id}/runs/{run['run_id']}/stream", headers={"Last-Event-ID": "-1"})
        assert found.names == ["metadata", "values"]
        assert found.data("metadata") == [{"run_id": run["run_id"], "attempt": 1, "status": "success"}]
        assert found.data("values")[0]["log"] == ["a"]
        assert (await joined(http, thread_id, run["run_id"]))["log"] == ["a"]
