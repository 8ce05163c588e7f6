"""Many crons due at once: fired together they leave what each would have left alone, and none holds up another."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.forms.models import model_to_dict
from django.utils import timezone

from accounts import limits
from accounts.models import Tenant
from assistants.graphs import assistant_id_of
from assistants.models import Assistant
from assistants.startup import start
from config import encryption
from config.database import conninfo
from crons import firing
from crons.firing import fire_due
from crons.models import Cron, CronQuerySet, Firing
from runs import dispatch
from runs.dispatch import create_stateless_run
from runs.models import Run
from tests.conftest import ROOT
from threads.models import Thread

pytestmark = pytest.mark.django_db(transaction=True)
ECHO = assistant_id_of("echo")
# What differs from one run to the next, however it was created.
OWN = {"run_id", "thread_id", "cron_id", "__request_start_time_ms__"}
KINDS: list[dict[str, Any]] = [
    {"payload": {"input": {"text": "hi"}, "metadata": {"b": 2}, "durability": "sync"}},
    {"payload": {"context": {"style": "pirate"}, "config": {"configurable": {"x": 1}, "tags": ["t"]}}},
    {"payload": {"stream_mode": ["updates"], "after_seconds": 60}, "metadata": {"a": 1}, "timezone": "Europe/Rome"},
    {"on_run_completed": "keep", "user_id": "ada", "tenant": "acme"},
    {"catch_up": "none", "late": timedelta(hours=3)},
    {"overlap": "skip"},
    {"end_time": timezone.now() + timedelta(days=3000), "schedule": "0 0 1 1 *"},
]


@pytest.fixture(autouse=True)
def _assistants() -> Iterator[None]:
    start()
    yield
    limits.tenants.cache_clear()
    Run.objects.all().delete()


def new_cron(late: timedelta = timedelta(seconds=1), **fields: Any) -> Cron:
    cron = Cron(**{"assistant_id": ECHO, "schedule": "0 * * * *", **fields})
    cron.next_run_date = timezone.now() - late
    cron.payload = {"assistant_id": str(cron.assistant_id), **fields.get("payload", {})}
    cron.arrange()
    cron.save()
    return cron


def run_of(cron: Cron) -> Run | None:
    return Run.objects.filter(kwargs__config__configurable__cron_id=str(cron.pk)).first()


def without_own(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_own(inner) for key, inner in value.items() if key not in OWN}
    return value


def left_by(cron: Cron) -> dict[str, Any]:
    """All that a firing wrote, but for ids and times."""
    run, kept = run_of(cron), Cron.objects.get(pk=cron.pk)
    (fired,) = cron.firings.all()
    made: dict[str, Any] = {}
    if run:
        made["run"] = without_own(model_to_dict(run)) | {"waits": run.created_at - run.updated_at}
        made["thread"] = without_own(model_to_dict(run.thread))
        made["named"] = fired.run_id == run.pk
        made["tenants"] = run.tenant, run.thread.tenant
        del made["run"]["thread"], made["run"]["created_at"], made["run"]["updated_at"]
        for name in ("created_at", "updated_at", "state_updated_at"):
            made["thread"].pop(name, None)
    made["firing"] = fired.outcome, fired.detail.partition(" ")[2], fired.slot == cron.next_run_date
    made["cron"] = kept.next_run_date, kept.due_at, kept.enabled, kept.failures, kept.updated_at == cron.updated_at
    return made


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "+".join(kind))
def test_a_cron_leaves_the_same_rows_fired_alone_and_together(kind: dict[str, Any]) -> None:
    alone = new_cron(**kind)
    assert fire_due() == 1
    together = [new_cron(**kind) for _ in range(3)]
    assert fire_due() == 3
    expected = left_by(alone)
    assert ("run" in expected) == (kind.get("catch_up") != "none")
    assert [left_by(cron) for cron in together] == [expected] * 3


def test_a_burst_takes_a_few_statements_and_not_some_for_each(django_assert_max_num_queries: Any) -> None:
    own = Assistant.objects.create(graph_id="echo", name="own")
    crons = [new_cron(assistant_id=own.pk) for _ in range(150)]
    with django_assert_max_num_queries(25):
        assert fire_due() == 150
    assert Firing.objects.filter(outcome="fired").count() == Run.objects.count() == Thread.objects.count() == 150
    assert all(run_of(cron) for cron in crons[::50])


def test_three_tickers_fire_three_hundred_exactly_once() -> None:
    for second in range(300):
        new_cron(late=timedelta(seconds=second % 7))
    gate, dealt = threading.Barrier(3), []

    def tick() -> None:
        try:
            gate.wait(10)
            while count := fire_due():
                dealt.append(count)
        finally:
            connection.close()

    tickers = [threading.Thread(target=tick) for _ in range(3)]
    for ticker in tickers:
        ticker.start()
    for ticker in tickers:
        ticker.join(60)
    assert sum(dealt) == 300
    named = {run.kwargs["config"]["configurable"]["cron_id"] for run in Run.objects.all()}
    assert len(named) == Run.objects.count() == Firing.objects.values("run_id").distinct().count() == 300


def test_those_that_cannot_be_fired_stop_nobody_beside_them() -> None:
    gone = Assistant.objects.create(graph_id="echo", name="gone")
    broken = new_cron(late=timedelta(hours=1), payload={"stream_mode": "nonsense"}, pause_after_failures=1)
    orphan, fine = new_cron(assistant_id=gone.pk), [new_cron() for _ in range(5)]
    Assistant.objects.filter(pk=gone.pk)._raw_delete("default")
    assert fire_due() == 7
    assert [cron.firings.get().outcome for cron in fine] == ["fired"] * 5
    assert "stream_mode" in broken.firings.get().detail
    assert not Cron.objects.get(pk=broken.pk).enabled
    assert not Cron.objects.filter(pk=orphan.pk).exists()


def test_when_a_batch_comes_to_nothing_each_of_it_is_fired_alone() -> None:
    refired, fine = new_cron(), [new_cron() for _ in range(5)]
    assert refired.next_run_date
    Firing.objects.create(cron=refired, slot=refired.next_run_date, outcome="fired")  # only the insert notices
    assert fire_due() == 6
    assert [cron.firings.get().outcome for cron in fine] == ["fired"] * 5
    assert Run.objects.count() == Thread.objects.count() == 5
    kept = Cron.objects.get(pk=refired.pk)
    assert kept.due_at and kept.due_at > timezone.now()


def test_a_tenant_with_a_limit_is_held_to_it() -> None:
    Tenant.objects.create(slug="small", runs_in_flight=2)
    limits.tenants.cache_clear()
    for _ in range(4):
        new_cron(tenant="small")
    assert fire_due() == 4
    assert sorted(Firing.objects.values_list("outcome", flat=True)) == ["failed", "failed", "fired", "fired"]


def test_what_a_burst_writes_is_encrypted(settings: Any) -> None:
    settings.LANGGRAPH_AES_KEY = b"0123456789abcdef"
    for _ in range(3):
        new_cron(payload={"input": {"text": "secret"}})
    assert fire_due() == 3
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*), count(*) FILTER (WHERE kwargs::text LIKE '%secret%') FROM runs_run")
        assert cursor.fetchone() == (3, 0)
    assert [run.kwargs["input"] for run in Run.objects.all()] == [{"text": "secret"}] * 3
    Run.objects.all().delete()  # while it can be read


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The contexts of encryption in which runs were created one at a time."""
    under: list[dict[str, Any]] = []

    def observed(*arguments: Any) -> Run:
        under.append(encryption.context())
        return create_stateless_run(*arguments)

    monkeypatch.setattr(firing, "create_stateless_run", observed)
    return under


