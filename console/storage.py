"""Storage and retention: what takes the room, what goes by itself and when, and a sweep now for who will not wait.

Sizes of tables are asked for with the page; the largest threads are named by beat's tick (`measure`), from samples.
"""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, NamedTuple

import redis
from django.conf import settings
from django.contrib import messages
from django.db import connection, transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.defaultfilters import filesizeformat
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from accounts.audit import record
from accounts.tasks import forget_old as forget_entries
from config import sweeps
from config.idempotency import KEPT_HOURS
from config.idempotency import forget_old as forget_answers
from config.models import Sweep
from config.project import project
from config.words import span
from console import rollup
from console.dashboard import Tile
from console.models import ThreadSize
from console.pages import Page, show
from console.roles import needs
from crons.firing import KEPT_DAYS
from crons.firing import forget_old as forget_firings
from store.configuration import store_settings
from store.tables import sweep_expired as sweep_items
from threads import measuring
from threads.models import Thread
from threads.own_checkpointer import is_own
from threads.sweeping import sweep_expired as sweep_threads
from webhooks.tasks import forget_old as forget_deliveries

TABLES_SHOWN = 25
LARGEST = 20  # threads that are kept and shown
CANDIDATES = 40  # of each sample
PAGES = 2000  # of each checkpoint table that a sample reads: 16 MB
SWEEP_SECONDS = 5.0  # what somebody may have to wait for a sweep
TABLES = """
SELECT relname, pg_total_relation_size(relid), pg_indexes_size(relid), n_live_tup, n_dead_tup,
       greatest(last_vacuum, last_autovacuum)
  FROM pg_stat_user_tables WHERE schemaname = current_schema() ORDER BY 2 DESC LIMIT %s
"""
WHOLE = "SELECT pg_database_size(current_database()), {checkpoints}"
HOLDS = {
    "checkpoints": "checkpoints of threads",
    "checkpoint_blobs": "values of channels in checkpoints",
    "checkpoint_writes": "what graph tasks wrote",
    "threads_thread": "threads with their latest values",
    "threads_formerwrite": "what rollbacks of runs in flight would need",
    "runs_run": "runs",
    "runs_runtimeline": "timelines of runs",
    "runs_statelessend": "ends of stateless runs, until they are rolled up",
    "store": "items of the store",
    "store_vectors": "vectors of the store's index",
    "accounts_auditentry": "the audit log",
    "webhooks_webhookdelivery": "webhook deliveries",
    "crons_firing": "slots of crons",
    "config_idempotentanswer": "answers kept for an Idempotency-Key",
    "console_rollup": "the roll-up of runs",
    "assistants_assistant": "assistants",
    "assistants_assistantversion": "versions of assistants",
    "django_session": "people who are signed in",
}
DAY = timedelta(days=1)


class Table(NamedTuple):
    """A table; bytes with indexes and large values, rows as PostgreSQL estimates them."""

    name: str
    size: int
    indexes: int
    rows: int
    dead: int
    vacuumed: Any

    @property
    def holds(self) -> str:
        """What is in it, in words."""
        return HOLDS.get(self.name, "")


@dataclass(frozen=True)
class Retention:
    """What goes by itself. `run` sweeps for at most so many seconds and returns how many went."""

    name: str
    title: str
    kept: str
    every: str
    set_by: str
    run: Callable[[float], int] | None = None
    swept: Sweep | None = None

    @property
    def can_be_swept(self) -> bool:
        """Whether there is a `run`. Templates ask this: `run` they would call."""
        return self.run is not None


@dataclass(frozen=True)
class Large:
    """One of the largest threads."""

    thread: Thread
    size: ThreadSize


@require_GET
@needs("viewer")
def page(request: HttpRequest) -> HttpResponse:
    """/admin/storage/"""
    swept = Sweep.objects.in_bulk()
    return show(
        request,
        "console/storage.html",
        Page("Storage & retention"),
        tiles=[*_database(), *_redis()],
        tables=tables(),
        largest=largest(),
        own=is_own(),
        retentions=list(retentions(swept)),
    )


def tables() -> list[Table]:
    """The largest of them."""
    with connection.cursor() as cursor:
        cursor.execute(TABLES, [TABLES_SHOWN])
        return [Table(*row) for row in cursor.fetchall()]


def largest() -> list[Large]:
    """The threads that took most when they were last measured."""
    found = list(ThreadSize.objects.order_by("-bytes")[:LARGEST])
    rows = Thread.objects.defer("values", "config", "interrupts").in_bulk([size.thread_id for size in found])
    return [Large(rows[size.thread_id], size) for size in found if size.thread_id in rows]


def measure() -> None:
    """Measure those that a sample of the tables names, and those that were the largest before; keep the largest."""
    if is_own():
        return
    known = ThreadSize.objects.values_list("thread_id", flat=True)
    found = measuring.sizes([*{*known, *measuring.sampled(PAGES, CANDIDATES)}])
    top = sorted(found, key=lambda thread_id: found[thread_id], reverse=True)[:LARGEST]
    now = timezone.now()
    rows = [ThreadSize(thread_id=one, bytes=found[one][0], checkpoints=found[one][1], measured_at=now) for one in top]
    with transaction.atomic():
        ThreadSize.objects.exclude(thread_id__in=top).delete()
        ThreadSize.objects.bulk_create(
            rows,
            update_conflicts=True,
            update_fields=["bytes", "checkpoints", "measured_at"],
            unique_fields=["thread_id"],
        )


