"""Reads among many rows: a million threads, a hundred thousand runs, a thousand checkpoints of one thread.

The rows are copies of one that the server wrote itself, made by SQL; the checkpoints come from a real run.
"""

import random
from collections.abc import Mapping
from typing import Any, LiteralString, cast
from uuid import UUID, uuid4

import psycopg
from psycopg import sql

from bench.measure import QUICK, Measurement
from bench.report import row

THREADS, RUNS, RUNS_PER_THREAD, CHECKPOINTS = 1_000_000, 100_000, 10, 1_000
QUICK_SHARE = 20
USERS_THREADS, TEAMS = 10, 100
# Where the copy with the number n differs from its original. Ids count upwards, as those of the server do.
ID = "lpad(to_hex(n), 32, '0')::uuid"
WHEN = "now() + (n - {count}) * interval '1 second'"
METADATA = (
    "metadata || jsonb_build_object('number', n, 'user', 'user-' || n % ({count} / {per_user}), 'team', 'team-' || n % "
    "{teams})"
)
LOADING = "SET synchronous_commit = off; SET maintenance_work_mem = '512MB'"
LARGE_INDEXES = (
    "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = %s"
    " AND indexname NOT IN (SELECT conname FROM pg_constraint)"
)
PAUSE_SECONDS = 0.005


def fill(bench: Measurement) -> None:
    """Make the rows, and let PostgreSQL look at them as it would by and by."""
    original, sizes = str(uuid4()), _sizes(bench)
    body = {"assistant_id": "one", "input": {"text": "hello"}, "if_not_exists": "create"}
    _once(bench, f"/threads/{original}/runs/wait", body)
    metadata = METADATA.format(count=sizes["threads"], per_user=USERS_THREADS, teams=TEAMS)
    owner = f"lpad(to_hex(1 + n % {sizes['owners']}), 32, '0')::uuid"
    changes = {
        ("threads_thread", "threads"): {"thread_id": ID, "metadata": metadata},
        ("runs_run", "runs"): {"run_id": ID, "thread_id": owner},
    }
    with psycopg.connect(bench.server.database, autocommit=True) as connection:
        # How safe the loading itself is does not matter.
        connection.execute(LOADING)
        for (table, name), change in changes.items():
            when = dict.fromkeys(("created_at", "updated_at"), WHEN.format(count=sizes[name]))
            _copy(connection, table, original, sizes[name], {**change, **when})


def _copy(
    connection: psycopg.Connection[Any], table: str, original: str, count: int, changes: Mapping[str, str]
) -> None:
    """Copy the original thread's row of the table `count` times, each time with the changes (SQL of `n`) to it."""
    indexes = connection.execute(LARGE_INDEXES, [table]).fetchall()
    for name, _ in indexes:
        connection.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier(name)))
    names = connection.execute("SELECT column_name FROM information_schema.columns WHERE table_name = %s", [table])
    columns = [name for (name,) in names]
    statement = sql.SQL(
        "INSERT INTO {table} ({columns}) SELECT {values}"
        " FROM generate_series(1, {count}) AS n, (SELECT * FROM {table} WHERE thread_id = {original}) AS original"
    ).format(
        table=sql.Identifier(table),
        count=count,
        original=original,
        columns=sql.SQL(", ").join(map(sql.Identifier, columns)),
        values=sql.SQL(", ").join(_sql(changes[name]) if name in changes else sql.Identifier(name) for name in columns),
    )
    connection.execute(statement)
    for _, definition in indexes:
        connection.execute(_sql(definition))
    connection.execute(sql.SQL("VACUUM ANALYZE {}").format(sql.Identifier(table)))


def _sql(text: str) -> sql.SQL:
    return sql.SQL(cast(LiteralString, text))  # type: ignore[redundant-cast]


def read(bench: Measurement) -> None:
    """Each read by itself, of other rows each time."""
    sizes = _sizes(bench)
    users = sizes["threads"] // USERS_THREADS
    searches = {
        f"{USERS_THREADS} threads": [{"user": f"user-{number}"} for number in _some(users)],
        f"{sizes['threads'] // TEAMS:,} threads": [{"team": f"team-{number - 1}"} for number in _some(TEAMS)],
        "no thread": [{"user": f"nobody-{number}"} for number in _some(users)],
    }
    for what, found in searches.items():
        requests = [["POST", "/threads/search", {"metadata": metadata, "limit": 10}] for metadata in found]
        _reads(bench, f"POST /threads/search, metadata of {what}, limit 10", requests)
    _reads(bench, "POST /threads/search, the newest, limit 10", [["POST", "/threads/search", {"limit": 10}]])
    threads = [UUID(int=number) for number in _some(sizes["threads"])]
    _reads(bench, "GET /threads/(id)", [["GET", f"/threads/{thread}", None] for thread in threads])
    owners = [UUID(int=number) for number in _some(sizes["owners"])]
    _reads(
        bench,
        f"GET /threads/(id)/runs, {RUNS_PER_THREAD} there",
        [["GET", f"/threads/{owner}/runs", None] for owner in owners],
    )
    wanted: dict[str, list[dict[str, Any]]] = {
        "of a thread": [{"thread_id": str(owner)} for owner in owners],
        "newest of a status": [{"status": "success"}],
        "with an error nobody had": [{"error": "no such text"}],
    }
    for what, bodies in wanted.items():
        _reads(bench, f"POST /runs/search, {what}, limit 10", [["POST", "/runs/search", body] for body in bodies])


def history(bench: Measurement) -> None:
    """The newest and older ones of a thread's many checkpoints."""
    steps, thread = _sizes(bench)["checkpoints"], uuid4()
    config = {"recursion_limit": steps + 10}
    body = {"assistant_id": "counter", "input": {"steps": steps}, "config": config, "durability": "async"}
    _once(bench, f"/threads/{thread}/runs/wait", {**body, "if_not_exists": "create"})
    requests = [["POST", f"/threads/{thread}/history", {"limit": 10}]]
    _reads(bench, f"POST /threads/(id)/history of {steps:,} checkpoints, limit 10", requests)
    _reads(bench, f"GET /threads/(id)/state after {steps:,} checkpoints", [["GET", f"/threads/{thread}/state", None]])


def _sizes(bench: Measurement) -> dict[str, int]:
    share = QUICK_SHARE if bench.scale is QUICK else 1
    owners = RUNS // share // RUNS_PER_THREAD
    return {
        "threads": THREADS // share,
        "runs": RUNS // share,
        "owners": owners,
        "checkpoints": CHECKPOINTS // share,
    }


def _some(count: int) -> list[int]:
    return [random.randint(1, count) for _ in range(1000)]


def _once(bench: Measurement, path: str, body: dict[str, Any]) -> None:
    bench.loop([["POST", path, body]], count=1, warm_up=0)


def _reads(bench: Measurement, what: str, requests: list[Any]) -> None:
    seconds, warm_up = bench.scale.seconds / 2, bench.scale.warm_up / 2
    found = bench.loop(requests, seconds=seconds, warm_up=warm_up, pause=PAUSE_SECONDS)
    latencies = found["latencies"]
    bench.add(row(what, seconds=latencies, cpu=found["cpu"], things=len(latencies)))


# In the order in which they run.
SECTIONS = {"a million threads, a hundred thousand runs": fill, "reads": read, "history": history}
