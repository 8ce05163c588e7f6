"""What comes too late is not written: checkpoints and stream parts of an attempt that is no longer the live one.

In-process, with the clock's word taken away: the attempts here always believe that they hold the lease.
"""

import asyncio
import time
import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from langgraph.checkpoint.base import empty_checkpoint

from accounts.callers import Caller
from assistants.startup import start
from config import loop
from events import log
from events.log import LAST_TURN, Part, Superseded, Turn
from events.writer import LogWriter
from runs import sweeper
from runs.dispatch import create_run
from runs.models import LIVE, Run, RunStatus
from threads.checkpointer import Fence, FencedSaver, fenced_saver

pytestmark = pytest.mark.django_db(transaction=True)
LEASE = timedelta(seconds=30)


@pytest.fixture
def run() -> Run:
    start()
    made = create_run(uuid.uuid4(), {"assistant_id": "counter", "if_not_exists": "create"}, Caller())
    return claimed(made)


def claimed(run: Run) -> Run:
    found = Run.objects.claim(run.run_id, "worker", LEASE)
    assert found is not None
    return found


def taken_back(run: Run) -> None:
    Run.objects.filter(pk=run.pk).update(lease_expires_at=timezone.now() - LEASE)
    sweeper.take_back_expired()


def saver_of(run: Run) -> FencedSaver:
    saver = loop.run(fenced_saver(Fence(run.run_id, run.attempt, LIVE, lambda: True)))
    assert isinstance(saver, FencedSaver)
    return saver


def saved(saver: FencedSaver, run: Run) -> tuple[int, int]:
    """Save a checkpoint, and beside it what a graph task wrote; how many rows of each have come of it."""
    checkpoint = empty_checkpoint()
    place: Any = {"thread_id": str(run.thread_id), "checkpoint_ns": ""}
    metadata: Any = {"source": "loop", "step": 1, "parents": {}, "run_id": "a node's own", "run_attempt": 99}
    loop.run(saver.aput({"configurable": place}, checkpoint, metadata, {}))
    loop.run(saver.aput_writes({"configurable": {**place, "checkpoint_id": checkpoint["id"]}}, [("count", 1)], "task"))
    return rows("checkpoints", checkpoint["id"]), rows("checkpoint_writes", checkpoint["id"])


def rows(table: str, checkpoint_id: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {table} WHERE checkpoint_id = %s", [checkpoint_id])
        return int(cursor.fetchone()[0])


def test_the_live_attempt_saves_what_it_does(run: Run) -> None:
    assert saved(saver_of(run), run) == (1, 1)


def test_an_attempt_whose_run_was_taken_back_saves_nothing(run: Run) -> None:
    saver = saver_of(run)
    taken_back(run)
    assert saved(saver, run) == (0, 0)


def test_an_attempt_saves_nothing_once_another_has_begun(run: Run) -> None:
    old = saver_of(run)
    taken_back(run)
    again = claimed(run)
    assert saved(old, run) == (0, 0)
    assert saved(saver_of(again), run) == (1, 1)


def test_nothing_is_saved_for_a_run_that_has_ended(run: Run) -> None:
    saver = saver_of(run)
    assert run.end(RunStatus.SUCCESS, None)
    assert saved(saver, run) == (0, 0)


# Takes its time for the first of some writes.
SLOW_FIRST_WRITE = """
CREATE FUNCTION slow_first_write() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.idx = 0 THEN PERFORM pg_sleep(1); END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER slow BEFORE INSERT ON checkpoint_writes FOR EACH ROW EXECUTE FUNCTION slow_first_write();
"""


def test_a_graph_tasks_writes_are_saved_all_or_none_though_the_run_is_taken_back_in_between(run: Run) -> None:
    saver, checkpoint = saver_of(run), empty_checkpoint()
    place: Any = {"configurable": {"thread_id": str(run.thread_id), "checkpoint_ns": ""}}
    written = loop.run(saver.aput(place, checkpoint, {"source": "loop", "step": 1, "parents": {}}, {}))
    with connection.cursor() as cursor:
        cursor.execute(SLOW_FIRST_WRITE)
    try:
        writing = asyncio.run_coroutine_threadsafe(
            saver.aput_writes(written, [("count", 1), ("log", ["step 1"]), ("branch:to:step", None)], "task"),
            loop.graph_loop(),
        )
        time.sleep(0.3)
        taken_back(run)
        writing.result(10)
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP TRIGGER slow ON checkpoint_writes; DROP FUNCTION slow_first_write")
    assert rows("checkpoint_writes", checkpoint["id"]) in (0, 3)


def parts(*numbers: int) -> list[Part]:
    return [Part("run", "custom", b"%d" % number) for number in numbers]


def append(stream: str, turn: Turn, *numbers: int) -> str:
    return loop.run(log.append(stream, "run", parts(*numbers), turn=turn))


def logged(stream: str) -> list[int]:
    return [int(part.data) for part in loop.run(log.read(stream, log.BEGINNING))]


@pytest.fixture
def stream() -> Iterator[str]:
    name = f"fencing-{uuid.uuid4()}"
    yield name
    loop.run(log.delete(name))


def test_a_batch_that_is_sent_again_is_in_the_log_once(stream: str) -> None:
    first = append(stream, Turn(1, 1), 1, 2)
    assert append(stream, Turn(1, 1), 1, 2) == first
    append(stream, Turn(1, 2), 3)
    assert logged(stream) == [1, 2, 3]


def test_what_an_old_attempt_sends_behind_a_later_one_is_not_in_the_log(stream: str) -> None:
    append(stream, Turn(1, 1), 1)
    append(stream, Turn(2, 1), 2)
    with pytest.raises(Superseded):
        append(stream, Turn(1, 2), 3)
    assert logged(stream) == [1, 2]


def test_nothing_comes_behind_the_end_of_a_run_but_other_runs(stream: str) -> None:
    append(stream, LAST_TURN, 1)
    with pytest.raises(Superseded):
        append(stream, Turn(1, 1), 2)
    loop.run(log.append(stream, "another", parts(3), turn=Turn(1, 1)))
    assert logged(stream) == [1, 3]


@pytest.mark.parametrize("holds", [True, False])
def test_a_writer_drops_its_parts_once_the_lease_is_lost(stream: str, holds: bool) -> None:
    async def write() -> None:
        writer = LogWriter(stream, "run", 1, lambda: holds)
        await writer.put("custom", b"1")
        await writer.drained()

    loop.run(write())
    assert logged(stream) == [1] * holds
