"""Limits of tenants and keys: requests, runs and bytes. Who has none pays nothing, and Redis away refuses nobody."""

import asyncio
import secrets
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

from accounts import limits
from accounts.callers import SCOPE_KEY, Caller, Rate, User
from accounts.limits import TooManyRequests, Verdict, admit, limited
from accounts.models import Tenant
from config.database import in_thread
from events import connection
from tests import wire
from tests.conftest import ROOT, live_server

pytestmark = pytest.mark.django_db(transaction=True)
NOWHERE = "redis://127.0.0.1:1/0"


@pytest.fixture(autouse=True)
async def _new_process(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    limits.tenants.cache_clear()
    monkeypatch.setattr(limits, "_away_until", float("-inf"))
    monkeypatch.setattr(limits, "REDIS_SECONDS", 20.0)  # a busy machine is not what is tested
    yield
    await connection.close()
    limits.tenants.cache_clear()


def caller(rate: Rate | None = None, tenant: str = "") -> Caller:
    return Caller(User({"identity": uuid4().hex}), tenant=tenant, rate=rate)


async def refused(who: Caller) -> TooManyRequests:
    with pytest.raises(TooManyRequests) as found:
        await admit(who)
    return found.value


# --- requests a second ------------------------------------------------------------------------------------------------


async def test_as_many_requests_as_the_burst_pass_at_once_and_no_more() -> None:
    who = caller(Rate(per_second=0.1, burst=10))
    answers = await asyncio.gather(*(admit(who) for _ in range(40)), return_exceptions=True)
    assert sorted(answer.remaining for answer in answers if isinstance(answer, Verdict)) == list(range(10))
    assert sum(isinstance(answer, TooManyRequests) for answer in answers) == 30


async def test_room_comes_back_at_the_rate() -> None:
    who = caller(Rate(per_second=20, burst=2))
    began, passed = time.monotonic(), 0
    while time.monotonic() - began < 1.0:
        try:
            await admit(who)
            passed += 1
        except TooManyRequests:
            await asyncio.sleep(0.005)
    assert 12 <= passed <= 2 + 20 * (time.monotonic() - began) + 1


async def test_a_refusal_says_when_to_come_back_and_what_the_limit_is() -> None:
    who = caller(Rate(per_second=0.5, burst=1))
    await admit(who)
    error = await refused(who)
    assert (error.status_code, error.headers["Retry-After"]) == (429, "2")
    assert (error.headers["X-RateLimit-Limit"], error.headers["X-RateLimit-Remaining"]) == ("1", "0")
    assert error.headers["X-RateLimit-Reset"] == "2"


async def test_the_tighter_of_two_limits_counts_and_what_one_refuses_the_other_keeps() -> None:
    slug = uuid4().hex
    await in_thread(Tenant.objects.create, slug=slug, requests_per_second=0.01, burst=3)
    greedy, modest = caller(Rate(0.01, 1), slug), caller(None, slug)
    first = await admit(greedy)
    assert first and (first.limit, first.remaining) == (1, 0)
    for _ in range(5):
        await refused(greedy)
    second, third = await admit(modest), await admit(modest)
    assert second and third and (second.remaining, third.remaining) == (1, 0)
    await refused(modest)


async def test_answers_tell_what_is_left_and_refusals_have_the_one_error_shape() -> None:
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]})

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {}

    scope = {"type": "http", "path": "/threads", "root_path": "", SCOPE_KEY: caller(Rate(0.1, 1))}
    for _ in range(2):
        await limited(app)(scope, receive, send)
    good, bad, body = sent
    assert (good["status"], dict(good["headers"])[b"x-ratelimit-remaining"]) == (200, b"0")
    assert (bad["status"], dict(bad["headers"])[b"Retry-After"]) == (429, b"10")
    assert body["body"] == b'{"detail":"Too many requests. Try again in 10 s."}'


async def test_while_redis_is_away_nobody_is_refused_and_few_wait_for_it(settings: Any) -> None:
    settings.REDIS_URI = NOWHERE
    began = time.monotonic()
    for _ in range(50):
        assert await admit(caller(Rate(0.1, 1))) is None
    assert time.monotonic() - began < 2


async def test_who_has_no_limit_costs_neither_redis_nor_postgresql(settings: Any) -> None:
    settings.REDIS_URI = NOWHERE
    await in_thread(Tenant.objects.create, slug="acme")
    assert await admit(caller()) is None
    assert not limits.tenants().is_fresh, "tenants were read for a caller who has none"
    assert await admit(caller(tenant="acme")) is None
    assert await admit(caller(tenant="unknown")) is None
    assert limits._away_until < 0, "Redis was asked"


