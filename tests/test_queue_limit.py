"""Beyond what may wait a create is refused as a whole. On a server of its own that executes nothing by itself."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient

from runs.models import Run
from runs.queue_limit import Queue, QueueFull
from tests import wire
from tests.conftest import LiveServer, live_server

LIMIT = 3
LATER = {"assistant_id": "echo", "after_seconds": 86400}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    limits = {"MAX_PENDING_RUNS": str(LIMIT), "MAX_PENDING_RUNS_PER_THREAD": str(LIMIT - 1)}
    with live_server(tmp_path_factory.mktemp("small"), **limits) as running:
        yield running


@pytest.fixture
async def plain(small: LiveServer) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=small.url, timeout=30) as opened:
        yield opened


@pytest.fixture
async def client(small: LiveServer) -> AsyncIterator[LangGraphClient]:
    async with get_client(url=small.url, timeout=30) as opened:
        yield opened


async def count(plain: httpx.AsyncClient) -> int:
    return int((await plain.post("/runs/count", json={"status": "pending"})).json())


async def test_a_full_queue_answers_429_and_creates_nothing(plain: httpx.AsyncClient, client: LangGraphClient) -> None:
    thread_id = await wire.new_thread(client)
    # Together: what has been admitted counts before anybody counts the rows again.
    paths = ["/runs", f"/threads/{thread_id}/runs", "/runs", f"/threads/{thread_id}/runs", "/runs"]
    answers = await asyncio.gather(*(plain.post(path, json=LATER) for path in paths))
    refused = [answer for answer in answers if answer.status_code != 200]
    assert len(refused) == len(paths) - LIMIT
    for path in ("/runs/wait", "/runs/stream", f"/threads/{thread_id}/runs/wait"):
        refused.append(await plain.post(path, json=LATER))
    for answer in refused:
        assert answer.status_code == 429 and int(answer.headers["Retry-After"]) > 0, answer.text
        assert wire.detail(answer)
    assert await count(plain) == LIMIT
    assert (await plain.post("/runs/cancel", json={"status": "all"})).status_code == 204
    async with asyncio.timeout(20):
        while (await plain.post("/runs", json=LATER)).status_code == 429:
            await asyncio.sleep(0.2)
    await plain.post("/runs/cancel", json={"status": "all"})


async def test_a_batch_has_a_place_as_a_whole_or_none(plain: httpx.AsyncClient) -> None:
    await asyncio.sleep(1.1)  # the count is kept for a second
    assert (await plain.post("/runs/batch", json=[LATER] * (LIMIT + 1))).status_code == 429
    assert await count(plain) == 0
    assert (await plain.post("/runs/batch", json=[LATER] * LIMIT)).status_code == 200
    assert (await plain.post("/runs/batch", json=[LATER])).status_code == 429
    assert await count(plain) == LIMIT


@pytest.fixture
async def emptied(plain: httpx.AsyncClient) -> None:
    await plain.post("/runs/cancel", json={"status": "all"})
    await asyncio.sleep(1.1)  # the count is kept for a second


@pytest.mark.usefixtures("emptied")
async def test_a_threads_queue_has_a_bound_of_its_own(plain: httpx.AsyncClient, client: LangGraphClient) -> None:
    thread_id = await wire.new_thread(client)
    path = f"/threads/{thread_id}/runs"
    answers = await asyncio.gather(*(plain.post(path, json=LATER) for _ in range(LIMIT)))
    assert sorted(answer.status_code for answer in answers) == [200] * (LIMIT - 1) + [429]
    (refused,) = [answer for answer in answers if answer.status_code == 429]
    assert int(refused.headers["Retry-After"]) > 0 and "this thread" in wire.detail(refused)
    await asyncio.sleep(1.1)
    elsewhere = {**LATER, "if_not_exists": "create"}
    assert (await plain.post(f"/threads/{uuid.uuid4()}/runs", json=elsewhere)).status_code == 200


@pytest.mark.django_db
def test_the_rows_are_counted_once_a_second(django_assert_num_queries: Any) -> None:
    queue = Queue()
    with django_assert_num_queries(1):
        for _ in range(LIMIT):
            queue.admit(1, LIMIT)
        with pytest.raises(QueueFull):
            queue.admit(1, LIMIT)
    assert not Run.objects.exists()
