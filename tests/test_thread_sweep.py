"""Threads whose time is up: deleted or pruned, never while they are busy, a batch at a time."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone
from langgraph_sdk import get_client

from assistants.graphs import assistant_id_of
from crons.models import Cron
from tests.conftest import LiveServer, live_server
from threads import sweeping
from threads.models import Thread, ThreadStatus
from threads.sweeping import sweep_expired

PATIENCE = 30.0
PAST = timedelta(seconds=-1)


def new_thread(expires: timedelta | None = PAST, strategy: str = "delete", **fields: Any) -> Thread:
    return Thread.objects.create(
        ttl_strategy=strategy if expires is not None else None,
        ttl_minutes=60 if expires is not None else None,
        expires_at=None if expires is None else timezone.now() + expires,
        **fields,
    )


def with_checkpoints(thread: Thread, count: int) -> Thread:
    with connection.cursor() as cursor:
        for number in range(count):
            cursor.execute(
                "INSERT INTO checkpoints (thread_id, checkpoint_id, checkpoint, metadata)"
                " VALUES (%s, %s, '{\"channel_versions\": {}}', '{}')",
                [str(thread.pk), str(number)],
            )
    return thread


def checkpoints_of(thread: Thread) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT checkpoint_id FROM checkpoints WHERE thread_id = %s", [str(thread.pk)])
        return [row[0] for row in cursor.fetchall()]


@pytest.mark.django_db(transaction=True)
def test_only_threads_at_rest_whose_time_is_up_go_with_all_that_is_on_them() -> None:
    gone = with_checkpoints(new_thread(), 2)
    failed = new_thread(status=ThreadStatus.ERROR)
    Cron.objects.create(assistant_id=assistant_id_of("echo"), thread=gone, schedule="* * * * *")
    busy = with_checkpoints(new_thread(status=ThreadStatus.BUSY), 1)
    kept = {busy.pk, new_thread(timedelta(hours=1)).pk, new_thread(None).pk}
    assert sweep_expired(100, PATIENCE) == 2
    assert set(Thread.objects.values_list("pk", flat=True)) == kept
    assert (checkpoints_of(gone), checkpoints_of(busy)) == ([], ["0"])
    assert not Cron.objects.exists()
    assert failed.pk not in kept


@pytest.mark.django_db(transaction=True)
def test_keep_latest_leaves_the_thread_its_last_checkpoint_and_prunes_again_later() -> None:
    thread = with_checkpoints(new_thread(strategy="keep_latest"), 3)
    busy = with_checkpoints(new_thread(strategy="keep_latest", status=ThreadStatus.BUSY), 3)
    assert sweep_expired(100, PATIENCE) == 1
    assert (checkpoints_of(thread), len(checkpoints_of(busy))) == (["2"], 3)
    thread.refresh_from_db()
    assert thread.expires_at is not None
    assert timedelta(minutes=59) < thread.expires_at - timezone.now() <= timedelta(minutes=60)
    assert sweep_expired(100, PATIENCE) == 0


@pytest.mark.django_db(transaction=True)
def test_a_sweep_takes_no_more_than_its_limit_and_the_oldest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = [new_thread(timedelta(seconds=-10 + number)) for number in range(7)]
    pruned = with_checkpoints(new_thread(strategy="keep_latest"), 2)
    monkeypatch.setattr(sweeping, "BATCH", 2)
    assert sweep_expired(5, PATIENCE) == 5
    assert set(Thread.objects.values_list("pk", flat=True)) == {threads[5].pk, threads[6].pk, pruned.pk}
    assert sweep_expired(5, 0.0) == 0
    assert len(checkpoints_of(pruned)) == 2
    assert sweep_expired(5, PATIENCE) == 3


@pytest.mark.django_db(transaction=True)
def test_a_thread_that_somebody_has_locked_is_left_for_another_time() -> None:
    thread, other = new_thread(), new_thread()
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            Thread.objects.select_for_update().get(pk=thread.pk)
            held.set()
            done.wait(PATIENCE)
        connection.close()

    holder = threading.Thread(target=hold)
    holder.start()
    try:
        assert held.wait(PATIENCE)
        assert sweep_expired(100, PATIENCE) == 1
        assert not Thread.objects.filter(pk=other.pk).exists()
    finally:
        done.set()
        holder.join(PATIENCE)
    assert sweep_expired(100, PATIENCE) == 1


@pytest.fixture(scope="module")
def sweeping_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server that sweeps all the time, and whose threads live for a second unless they say otherwise."""
    folder: Path = tmp_path_factory.mktemp("sweeping")
    ttl = {"strategy": "delete", "default_ttl": 0.02, "sweep_interval_minutes": 0.001, "sweep_limit": 10}
    with live_server(folder, EXPIRY_SWEEP_SECONDS="0.5", LANGGRAPH_THREAD_TTL=json.dumps(ttl)) as running:
        yield running


async def test_a_server_sweeps_expired_threads_but_not_under_a_run(sweeping_server: LiveServer) -> None:
    async with get_client(url=sweeping_server.url, timeout=PATIENCE) as client:
        idle = (await client.threads.create())["thread_id"]
        busy = (await client.threads.create(ttl=1000))["thread_id"]
        short: Any = {"ttl": 0.001, "strategy": "delete"}
        run = await client.runs.create(busy, "sleeper", input={"seconds": 4})
        await client.threads.update(busy, metadata={}, ttl=short)
        deadline = time.monotonic() + PATIENCE
        while await client.threads.count() > 1:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.1)
        assert [thread["thread_id"] for thread in await client.threads.search()] == [busy] != [idle]
        values: Any = await client.runs.join(busy, run["run_id"])
        assert values["log"] == ["first", "slept"]
        while await client.threads.count():
            assert time.monotonic() < deadline
            await asyncio.sleep(0.1)
