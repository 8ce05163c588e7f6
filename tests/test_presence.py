"""What a worker says of itself, and how it is told to be quiet. On real Redis, under a prefix of the test's own."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from accounts.callers import Caller
from assistants.startup import start
from runs import presence as told
from runs.attempts import attempt
from runs.dispatch import create_run
from runs.leases import watch
from runs.models import RunStatus
from runs.presence import Worker, order, presence, present

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def alone(settings: Any) -> Iterator[None]:
    settings.REDIS_KEY_PREFIX = f"{uuid.uuid4()}:"
    start()
    yield
    watch().quiet = False


def the_one() -> Worker:
    """The only worker that is present."""
    found = present()
    assert found is not None and len(found) == 1
    return found[0]


def test_a_worker_that_speaks_is_present() -> None:
    assert present() == []
    presence().tell()
    worker = the_one()
    assert (worker.name, worker.used, worker.state) == (watch().worker, 0, "active")
    assert "counter" in worker.graphs and 0 <= worker.age < 5


def test_a_quiet_worker_claims_nothing_until_it_is_told_to_go_on() -> None:
    body = {"assistant_id": "counter", "input": {"steps": 2}, "if_not_exists": "create"}
    run = create_run(uuid.uuid4(), body, Caller())
    order(watch().worker, quiet=True)
    presence().tell()
    worker = the_one()
    assert worker.state == "quiet" and not watch().claims
    attempt(run.run_id)
    run.refresh_from_db()
    assert run.status == RunStatus.PENDING and run.attempt == 0
    order(watch().worker, quiet=False)
    presence().tell()
    assert watch().claims


def test_a_worker_keeps_to_its_last_order_when_redis_has_lost_it(settings: Any) -> None:
    order(watch().worker, quiet=True)
    presence().tell()
    settings.REDIS_KEY_PREFIX = f"{uuid.uuid4()}:"
    presence().tell()
    assert not watch().claims


def test_without_redis_nobody_knows_who_is_up(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(told, "_client", told._client.__wrapped__)
    settings.REDIS_URI = "redis://127.0.0.1:1/0"
    assert present() is None
