"""The dashboard: it counts right, says what needs attention and what to do, and stays quick with many rows."""

import time
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test import Client
from django.utils import timezone

from assistants.models import Assistant
from console import attention, dashboard, figures, rollup
from console.workers import Busy
from runs.models import Run, RunStatus, StatelessEnd
from runs.presence import Worker
from threads.models import Thread, ThreadStatus
from webhooks.models import WebhookDelivery

pytestmark = pytest.mark.django_db
QUERIES = 11  # session, user, role, queue, aside, causes, two of the roll-up, savepoints aside


@pytest.fixture
def assistant() -> Assistant:
    return Assistant.objects.create(graph_id="chat")


@pytest.fixture
def viewer(client: Client) -> Client:
    user = User.objects.create_user("looker", is_staff=True)
    user.groups.set(Group.objects.filter(name="viewer"))
    client.force_login(user)
    return client


def new_run(assistant: Assistant, status: str, **fields: Any) -> Run:
    thread = fields.pop("thread", None) or Thread.objects.create()
    return Run.objects.create(thread=thread, assistant_id=assistant.pk, status=status, **fields)


def ended_run(assistant: Assistant, status: str = "success", **fields: Any) -> Run:
    now = timezone.now()
    times = {"started_at": now - timedelta(seconds=2), "ended_at": now, "worker": "box-1"}
    return new_run(assistant, status, created_at=now - timedelta(seconds=3), **{**times, **fields})


def needs() -> list[attention.Need]:
    return attention.needs(dashboard.look(timezone.now())[0])


# --- what it says -----------------------------------------------------------------------------------------------------


def test_tiles_count_what_waits_runs_and_ended(viewer: Client, assistant: Assistant) -> None:
    now = timezone.now()
    lease = now + timedelta(seconds=30)
    new_run(assistant, "pending", created_at=now - timedelta(minutes=5))
    new_run(assistant, "pending", created_at=now + timedelta(hours=2))
    new_run(assistant, "running", worker="box-1", started_at=now, lease_expires_at=lease)
    new_run(assistant, "running", worker="box-2", started_at=now, lease_expires_at=now - timedelta(seconds=5))
    for status in ("success", "success", "success", "error"):
        ended_run(assistant, status, error={"error": "E", "message": "m"} if status == "error" else None)
    Thread.objects.create(status=ThreadStatus.INTERRUPTED)
    page = viewer.get("/admin/")
    shown = {name: tile.value for name, tile in page.context["tiles"].items()}
    assert shown == {
        "running": "2",
        "pending": "1",
        "oldest": "5 min",
        "success": "75.0 %",
        "time": shown["time"],
        "wait": shown["wait"],
        "asked": "1",
        "undelivered": "0",
    }
    assert shown["time"].endswith(" s") and 1.5 < float(shown["time"][:-2]) < 2.6
    assert page.context["tiles"]["running"].note == "1 without a live lease"


def test_counts_end_where_they_would_cost(assistant: Assistant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "MOST", 3)
    for _ in range(5):
        new_run(assistant, "pending")
    now = timezone.now()
    assert dashboard.queue_tiles(figures.queue(now), now)["pending"].value == "3+"


def test_a_failure_is_shown_with_its_cause_and_escaped(viewer: Client, assistant: Assistant) -> None:
    for _ in range(5):
        run = ended_run(assistant, "error", error={"error": "ValueError", "message": "no such order <script>"})
    page = viewer.get("/admin/").content.decode()
    assert "no such order &lt;script&gt;" in page
    assert "5 of 5 runs of the last hour failed, most with ValueError." in page
    assert f"/admin/runs/{run.pk}/timeline/" in page


def test_who_has_no_role_is_told_how_to_get_one(client: Client, assistant: Assistant) -> None:
    new_run(assistant, "running")
    client.force_login(User.objects.create_user("clerk", is_staff=True))
    page = client.get("/admin/")
    assert page.status_code == 200
    assert "You have no role here yet" in page.content.decode()
    assert "/admin/runs/run/" not in page.content.decode()


def test_a_new_server_shows_how_to_begin_with_its_own_address(viewer: Client, assistant: Assistant) -> None:
    page = viewer.get("/admin/", HTTP_HOST="weft.example").content.decode()
    assert "get_sync_client(url=&quot;http://weft.example&quot;)" in page or 'url="http://weft.example"' in page
    assert "chat" in page


@pytest.mark.parametrize("name", ["hour", "day", "month", "nonsense"])
def test_each_range_is_drawn(viewer: Client, assistant: Assistant, name: str) -> None:
    ended_run(assistant)
    rollup.roll_up()
    page = viewer.get(f"/admin/?range={name}")
    assert "1 success" in page.context["chart"]


# --- what needs attention ---------------------------------------------------------------------------------------------


def test_nothing_needs_attention_where_all_is_well(assistant: Assistant) -> None:
    ended_run(assistant)
    rollup.roll_up()
    assert needs() == []


def test_runs_that_wait_while_nothing_runs_need_a_worker(assistant: Assistant) -> None:
    new_run(assistant, "pending", created_at=timezone.now() - timedelta(minutes=2))
    rollup.roll_up()
    (need,) = needs()
    assert need.text == "1 run due, the oldest for 2 min: no worker takes any. Is one up?"
    assert (need.tone, need.url) == ("bad", "/admin/doctor/")


def test_a_beat_that_does_not_tick_is_noticed(assistant: Assistant) -> None:
    then = timezone.now() - timedelta(minutes=10)
    ended_run(assistant, ended_at=then)
    rollup.roll_up(then)
    assert needs()[0].text.startswith("beat has not ticked since 10 min")


