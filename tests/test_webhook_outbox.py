"""Deliveries are written with the run's end, for whoever is to hear of it; on real rows, nothing is sent."""

import time
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from assistants.models import Assistant
from config import dialect
from runs import endings
from runs.conclusion import conclude
from runs.dispatch import cancel_run
from runs.execution import Outcome
from runs.models import CancelAction, Run, RunStatus
from threads.models import HeadState, Thread, ThreadStatus
from webhooks import outbox, payload
from webhooks.models import SUBSCRIBABLE, Event, WebhookDelivery, WebhookEndpoint

pytestmark = pytest.mark.django_db
LEASE = timedelta(seconds=30)
DONE = HeadState(values={"answer": 42}, exists=True)
URL = "http://hooks.example/"


@pytest.fixture(autouse=True)
def _forgotten() -> None:
    """No endpoint of another test is remembered."""
    outbox.endpoints.read_at = float("-inf")


@pytest.fixture
def assistant() -> Assistant:
    return Assistant.objects.create(graph_id="echo", name="echo")


def claimed(assistant: Assistant, *, temporary: bool = False, **fields: Any) -> Run:
    """A run that is being executed."""
    return _claim(pending(assistant, temporary=temporary, **fields))


def pending(assistant: Assistant, *, webhook: str | None = None, temporary: bool = False, **fields: Any) -> Run:
    kwargs = {
        "input": None,
        "webhook": webhook,
        "temporary": temporary,
        "config": {"configurable": {"graph_id": "echo"}},
    }
    thread = Thread.objects.create(status=ThreadStatus.BUSY)
    return Run.objects.create(thread=thread, assistant_id=assistant.pk, kwargs=kwargs, **fields)


def _claim(run: Run) -> Run:
    found = Run.objects.claim(run.pk, "tests", LEASE)
    assert found
    return found


def new_endpoint(url: str, events: list[str] | None = None, **fields: Any) -> WebhookEndpoint:
    return WebhookEndpoint.objects.create(url=url, events=SUBSCRIBABLE if events is None else events, **fields)


def test_a_delivery_is_written_with_the_terminal_status(assistant: Assistant) -> None:
    run = claimed(assistant, webhook=URL, metadata={"a": 1})
    conclude(run, Outcome(RunStatus.SUCCESS, None, DONE))
    (delivery,) = WebhookDelivery.objects.all()
    assert (delivery.event, delivery.run_id, delivery.endpoint_id) == (Event.SUCCESS, run.pk, None)
    assert Run.objects.get(pk=run.pk).status == RunStatus.SUCCESS


def test_a_transaction_that_rolls_back_leaves_no_delivery(assistant: Assistant) -> None:
    run = claimed(assistant, webhook=URL)
    with pytest.raises(RuntimeError), transaction.atomic():
        conclude(run, Outcome(RunStatus.SUCCESS, None, DONE))
        assert WebhookDelivery.objects.exists()
        raise RuntimeError
    assert not WebhookDelivery.objects.exists()
    assert Run.objects.get(pk=run.pk).status == RunStatus.RUNNING


def test_an_attempt_that_lost_the_run_writes_none(assistant: Assistant) -> None:
    run = claimed(assistant, webhook=URL)
    Run.objects.filter(pk=run.pk).update(attempt=2)
    conclude(run, Outcome(RunStatus.SUCCESS, None, DONE))
    assert not WebhookDelivery.objects.exists()


