"""The layer in front of the views and the one function they ask, piece by piece."""

import asyncio
import uuid
from collections.abc import Iterator
from typing import Annotated, Any

import pytest
from django.db.models import Q
from fastapi import Depends, Header, HTTPException
from langgraph_sdk import Auth

from accounts import authentication, custom
from accounts.authentication import authenticated, caller_for, is_in_process, is_open
from accounts.authorizer import EVERYTHING, Scope, authorize, touches_nothing
from accounts.callers import SCOPE_KEY, UNBOUND, Caller, User, acting_for, caller_of
from accounts.custom import CustomAuth, caller_by, custom_from
from accounts.filters import MalformedFilter, condition
from accounts.refusals import Forbidden, Refused
from config import loop
from config.database import in_thread
from store.opening import open_store
from store.tenancy import label_of
from threads.models import Thread

ANN = Caller(User({"identity": "ann"}), "acme", frozenset({"threads:read", "store:*"}))


def http_scope(path: str = "/threads", **more: Any) -> dict[str, Any]:
    return {"type": "http", "path": path, "method": "POST", "headers": [], "root_path": "", **more}


async def answer_of(app: Any, scope: dict[str, Any]) -> tuple[int, bytes]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    await app(scope, receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


@pytest.fixture
def anns_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everybody is ann."""

    async def ann(scope: Any) -> Caller:
        return Caller(ANN.user, ANN.tenant, ANN.scopes)

    monkeypatch.setattr(authentication, "BACKENDS", [lambda: None, lambda: ann])


def view_of(*, asks: bool, status: int = 200) -> Any:
    async def view(scope: Any, receive: Any, send: Any) -> None:
        if asks:
            touches_nothing(scope[SCOPE_KEY])
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b"secret", "more_body": True})
        await send({"type": "http.response.body", "body": b"more"})

    return authenticated(view)


async def test_an_answer_nobody_asked_for_is_withheld(anns_server: None, caplog: pytest.LogCaptureFixture) -> None:
    assert await answer_of(view_of(asks=True), http_scope()) == (200, b"secretmore")
    assert not caplog.records
    assert await answer_of(view_of(asks=False), http_scope()) == (403, b'{"detail":"Forbidden"}')
    assert "never asked the authorizer" in caplog.text
    assert (await answer_of(view_of(asks=False, status=404), http_scope()))[0] == 404


async def test_without_auth_nobody_is_checked() -> None:
    assert await answer_of(view_of(asks=False), http_scope()) == (200, b"secretmore")
    assert await caller_for(http_scope()) is UNBOUND


async def test_a_request_of_our_own_is_its_callers(anns_server: None) -> None:
    inside = http_scope(root_path="/noauth")
    assert is_in_process(inside) and not is_in_process(http_scope("/noauth/threads"))
    assert (await caller_for(inside)).unbound
    bob = Caller(User({"identity": "bob"}), asked={("threads", "read")})
    with acting_for(bob):
        found = await caller_for(inside)
    assert found.user.identity == "bob" and not found.unbound and found.asked == set()


async def test_who_is_acting_is_no_other_tasks_business(anns_server: None) -> None:
    async def someone(name: str) -> str:
        with acting_for(Caller(User({"identity": name}))):
            await asyncio.sleep(0.01)
            return (await caller_for(http_scope(root_path="/noauth"))).user.identity

    assert await asyncio.gather(*(someone(name) for name in "abc")) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("path", "method", "open_"),
    [
        ("/ok", "GET", True),
        ("/ok/", "GET", False),
        ("/ok/../threads", "GET", False),
        ("/admin", "GET", False),
        ("/admin/", "GET", True),
        ("/adminx", "GET", False),
        ("/static/x.js", "GET", True),
        ("/ui", "GET", True),
        ("/ui", "POST", False),
        ("/threads", "GET", False),
    ],
)
def test_the_open_paths(path: str, method: str, open_: bool) -> None:
    assert is_open(http_scope(path, method=method)) is open_
    assert is_open(http_scope(f"/prefix{path}", method=method, root_path="/prefix")) is open_
    assert not is_open({**http_scope(path, method=method), "type": "websocket"})


def test_a_request_without_a_caller_is_no_request() -> None:
    class Bare:
        scope: dict[str, Any] = {}

    with pytest.raises(KeyError):
        caller_of(Bare())  # type: ignore[arg-type]


def test_scopes_of_a_key() -> None:
    assert authorize(ANN, "threads", "read") == Scope("acme")
    assert authorize(ANN, "store", "delete") == Scope("acme")
    for resource, action in (("threads", "create"), ("assistants", "read"), ("webhooks", "create")):
        with pytest.raises(Forbidden, match=f"{resource}:{action}"):
            authorize(ANN, resource, action)
    assert authorize(UNBOUND, "threads", "delete") is EVERYTHING


@pytest.mark.parametrize("kind", ["authenticate", "handler"])
async def test_a_handler_that_hangs_has_failed(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(custom, "HANDLER_SECONDS", 0.05)
    auth, ann = Auth(), Caller(User({"identity": "ann"}))

    @auth.authenticate
    async def hang() -> str:
        await asyncio.sleep(60)
        return "ann"

    @auth.on
    async def hang_too(ctx: Any, value: Any) -> None:
        await asyncio.sleep(60)

    found = custom_from("auth.py", auth)
    if kind == "authenticate":
        with pytest.raises(Refused) as error:
            await caller_by(found, http_scope())
        assert error.value.status_code == 500
    else:
        with pytest.raises(TimeoutError):
            await in_thread(custom.decide, found, ann, "threads", "read", {})


# --- FastAPI ----------------------------------------------------------------------------------------------------------

opened: list[str] = []


def token(authorization: Annotated[str, Header()]) -> Iterator[str]:
    """A resource that is open as long as somebody uses it."""
    opened.append(authorization)
    yield authorization.removeprefix("Bearer ")
    opened.remove(authorization)


def person(name: Annotated[str, Depends(token)]) -> dict[str, Any]:
    if name == "nobody":
        raise HTTPException(401, "no such person")
    return {"identity": name}


def dependent(*, is_async: bool) -> CustomAuth:
    auth = Auth()

    async def in_coroutine(path: str, found: Annotated[dict[str, Any], Depends(person)], method: str = "") -> Any:
        return {**found, "seen": [path, method, list(opened)]}

    def in_thread_of_its_own(path: str, method: str, found: Any = Depends(person)) -> Any:  # noqa: B008
        return {**found, "seen": [path, method, list(opened)]}

    auth.authenticate(in_coroutine if is_async else in_thread_of_its_own)
    return custom_from("auth.py", auth)


@pytest.mark.parametrize("is_async", [True, False])
@pytest.mark.parametrize("kind", ["http", "websocket"])
async def test_dependencies_of_fastapi_are_resolved(kind: str, is_async: bool) -> None:
    found = dependent(is_async=is_async)
    scope = {**http_scope("/threads/x"), "type": kind, "headers": [(b"authorization", b"Bearer ann")]}
    caller = await caller_by(found, scope)
    assert caller.user.identity == "ann"
    assert caller.user["seen"] == ["/threads/x", "POST", ["Bearer ann"]]
    assert not opened


@pytest.mark.parametrize(("headers", "status"), [([(b"authorization", b"Bearer nobody")], 401), ([], 500)])
async def test_a_dependency_may_refuse(headers: Any, status: int) -> None:
    with pytest.raises(Refused) as error:
        await caller_by(dependent(is_async=True), {**http_scope(), "headers": headers})
    assert error.value.status_code == status


# --- filters ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    [
        {"a": {"$in": [1]}},
        {"a": {}},
        {"$not": {"a": 1}},
        {"$or": [{"a": 1}]},
        {"$or": {"a": 1}},
        {"$and": [{"a": 1}, {}]},
        {"$or": [{"a": 1}, "b"]},
        {"a": {"$contains": [{"b": 1}]}},
        {"$or": [{"a": 1}, {"$or": [{"a": 1}, {"$or": [{"a": 1}, {"a": 2}]}]}]},
    ],
)
def test_a_filter_nobody_can_evaluate_is_500_once_it_is(given: dict[str, Any]) -> None:
    scope = Scope("", given)
    with pytest.raises(MalformedFilter) as error:
        scope.condition()
    assert error.value.status_code == 500


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"owner": "a"}, "scalar"),
        ({"owner": {"$eq": "a"}}, "scalar"),
        ({"owner": {"$eq": "a", "$near": 1}}, "scalar"),
        ({"owner": ["a"]}, "list"),
        ({"owner": {"$eq": ["a", "b"]}}, ""),
        ({"owner": {"$contains": "a"}}, "list"),
        ({"owner": {"$contains": ["a", "z"]}}, ""),
        ({"owner": None}, "null"),
        ({"owner": {"$eq": {"id": 1}}}, "object"),
        ({"owner": {"$eq": {}}}, ""),
        ({"1": "a"}, "odd key"),
        ({"a__b": 1}, "odd key"),
        ({"$or": [{"owner": "a"}, {"owner": ["a"]}]}, "scalar list"),
        ({"$and": [{"owner": "a"}, {"kind": "scalar"}], "kind": "scalar"}, "scalar"),
        ({}, "scalar list null object odd_key other"),
        ({"owner": True}, ""),
        ({"owner": 1}, "other"),
    ],
)
def test_filters_find_rows_by_value_and_kind(given: dict[str, Any], found: str) -> None:
    rows: dict[str, Any] = {
        "scalar": {"owner": "a"},
        "list": {"owner": ["a"]},
        "null": {"owner": None},
        "object": {"owner": {"id": 1}},
        "odd key": {"1": "a", "a__b": 1},
        "other": {"owner": 1},
    }
    ids = [Thread.objects.create(metadata={**metadata, "kind": kind}).pk for kind, metadata in rows.items()]
    matching = Thread.objects.filter(pk__in=ids).within(Scope("", given) if given else Scope(""))
    names = {row.metadata["kind"].replace(" ", "_") for row in matching}
    assert names == set(found.replace("odd key", "odd_key").split())
    assert not Thread.objects.filter(pk__in=ids).within(Scope("acme", given)).exists()


def test_no_filter_is_no_condition() -> None:
    assert Scope().condition() == Q() and condition({}, "metadata") == Q()


# --- the store of a tenant --------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
async def test_each_tenant_has_a_store_of_its_own() -> None:
    """Tenants whose names look like labels, or like one another, included."""
    tenants = ["", "acme", "acme.eu", "acme%2Eeu", "acm"]
    space = str(uuid.uuid4())

    async def used() -> dict[str, Any]:
        seen: dict[str, Any] = {}
        for tenant in tenants:
            store = await open_store(tenant)
            await store.aput((space, "deep"), "k", {"tenant": tenant})
        for tenant in tenants:
            store = await open_store(tenant)
            item = await store.aget((space, "deep"), "k")
            found = await store.asearch((), limit=1000)
            spaces = await store.alist_namespaces(max_depth=1)
            ended = await store.alist_namespaces(suffix=("deep",), limit=1000)
            seen[tenant] = (item, found, spaces, ended)
            await store.adelete((space, "deep"), "k")
        return seen

    for tenant, (item, found, spaces, ended) in (await in_thread(loop.run, used())).items():
        assert item.value == {"tenant": tenant} and item.namespace == (space, "deep")
        assert [one.namespace for one in found if one.key == "k" and one.namespace[0] == space] == [(space, "deep")]
        assert {one.value["tenant"] for one in found if "tenant" in one.value} == {tenant}
        assert (space,) in spaces and (space, "deep") in ended
        assert not any(str(label).startswith("@") for one in (*spaces, *ended) for label in one)
    assert len({label_of(tenant) for tenant in tenants}) == len(tenants)
