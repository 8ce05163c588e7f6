"""What clients see while Redis or PostgreSQL is away, and that all goes on when it is back. On servers of its own."""

import asyncio
import contextlib
import json
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import websockets
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import InternalServerError

from config import embedded, processes
from tests import services, wire
from tests.conftest import LiveServer, free_port, live_server, wait_until_up
from tests.proxy import Mode, Proxy, before_redis
from tests.receiver import receiving

pytestmark = pytest.mark.timeout(180)
NEW_RUN = {"assistant_id": "echo", "input": {"text": "hi"}}
NEW_CRON = {"assistant_id": "echo", "schedule": "0 0 1 1 *"}
NEW_ENDPOINT = {"url": "http://127.0.0.1:9/", "events": ["run.error"]}
# What needs no database by its nature, follows a log, or answers in an envelope of its own.
WITHOUT_DATABASE = {
    ("get", "/ok"),
    ("get", "/info"),
    ("get", "/metrics"),
    ("get", "/.well-known/agent-card.json"),
    ("post", "/runs/crons/preview"),
    ("get", "/threads/{thread_id}/stream"),
    ("post", "/threads/{thread_id}/stream/events"),
    ("post", "/threads/{thread_id}/commands"),
    ("post", "/mcp"),
    ("post", "/a2a/{assistant_id}"),
}
WAITS_FOR_REDIS = "(REDIS_URI) does not answer"
# Waiting for a connection takes ten seconds; whoever was let go, or never waited, has not done that.
AT_ONCE = 8.0


