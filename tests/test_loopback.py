"""The way from a project's code to the server in its process: part by part, and over when the client is."""

import asyncio
import sys
from typing import Any

import httpx
import pytest
from langchain_core.runnables.config import var_child_runnable_config
from langgraph_sdk import get_client
from langgraph_sdk._shared import utilities

from config import loopback
from config.loopback import Transport


def client_of(app: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=Transport(app, root_path="/noauth"), base_url="http://api")


async def begin(send: Any, status: int = 200) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"text/plain")]})


async def test_the_request_arrives_as_it_was_sent():
    seen: dict[str, Any] = {}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message["body"]
            if not message["more_body"]:
                break
        seen.update(scope, body=body)
        await begin(send, 201)
        await send({"type": "http.response.body", "body": b"yes"})

    async with client_of(app) as client:
        answer = await client.put("/a%2Fb/c?q=1", content=b"hello", headers={"X-Name": "me"})
    assert (answer.status_code, answer.text) == (201, "yes")
    assert (seen["method"], seen["path"], seen["raw_path"]) == ("PUT", "/a/b/c", b"/a%2Fb/c")
    assert (seen["query_string"], seen["body"], seen["root_path"]) == (b"q=1", b"hello", "/noauth")
    assert (b"x-name", b"me") in seen["headers"]


async def test_parts_come_while_the_server_still_answers():
    go_on = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await begin(send)
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        await go_on.wait()
        await send({"type": "http.response.body", "body": b"two"})

    async with client_of(app) as client, client.stream("GET", "/") as answer:
        parts = answer.aiter_raw()
        assert await anext(parts) == b"one"
        go_on.set()
        assert [part async for part in parts] == [b"two"]


async def test_a_client_that_does_not_read_holds_the_server_up():
    sent = 0

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal sent
        await begin(send)
        while True:
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
            sent += 1

    async with client_of(app) as client, client.stream("GET", "/"):
        await asyncio.sleep(0.1)
        assert sent == loopback.MOST_WAITING


async def test_a_client_that_leaves_ends_the_answer():
    ended = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await begin(send)
            await asyncio.sleep(60)
        finally:
            ended.set()

    async with client_of(app) as client:
        async with client.stream("GET", "/"):
            pass
        await asyncio.wait_for(ended.wait(), 1)


@pytest.mark.parametrize("begun", [False, True])
async def test_a_server_that_fails_is_told_of(begun):
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if begun:
            await begin(send)
        raise ZeroDivisionError("what went wrong")

    async with client_of(app) as client:
        with pytest.raises((ZeroDivisionError, httpx.ReadError), match="what went wrong"):
            await client.get("/")


async def test_the_server_sees_nothing_of_the_run_that_asks():
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(var_child_runnable_config.get())
        await begin(send)
        await send({"type": "http.response.body", "body": b""})

    config: Any = {"configurable": {"checkpoint_ns": "node:1"}}
    token = var_child_runnable_config.set(config)
    try:
        async with client_of(app) as client:
            await client.get("/")
        assert var_child_runnable_config.get() is config
    finally:
        var_child_runnable_config.reset(token)
    assert seen == [None]


def test_clients_made_before_or_after_find_the_server_and_none_is_kept(monkeypatch):
    loopback.register()
    before = len(utilities._registered_transports)
    made: Any = [get_client().http.client._transport for _ in range(3)]
    assert [(type(one), one.app, one.root_path) for one in made] == [(Transport, loopback.app, "/noauth")] * 3
    assert len(utilities._registered_transports) == before
    early = Transport(None)
    assert early.app is loopback.app
    # What somebody has installed under the name is not looked at.
    assert sys.modules["langgraph_api.server"].app is loopback.app
