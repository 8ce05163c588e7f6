"""The buffer between a graph and the event log has a bound, and so has the log; they keep them."""

import asyncio
import uuid
from collections.abc import Iterator

import pytest
from django.conf import settings

from config import loop
from events import log, writer
from events.connection import client


@pytest.fixture
def stream() -> Iterator[str]:
    name = f"bounds-{uuid.uuid4()}"
    yield name
    loop.run(log.delete(name))


def test_a_graph_runs_no_faster_than_the_log_takes_its_parts(stream: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "FULL_PARTS", 10)

    async def most_waiting() -> int:
        written, most = writer.LogWriter(stream, "run", 1, lambda: True), 0
        for number in range(100):
            await written.put("custom", b"%d" % number)
            most = max(most, len(written.waiting))
        await written.drained()
        return most

    assert loop.run(most_waiting()) < 10
    assert [int(part.data) for part in loop.run(log.read(stream, log.BEGINNING))] == list(range(100))


def test_a_log_keeps_its_newest_parts_and_no_more_than_its_length(stream: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "EVENT_LOG_MAX_LENGTH", 100)
    written = 2000

    async def kept() -> tuple[int, list[int]]:
        for first in range(0, written, 50):
            parts = [log.Part("run", "custom", b"%d" % number) for number in range(first, first + 50)]
            await log.append(stream, "run", parts)
        found, after = [], log.BEGINNING
        while page := await log.read(stream, after):
            found += [int(part.data) for part in page if part.event == "custom"]
            after = page[-1].id
        length: int = await client().xlen(f"{settings.REDIS_KEY_PREFIX}events:{stream}")
        return length, found

    length, found = loop.run(kept())
    # Redis drops whole nodes of its tree, of a hundred parts each.
    assert 100 <= length < 200
    assert found[-100:] == list(range(written - 100, written))


def test_a_log_is_kept_for_its_time_once_no_run_writes_and_longer_before(
    stream: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "RESUMABLE_STREAM_TTL_SECONDS", 1)
    monkeypatch.setattr(settings, "BG_JOB_TIMEOUT_SECS", 100.0)

    async def lives() -> tuple[list[int], list[log.Part]]:
        left = []
        for run, last in (("a", False), ("b", False), ("a", True), ("b", True)):
            await log.append(stream, run, [log.Part(run, "custom", b"1")], last=last)
            left.append(await client().pttl(f"{settings.REDIS_KEY_PREFIX}events:{stream}"))
        await asyncio.sleep(1.2)
        return left, await log.read(stream, log.BEGINNING)

    left, read = loop.run(lives())
    assert min(left[:3]) > 90_000, "while any run writes"
    assert 0 < left[3] <= 1000 and read == []
