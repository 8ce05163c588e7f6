"""A receiver that is down while runs end and workers die: nothing is lost, and nothing looks like two events.

WEBHOOK_OUTAGE_RUNS=500 is the long run; the suite takes a slice of it.
"""

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import httpx
import psycopg
import pytest
from standardwebhooks import Webhook

from tests.conftest import LiveServer, free_port, live_server
from tests.receiver import Received, receiving
from webhooks.signing import new_secret

RUNS = int(os.environ.get("WEBHOOK_OUTAGE_RUNS", "40"))
BATCH, KILLS = 20, 3
SECRET = new_secret()
PATIENCE = 60.0 + RUNS / 2
ENDED = "SELECT count(*) FROM runs_run WHERE status = 'success'"
DELIVERIES = "SELECT status, count(DISTINCT run_id), count(*), max(tries) FROM webhooks_webhookdelivery GROUP BY status"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    times = {
        "RUN_LEASE_SECONDS": "3",
        "RUN_LEASE_RENEWAL_SECONDS": "1",
        "WEBHOOK_RETRY_SECONDS": ",".join(["1"] * 1000),
        "WEBHOOK_TIMEOUT_SECS": "1",
        "WEBHOOK_TICK_SECONDS": "0.5",
        "WEBHOOK_SECRETS": SECRET,
    }
    with live_server(tmp_path_factory.mktemp("outage"), **times) as running:
        yield running


def rows(server: LiveServer, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(server.environment["DATABASE_URI"]) as connection:
        return connection.execute(statement).fetchall()


async def until(condition: Any) -> None:
    deadline = time.monotonic() + PATIENCE
    while not await asyncio.to_thread(condition):
        assert time.monotonic() < deadline, "it takes too long"
        await asyncio.sleep(0.2)


def kill_worker(server: LiveServer) -> None:
    server.processes["worker"].send_signal(signal.SIGKILL)
    server.processes["worker"].wait()
    server.start("worker", "worker")


async def test_an_outage_of_the_receiver_and_of_workers_loses_no_event_and_doubles_none(server: LiveServer) -> None:
    port = free_port()
    body = {"assistant_id": "echo", "input": {"text": "hi"}, "webhook": f"http://127.0.0.1:{port}/hook"}
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as http:
        threads = [(await http.post("/threads", json={})).json()["thread_id"] for _ in range(RUNS)]
        created = []
        for start in range(0, RUNS, BATCH):
            answers = await asyncio.gather(
                *(http.post(f"/threads/{thread}/runs", json=body) for thread in threads[start : start + BATCH])
            )
            assert {answer.status_code for answer in answers} == {200}
            created += [answer.json()["run_id"] for answer in answers]
            if start // BATCH % max(RUNS // BATCH // KILLS, 1) == 0:
                await asyncio.to_thread(kill_worker, server)
    await until(lambda: rows(server, ENDED) == [(RUNS,)])
    ((status, runs, count, tries),) = rows(server, DELIVERIES)
    assert (status, runs, count) == ("pending", RUNS, RUNS)
    await asyncio.to_thread(kill_worker, server)
    with receiving(port=port) as receiver:
        await until(lambda: len(seen(receiver.requests)) == RUNS)
        await until(lambda: [row[:3] for row in rows(server, DELIVERIES)] == [("delivered", RUNS, RUNS)])
        requests = list(receiver.requests)
    assert tries >= 1, "no attempt was made while the receiver was down"
    for request in requests:
        Webhook(SECRET).verify(request.body, request.headers)
    assert {run_of(request) for request in requests} == set(created)
    # However often a run's event was sent, it has one id.
    assert len({(run_of(request), request.headers["webhook-id"]) for request in requests}) == RUNS


def seen(requests: list[Received]) -> set[str]:
    return {request.headers["webhook-id"] for request in list(requests)}


def run_of(request: Received) -> str:
    return str(request.json()["run_id"])
