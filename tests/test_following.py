"""What a stream's end needs of PostgreSQL is waited for while that is away."""

import time
from collections.abc import Callable

import pytest
from django.db import OperationalError

from events import log
from runs.following import asked


def after(failures: int) -> Callable[[], str]:
    left = [OperationalError("the database is away")] * failures

    def question() -> str:
        if left:
            raise left.pop()
        return "success"

    return question


async def test_a_question_is_asked_again_until_there_is_an_answer() -> None:
    assert [said async for said in asked(after(2))] == [None, None, "success"]


async def test_an_outage_that_lasts_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "AWAY_SECONDS", 1.5)
    begun = time.monotonic()
    with pytest.raises(OperationalError):
        async for _ in asked(after(100)):
            pass
    assert 1.5 <= time.monotonic() - begun < 4


async def test_what_is_no_outage_is_raised_at_once() -> None:
    def question() -> None:
        raise ValueError

    with pytest.raises(ValueError):
        async for _ in asked(question):
            pass