@dataclass
class Service:
    """A PostgreSQL or Redis that comes and goes."""

    state: Path
    server: embedded.Server
    process: subprocess.Popen[bytes]

    @contextlib.contextmanager
    def gone(self) -> Iterator[None]:
        """Stopped while the block lasts; Redis has forgotten everything then."""
        self.stop()
        try:
            yield
        finally:
            _, self.process = services.start(self.server, self.state)

    @contextlib.contextmanager
    def silent(self) -> Iterator[None]:
        """Accepting connections and saying nothing while the block lasts, like a host that hangs."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """End it."""
        processes.stop(self.process, self.server.program)


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A Redis nobody else uses."""
    state = tmp_path_factory.mktemp("redis")
    service = Service(state, *services.start(embedded.redis_server(state), state))
    yield service
    service.stop()
    service.server.clear()


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A PostgreSQL nobody else uses."""
    state = tmp_path_factory.mktemp("postgres")
    service = Service(state, *services.start_postgres(state))
    yield service
    service.stop()
    service.server.clear()


@pytest.fixture(scope="module")
def alone(redis: Service, postgres: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """The server on them."""
    addresses = {"DATABASE_URI": postgres.server.uri, "REDIS_URI_CUSTOM": redis.server.uri}
    with live_server(tmp_path_factory.mktemp("alone"), RUN_SWEEP_SECONDS="1", **addresses) as running:
        yield running


@pytest.fixture
async def client(alone: LiveServer) -> AsyncIterator[LangGraphClient]:
    """The official client."""
    async with get_client(url=alone.url, timeout=30) as opened:
        yield opened


@pytest.fixture
async def plain(alone: LiveServer) -> AsyncIterator[httpx.AsyncClient]:
    """Plain HTTP, whose connections only the server ends."""
    async with httpx.AsyncClient(base_url=alone.url, timeout=60, limits=httpx.Limits(keepalive_expiry=60)) as opened:
        yield opened


def assert_unavailable(answer: httpx.Response) -> None:
    assert answer.status_code == 503, (answer.request.url, answer.status_code, answer.text)
    assert set(answer.json()) == {"detail"}
    assert answer.headers["Retry-After"] == "1"


async def run_ids(client: LangGraphClient, thread_id: str) -> list[str]:
    return [str(run["run_id"]) for run in await client.runs.list(thread_id)]


@pytest.mark.parametrize("outage", ["gone", "silent"])
async def test_without_redis_a_run_is_accepted_and_executed_later(
    outage: str, redis: Service, client: LangGraphClient, plain: httpx.AsyncClient
) -> None:
    thread_id = await wire.new_thread(client)
    path = f"/threads/{thread_id}/runs"
    await wire.finished(client, thread_id, "echo", input={"text": "before"})
    with getattr(redis, outage)():
        started = time.monotonic()
        accepted = await plain.post(path, json=NEW_RUN)
        seconds = time.monotonic() - started
        assert accepted.status_code == 200, accepted.text
        assert seconds < 5, seconds
        assert (await plain.get(f"/threads/{thread_id}")).status_code == 200
        before = await run_ids(client, thread_id)
        for answer in await asyncio.gather(
            plain.post(f"{path}/wait", json=NEW_RUN), plain.post(f"{path}/stream", json=NEW_RUN)
        ):
            assert_unavailable(answer)
        assert await run_ids(client, thread_id) == before
    assert await wire.until(client, thread_id, accepted.json()["run_id"], ("success", "error")) == "success"
    assert (await wire.finished(client, thread_id, "echo", input={"text": "after"}))["text"] == "after"


async def test_a_replay_goes_on_where_redis_fell_silent(
    redis: Service, client: LangGraphClient, plain: httpx.AsyncClient
) -> None:
    thread_id = await wire.new_thread(client)
    run = await client.runs.create(thread_id, "slow_job", input={"steps": 3, "seconds": 0.0}, stream_resumable=True)
    await client.runs.join(thread_id, run["run_id"])
    path, whole = f"/threads/{thread_id}/runs/{run['run_id']}/stream", {"Last-Event-ID": "-1"}
    told = (await plain.get(path, headers=whole)).text
    assert "event: metadata" in told
    with redis.silent():
        again = asyncio.create_task(plain.get(path, headers=whole, timeout=60))
        # Five seconds to ask where the log ends, five to begin to read it.
        await asyncio.sleep(11)
    assert (await again).text.replace(": heartbeat\r\n\r\n", "") == told


@pytest.fixture
def aside(redis: Service, alone: LiveServer, tmp_path: Path) -> Iterator[tuple[Proxy, str]]:
    """A web process that reaches Redis through a proxy, and its address."""
    port = free_port()
    with before_redis(redis.server.uri) as (proxy, uri):
        environment = {**alone.environment, "REDIS_URI_CUSTOM": uri}
        other = LiveServer(f"http://127.0.0.1:{port}", environment, tmp_path / "log")
        other.start("web", "web", f"--port={port}")
        try:
            wait_until_up(other)
            yield proxy, other.url
        finally:
            other.stop()


async def test_who_follows_or_waits_misses_nothing_though_redis_was_out_of_reach_when_the_run_ended(
    aside: tuple[Proxy, str], client: LangGraphClient
) -> None:
    proxy, url = aside
    thread_id = await wire.new_thread(client)
    body = {"assistant_id": "slow_job", "input": {"steps": 6, "seconds": 0.5}, "stream_mode": ["custom"]}
    async with httpx.AsyncClient(base_url=url, timeout=60) as far:
        following = asyncio.create_task(wire.stream(far, f"/threads/{thread_id}/runs/stream", body))
        waiting = asyncio.create_task(far.post("/runs/wait", json={**body, "stream_mode": ["values"]}))
        await asyncio.sleep(1.5)
        # The runs end meanwhile, and the rows say so: twice looked at, that is enough where a log has lost its end.
        with proxy.being(Mode.HALF_OPEN):
            await asyncio.sleep(10)
        found, answer = await following, await waiting
    assert found.names == ["metadata"] + ["custom"] * 6
    assert [told["count"] for told in found.data("custom")] == [1, 2, 3, 4, 5, 6]
    assert answer.json()["count"] == 6


async def test_a_run_that_is_executing_while_redis_restarts_ends_with_success(
    redis: Service, client: LangGraphClient
) -> None:
    thread_id = await wire.new_thread(client)
    run = await client.runs.create(thread_id, "slow_job", input={"steps": 6, "seconds": 0.5})
    await wire.until(client, thread_id, run["run_id"], ("running",))
    with redis.gone():
        await asyncio.sleep(1)
    assert await wire.until(client, thread_id, run["run_id"], ("success", "error")) == "success"
    assert (await wire.values_of(client, thread_id))["count"] == 6


async def test_a_node_that_is_executing_while_postgres_restarts_is_not_executed_again(
    postgres: Service, client: LangGraphClient, alone: LiveServer
) -> None:
    thread_id = await wire.new_thread(client)
    run = await client.runs.create(thread_id, "sleeper", input={"seconds": 4})
    await wire.until_started(client, thread_id, run["run_id"], "sleep")
    with postgres.gone():
        await asyncio.sleep(0.5)
    async with asyncio.timeout(20):
        while (status := await status_or_nothing(client, thread_id, run["run_id"])) not in ("success", "error"):
            await asyncio.sleep(0.2)
    assert status == "success"
    assert await wire.values_of(client, thread_id) == {"seconds": 4, "log": ["first", "slept"]}
    with psycopg.connect(alone.environment["DATABASE_URI"]) as connection:
        row = connection.execute("SELECT attempt FROM runs_run WHERE run_id = %s", [run["run_id"]])
        assert row.fetchone() == (1,)


async def status_or_nothing(client: LangGraphClient, thread_id: str, run_id: str) -> str:
    """The run's status, "" when the server cannot say."""
    try:
        return await wire.status_of(client, thread_id, run_id)
    except InternalServerError as error:
        assert error.status_code == 503
        return ""