# --- tiles ------------------------------------------------------------------------------------------------------------


def _database() -> Iterator[Tile]:
    sizes = " + ".join(f"pg_total_relation_size('{table}')" for table in measuring.SIZED)
    with connection.cursor() as cursor:
        cursor.execute(WHOLE.format(checkpoints=sizes))
        whole, checkpoints = cursor.fetchone()
    yield Tile("Database", filesizeformat(whole), "tables, indexes, large values", "#tables")
    share = f"{100 * checkpoints / whole:.0f} % of the database" if whole else ""
    yield Tile("Checkpoints", filesizeformat(checkpoints), share, "#threads")


def _redis() -> Iterator[Tile]:
    try:
        with closing(redis.Redis.from_url(settings.REDIS_URI, socket_timeout=2, socket_connect_timeout=2)) as client:
            memory: Any = client.info("memory")
    except redis.RedisError:
        yield Tile("Redis", "–", "does not answer", "#retention", "bad")
        return
    most = memory.get("maxmemory") or 0
    note = f"of {filesizeformat(most)} it may take" if most else "without a limit of its own"
    full = most and memory["used_memory"] > 0.8 * most
    yield Tile("Redis", filesizeformat(memory["used_memory"]), note, "#retention", "warn" if full else "")


# --- what goes by itself ----------------------------------------------------------------------------------------------


def retentions(swept: dict[str, Sweep]) -> Iterator[Retention]:
    """All of them, with what is known of their sweeps."""
    for one in (*_of_rows(), *_of_figures()):
        yield replace(one, swept=swept.get(one.name))


def _of_rows() -> Iterator[Retention]:
    ttl, store = project().thread_ttl, store_settings()
    default = f"{_minutes(ttl.minutes)}, then {ttl.strategy}" if ttl.minutes is not None else "for ever"
    yield Retention(
        "threads",
        "Threads",
        f"as long as their ttl says; without one {default}",
        _minutes(ttl.sweep_interval_minutes),
        "checkpointer.ttl",
        lambda seconds: sweep_threads(ttl.sweep_limit, seconds),
    )
    lasting = store.ttl.get("default_ttl")
    yield Retention(
        "items",
        "Items of the store",
        f"as long as their ttl says; without one {_minutes(lasting) if lasting else 'for ever'}",
        "the store's own affair" if store.path else _minutes(store.sweep_minutes),
        "store.ttl",
        None if store.path else lambda seconds: sweep_items(),
    )
    yield Retention(
        "deliveries",
        "Webhook deliveries",
        span(settings.WEBHOOK_RETENTION_DAYS * DAY),
        _schedule("forget old webhooks"),
        "WEBHOOK_RETENTION_DAYS",
        forget_deliveries,
    )
    kept = settings.AUDIT_RETENTION_DAYS
    yield Retention(
        "audit",
        "Audit log",
        span(kept * DAY) if kept else "for ever",
        _schedule("forget old audit entries"),
        "AUDIT_RETENTION_DAYS",
        forget_entries if kept else None,
    )


def _of_figures() -> Iterator[Retention]:
    yield Retention(
        "firings",
        "Slots of crons",
        span(KEPT_DAYS * DAY),
        _schedule("forget old firings"),
        "",
        lambda seconds: forget_firings(),
    )
    yield Retention(
        "answers",
        "Answers to an Idempotency-Key",
        f"{KEPT_HOURS} h",
        _schedule("forget idempotent answers"),
        "",
        lambda seconds: sweeps.in_batches(forget_answers, seconds),
    )
    yield Retention(
        "rollup",
        "Roll-up of runs",
        f"minutes {span(rollup.MINUTES_KEPT)}, hours {span(rollup.HOURS_KEPT)}",
        _schedule("roll up runs"),
        "ROLL_UP_SECONDS",
    )
    yield Retention(
        "events",
        "Events of runs",
        f"{span(timedelta(seconds=settings.RESUMABLE_STREAM_TTL_SECONDS))} after the thread's last run;"
        f" {settings.EVENT_LOG_MAX_LENGTH:,} a thread",
        "Redis does it",
        "RESUMABLE_STREAM_TTL_SECONDS",
    )


def _minutes(minutes: float) -> str:
    return span(timedelta(minutes=minutes))


def _schedule(name: str) -> str:
    entry: dict[str, Any] = settings.CELERY_BEAT_SCHEDULE[name]
    return span(timedelta(seconds=float(entry["schedule"])))


@require_POST
@needs("admin")
def sweep(request: HttpRequest, name: str) -> HttpResponse:
    """POST /admin/storage/sweep/<name>/: what beat does next time, now, for at most SWEEP_SECONDS."""
    found = next((one for one in retentions({}) if one.name == name and one.run), None)
    if found is None or found.run is None:
        raise Http404("There is no such sweep.")
    removed = found.run(SWEEP_SECONDS)
    sweeps.note(name, removed)
    record(request, "sweep", ("storage", name), after={"removed": removed})
    went = f"{removed:,} went." if removed else "nothing's time is up."
    messages.success(request, f"{found.title} swept: {went}")
    return redirect("console:storage")