def test_an_answer_that_is_waited_for_and_a_webhook_that_is_lost_are_noticed(assistant: Assistant) -> None:
    ended_run(assistant)
    rollup.roll_up()
    Thread.objects.create(status=ThreadStatus.INTERRUPTED, created_at=timezone.now() - timedelta(hours=5))
    WebhookDelivery.objects.create(url="http://a.example", lane="a", event="run.succeeded", body="{}", status="failed")
    assert [need.text.split(",")[0] for need in needs()] == [
        "1 thread waits for somebody's answer",
        "1 webhook of the last 24 hours not delivered",
    ]


# --- what it costs ----------------------------------------------------------------------------------------------------


def test_stateless_runs_are_seen_though_they_leave_no_row(viewer: Client) -> None:
    now = timezone.now()
    for status, error in (("success", ""), ("error", "ZeroDivisionError")):
        StatelessEnd.objects.create(status=status, error=error, created_at=now, started_at=now, ended_at=now)
    page = viewer.get("/admin/")
    assert page.context["tiles"]["success"].value == "50.0 %"
    assert [(cause.error, cause.count, cause.run_id) for cause in figures.causes(timezone.now())] == [
        ("ZeroDivisionError", 1, "")
    ]
    assert "stateless" in page.content.decode()


def test_graphs_that_are_gone_and_workers_that_lack_one_are_noticed(assistant: Assistant) -> None:
    assert needs() == []
    Assistant.objects.create(graph_id="gone")
    (need,) = needs()
    assert "no graph gone any more" in need.text and need.url.endswith("?graph=gone")
    now = timezone.now()
    old = Worker("box-1", "box", 1, 10, 0, False, False, 0, 0.0, now.isoformat(), "1", graphs=["echo"])
    seen, _ = dashboard.look(now)
    _, need = attention.needs(replace(seen, workers=[Busy(old, now, now, [])]))
    assert "Worker box-1 has not loaded" in need.text and " more" in need.text and need.tone == "bad"


@pytest.fixture
def many_runs(assistant: Assistant) -> None:
    """100,000 runs over 30 days, 20,000 of them in the last hour; 1000 waiting, on 1000 threads."""
    Thread.objects.bulk_create(Thread() for _ in range(1000))
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO runs_run (run_id, thread_id, assistant_id, status, metadata, kwargs, multitask_strategy, error,
                created_at, updated_at, started_at, ended_at, attempt, handed_back, worker, cancel_reason, blocked)
            SELECT gen_random_uuid(), thread_id, %s, status, '{}', '{"input": {"text": "hello"}}', 'enqueue',
                   CASE status WHEN 'error' THEN '{"error": "ValueError", "message": "no"}'::jsonb END,
                   at, at, at + interval '20 ms', at + interval '1 s', 1, 0, 'box-' || n %% 20, '', '[]'
              FROM (SELECT n, t.thread_id, CASE WHEN n %% 9 = 0 THEN 'error' ELSE 'success' END AS status,
                           now() - CASE WHEN n <= 20000 THEN n * interval '0.17 s' ELSE n * interval '25.9 s' END AS at
                      FROM generate_series(1, 100000) AS n
                      JOIN (SELECT thread_id, row_number() OVER () AS k FROM threads_thread) AS t ON t.k = n %% 1000 + 1
                   ) AS made
            """,
            [assistant.pk],
        )
        cursor.execute(
            """
            INSERT INTO runs_run (run_id, thread_id, assistant_id, status, metadata, kwargs, multitask_strategy,
                created_at, updated_at, attempt, handed_back, worker, cancel_reason, blocked)
            SELECT gen_random_uuid(), thread_id, %s, 'pending', '{}', '{}', 'enqueue', now(), now(), 0, 0, '', '', '[]'
              FROM threads_thread
            """,
            [assistant.pk],
        )
        cursor.execute("ANALYZE runs_run")
    while not rollup.roll_up():
        pass


@pytest.mark.timeout(180)
def test_with_100_000_runs_the_page_is_quick_and_no_query_reads_all_of_them(
    viewer: Client, many_runs: None, django_assert_max_num_queries: Any
) -> None:
    viewer.get("/admin/")  # templates are compiled once
    with django_assert_max_num_queries(QUERIES):
        begun = time.perf_counter()
        page = viewer.get("/admin/")
        took = time.perf_counter() - begun
    assert page.status_code == 200
    for statement in (figures.QUEUE, figures.BY_CAUSE, rollup.ENDED):
        assert "Seq Scan on runs_run" not in plan(statement), plan(statement)
    assert took < 0.3, f"first paint after {took * 1000:.0f} ms"


def plan(statement: str) -> str:
    now = timezone.now()
    arguments: dict[str, Any] = {
        "now": now,
        "hour": now - timedelta(hours=1),
        "day": now - timedelta(days=1),
        "most": figures.MOST,
        "recent": figures.RECENT_FAILURES,
        "causes": figures.CAUSES,
        "longest": 200,
        "since": now - timedelta(minutes=2),
        "until": now,
        "bounds": list(rollup.BOUNDS),
    }
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {statement}", arguments)
        return "\n".join(row[0] for row in cursor.fetchall())


def test_a_look_for_browsers_is_one_query_or_five(assistant: Assistant, django_assert_num_queries: Any) -> None:
    ended_run(assistant)
    with django_assert_num_queries(1):
        dashboard._look_at_queue("")
    with django_assert_num_queries(5):
        dashboard._look_at_all("")


def test_statuses_of_the_roll_up_are_the_terminal_ones() -> None:
    assert set(rollup.ENDS) == {status for status in RunStatus if status not in ("pending", "running")}
