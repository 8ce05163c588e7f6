"""Every route of the API: what it needs, and what somebody gets who may not see what it is about.

test_auth_matrix.py compares it with the routes there are. A row about a thing of somebody's names it in path or body:
{thread}, {run}, {spent} (a thread whose run {waiting} waits), {assistant}, {cron}, {endpoint}, {delivery}.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
from django.urls import URLPattern, URLResolver, get_resolver

MARK = "the-owners-secret"
OPEN = {"", "ok", "info", "metrics", "openapi.json", "docs"}
# Views that are functions and answer several methods.
METHODS = {"mcp": ("POST",), "a2a": ("GET", "POST"), "card": ("GET",)}
ABSENT = "absent"  # 404, or 409 where an id is taken, whatever the protocol says instead
OWN = "own"  # an answer about one's own things, of which there may be none


@dataclass(frozen=True)
class Row:
    """One request. `needs` are the scopes without each of which it is refused."""

    method: str
    path: str
    needs: tuple[str, ...] = ()
    body: Any = None
    foreign: str = ABSENT
    spends: bool = False  # the thing is not the same afterwards
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def route(self) -> tuple[str, str]:
        """Method and path without what it asks for."""
        return self.method, self.path.partition("?")[0]

    @property
    def name(self) -> str:
        """What a failure is called."""
        about = self.body if isinstance(self.body, dict) else {}
        return f"{self.method} {self.path} {about.get('method', '')}".strip()


READ, SEARCH, RUN = "threads:read", "threads:search", "threads:create_run"
ECHO: dict[str, Any] = {"assistant_id": "echo", "input": {"text": "x"}}
ON_OWN = {"assistant_id": "{assistant}", "input": {"text": "x"}}
CRON = {"assistant_id": "echo", "schedule": "0 0 1 1 *"}
MINE = {"Accept": "application/json, text/event-stream"}


def rpc(method: str, **params: Any) -> dict[str, Any]:
    """A JSON-RPC request."""
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}


def message(**more: Any) -> dict[str, Any]:
    """An A2A message."""
    return {"messageId": "m", "role": "user", "parts": [{"kind": "text", "text": "hi"}], **more}


def command(method: str, **params: Any) -> dict[str, Any]:
    """A command of the event-streaming protocol."""
    return {"id": 1, "method": method, "params": params}


A2A = "/a2a/{default}"
COMMANDS = "/threads/{thread}/commands"
ROWS = [
    # assistants
    Row("POST", "/assistants", ("assistants:create",), {"graph_id": "echo"}, OWN),
    Row(
        "POST", "/assistants", ("assistants:create",), {"graph_id": "echo", "assistant_id": "{assistant}"}, spends=True
    ),
    Row("POST", "/assistants/search", ("assistants:search",), {"limit": 100}, OWN),
    Row("POST", "/assistants/count", ("assistants:search",), {}, OWN),
    Row("GET", "/assistants/{assistant}", ("assistants:read",)),
    Row("PATCH", "/assistants/{assistant}", ("assistants:update",), {"name": "changed"}, spends=True),
    Row("DELETE", "/assistants/{assistant}", ("assistants:delete",), spends=True),
    Row("GET", "/assistants/{assistant}/graph", ("assistants:read",)),
    Row("GET", "/assistants/{assistant}/subgraphs", ("assistants:read",)),
    Row("GET", "/assistants/{assistant}/subgraphs/x", ("assistants:read",)),
    Row("GET", "/assistants/{assistant}/schemas", ("assistants:read",)),
    Row("POST", "/assistants/{assistant}/versions", ("assistants:read",), {}),
    Row("POST", "/assistants/{assistant}/latest", ("assistants:update",), {"version": 1}, spends=True),
    # threads
    Row("POST", "/threads", ("threads:create",), {}, OWN),
    Row("POST", "/threads", ("threads:create",), {"thread_id": "{thread}", "if_exists": "do_nothing"}),
    Row("POST", "/threads/search", (SEARCH,), {"limit": 100}, OWN),
    Row("POST", "/threads/count", (SEARCH,), {}, OWN),
    Row("POST", "/threads/prune", ("threads:delete",), {"thread_ids": ["{thread}"]}, spends=True),
    Row("GET", "/threads/{thread}/storage", (READ,)),
    Row("GET", "/threads/{thread}/state", (READ,)),
    Row("POST", "/threads/{thread}/state", ("threads:update",), {"values": {"text": "y"}}, spends=True),
    Row("POST", "/threads/{thread}/state/checkpoint", (READ,), {"checkpoint": {}}),
    Row("GET", "/threads/{thread}/state/{checkpoint}", (READ,)),
    Row("GET", "/threads/{thread}/history", (READ,)),
    Row("POST", "/threads/{thread}/history", (READ,), {}),
    Row("POST", "/threads/{thread}/copy", (READ, "threads:create")),
    Row("GET", "/threads/{thread}", (READ,)),
    Row("PATCH", "/threads/{thread}", ("threads:update",), {"metadata": {"a": 1}}, spends=True),
    Row("DELETE", "/threads/{thread}", ("threads:delete",), spends=True),
    # the store: everybody has a room of their own
    Row("PUT", "/store/items", ("store:put",), {"namespace": ["n"], "key": "k2", "value": {}}, OWN),
    Row("GET", "/store/items?namespace=n&key=k", ("store:get",), foreign=OWN),
    Row("DELETE", "/store/items", ("store:delete",), {"namespace": ["n"], "key": "k"}, OWN, spends=True),
    Row("POST", "/store/items/search", ("store:search",), {"namespace_prefix": []}, OWN),
    Row("POST", "/store/namespaces", ("store:list_namespaces",), {}, OWN),
    # crons
    Row("POST", "/threads/{thread}/runs/crons", ("crons:create", READ, RUN), CRON),
    Row("POST", "/runs/crons", ("crons:create", RUN), CRON, OWN),
    Row("POST", "/runs/crons", ("crons:create", RUN, "assistants:read"), {**CRON, "assistant_id": "{assistant}"}),
    Row("POST", "/runs/crons/search", ("crons:search", SEARCH), {"limit": 100}, OWN),
    Row("POST", "/runs/crons/count", ("crons:search", SEARCH), {}, OWN),
    Row("POST", "/runs/crons/preview", (), {"schedule": "@daily"}, OWN),
    Row("GET", "/runs/crons/{cron}", ("crons:read",)),
    Row("PATCH", "/runs/crons/{cron}", ("crons:update",), {"enabled": False}, spends=True),
    Row("DELETE", "/runs/crons/{cron}", ("crons:delete",), spends=True),
    Row("POST", "/runs/crons/{cron}/run", ("crons:update", RUN)),
    Row("GET", "/runs/crons/{cron}/next", ("crons:read",)),
    # runs
    Row("GET", "/threads/{thread}/runs", (READ, SEARCH)),
    Row("POST", "/threads/{thread}/runs", (RUN,), ECHO),
    Row("POST", "/threads/{thread}/runs", (RUN,), {**ECHO, "if_not_exists": "create"}),
    Row("POST", "/threads/{thread}/runs/stream", (RUN,), ECHO),
    Row("POST", "/threads/{thread}/runs/wait", (RUN,), ECHO),
    Row("GET", "/threads/{thread}/runs/{run}", (READ,)),
    Row("DELETE", "/threads/{thread}/runs/{run}", ("threads:delete",), spends=True),
    Row("GET", "/threads/{thread}/runs/{run}/join", (READ,)),
    Row("GET", "/threads/{thread}/runs/{run}/join?cancel_on_disconnect=1", (READ, "threads:update")),
    Row("GET", "/threads/{thread}/runs/{run}/stream", (READ,)),
    Row("POST", "/threads/{spent}/runs/{waiting}/cancel", ("threads:update",), spends=True),
    Row("GET", "/threads/{thread}/stream", (READ,)),
    # Before those that give the caller runs of his own, which it may cancel.
    Row("POST", "/runs/cancel", ("threads:update",), {"status": "all"}, spends=True),
    Row("POST", "/runs/stream", (RUN,), ECHO, OWN),
    Row("POST", "/runs/cancel", ("threads:update",), {"thread_id": "{spent}", "run_ids": ["{waiting}"]}, spends=True),
    Row("POST", "/runs/wait", (RUN,), ECHO, OWN),
    Row("POST", "/runs", (RUN,), ECHO, OWN),
    Row("POST", "/runs", (RUN, "assistants:read"), ON_OWN),
    Row("POST", "/runs/batch", (RUN,), [ECHO], OWN),
    Row("POST", "/runs/search", (SEARCH,), {"limit": 100}, OWN),
    Row("POST", "/runs/count", (SEARCH,), {}, OWN),
    Row("GET", "/runs/{run}/stream", (READ,)),
    Row("POST", "/runs/{run}/retry", (READ, RUN), {}),
    # other protocols
    Row("POST", "/mcp", (), rpc("initialize"), OWN, headers=MINE),
    Row("POST", "/mcp", ("assistants:search", "assistants:read"), rpc("tools/list"), OWN, headers=MINE),
    Row("POST", "/mcp/", ("assistants:search", RUN), rpc("tools/call", name="{name}"), headers=MINE),
    Row("GET", "/a2a/{assistant}", ("assistants:read",)),
    Row("GET", "/a2a/{assistant}/", ("assistants:read",)),
    Row("GET", "/a2a/{assistant}/.well-known/agent-card.json", ("assistants:read",)),
    Row("GET", "/a2a/{assistant}/.well-known/agent.json", ("assistants:read",)),
    Row("GET", "/.well-known/agent-card.json?assistant_id={assistant}", ("assistants:read",)),
    Row("POST", A2A, ("assistants:read", READ), rpc("tasks/get", id="{thread}:{run}")),
    Row("POST", A2A, ("assistants:read", SEARCH), rpc("ListTasks"), OWN),
    Row("POST", A2A, ("assistants:read", RUN), rpc("message/send", message=message(contextId="{thread}"))),
    Row("POST", A2A, ("assistants:read", RUN), rpc("message/stream", message=message(contextId="{thread}"))),
    Row("POST", A2A, ("assistants:read", READ), rpc("tasks/resubscribe", id="{spent}:{waiting}"), spends=True),
    Row("POST", f"{A2A}/", ("assistants:read", READ), rpc("tasks/cancel", id="{spent}:{waiting}"), spends=True),
    # webhooks
    Row(
        "POST",
        "/webhooks/endpoints",
        ("webhooks:create",),
        {"url": "http://127.0.0.1:9/", "events": ["run.error"]},
        OWN,
    ),
    Row("POST", "/webhooks/endpoints/search", ("webhooks:search",), {"limit": 100}, OWN),
    Row("GET", "/webhooks/endpoints/{endpoint}", ("webhooks:read",)),
    Row("PATCH", "/webhooks/endpoints/{endpoint}", ("webhooks:update",), {"description": "d"}, spends=True),
    Row("DELETE", "/webhooks/endpoints/{endpoint}", ("webhooks:delete",), spends=True),
    Row("POST", "/webhooks/endpoints/{endpoint}/rotate", ("webhooks:update",), {}, spends=True),
    Row("POST", "/webhooks/endpoints/{endpoint}/test", ("webhooks:update",), spends=True),
    Row("POST", "/webhooks/endpoints/{endpoint}/redeliver", ("webhooks:update",), {}, spends=True),
    Row("POST", "/webhooks/deliveries/search", ("webhooks:search",), {"limit": 100}, OWN),
    Row("GET", "/webhooks/deliveries/{delivery}", ("webhooks:read",)),
    Row("POST", "/webhooks/deliveries/{delivery}/redeliver", ("webhooks:update",), spends=True),
    # the event-streaming protocol
    Row("POST", COMMANDS, (READ, RUN), command("run.start", assistant_id="echo", input={"text": "x"})),
    Row("POST", COMMANDS, (READ,), command("input.respond", interrupt_id="i", response=1)),
    Row("POST", COMMANDS, (READ,), command("subscription.subscribe", channels=["values"])),
    Row("POST", COMMANDS, (READ,), command("subscription.unsubscribe", subscription_id="s")),
    Row("POST", COMMANDS, (READ,), command("subscription.reconnect", channels=["values"], since=0)),
    Row("POST", COMMANDS, (READ,), command("agent.getTree")),
    Row("POST", "/threads/{thread}/stream/events", (READ,), {"channels": ["values"]}),
]


def routes() -> set[tuple[str, str]]:
    """Method and path of every route there is, its parameters named as in the table."""
    return {(method, path) for path, view in _patterns(get_resolver().url_patterns, "") for method in _methods(view)}


def _patterns(patterns: list[Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for pattern in patterns:
        path = f"{prefix}{pattern.pattern}"
        if isinstance(pattern, URLResolver):
            # People's pages have a login of their own; its tests are in test_admin.py.
            yield from () if path.startswith("admin/") else _patterns(pattern.url_patterns, path)
        elif isinstance(pattern, URLPattern) and path not in OPEN:
            yield f"/{path}", pattern.callback


def _methods(view: Any) -> tuple[str, ...]:
    kind = getattr(view, "view_class", None) or getattr(view, "cls", None)
    if kind:
        return tuple(name.upper() for name in kind.http_method_names if hasattr(kind, name))
    method = getattr(view, "method", None)
    return (method,) if method else METHODS[view.__name__]


def make_world(client: httpx.Client) -> dict[str, str]:
    """Things of the client's, each with the mark on it: the table's names and their ids."""

    def made(path: str, body: Any, name: str) -> str:
        answer = client.post(path, json=body)
        assert answer.status_code == 200, (path, answer.text)
        return str(answer.json()[name])

    note = {"mark": MARK}
    thread = made("/threads", {"metadata": note}, "thread_id")
    whole = {"assistant_id": "echo", "input": {"text": MARK}, "metadata": note}
    assert client.post(f"/threads/{thread}/runs/wait", json=whole).status_code == 200
    spent = made("/threads", {"metadata": note}, "thread_id")
    named = {"name": f"tool {thread[-12:]}", "description": MARK}
    assistant = made("/assistants", {"graph_id": "echo", "metadata": note, **named}, "assistant_id")
    target = {"url": f"http://127.0.0.1:9/{MARK}", "events": ["run.error"]}
    endpoint = made("/webhooks/endpoints", target, "endpoint_id")
    assert client.put("/store/items", json={"namespace": ["n"], "key": "k", "value": note}).status_code == 204
    return {
        "thread": thread,
        "run": client.get(f"/threads/{thread}/runs").json()[0]["run_id"],
        "checkpoint": client.get(f"/threads/{thread}/state").json()["checkpoint"]["checkpoint_id"],
        "spent": spent,
        "waiting": made(f"/threads/{spent}/runs", {**whole, "after_seconds": 86400}, "run_id"),
        "assistant": assistant,
        "name": f"tool_{thread[-12:]}",
        "cron": made("/runs/crons", {**CRON, "metadata": note}, "cron_id"),
        "endpoint": endpoint,
        "delivery": made(f"/webhooks/endpoints/{endpoint}/test", None, "delivery_id"),
        "default": "",
    }


def look_at(client: httpx.Client, world: dict[str, str]) -> list[Any]:
    """All that somebody else could have changed, as its owner sees it."""
    paths = [
        "/threads/{thread}",
        "/threads/{thread}/state",
        "/threads/{thread}/runs",
        "/threads/{spent}/runs/{waiting}",
        "/assistants/{assistant}",
        "/runs/crons/{cron}",
        "/webhooks/endpoints/{endpoint}",
        "/store/items?namespace=n&key=k",
    ]
    found = [client.get(path.format_map(world)) for path in paths]
    assert all(answer.status_code == 200 for answer in found), [answer.text for answer in found]
    # When sending to an endpoint first failed is the sender's to say.
    return [
        {
            name: part
            for name, part in dict(enumerate(seen) if isinstance(seen, list) else seen).items()
            if name not in ("failing_since", "updated_at")
        }
        for seen in (answer.json() for answer in found)
    ]
