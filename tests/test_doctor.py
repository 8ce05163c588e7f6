"""`manage.py doctor` says what is wrong, and nothing else: each finding is provoked."""

import asyncio
import contextlib
import subprocess
import sys
import threading
import zlib
from collections.abc import Iterator

import psycopg
import pytest
from redis import Redis

from tests.conftest import ROOT, LiveServer, free_port

pytestmark = pytest.mark.timeout(180)


class Bend:
    """A proxy that does to answers what bad proxies do: `hold` them for seconds, `zip` them, `deafen` upgrades."""

    def __init__(self, port: int, *, hold: float = 0, zip: bool = False, deafen: bool = False) -> None:
        self.upstream, self.hold, self.zip, self.deafen = port, hold, zip, deafen
        self.port = free_port()
        self.loop = asyncio.new_event_loop()

    def __enter__(self) -> str:
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        start = asyncio.start_server(self.serve, "127.0.0.1", self.port)
        self.server = asyncio.run_coroutine_threadsafe(start, self.loop).result(10)
        return f"http://127.0.0.1:{self.port}"

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self.end(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()

    async def end(self) -> None:
        self.server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await asyncio.sleep(0.05)  # the transports say goodbye to their loop

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request a connection."""
        back = None
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                lines = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
                kept = [line for line in lines[:-2] if not line.lower().startswith(self.unheard())]
                there, back = await asyncio.open_connection("127.0.0.1", self.upstream)
                if not any(line.lower().startswith(b"upgrade:") for line in kept):
                    kept = [line for line in kept if not line.lower().startswith(b"connection:")]
                    kept.append(b"Connection: close")
                back.write(b"\r\n".join([*kept, b"", b""]))
                await self.answer(there, writer)
        finally:
            for end in filter(None, (writer, back)):
                end.transport.abort()

    def unheard(self) -> tuple[bytes, ...]:
        return (b"upgrade:", b"connection:", b"sec-websocket") if self.deafen else (b"x-nothing:",)

    async def answer(self, there: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await there.readuntil(b"\r\n\r\n")
        if self.zip and b"event-stream" in head:
            head = head.replace(b"\r\n\r\n", b"\r\ncontent-encoding: deflate\r\n\r\n")
        writer.write(head)
        packer = zlib.compressobj()
        while True:
            await asyncio.sleep(self.hold)
            chunk = await there.read(65536)
            if not chunk:
                return
            if self.zip and b"event-stream" in head:
                size, _, rest = chunk.partition(b"\r\n")
                body = packer.compress(rest[:-2]) + packer.flush(zlib.Z_SYNC_FLUSH)
                chunk = b"%x\r\n%b\r\n" % (len(body), body)
                assert size
            writer.write(chunk)


def examined(server: LiveServer, *arguments: str, **environment: str) -> tuple[int, str]:
    """Exit status and what was said."""
    done = subprocess.run(
        [sys.executable, "manage.py", "doctor", *arguments],
        cwd=ROOT,
        env={**server.environment, **environment},
        capture_output=True,
        text=True,
        timeout=90,
    )
    return done.returncode, done.stdout + done.stderr


def port_of(server: LiveServer) -> int:
    return int(server.url.rpartition(":")[2])


def line_of(said: str, what: str) -> str:
    """The line about one thing."""
    [line] = [line for line in said.splitlines() if line[7:].startswith(f"{what}:")]
    return line


def test_a_sound_server_has_nothing_wrong(server: LiveServer) -> None:
    status, said = examined(server, "--url", server.url, RUN_LEASE_SECONDS="30")
    for what in ("PostgreSQL", "workers", "beat", "Redis", "eviction", "lease", "sweep", "stream", "heartbeats"):
        assert line_of(said, what).startswith("ok "), said
    assert "1 connected" in line_of(said, "workers")
    assert status == 0 and "Nothing is wrong." in said, said


@pytest.mark.parametrize(
    ("variable", "value", "what"),
    [
        ("RUN_LEASE_RENEWAL_SECONDS", "20", "lease"),
        ("RUN_SWEEP_SECONDS", "60", "sweep"),
        ("LANGGRAPH_POSTGRES_POOL_MAX_SIZE", "500", "connections"),
    ],
)
def test_settings_that_do_not_fit_are_named(server: LiveServer, variable: str, value: str, what: str) -> None:
    status, said = examined(server, **{variable: value})
    assert status == 1 and line_of(said, what).startswith("WRONG"), said


def test_a_redis_that_evicts_is_named(server: LiveServer) -> None:
    with Redis.from_url(server.environment["REDIS_URI"]) as redis:
        before = redis.config_get("maxmemory-policy")["maxmemory-policy"]
        redis.config_set("maxmemory-policy", "allkeys-lru")
        try:
            status, said = examined(server)
        finally:
            redis.config_set("maxmemory-policy", before)
    assert status == 1 and "noeviction" in said and line_of(said, "eviction").startswith("WRONG"), said


def test_without_workers_and_beat_a_waiting_run_is_named(server: LiveServer) -> None:
    name = "weft_alone"
    with psycopg.connect(server.environment["DATABASE_URI"], autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name}")
        connection.execute(f"CREATE DATABASE {name}")
    alone = LiveServer(server.url, {**server.environment, "DATABASE_URI": other_database(server, name)}, server.log)
    try:
        migrated = alone.start("migrate", "migrate", "--verbosity=0")
        assert migrated.wait(90) == 0
        with psycopg.connect(alone.environment["DATABASE_URI"], autocommit=True) as connection:
            connection.execute(
                "INSERT INTO threads_thread (thread_id, status, status_at_rest, metadata, config, interrupts,"
                " created_at, updated_at) VALUES (gen_random_uuid(), 'busy', 'idle', '{}', '{}', '{}', now(), now())"
            )
            connection.execute(
                "INSERT INTO runs_run (run_id, thread_id, assistant_id, status, metadata, kwargs, multitask_strategy,"
                " created_at, updated_at, attempt, handed_back, worker, cancel_reason, blocked) SELECT"
                " gen_random_uuid(),"
                " thread_id, gen_random_uuid(), 'pending', '{}', '{}', 'enqueue', now() - interval '5 minutes', now(),"
                " 0, 0, '', '', '[]' FROM threads_thread"
            )
        status, said = examined(alone)
    finally:
        with psycopg.connect(server.environment["DATABASE_URI"], autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    assert status == 1, said
    for what in ("workers", "beat", "waiting runs"):
        assert line_of(said, what).startswith("WRONG"), said


def other_database(server: LiveServer, name: str) -> str:
    return psycopg.conninfo.make_conninfo(server.environment["DATABASE_URI"], dbname=name)


@pytest.fixture(scope="module")
def straight(server: LiveServer) -> Iterator[int]:
    """The port behind the proxies."""
    yield port_of(server)


def test_a_proxy_that_buffers_is_named(server: LiveServer, straight: int) -> None:
    with Bend(straight, hold=4) as url:
        status, said = examined(server, "--url", url)
    assert status == 1 and line_of(said, "stream").startswith("WRONG") and "proxy_buffering off" in said, said


def test_a_proxy_that_compresses_is_named(server: LiveServer, straight: int) -> None:
    with Bend(straight, zip=True) as url:
        status, said = examined(server, "--url", url)
    assert status == 1 and line_of(said, "compression").startswith("WRONG"), said


def test_a_proxy_that_passes_no_upgrade_is_named(server: LiveServer, straight: int) -> None:
    with Bend(straight, deafen=True) as url:
        status, said = examined(server, "--url", url)
    assert status == 1 and line_of(said, "WebSocket").startswith("WRONG") and "Upgrade" in said, said
    assert line_of(said, "stream").startswith("ok "), said


def test_an_address_nobody_listens_at_is_named(server: LiveServer) -> None:
    status, said = examined(server, "--url", f"http://127.0.0.1:{free_port()}")
    assert status == 1 and line_of(said, "address").startswith("WRONG"), said