def test_a_listener_that_fails_does_not_keep_the_run_from_ending(
    assistant: Assistant, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(ending: Any) -> None:
        Run.objects.create(pk=ending.run.pk)  # IntegrityError: the transaction is broken but for the savepoint

    monkeypatch.setattr(endings, "listeners", [endings.Listener(lambda run: True, fail)])
    run = claimed(assistant)
    conclude(run, Outcome(RunStatus.SUCCESS, None, DONE))
    assert Run.objects.get(pk=run.pk).status == RunStatus.SUCCESS


@pytest.mark.parametrize("temporary", [False, True])
def test_a_run_nobody_waits_for_costs_no_query_more(
    assistant: Assistant, monkeypatch: pytest.MonkeyPatch, temporary: bool
) -> None:
    def queries() -> int:
        run = claimed(assistant, temporary=temporary)
        with CaptureQueriesContext(
            connection,
        ) as found:
            conclude(run, Outcome(RunStatus.SUCCESS, None, DONE))
        return len(found)

    outbox.endpoints.enabled()
    with_webhooks = queries()
    monkeypatch.setattr(endings, "listeners", [])
    assert with_webhooks == queries()
    assert not temporary or with_webhooks == 1


def test_an_endpoint_hears_of_what_ends_a_moment_after_it_was_made(assistant: Assistant) -> None:
    conclude(claimed(assistant), Outcome(RunStatus.SUCCESS, None, DONE))
    new_endpoint(URL)
    time.sleep(outbox.STALE_SECONDS)
    conclude(claimed(assistant), Outcome(RunStatus.SUCCESS, None, DONE))
    assert WebhookDelivery.objects.count() == 1


def test_an_endpoint_deleted_a_moment_ago_breaks_nothing(assistant: Assistant) -> None:
    endpoint = new_endpoint(URL)
    outbox.endpoints.enabled()
    endpoint.delete()
    run = claimed(assistant)
    conclude(run, Outcome(RunStatus.SUCCESS, None, DONE))
    assert Run.objects.get(pk=run.pk).status == RunStatus.SUCCESS
    assert not WebhookDelivery.objects.exists()


@pytest.mark.parametrize(
    ("status", "event"),
    [
        ("success", "run.success"),
        ("error", "run.error"),
        ("timeout", "run.timeout"),
        ("interrupted", "run.interrupted"),
        ("rollback", "run.interrupted"),
    ],
)
@pytest.mark.parametrize("temporary", [False, True])
def test_every_end_is_told_under_its_name(assistant: Assistant, status: str, event: str, temporary: bool) -> None:
    run = claimed(assistant, webhook=URL, temporary=temporary)
    error = None if status == "success" else {"error": "ValueError", "message": "kaboom"}
    conclude(run, Outcome(status, error, HeadState() if temporary else DONE))
    (delivery,) = WebhookDelivery.objects.all()
    document = dialect.loads(delivery.body.encode())
    assert (delivery.event, document["status"]) == (event, status)
    assert document["values"] == (None if temporary else {"answer": 42})
    assert document.get("error") == (None if status == "rollback" and not temporary else error)


def test_a_cancel_that_won_is_what_is_told(assistant: Assistant) -> None:
    for temporary in (False, True):
        run = claimed(assistant, webhook=URL, temporary=temporary)
        cancel_run(run, CancelAction.INTERRUPT, "changed my mind")
        conclude(run, Outcome(RunStatus.SUCCESS, None, DONE))
    assert [delivery.event for delivery in WebhookDelivery.objects.all()] == [Event.INTERRUPTED] * 2


@pytest.mark.parametrize("action", list(CancelAction))
def test_of_a_run_cancelled_while_pending_only_endpoints_are_told(assistant: Assistant, action: CancelAction) -> None:
    """contract/platform.md 5.1"""
    endpoint = new_endpoint(URL)
    cancel_run(pending(assistant, webhook=URL), action, "not needed")
    (delivery,) = WebhookDelivery.objects.all()
    assert (delivery.event, delivery.endpoint_id) == (Event.INTERRUPTED, endpoint.pk)


def test_a_thread_that_waits_for_a_person_is_told_with_what_it_asks(assistant: Assistant) -> None:
    new_endpoint(URL, [Event.WAITING])
    waiting = HeadState(values={}, interrupts={"t": [{"id": "i", "value": "sure?"}]}, has_next=True, exists=True)
    conclude(claimed(assistant), Outcome(RunStatus.SUCCESS, None, waiting))
    conclude(claimed(assistant), Outcome(RunStatus.SUCCESS, None, DONE))
    (delivery,) = WebhookDelivery.objects.all()
    document = dialect.loads(delivery.body.encode())
    assert (document["type"], document["data"]["status"]) == ("thread.interrupted", "success")
    assert document["data"]["interrupts"] == waiting.interrupts


def test_an_endpoint_hears_only_what_it_asked_for(assistant: Assistant) -> None:
    other = Assistant.objects.create(graph_id="echo", name="other")
    url = URL
    asked = {
        "event": new_endpoint(url, [Event.ERROR]),
        "assistant": new_endpoint(url, assistant_id=other.pk),
        "metadata": new_endpoint(url, metadata={"team": {"name": "a"}, "tags": ["x"]}),
        "disabled": new_endpoint(url, enabled=False),
    }
    done = Outcome(RunStatus.SUCCESS, None, DONE)
    conclude(claimed(assistant), done)
    assert not WebhookDelivery.objects.exists()
    conclude(claimed(assistant), Outcome(RunStatus.ERROR, {"error": "E", "message": "m"}, DONE))
    conclude(claimed(other), done)
    conclude(claimed(assistant, metadata={"team": {"name": "a", "n": 1}, "tags": ["y", "x"]}), done)
    told = {name: endpoint.deliveries.count() for name, endpoint in asked.items()}
    assert told == {"event": 1, "assistant": 1, "metadata": 1, "disabled": 0}


def test_a_body_that_is_too_large_leaves_out_its_largest_parts(settings: Any) -> None:
    settings.WEBHOOK_MAX_BODY_BYTES = 10_000
    document = {"run_id": "r", "values": "v" * 20_000, "kwargs": "k" * 100, "metadata": {}}
    found = dialect.loads(payload.run_body(document).encode())
    assert found == {**document, "values": None, "omitted": ["values"]}