async def test_without_postgres_everything_answers_503_and_recovers(
    postgres: Service, client: LangGraphClient, plain: httpx.AsyncClient, alone: LiveServer
) -> None:
    thread_id = await wire.new_thread(client)
    run = await client.runs.create(thread_id, "echo", input={"text": "hi"})
    await client.runs.join(thread_id, run["run_id"])
    # The worker has several connections to lose.
    await asyncio.gather(*(client.runs.wait(None, "sleeper", input={"seconds": 0.5}) for _ in range(5)))
    known = {"thread_id": thread_id, "run_id": run["run_id"], "checkpoint_id": run["run_id"], "namespace": "x"}
    known["assistant_id"] = str((await client.assistants.search(graph_id="echo", limit=1))[0]["assistant_id"])
    known["cron_id"] = (await plain.post("/runs/crons", json=NEW_CRON)).json()["cron_id"]
    known["endpoint_id"] = (await plain.post("/webhooks/endpoints", json=NEW_ENDPOINT)).json()["endpoint_id"]
    known["delivery_id"] = known["run_id"]
    document = (await plain.get("/openapi.json")).json()
    requests = list(requests_to_all(document, known))
    with postgres.gone():
        answers = await asyncio.gather(*(timed(plain, *request) for request in requests))
        late = {}
        for (method, path, _), (answer, seconds) in zip(requests, answers, strict=True):
            assert_unavailable(answer)
            if seconds > AT_ONCE:
                late[f"{method} {path}"] = seconds
        assert not late
        assert (await plain.get("/ok")).status_code == 200
    assert all(process.poll() is None for process in alone.processes.values()), alone.log.read_text()
    async with asyncio.timeout(30):
        while (answer := await plain.post(f"/threads/{thread_id}/runs/wait", json=NEW_RUN)).status_code == 503:
            await asyncio.sleep(0.2)
    assert answer.json().get("log") == ["hi", "hi"], answer.text
    for _ in range(20):
        assert (await plain.get(f"/threads/{thread_id}/state")).status_code == 200


def requests_to_all(document: dict[str, Any], known: dict[str, str]) -> Iterator[tuple[str, str, Any]]:
    """A sound request for every operation that needs the database: method, path, body."""
    bodies: dict[str, Any] = {
        "/assistants": {"graph_id": "echo"},
        "/assistants/{assistant_id}/latest": {"version": 1},
        "/threads/prune": {"thread_ids": [known["thread_id"]]},
        "/threads/{thread_id}/state": {"values": {"text": "x"}},
        "/threads/{thread_id}/state/checkpoint": {"checkpoint": {"checkpoint_id": known["checkpoint_id"]}},
        "/runs/cancel": {"thread_id": known["thread_id"], "run_ids": [known["run_id"]]},
        "/runs/batch": [NEW_RUN],
        **dict.fromkeys(("/runs", "/runs/wait", "/runs/stream"), NEW_RUN),
        **{f"/threads/{{thread_id}}/runs{end}": NEW_RUN for end in ("", "/wait", "/stream")},
        **dict.fromkeys(("/runs/crons", "/threads/{thread_id}/runs/crons"), NEW_CRON),
        "/runs/crons/{cron_id}": {"enabled": False},
        "/store/items": {"namespace": ["outage"], "key": "k", "value": {}},
        "/webhooks/endpoints": NEW_ENDPOINT,
    }
    for path, operations in document["paths"].items():
        for method in operations:
            if (method, path) in WITHOUT_DATABASE:
                continue
            has_body = method in ("post", "patch", "put") or (method, path) == ("delete", "/store/items")
            query = "?namespace=outage&key=k" if (method, path) == ("get", "/store/items") else ""
            yield method, path.format_map(known) + query, bodies.get(path, {}) if has_body else None


async def timed(plain: httpx.AsyncClient, method: str, path: str, body: Any) -> tuple[httpx.Response, float]:
    started = time.monotonic()
    answer = await plain.request(method, path, json=body)
    return answer, time.monotonic() - started


async def test_without_postgres_commands_and_tools_are_refused_in_their_own_envelopes(
    postgres: Service, client: LangGraphClient, plain: httpx.AsyncClient, alone: LiveServer
) -> None:
    path = f"/threads/{await wire.new_thread(client)}"
    start = {"id": 1, "method": "run.start", "params": {"assistant_id": "echo", "input": {"text": "hi"}}}
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "echo", "arguments": {"text": "hi"}}}
    async with websockets.connect(f"{alone.url.replace('http', 'ws', 1)}{path}/stream/events") as socket:
        with postgres.gone():
            began = time.monotonic()
            await socket.send(json.dumps(start))
            refused = [json.loads(await socket.recv()), (await plain.post(f"{path}/commands", json=start)).json()]
            called = await plain.post("/mcp", json=call, headers={"Accept": "application/json"})
            assert time.monotonic() - began < AT_ONCE
        for answer in refused:
            assert (answer["type"], answer["message"][:4]) == ("error", "503:")
        assert "not available" in called.text
        async with asyncio.timeout(30):
            while True:
                await socket.send(json.dumps(start))
                if json.loads(await socket.recv())["type"] == "success":
                    return
                await asyncio.sleep(0.2)


