"""A PostgreSQL that stops, hangs, vanishes or is slow, under load: answers come at once and all recovers by itself."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import psycopg
import pytest
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient

from tests import services, wire
from tests.conftest import LiveServer, live_server
from tests.proxy import Mode, Proxy, before_postgres
from tests.test_outage import AT_ONCE, NEW_RUN, Service, assert_unavailable

pytestmark = pytest.mark.timeout(180)
CLIENTS = 40  # twice what a pool has connections
SILENT_SECONDS = 2.0
RECOVERY_SECONDS = 30


@dataclass
class Outages:
    """A server on a PostgreSQL of its own behind a proxy of its own."""

    server: LiveServer
    postgres: Service
    proxy: Proxy


@pytest.fixture(scope="module")
def outages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outages]:
    """Processes that count PostgreSQL as away after two silent seconds."""
    state = tmp_path_factory.mktemp("postgres")
    postgres = Service(state, *services.start_postgres(state))
    settings = {"DATABASE_SILENT_SECONDS": str(SILENT_SECONDS), "RUN_SWEEP_SECONDS": "1"}
    try:
        with (
            before_postgres(postgres.server.uri) as (proxy, uri),
            live_server(tmp_path_factory.mktemp("server"), DATABASE_URI=uri, **settings) as server,
        ):
            yield Outages(server, postgres, proxy)
    finally:
        postgres.stop()
        postgres.server.clear()


@pytest.fixture
async def client(outages: Outages) -> AsyncIterator[LangGraphClient]:
    """The official client."""
    async with get_client(url=outages.server.url, timeout=60) as opened:
        yield opened


@pytest.fixture
async def plain(outages: Outages) -> AsyncIterator[httpx.AsyncClient]:
    """Plain HTTP for many at once."""
    limits = httpx.Limits(max_connections=2 * CLIENTS)
    async with httpx.AsyncClient(base_url=outages.server.url, timeout=60, limits=limits) as opened:
        yield opened


@dataclass
class Load:
    """What many clients asked, each one request after the other, and how long the longest answer took."""

    plain: httpx.AsyncClient
    thread_id: str
    answers: list[httpx.Response] = field(default_factory=list)
    longest: float = 0.0

    def requests(self, number: int) -> tuple[str, str, Any]:
        """One of the kinds of request: the ORM's from a sync and an async view, the graph loop's and the store's."""
        path = f"/threads/{self.thread_id}"
        kinds = [
            ("GET", path, None),
            ("POST", "/runs", NEW_RUN),
            ("GET", f"{path}/state", None),
            ("POST", "/runs/wait", NEW_RUN),
            ("GET", "/store/items?namespace=outage&key=k", None),
        ]
        return kinds[number % len(kinds)]

    async def one(self, number: int) -> httpx.Response:
        """Ask once. Fails on any answer but success and unavailable."""
        method, path, body = self.requests(number)
        started = time.monotonic()
        answer = await self.plain.request(method, path, json=body)
        self.longest = max(self.longest, time.monotonic() - started)
        if answer.status_code != 200:
            assert_unavailable(answer)
        self.answers.append(answer)
        return answer

    async def burst(self) -> list[httpx.Response]:
        """Every client asks once, all at the same time."""
        return await asyncio.gather(*(self.one(number) for number in range(CLIENTS)))

    async def until_away(self) -> None:
        """Ask until no client gets anything any more."""
        async with asyncio.timeout(RECOVERY_SECONDS):
            while any(answer.status_code == 200 for answer in await self.burst()):
                pass

    async def until_back(self) -> None:
        """Ask until every client is served."""
        async with asyncio.timeout(RECOVERY_SECONDS):
            while any(answer.status_code != 200 for answer in await self.burst()):
                await asyncio.sleep(0.1)


async def attempts_of(outages: Outages, run_id: str) -> int:
    with psycopg.connect(outages.server.environment["DATABASE_URI"]) as connection:
        row = connection.execute("SELECT attempt FROM runs_run WHERE run_id = %s", [run_id]).fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize("outage", ["stopped", Mode.HALF_OPEN, Mode.BLACKHOLE, Mode.RESET])
async def test_without_postgres_forty_clients_are_refused_at_once_and_all_goes_on_by_itself(
    outage: str, outages: Outages, client: LangGraphClient, plain: httpx.AsyncClient
) -> None:
    thread_id = await wire.new_thread(client)
    await wire.finished(client, thread_id, "echo", input={"text": "before"})
    executing = await wire.new_thread(client)
    run = await client.runs.create(executing, "slow_job", input={"steps": 20, "seconds": 0.3})
    await wire.until(client, executing, run["run_id"], ("running",))
    load = Load(plain, thread_id)
    assert all(answer.status_code == 200 for answer in await load.burst())
    load.longest = 0.0
    with outages.postgres.gone() if outage == "stopped" else outages.proxy.being(Mode(outage)):
        await load.until_away()
        assert load.longest < SILENT_SECONDS + AT_ONCE
        started = time.monotonic()
        assert all(answer.status_code == 503 for answer in await load.burst())
        assert time.monotonic() - started < AT_ONCE
    await load.until_back()
    assert all(process.poll() is None for process in outages.server.processes.values()), outages.server.log.read_text()
    # The run that was executing all the while has waited for its checkpoints, and no other worker had to take it.
    assert await wire.until(client, executing, run["run_id"], ("success", "error")) == "success"
    assert (await wire.values_of(client, executing))["count"] == 20
    assert await attempts_of(outages, run["run_id"]) == 1


async def test_a_slow_network_to_postgres_makes_answers_slow_and_nothing_else(
    outages: Outages, client: LangGraphClient, plain: httpx.AsyncClient
) -> None:
    load = Load(plain, await wire.new_thread(client))
    outages.proxy.delay = 0.05
    try:
        run = await client.runs.create(load.thread_id, "slow_job", input={"steps": 3, "seconds": 0.1})
        assert all(answer.status_code == 200 for answer in await load.burst())
        await client.runs.join(load.thread_id, run["run_id"])
    finally:
        outages.proxy.delay = 0.0
    assert await wire.status_of(client, load.thread_id, run["run_id"]) == "success"
    assert await attempts_of(outages, run["run_id"]) == 1
