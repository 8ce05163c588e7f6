"""What may be wrong with an installation, seen from its database and Redis, in plain words. Changes nothing."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import redis
from django.conf import settings
from django.db import connection
from django.db.models.functions import Now

from config import exposure
from runs.models import Run, RunStatus

POSTGRES = 150000  # 15, as server_version_num says it
REDIS = (6, 2)
SKEW_SECONDS = 2.0
WAITED_SECONDS = 60.0
BEAT_SECONDS = 60.0
POOLS = 2  # a process: Django's and the graph loop's
SESSIONS = """
SELECT application_name, extract(epoch FROM clock_timestamp() - max(state_change))
  FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'weft %%' GROUP BY 1
"""
CLOCK = "SELECT extract(epoch FROM clock_timestamp())"
WAITING = """
SELECT extract(epoch FROM clock_timestamp() - min(created_at) FILTER (WHERE status = 'pending')),
       extract(epoch FROM clock_timestamp() - min(lease_expires_at) FILTER (WHERE status = 'running'))
  FROM runs_run WHERE status IN ('pending', 'running') AND created_at <= clock_timestamp()
"""


@dataclass(frozen=True)
class Finding:
    """What was looked at and seen. With a `cure` something is wrong; `serious` findings make the command fail."""

    what: str
    seen: str
    cure: str = ""
    serious: bool = True


def examine() -> Iterator[Finding]:
    """Look at everything but the way to the clients. Raises OperationalError and RedisError when it cannot."""
    yield from _postgres()
    yield from _processes()
    yield from _runs()
    with closing(redis.Redis.from_url(settings.REDIS_URI, socket_timeout=5, socket_connect_timeout=5)) as client:
        yield from _redis(client)
    yield from _settings()


def _postgres() -> Iterator[Finding]:
    version = int(_row("SHOW server_version_num")[0])
    shown = f"{version // 10000}.{version % 10000}"
    yield _wrong_unless(
        version >= POSTGRES, "PostgreSQL", f"version {shown}", "Weft needs PostgreSQL 15 or newer: upgrade the server."
    )
    (vector,) = _row("SELECT max(default_version) FROM pg_available_extensions WHERE name = 'vector'")
    yield Finding(
        "pgvector",
        f"version {vector}" if vector else "not installed",
        "" if vector else "Needed to search the store by meaning: install the extension pgvector on the server.",
        serious=False,
    )
    yield _clock("PostgreSQL's clock", lambda: float(_row(CLOCK)[0]))


def _processes() -> Iterator[Finding]:
    """By the names under which the parts connect (config/settings.py): `weft web 4711@host`."""
    with connection.cursor() as cursor:
        cursor.execute(SESSIONS)
        sessions = {str(name): float(idle or 0) for name, idle in cursor.fetchall()}
    parts = Counter(name.split()[1] for name in sessions)
    yield _wrong_unless(
        bool(parts["worker"]),
        "workers",
        f"{parts['worker']} connected",
        "Nothing executes runs: start `manage.py worker`.",
    )
    beats = [idle for name, idle in sessions.items() if name.startswith("weft beat ")]
    if beats:
        yield _wrong_unless(
            min(beats) < BEAT_SECONDS,
            "beat",
            f"last seen {min(beats):.0f} s ago",
            "It has stopped ticking, so runs of dead workers stay lost: read its log and start it again.",
        )
    else:
        yield Finding("beat", "not connected", "Runs of dead workers stay lost: start `manage.py beat`.")
    yield _connections(sum(parts[part] for part in ("web", "worker", "beat")))


def _connections(processes: int) -> Finding:
    most, reserved = map(
        int, _row("SELECT current_setting('max_connections'), current_setting('superuser_reserved_connections')")
    )
    wanted = processes * POOLS * settings.DATABASE_POOL_SIZE
    return Finding(
        "connections",
        f"up to {wanted} by {processes} processes, {most - reserved} allowed",
        ""
        if wanted <= most - reserved
        else "Under load some will be refused: raise max_connections, lower LANGGRAPH_POSTGRES_POOL_MAX_SIZE or use"
        " fewer processes.",
        serious=processes * settings.DATABASE_POOL_SIZE > most - reserved,
    )


def _runs() -> Iterator[Finding]:
    waited, expired = (float(value or 0) for value in _row(WAITING))
    queue = Run.objects.filter(status=RunStatus.PENDING, created_at__lte=Now()).count()
    yield _wrong_unless(
        waited < WAITED_SECONDS,
        "waiting runs",
        f"{queue} due, the oldest since {max(waited, 0):.0f} s",
        "Workers are too few or stuck: start more, raise N_JOBS_PER_WORKER, or look for long runs in the admin.",
    )
    yield _wrong_unless(
        expired < settings.RUN_LEASE_SECONDS,
        "leases",
        f"one ran out {expired:.0f} s ago" if expired > 0 else "all are held",
        "Nobody takes back the runs of a dead worker: see that `manage.py beat` runs.",
    )


def _redis(client: Any) -> Iterator[Finding]:
    server = client.info("server")
    version = server["redis_version"]
    yield _wrong_unless(
        tuple(map(int, version.split(".")[:2])) >= REDIS,
        "Redis",
        f"version {version}",
        "Weft needs Redis 6.2 or newer.",
    )

    def clock() -> float:
        seconds, microseconds = client.time()
        return float(seconds + microseconds / 1e6)

    yield _clock("Redis's clock", clock)
    try:
        options = {name: client.config_get(name).get(name, "") for name in ("maxmemory-policy", "appendonly", "save")}
    except redis.ResponseError:
        yield Finding("Redis's settings", "cannot be read", "See that maxmemory-policy is noeviction.", serious=False)
        return
    policy = options["maxmemory-policy"]
    yield _wrong_unless(
        policy == "noeviction",
        "eviction",
        f"maxmemory-policy {policy}",
        "Redis may drop the events of live streams when memory runs short: set maxmemory-policy to noeviction.",
    )
    kept = options["appendonly"] == "yes" or bool(options["save"])
    yield Finding(
        "persistence",
        "on" if kept else "off",
        "" if kept else "A restart of Redis breaks live streams off (runs are safe): set appendonly to yes.",
        serious=False,
    )


def _settings() -> Iterator[Finding]:
    yield _callers()
    lease, renewal = settings.RUN_LEASE_SECONDS, settings.RUN_LEASE_RENEWAL_SECONDS
    yield _wrong_unless(
        renewal * 2 <= lease,
        "lease",
        f"{lease:g} s, renewed every {renewal:g} s",
        "One late renewal loses a healthy run: set RUN_LEASE_RENEWAL_SECONDS to a third of RUN_LEASE_SECONDS.",
    )
    entry: dict[str, Any] = settings.CELERY_BEAT_SCHEDULE["sweep runs"]
    sweep = float(entry["schedule"])
    yield _wrong_unless(
        sweep <= lease,
        "sweep",
        f"every {sweep:g} s",
        "Lost runs are found later than their lease runs out: lower RUN_SWEEP_SECONDS.",
    )


def _callers() -> Finding:
    if exposure.has_custom_auth(settings.LANGGRAPH_CONFIG_FILE):
        return Finding("callers", "known by auth.path")
    if settings.WEFT_AUTH:
        known = settings.WEFT_AUTH == exposure.KEYS
        return Finding("callers", "known by API keys" if known else "everybody may do everything, as WEFT_AUTH says")
    return Finding(
        "callers",
        "everybody may do everything",
        "Fine on this machine alone, and `manage.py web` sees to that; a uvicorn started by hand does not: set"
        " WEFT_AUTH=keys there.",
        serious=False,
    )


def _clock(what: str, read: Callable[[], float]) -> Finding:
    before = time.time()
    there = read()
    after = time.time()
    skew = there - (before + after) / 2
    uncertain = (after - before) / 2
    return _wrong_unless(
        abs(skew) - uncertain < SKEW_SECONDS,
        what,
        f"{skew:+.2f} s from this machine's",
        "Times in answers and in the log will not agree: let both machines use NTP.",
    )


def _wrong_unless(right: bool, what: str, seen: str, cure: str) -> Finding:
    return Finding(what, seen, "" if right else cure)


def _row(statement: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchone()
