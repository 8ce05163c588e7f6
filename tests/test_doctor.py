"""`manage.py doctor` says what is wrong, and nothing else: each finding is provoked."""

import subprocess
import sys

import psycopg
import pytest
from redis import Redis

from tests.conftest import ROOT, LiveServer, free_port

pytestmark = pytest.mark.timeout(180)


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
                " created_at, updated_at, attempt, handed_back, worker, cancel_reason) SELECT gen_random_uuid(),"
                " thread_id, gen_random_uuid(), 'pending', '{}', '{}', 'enqueue', now() - interval '5 minutes', now(),"
                " 0, 0, '', '' FROM threads_thread"
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


def test_an_address_nobody_listens_at_is_named(server: LiveServer) -> None:
    status, said = examined(server, "--url", f"http://127.0.0.1:{free_port()}")
    assert status == 1 and line_of(said, "address").startswith("WRONG"), said