async def test_a_changed_limit_counts_within_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "READ_SECONDS", 0.2)
    slug = uuid4().hex
    who = caller(tenant=slug)
    assert await admit(who) is None
    await in_thread(Tenant.objects.create, slug=slug, requests_per_second=0.01)
    await asyncio.sleep(0.3)
    assert await admit(who)
    await refused(who)


# --- runs and bytes, on a server that asks for keys -------------------------------------------------------------------

RUNS, BYTES = 3, 3000
LATER = {"assistant_id": "echo", "after_seconds": 86400}


@dataclass
class Served:
    """A server, and a key of each of its tenants."""

    url: str
    keys: dict[str, str]

    def client(self, tenant: str) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.url, timeout=30, headers={"x-api-key": self.keys[tenant]})


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with live_server(tmp_path_factory.mktemp("limits"), WEFT_AUTH="keys") as running:
        keys = {}
        for slug in ("small", "other", "slow"):
            command = [sys.executable, "manage.py", "apikey", "create", slug, f"--tenant={slug}"]
            made = subprocess.run(
                command, cwd=ROOT, env=running.environment, capture_output=True, text=True, check=True
            )
            keys[slug] = made.stdout.strip()
        with psycopg.connect(running.environment["DATABASE_URI"], autocommit=True) as opened:
            change = "UPDATE accounts_tenant SET runs_in_flight = %s, store_bytes = %s WHERE slug = 'small'"
            opened.execute(change, [RUNS, BYTES])
            opened.execute("UPDATE accounts_tenant SET requests_per_second = 0.01, burst = 2 WHERE slug = 'slow'")
        yield Served(running.url, keys)


async def test_a_tenant_has_as_many_runs_in_flight_as_it_may_however_many_ask_at_once(served: Served) -> None:
    async with served.client("small") as client, served.client("other") as other:
        thread_id = (await client.post("/threads", json={})).json()["thread_id"]
        paths = ["/runs", f"/threads/{thread_id}/runs"] * 5
        answers = await asyncio.gather(*(client.post(path, json=LATER) for path in paths))
        assert sorted(answer.status_code for answer in answers) == [200] * RUNS + [429] * (10 - RUNS)
        for path, body in (("/runs/wait", LATER), ("/runs/batch", [LATER])):
            refusal = await client.post(path, json=body)
            assert refusal.status_code == 429 and int(refusal.headers["Retry-After"]) > 0
            assert "tenant" in wire.detail(refusal)
        assert (await other.post("/runs", json=LATER)).status_code == 200, "another tenant's limit"
        assert (await client.post("/runs/cancel", json={"status": "all"})).status_code == 204
        assert (await client.post("/runs/batch", json=[LATER] * (RUNS + 1))).status_code == 429
        assert (await client.post("/runs/batch", json=[LATER] * RUNS)).status_code == 200


async def test_a_tenants_items_take_no_more_than_they_may(served: Served) -> None:
    async with served.client("small") as client, served.client("other") as other:

        async def put(who: httpx.AsyncClient, key: str) -> httpx.Response:
            item = {"namespace": ["a"], "key": key, "value": {"text": secrets.token_hex(500)}}
            return await who.put("/store/items", json=item)

        for number in range(2):
            assert (await put(client, f"{number}")).status_code == 204
        refusal = await put(client, "2")
        assert refusal.status_code == 429 and "full" in wire.detail(refusal)
        assert (await put(other, "2")).status_code == 204, "another tenant's limit"
        gone = await client.request("DELETE", "/store/items", json={"namespace": ["a"], "key": "0"})
        assert gone.status_code == 204
        async with asyncio.timeout(10):
            while (await put(client, "2")).status_code != 204:
                await asyncio.sleep(0.2)
        assert (await put(client, "3")).status_code == 429


async def test_a_tenant_that_asks_too_often_is_told_when_to_come_back(served: Served) -> None:
    async with served.client("slow") as client:
        answers = [await client.post("/threads", json={}) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert [answer.headers["X-RateLimit-Remaining"] for answer in answers] == ["1", "0", "0"]
        assert int(answers[2].headers["Retry-After"]) > 50 and wire.detail(answers[2])
        assert (await client.get("/ok")).status_code == 200, "an open path has no caller"
