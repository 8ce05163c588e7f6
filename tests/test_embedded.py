"""The embedded servers: set up whole or not at all, and taken over from whoever was killed before stopping them."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from config import embedded, processes
from tests import services


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state directory; the tests of this module share its database cluster, one after another."""
    return tmp_path_factory.mktemp("state")


@pytest.fixture
def postgres(state: Path) -> Iterator[tuple[embedded.Server, subprocess.Popen[bytes]]]:
    """A running PostgreSQL, stopped at the end if the test has not done so."""
    server, process = services.start_postgres(state)
    yield server, process
    processes.stop(process, server.program)
    server.clear()


def launch_again(state: Path) -> tuple[embedded.Server, subprocess.Popen[bytes]]:
    return services.start(embedded.postgres_server(state, durable=False), state)


def test_postgres_has_the_database_and_the_vector_extension(postgres):
    server, _ = postgres
    with psycopg.connect(server.uri) as connection:
        assert connection.info.dbname == "weft"
        assert connection.execute("SELECT '[1,2]'::vector::text").fetchone() == ("[1,2]",)
        assert connection.execute("SHOW max_connections").fetchone() == ("200",)


def test_postgres_is_durable_unless_told_otherwise(tmp_path):
    (tmp_path / "postgres").mkdir()
    assert "fsync=off" not in embedded.postgres_server(tmp_path).program.argv


def test_data_outlives_a_killed_server(postgres, state):
    server, process = postgres
    with psycopg.connect(server.uri, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
        connection.execute("CHECKPOINT")
    processes.kill_group(process)
    server, process = launch_again(state)
    try:
        with psycopg.connect(server.uri) as connection:
            assert connection.execute("SELECT number FROM kept").fetchone() == (7,)
    finally:
        processes.stop(process, server.program)


def test_a_leftover_postgres_is_stopped_before_the_next_starts(postgres, state):
    _, leftover = postgres
    server, process = launch_again(state)
    try:
        assert leftover.wait(1) == 0
        assert server.is_ready()
    finally:
        processes.stop(process, server.program)


def test_a_pid_file_that_names_somebody_else_harms_nobody(postgres, state):
    server, process = postgres
    processes.stop(process, server.program)
    bystander = subprocess.Popen(["sleep", "60"])
    try:
        (state / "postgres" / "postmaster.pid").write_text(f"{bystander.pid}\n{state}/postgres\n0\n5432\n/tmp\n\n0 0\n")
        server, process = launch_again(state)
        processes.stop(process, server.program)
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_half_a_setup_is_done_again(tmp_path):
    (tmp_path / "postgres.new").mkdir()
    (tmp_path / "postgres.new" / "base").touch()
    assert embedded.postgres_setup(tmp_path) is not None
    assert list((tmp_path / "postgres.new").iterdir()) == []


def test_a_path_too_long_for_a_socket_gets_a_short_one(tmp_path):
    deep = tmp_path / ("a" * 60) / ("b" * 60)
    server, process = services.start(embedded.redis_server(deep), tmp_path)
    try:
        assert len(server.uri) < 100
        assert redis.Redis.from_url(server.uri).ping()
    finally:
        processes.stop(process, server.program)
        server.clear()
    assert not server.socket_dir.exists()


def test_a_leftover_redis_is_stopped_before_the_next_starts(tmp_path):
    _, leftover = services.start(embedded.redis_server(tmp_path), tmp_path)
    server, process = services.start(embedded.redis_server(tmp_path), tmp_path)
    try:
        assert leftover.wait(1) == 0
        with redis.Redis.from_url(server.uri) as client:
            assert client.info("server")["process_id"] == process.pid
    finally:
        processes.stop(process, server.program)


def test_a_server_without_an_answer_is_not_ready(tmp_path):
    assert not embedded.redis_server(tmp_path).is_ready()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root changes user")
def test_root_runs_postgres_as_somebody_else(postgres):
    _, process = postgres
    assert Path(f"/proc/{process.pid}").stat().st_uid != 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root changes user")
def test_an_account_of_roots_may_use_programs_in_folders_closed_to_others(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    program = closed / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    # By access(2), as initdb looks for postgres.
    asks = f"import os; assert os.getuid() and os.access({str(program)!r}, os.R_OK | os.X_OK)"
    asking = processes.Program("ask", (sys.executable, "-c", asks), account="nobody")
    process = processes.launch(asking, subprocess.DEVNULL)
    assert process.wait(10) == 0