def test_a_cron_made_in_a_context_of_encryption_is_fired_in_it(alone: list[dict[str, Any]]) -> None:
    new_cron()
    with encryption.within({"owner": "ada"}):
        sealed = new_cron()
    new_cron()
    assert fire_due() == 3
    run = run_of(sealed)
    assert run
    assert run.kwargs[encryption.MARKER] == {"owner": "ada"}
    assert alone == [{"owner": "ada"}]


def test_no_run_waits_locked_while_the_host_of_anothers_webhook_is_looked_up(alone: list[dict[str, Any]]) -> None:
    for webhook in (None, "https://hooks.invalid/x", None):
        new_cron(payload={"webhook": webhook})
    assert fire_due() == 3
    assert len(alone) == 1


def test_with_auth_handlers_each_cron_is_asked_about_alone(
    alone: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        new_cron()
    monkeypatch.setattr(firing, "custom_auth", object)
    assert fire_due() == 3
    assert len(alone) == 3


def test_workers_are_told_of_some_and_left_to_find_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    rung: list[Run] = []
    monkeypatch.setattr(dispatch, "ring", rung.append)
    for _ in range(dispatch.RUNG + 5):
        new_cron()
    fire_due()
    assert len(rung) == dispatch.RUNG


DIES_BEFORE_COMMIT = """
    import os, signal
    import django
    django.setup()
    from crons import firing
    from crons.models import CronQuerySet

    def die(self, crons, moment):
        print(len(crons), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

    CronQuerySet.advance = die
    firing.fire_due()
"""


def test_a_ticker_killed_in_a_batch_leaves_nothing_half() -> None:
    assert hasattr(CronQuerySet, "advance")
    for _ in range(20):
        new_cron()
    environment = {**os.environ, "DATABASE_URI": conninfo(), "DJANGO_SETTINGS_MODULE": "config.settings"}
    killed = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(DIES_BEFORE_COMMIT)],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        timeout=60,
    )
    assert (killed.returncode, killed.stdout) == (-signal.SIGKILL, b"20\n"), killed.stderr.decode()
    assert (Firing.objects.count(), Run.objects.count(), Thread.objects.count()) == (0, 0, 0)
    assert Cron.objects.filter(due_at__lte=timezone.now()).count() == 20