async def fires(client: LangGraphClient) -> None:
    """See a cron of every second fire, which is beat's alone to do."""
    cron: Any = await client.crons.create("echo", input={"text": "ticked"}, schedule="* * * * * *")
    async with asyncio.timeout(20):
        while cron["next_run_date"] == (found := await named(client, cron["cron_id"]))["next_run_date"]:
            await asyncio.sleep(0.2)
    await client.crons.delete(found["cron_id"])


async def named(client: LangGraphClient, cron_id: str) -> Any:
    return next(cron for cron in await client.crons.search(limit=100) if cron["cron_id"] == cron_id)


@pytest.mark.parametrize("part", ["web", "worker", "beat"])
async def test_a_process_that_starts_without_redis_serves_and_has_it_later(
    part: str, redis: Service, client: LangGraphClient, alone: LiveServer
) -> None:
    thread_id = await wire.new_thread(client)
    with redis.gone():
        restarted = alone.processes[part]
        restarted.terminate()
        await asyncio.to_thread(restarted.wait, 30)
        alone.start(part, part, *([f"--port={alone.url.rpartition(':')[2]}"] if part == "web" else []))
        await asyncio.to_thread(wait_until_up, alone)
        if part == "beat":
            await fires(client)
        run = await client.runs.create(thread_id, "echo", input={"text": "picked"})
        assert await wire.until(client, thread_id, run["run_id"], ("success", "error")) == "success"
        assert alone.processes[part].poll() is None
    async with asyncio.timeout(30):
        while (await unless_unavailable(client, thread_id)) is None:
            await asyncio.sleep(0.2)
    assert WAITS_FOR_REDIS in alone.log.read_text()


async def test_a_worker_that_waits_for_redis_can_be_ended(redis: Service, alone: LiveServer, tmp_path: Path) -> None:
    # A log of its own: the others wait for Redis, too.
    late = LiveServer(alone.url, alone.environment, tmp_path / "log")
    with redis.gone(), contextlib.ExitStack() as stack:
        stack.callback(late.stop)
        worker = late.start("waiting", "worker", "--name=waiting")
        async with asyncio.timeout(60):
            while not (WAITS_FOR_REDIS in late.log.read_text() and catches(worker.pid, signal.SIGTERM)):
                await asyncio.sleep(0.1)
        await asyncio.sleep(1)
        assert worker.poll() is None
        worker.terminate()
        assert await asyncio.to_thread(worker.wait, 20) == 0


def catches(pid: int, signum: signal.Signals) -> bool:
    """Whether the process has a handler for the signal by now, as Linux tells."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = int(status.partition("SigCgt:")[2].split()[0], 16)
    return bool(caught >> (signum - 1) & 1)


async def unless_unavailable(client: LangGraphClient, thread_id: str) -> Any:
    try:
        return await wire.finished(client, thread_id, "echo", input={"text": "after"})
    except InternalServerError as error:
        assert error.status_code == 503
        return None


async def test_a_webhook_written_without_redis_is_sent_without_redis(
    redis: Service, client: LangGraphClient, plain: httpx.AsyncClient
) -> None:
    """The web process ends the run and can tell no worker; the tick sends the delivery from beat."""
    thread_id = await wire.new_thread(client)
    with receiving() as receiver:
        body = {"url": receiver.script("/hook"), "events": ["run.interrupted"], "metadata": {"outage": "webhooks"}}
        endpoint = (await plain.post("/webhooks/endpoints", json=body)).json()["endpoint_id"]
        run = await wire.created(plain, thread_id, metadata=body["metadata"])
        await asyncio.sleep(1.1)  # web processes know of the endpoint by now
        with redis.gone():
            ids = {"thread_id": thread_id, "run_ids": [run["run_id"]]}
            cancelled, seconds = await timed(plain, "POST", "/runs/cancel", ids)
            assert cancelled.status_code == 204, cancelled.text
            assert seconds < 3, "the request has waited for Redis"
            (request,) = await asyncio.to_thread(receiver.wait_for, "/hook")
        assert request.json()["data"]["run_id"] == run["run_id"]
        deleted = await plain.delete(f"/webhooks/endpoints/{endpoint}")
        # The tick has let more than five seconds pass meanwhile; the web process kept the connection all the while.
        assert line_of(deleted) == line_of(cancelled)


def line_of(answer: httpx.Response) -> Any:
    """Our end of the connection it came over."""
    return answer.extensions["network_stream"].get_extra_info("client_addr")
