"""A pending run is picked up from the table, whatever Redis does. On servers of their own, Redis behind a proxy."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import psycopg
import pytest
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient

from tests import wire
from tests.conftest import LiveServer, live_server
from tests.proxy import Mode, Proxy, before_redis

pytestmark = pytest.mark.timeout(180)
SLOTS = 3
# From the row's first moment to its claim. Two looks of the picker, and a machine with other things to do.
PICK_UP_SECONDS = 3.0


@pytest.fixture(scope="module")
def proxy() -> Iterator[tuple[Proxy, str]]:
    with before_redis(os.environ["REDIS_URI"]) as opened:
        yield opened


@pytest.fixture(scope="module")
def served(proxy: tuple[Proxy, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server whose only way to Redis is the proxy."""
    settings = {"REDIS_URI_CUSTOM": proxy[1], "N_JOBS_PER_WORKER": str(SLOTS)}
    with live_server(tmp_path_factory.mktemp("picking"), **settings) as running:
        yield running


@pytest.fixture
async def client(served: LiveServer) -> AsyncIterator[LangGraphClient]:
    async with get_client(url=served.url, timeout=60) as opened:
        yield opened


@pytest.fixture
async def plain(served: LiveServer) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=served.url, timeout=60) as opened:
        yield opened


async def posted(plain: httpx.AsyncClient, thread_id: str, **body: Any) -> tuple[str, float]:
    """The id of a new run, and how many seconds the answer took."""
    started = time.monotonic()
    answer = await plain.post(f"/threads/{thread_id}/runs", json={"assistant_id": "sleeper", **body})
    assert answer.status_code == 200, answer.text
    return answer.json()["run_id"], time.monotonic() - started


def waits(server: LiveServer, run_ids: list[str]) -> list[float]:
    """How many seconds each run waited for its claim, by PostgreSQL's clock."""
    with psycopg.connect(server.environment["DATABASE_URI"]) as connection:
        rows = connection.execute(
            "SELECT extract(epoch FROM started_at - created_at) FROM runs_run WHERE run_id = ANY(%s::uuid[])", [run_ids]
        ).fetchall()
    return [float(seconds) for (seconds,) in rows if seconds is not None]


async def until_claimed(server: LiveServer, run_ids: list[str]) -> list[float]:
    async with asyncio.timeout(30):
        while len(found := await asyncio.to_thread(waits, server, run_ids)) < len(run_ids):
            await asyncio.sleep(0.1)
    return found


@pytest.mark.parametrize("mode", [Mode.RESET, Mode.HALF_OPEN, Mode.BLACKHOLE])
async def test_a_run_starts_within_seconds_though_redis_does_not_answer(
    mode: Mode, proxy: tuple[Proxy, str], served: LiveServer, client: LangGraphClient, plain: httpx.AsyncClient
) -> None:
    threads = [await wire.new_thread(client) for _ in range(3)]
    await wire.finished(client, None, "echo", input={"text": "warm"})
    with proxy[0].being(mode):
        created = [await posted(plain, thread_id, input={"seconds": 0.1}) for thread_id in threads]
        assert max(seconds for _, seconds in created) < 1, created
        run_ids = [run_id for run_id, _ in created]
        assert max(await until_claimed(served, run_ids)) < PICK_UP_SECONDS
    for thread_id, run_id in zip(threads, run_ids, strict=True):
        assert await client.runs.join(thread_id, run_id) == {"seconds": 0.1, "log": ["first", "slept"]}


async def test_celery_hears_again_once_its_half_open_connection_is_found_out(
    proxy: tuple[Proxy, str], served: LiveServer, client: LangGraphClient, plain: httpx.AsyncClient
) -> None:
    """The picker needs a second, so what is claimed in half of one was heard."""
    thread_id = await wire.new_thread(client)
    with proxy[0].being(Mode.BLACKHOLE):
        pass
    async with asyncio.timeout(60):
        while True:
            run_id, _ = await posted(plain, thread_id, input={"seconds": 0})
            if max(await until_claimed(served, [run_id])) < 0.5:
                break
            await asyncio.sleep(0.5)


async def test_never_more_runs_at_once_than_slots_and_every_one_has_its_turn(
    proxy: tuple[Proxy, str], served: LiveServer, client: LangGraphClient, plain: httpx.AsyncClient
) -> None:
    count = 3 * SLOTS
    with proxy[0].being(Mode.RESET):
        threads = [await wire.new_thread(client) for _ in range(count)]
        run_ids = [(await posted(plain, thread_id, input={"seconds": 1}))[0] for thread_id in threads]
        most = 0
        async with asyncio.timeout(60):
            while len(await asyncio.to_thread(waits, served, run_ids)) < count:
                most = max(most, await asyncio.to_thread(running, served))
                await asyncio.sleep(0.05)
    assert most == SLOTS
    for thread_id, run_id in zip(threads, run_ids, strict=True):
        assert await wire.until(client, thread_id, run_id, ("success", "error")) == "success"


def running(server: LiveServer) -> int:
    with psycopg.connect(server.environment["DATABASE_URI"]) as connection:
        row = connection.execute("SELECT count(*) FROM runs_run WHERE status = 'running'").fetchone()
    assert row
    return int(row[0])


async def test_a_delayed_run_starts_when_it_is_due(served: LiveServer, client: LangGraphClient) -> None:
    thread_id = await wire.new_thread(client)
    run = await client.runs.create(thread_id, "echo", input={"text": "hi"}, after_seconds=1)
    assert 0 <= (await until_claimed(served, [run["run_id"]]))[0] < PICK_UP_SECONDS
