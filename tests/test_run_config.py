"""How config, context and metadata of a run come together, and what the graph sees. Source: contract/core.md 5.4."""

from typing import Any

import httpx
import pytest
from langgraph_sdk.client import LangGraphClient

from tests.wire import finished, new_thread

OURS = {"run_id", "thread_id", "graph_id", "assistant_id", "user_id"}
ASKED = {
    "langgraph_auth_user",
    "langgraph_auth_user_id",
    "langgraph_auth_permissions",
    "langgraph_request_id",
    "__request_start_time_ms__",
    "__after_seconds__",
}


async def assistant(sdk: LangGraphClient, graph_id: str = "echo", **arguments: Any) -> str:
    """The id of a new assistant."""
    return str((await sdk.assistants.create(graph_id, **arguments))["assistant_id"])


async def created(
    http: httpx.AsyncClient, assistant_id: str, thread_id: str | None = None, /, headers: Any = None, **body: Any
) -> dict[str, Any]:
    """A run that is not executed."""
    path = f"/threads/{thread_id}/runs" if thread_id else "/runs"
    body = {"assistant_id": assistant_id, "after_seconds": 3600, **body}
    answer = await http.post(path, json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    run: dict[str, Any] = answer.json()
    return run


def own(run: dict[str, Any]) -> dict[str, Any]:
    """The configurable of a run without what the server adds to every run's."""
    configurable = run["kwargs"]["config"]["configurable"]
    assert set(configurable) >= OURS | ASKED
    return {key: value for key, value in configurable.items() if key not in OURS | ASKED}


async def seen(sdk: LangGraphClient, assistant_id: str, thread_id: str | None = None, **arguments: Any) -> Any:
    """What a graph sees of its configuration."""
    return (await finished(sdk, thread_id, assistant_id, input={}, **arguments))["seen"]


# --- what is stored ---------------------------------------------------------------------------------------------------


async def test_the_example_of_the_contract(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    thread_id = await new_thread(sdk, metadata={"graph_id": "echo"})
    config = {"tags": ["tt"], "recursion_limit": 12, "metadata": {"cm": 2}, "configurable": {"foo": "bar"}}
    run = await created(http, "echo", thread_id, {"x-request-id": "req-1"}, config=config, metadata={"rm": 1})
    metadata = {"created_by": "system", "graph_id": "echo", "assistant_id": run["assistant_id"], "cm": 2, "rm": 1}
    stored = run["kwargs"]["config"]
    assert run["metadata"] == metadata == stored["metadata"]
    assert (stored["tags"], stored["recursion_limit"], run["kwargs"]["context"]) == (["tt"], 12, {"foo": "bar"})
    configurable = stored["configurable"]
    assert isinstance(configurable.pop("__request_start_time_ms__"), int)
    assert configurable == {
        "foo": "bar",
        "langgraph_auth_user": None,
        "langgraph_auth_user_id": "",
        "langgraph_auth_permissions": [],
        "langgraph_request_id": "req-1",
        "__after_seconds__": 3600,
        "run_id": run["run_id"],
        "thread_id": thread_id,
        "graph_id": "echo",
        "assistant_id": run["assistant_id"],
        "user_id": "",
    }


async def test_a_request_without_an_id_gets_one(http: httpx.AsyncClient) -> None:
    configurable = (await created(http, "echo"))["kwargs"]["config"]["configurable"]
    assert len(configurable["langgraph_request_id"]) == 36


async def test_metadata_of_assistant_thread_config_and_body_in_this_order(
    sdk: LangGraphClient, http: httpx.AsyncClient
) -> None:
    names = ("assistant", "thread", "config", "body")
    layers = [{f"only {name}": name, **dict.fromkeys(names[i:], name)} for i, name in enumerate(names)]
    assistant_id = await assistant(sdk, metadata=layers[0])
    thread_id = await new_thread(sdk, metadata=layers[1])
    run = await created(http, assistant_id, thread_id, config={"metadata": layers[2]}, metadata=layers[3])
    expected = {**layers[0], **layers[1], **layers[2], **layers[3], "assistant_id": assistant_id}
    assert run["metadata"] == run["kwargs"]["config"]["metadata"] == expected


async def test_the_metadata_in_an_assistants_config_is_dropped(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    assistant_id = await assistant(sdk, config={"metadata": {"lost": 1}, "tags": ["kept"]})
    run = await created(http, assistant_id)
    assert run["kwargs"]["config"]["metadata"] == {"assistant_id": assistant_id}
    assert run["kwargs"]["config"]["tags"] == ["kept"]


async def test_a_new_thread_adds_nothing_to_metadata(http: httpx.AsyncClient) -> None:
    run = await created(http, "echo")
    assert run["metadata"] == {"created_by": "system", "assistant_id": run["assistant_id"]}


async def test_the_graph_id_in_metadata_is_the_callers(http: httpx.AsyncClient) -> None:
    run = await created(http, "echo", metadata={"graph_id": "mine"})
    assert run["metadata"]["graph_id"] == "mine"
    assert run["kwargs"]["config"]["configurable"]["graph_id"] == "echo"


async def test_merges_are_shallow(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    config = {"tags": ["a"], "recursion_limit": 5, "configurable": {"deep": {"a": 1}}}
    assistant_id = await assistant(sdk, config=config, metadata={"deep": {"a": 1}})
    asked = {"tags": ["b"], "configurable": {"deep": {"b": 2}}}
    run = await created(http, assistant_id, config=asked, metadata={"deep": {"b": 2}})
    stored = run["kwargs"]["config"]
    assert (stored["tags"], stored["recursion_limit"]) == (["b"], 5)
    assert stored["configurable"]["deep"] == run["metadata"]["deep"] == {"b": 2}


async def test_configurable_of_assistant_thread_and_body_in_this_order(
    sdk: LangGraphClient, http: httpx.AsyncClient
) -> None:
    thread_id = await new_thread(sdk)
    first = await assistant(sdk, config={"configurable": {"a": "thread", "b": "thread", "sticky": True}})
    await sdk.runs.cancel_many(thread_id=thread_id, run_ids=[(await created(http, first, thread_id))["run_id"]])
    second = await assistant(sdk, config={"configurable": {"a": "assistant", "b": "assistant", "c": "assistant"}})
    run = await created(http, second, thread_id, config={"configurable": {"b": "body"}})
    assert own(run) == {"a": "thread", "b": "body", "c": "assistant", "sticky": True}


async def test_a_thread_remembers_all_but_the_runs_configurable(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    thread_id = await new_thread(sdk)
    assistant_id = await assistant(sdk, config={"configurable": {"mine": 1}, "tags": ["x"]})
    config = {"configurable": {"once": 1}, "recursion_limit": 9, "unknown": True, "metadata": {"m": 1}}
    await created(http, assistant_id, thread_id, config=config)
    thread: Any = await sdk.threads.get(thread_id)
    assert thread["config"] == {
        "tags": ["x"],
        "recursion_limit": 9,
        "unknown": True,
        "metadata": {"m": 1},
        "configurable": {"mine": 1},
    }


@pytest.mark.parametrize("name", ["run_id", "thread_id", "graph_id", "assistant_id"])
async def test_the_servers_ids_always_win(http: httpx.AsyncClient, name: str) -> None:
    run = await created(http, "echo", config={"configurable": {name: "forged", "other": 1}})
    configurable = run["kwargs"]["config"]["configurable"]
    assert configurable[name] == {**run, "graph_id": "echo"}[name]
    assert own(run) == {"other": 1}


async def test_the_user_id_is_the_first_there_is(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    assistant_id = await assistant(sdk, config={"configurable": {"user_id": "assistants"}})

    async def user_id(**body: Any) -> Any:
        return (await created(http, assistant_id, **body))["kwargs"]["config"]["configurable"]["user_id"]

    assert await user_id() == "assistants"
    assert await user_id(config={"configurable": {"user_id": "mine"}}) == "mine"
    assert await user_id(config={"configurable": {"user_id": ""}}) == "assistants"


async def test_context_and_configurable_mirror_each_other(http: httpx.AsyncClient) -> None:
    by_context = await created(http, "echo", context={"a": 1})
    assert own(by_context) == {"a": 1, "__context_provided__": True}
    assert by_context["kwargs"]["context"] == {"a": 1}
    by_configurable = await created(http, "echo", config={"configurable": {"a": 1}})
    assert own(by_configurable) == by_configurable["kwargs"]["context"] == {"a": 1}


async def test_the_assistants_context_lies_below_the_bodys(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    assistant_id = await assistant(sdk, context={"a": "assistant", "b": "assistant"})
    run = await created(http, assistant_id, context={"b": "body"})
    assert run["kwargs"]["context"] == {"a": "assistant", "b": "body"}
    assert own(run) == {"a": "assistant", "b": "body", "__context_provided__": True}


async def test_a_checkpoint_goes_into_configurable(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    first, second = ("1f1e68b0-7642-6000-8000-00000000000" + digit for digit in "01")
    checkpoint = {"checkpoint_id": second, "checkpoint_ns": "", "checkpoint_map": {"": second}}
    by_id = await created(http, "echo", await new_thread(sdk), checkpoint_id=first)
    assert own(by_id) == {"checkpoint_id": first}
    by_both = await created(http, "echo", await new_thread(sdk), checkpoint_id=first, checkpoint=checkpoint)
    assert own(by_both) == checkpoint


async def test_a_checkpoint_does_not_carry_its_thread_along(sdk: LangGraphClient, http: httpx.AsyncClient) -> None:
    thread_id = await new_thread(sdk)
    run = await created(http, "echo", thread_id, checkpoint={"thread_id": "elsewhere", "checkpoint_ns": ""})
    assert run["kwargs"]["config"]["configurable"]["thread_id"] == thread_id


async def test_the_tracer_goes_into_configurable(http: httpx.AsyncClient) -> None:
    run = await created(http, "echo", langsmith_tracer={"project_name": "p", "example_id": "e"})
    assert own(run) == {"__langsmith_project__": "p", "__langsmith_example_id__": "e"}
    assert (await created(http, "echo", config={"configurable": {"__langsmith_project__": "forged"}}))["kwargs"][
        "context"
    ] == {}


async def test_headers_stay_out_of_configurable(http: httpx.AsyncClient) -> None:
    headers = {"x-api-key": "secret", "x-custom": "1", "authorization": "Bearer x", "user-agent": "me"}
    assert own(await created(http, "echo", None, headers)) == {}


async def test_tracing_headers_go_into_configurable(http: httpx.AsyncClient) -> None:
    baggage = "langsmith-metadata=%7B%22a%22%3A1%7D,other=1,langsmith-tags=x%2Cy,langsmith-project=p%20q"
    traced = await created(http, "echo", None, {"langsmith-trace": "20260101T000000Z-id", "baggage": baggage})
    assert own(traced) == {
        "langsmith-trace": "20260101T000000Z-id",
        "langsmith-metadata": {"a": 1},
        "langsmith-tags": ["x", "y"],
        "langsmith-project": "p q",
    }
    assert own(await created(http, "echo", None, {"baggage": baggage})) == {}
    odd = {"langsmith-trace": "t", "baggage": "langsmith-metadata=%5B1%5D,langsmith-metadata=x,;;=,langsmith-tags"}
    assert own(await created(http, "echo", None, odd)) == {"langsmith-trace": "t"}


# --- what the graph sees ----------------------------------------------------------------------------------------------


async def test_a_graph_sees_who_it_is(sdk: LangGraphClient) -> None:
    thread_id = await new_thread(sdk)
    told = await seen(sdk, "contextual", thread_id)
    [run] = await sdk.runs.list(thread_id)
    ids = {name: run[name] for name in ("run_id", "thread_id", "assistant_id")}
    assert {**told["configurable"], **ids, "graph_id": "contextual", "user_id": ""} == told["configurable"]
    assert told["recursion_limit"] is None  # langgraph's own, 10007, applies


async def test_a_graph_sees_its_metadata(sdk: LangGraphClient) -> None:
    told = await seen(sdk, "contextual", await new_thread(sdk), metadata={"mine": 1}, config={"metadata": {"cm": 2}})
    expected = {
        "run_attempt": 1,
        "langgraph_version": "1.2.22",
        "langgraph_plan": "enterprise",
        "langgraph_host": "self-hosted",
        "created_by": "system",
        "mine": 1,
        "cm": 2,
        "graph_id": "contextual",
    }
    assert {**told["metadata"], **expected} == told["metadata"]
    assert {"run_id", "thread_id", "assistant_id", "langgraph_api_version"} <= set(told["metadata"])


async def test_context_without_a_place_in_the_schema_is_dropped(sdk: LangGraphClient) -> None:
    told = await seen(sdk, "contextual", context={"tone": "loud", "other": 1})
    assert told["context"] == {"tone": "loud"}
    assert (told["configurable"]["tone"], told["configurable"]["other"]) == ("loud", None)


async def test_configurable_reaches_the_context_and_keeps_what_is_its_own(sdk: LangGraphClient) -> None:
    told = await seen(sdk, "contextual", config={"configurable": {"tone": "loud", "other": 1}})
    assert told["context"] == {"tone": "loud"}
    assert (told["configurable"]["tone"], told["configurable"]["other"]) == ("loud", 1)


async def test_an_assistants_context_reaches_the_graph(sdk: LangGraphClient) -> None:
    assistant_id = await assistant(sdk, "contextual", context={"tone": "soft"})
    assert (await seen(sdk, assistant_id))["context"] == {"tone": "soft"}
    assert (await seen(sdk, assistant_id, context={"tone": "loud"}))["context"] == {"tone": "loud"}


async def test_unfit_context_fails_the_run(sdk: LangGraphClient) -> None:
    answer = await finished(sdk, None, "types", input={"value": 1}, context={"anything": [1]}, raise_error=False)
    assert "__error__" not in answer


async def test_the_recursion_limit_is_the_graphs_own_affair(sdk: LangGraphClient) -> None:
    assert (await finished(sdk, None, "counter", input={"steps": 40}))["count"] == 40
    limited = await finished(
        sdk, None, "counter", input={"steps": 40}, config={"recursion_limit": 25}, raise_error=False
    )
    assert limited["__error__"]["error"] == "GraphRecursionError"
    none = await finished(sdk, None, "counter", input={"steps": 1}, config={"recursion_limit": 0}, raise_error=False)
    assert none["__error__"]["error"] == "ValueError"


async def test_an_assistants_recursion_limit_holds_until_the_run_sets_its_own(sdk: LangGraphClient) -> None:
    assistant_id = await assistant(sdk, "contextual", config={"recursion_limit": 33})
    assert (await seen(sdk, assistant_id))["recursion_limit"] == 33
    assert (await seen(sdk, assistant_id, config={"recursion_limit": 44}))["recursion_limit"] == 44


async def test_factories_make_the_graph_for_each_run(sdk: LangGraphClient) -> None:
    config: Any = {"configurable": {"flavour": "mint"}}
    made = await finished(sdk, None, "made", input={"told": {}}, config=config)
    assert made == {"told": {"flavour": "mint"}}
    made_async = await finished(sdk, None, "made_async", input={"told": {}}, config=config)
    assert made_async == {"told": {"access": "threads.create_run", "executes": True, "flavour": "mint"}}
    in_context = await finished(sdk, None, "made_in_context", input={"told": {}})
    assert in_context == {"told": {"access": "threads.create_run"}}
