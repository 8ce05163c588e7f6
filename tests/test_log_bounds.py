"""The buffer between a graph and the event log has a bound, and keeps it."""

import uuid
from collections.abc import Iterator

import pytest

from config import loop
from events import log, writer


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
