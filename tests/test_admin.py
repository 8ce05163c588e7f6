"""The admin: every page answers, the first one counts right, records are read-only, verbs are the API's."""

import re
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from assistants.models import Assistant
from config.admin import COUNTED_ROWS, BoundedPaginator, json_block, span
from runs.models import CancelAction, Run, RunStatus
from threads.models import Thread, ThreadStatus

RECORDS = (
    "accounts.auditentry",
    "assistants.assistant",
    "crons.cron",
    "threads.thread",
    "runs.run",
    "webhooks.webhookdelivery",
)
OTHER_HOST = re.compile(r"""(?:src|href|action|url\()\s*=?\s*["']?(?:https?:)?//""")


@pytest.fixture
def admin_user(db: Any) -> User:
    return User.objects.create_superuser("admin")


@pytest.fixture
def assistant(db: Any) -> Assistant:
    made = Assistant.objects.create(graph_id="chat", name="Concierge", context={"style": "pirate"})
    made.record_version()
    made.revise({"name": "Concierge II"})
    return made


@pytest.fixture
def thread(db: Any) -> Thread:
    return Thread.objects.create(
        status=ThreadStatus.ERROR, metadata={"graph_id": "chat"}, values={"messages": [{"content": "<b>hello</b>"}]}
    )


def new_run(assistant: Assistant, status: str = RunStatus.PENDING, **fields: Any) -> Run:
    thread = fields.pop("thread", None) or Thread.objects.create(status=ThreadStatus.BUSY)
    return Run.objects.create(
        thread=thread,
        assistant_id=assistant.pk,
        status=status,
        kwargs={"input": {"question": "why?"}, "config": {"configurable": {"graph_id": assistant.graph_id}}},
        **fields,
    )


@pytest.fixture
def runs(assistant: Assistant, thread: Thread) -> dict[str, Run]:
    now = timezone.now()
    late, soon = now - timedelta(minutes=5), now + timedelta(hours=2)
    lease = now + timedelta(seconds=30)
    return {
        "due": new_run(assistant, created_at=late),
        "delayed": new_run(assistant, created_at=soon),
        "running": new_run(assistant, "running", worker="box-1", started_at=late, attempt=1, lease_expires_at=lease),
        "lost": new_run(assistant, "running", worker="box-2", started_at=late, attempt=1, lease_expires_at=late),
        "failed": new_run(
            assistant,
            "error",
            thread=thread,
            worker="box-1",
            attempt=2,
            error={"error": "ValueError", "message": "no such order <script>"},
            started_at=late,
            ended_at=now,
        ),
        "done": new_run(assistant, "success", worker="box-1", started_at=late, ended_at=now),
    }


@pytest.fixture
def pages(runs: dict[str, Run], assistant: Assistant, thread: Thread, admin_user: User) -> list[str]:
    """Every page there is: lists, forms to add, one row of each, deletions."""
    every, _ = IntervalSchedule.objects.get_or_create(every=5, period="seconds")
    tick = PeriodicTask.objects.create(name="sweep", task="runs.sweep", interval=every)
    rows = {type(row): row for row in (runs["failed"], assistant, thread, admin_user, every, tick)}
    found = [reverse("admin:index"), reverse("admin:password_change")]
    for model in admin.site._registry:
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        found.append(reverse(f"{name}_changelist"))
        if model._meta.label_lower not in RECORDS:
            found.append(reverse(f"{name}_add"))
        if model in rows:
            found.append(reverse(f"{name}_change", args=[rows[model].pk]))
    return [*found, reverse("admin:threads_thread_delete", args=[thread.pk])]


def change_url(row: Any) -> str:
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])


# --- every page -----------------------------------------------------------------------------------------------------


def test_every_page_answers_and_loads_nothing_from_another_host(admin_client: Client, pages: list[str]):
    for url in pages:
        response = admin_client.get(url)
        assert response.status_code == 200, url
        assert not OTHER_HOST.search(response.content.decode()), url


def test_every_page_sends_strangers_to_the_login(client: Client, pages: list[str]):
    for url in pages:
        response = client.get(url)
        assert response.status_code == 302, url
        assert response.headers["Location"].startswith("/admin/login/"), url
    login = client.get("/admin/login/").content.decode()
    assert not OTHER_HOST.search(login)


def test_filters_and_searches_answer(admin_client: Client, runs: dict[str, Run], thread: Thread, assistant: Assistant):
    run = runs["failed"]
    for url, query, found in (
        ("runs_run", f"q={str(run.pk)[:30]}", str(run.pk)),
        ("runs_run", f"q={thread.pk}", str(run.pk)),
        ("runs_run", f"thread={thread.pk}", str(run.pk)),
        ("runs_run", f"assistant_id={assistant.pk}", str(run.pk)),
        ("runs_run", "status__exact=error", str(run.pk)),
        ("runs_run", "q=nothing+like+an+id", ""),
        ("threads_thread", f"q={str(thread.pk).replace('-', '')}", str(thread.pk)),
        ("threads_thread", "status__exact=error", str(thread.pk)),
        ("assistants_assistant", "q=concierge", "Concierge II"),
        ("assistants_assistant", f"q={assistant.pk}", "Concierge II"),
        ("assistants_assistant", "graph_id=chat", "Concierge II"),
    ):
        response = admin_client.get(f"{reverse(f'admin:{url}_changelist')}?{query}")
        assert response.status_code == 200, query
        page = response.content.decode()
        assert (found in page) if found else (str(run.pk) not in page), query


def test_the_name_of_the_site_is_on_it(admin_client: Client):
    page = admin_client.get(reverse("admin:index")).content.decode()
    assert "<title>" in page
    assert "Dashboard | Weft" in page
    for link in ("/admin/runs/", "/admin/threads/", "/admin/assistants/", "/docs"):
        assert f'href="{link}"' in page


# --- records --------------------------------------------------------------------------------------------------------


def test_staff_without_permission_see_no_rows(client: Client, runs: dict[str, Run]):
    clerk = User.objects.create_user("clerk", is_staff=True)
    client.force_login(clerk)
    page = client.get(reverse("admin:index"))
    assert 'href="/admin/runs/"' not in page.content.decode()
    assert client.get(reverse("admin:runs_run_changelist")).status_code == 403


@pytest.mark.parametrize("url", ["runs_run", "threads_thread", "assistants_assistant"])
def test_lists_ask_as_many_queries_for_many_rows_as_for_few(
    admin_client: Client, assistant: Assistant, django_assert_max_num_queries: Any, url: str
):
    for _ in range(30):
        new_run(assistant, "error", error={"error": "E", "message": "m"})
        Assistant.objects.create(graph_id="chat")
    with django_assert_max_num_queries(5):  # session, user, the count, the rows, one for good measure
        admin_client.get(reverse(f"admin:{url}_changelist"))


def test_records_cannot_be_added_or_changed(admin_client: Client, runs: dict[str, Run], assistant: Assistant):
    for row in (assistant, runs["failed"].thread, runs["failed"]):
        name = f"admin:{row._meta.app_label}_{row._meta.model_name}"
        assert admin_client.get(reverse(f"{name}_add")).status_code == 403
        assert admin_client.post(reverse(f"{name}_add"), {}).status_code == 403
        assert admin_client.post(change_url(row), {"status": "success", "name": "changed"}).status_code == 403
    assert Assistant.objects.get().name == "Concierge II"
    assert Run.objects.get(pk=runs["failed"].pk).status == "error"


def test_only_threads_can_be_deleted(admin_client: Client, runs: dict[str, Run], assistant: Assistant):
    for row in (assistant, runs["failed"]):
        url = reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_delete", args=[row.pk])
        assert admin_client.post(url, {"post": "yes"}).status_code == 403
    assert Assistant.objects.exists()
    assert Run.objects.filter(pk=runs["failed"].pk).exists()


def test_a_page_shows_what_the_row_holds(admin_client: Client, runs: dict[str, Run], thread: Thread):
    run_page = admin_client.get(change_url(runs["failed"])).content.decode()
    for text in ("ValueError", "no such order &lt;script&gt;", "why?", "5 min", "box-1", str(thread.pk)):
        assert text in run_page, text
    thread_page = admin_client.get(change_url(thread)).content.decode()
    for text in ("&lt;b&gt;hello&lt;/b&gt;", "0 checkpoints", f"?thread={thread.pk}"):
        assert text in thread_page, text


def test_a_page_shows_an_assistants_versions(admin_client: Client, assistant: Assistant):
    page = admin_client.get(change_url(assistant)).content.decode()
    assert "2 · current" in page
    assert "Concierge II" in page


def test_a_row_that_is_gone_leads_back(admin_client: Client):
    assert admin_client.get(reverse("admin:runs_run_change", args=[uuid.uuid4()])).status_code == 302
    assert admin_client.get(reverse("admin:runs_run_change", args=["no-id"])).status_code == 302


# --- verbs ----------------------------------------------------------------------------------------------------------


def act(client: Client, action: str, *runs: Run) -> Any:
    chosen = [str(run.pk) for run in runs]
    return client.post(
        reverse("admin:runs_run_changelist"), {"action": action, "_selected_action": chosen}, follow=True
    )


def test_the_cancel_action_does_what_the_api_does(admin_client: Client, runs: dict[str, Run]):
    page = act(admin_client, "cancel_selected", runs["due"], runs["running"], runs["done"]).content.decode()
    assert "Asked 2 runs to end." in page
    for run in runs.values():
        run.refresh_from_db()
    assert runs["due"].status == RunStatus.INTERRUPTED
    assert runs["due"].thread.status == ThreadStatus.IDLE
    assert (runs["running"].status, runs["running"].cancel_action) == (RunStatus.RUNNING, CancelAction.INTERRUPT)
    assert "by admin" in runs["running"].cancel_reason
    assert (runs["done"].status, runs["done"].cancel_action) == (RunStatus.SUCCESS, None)


def test_rolling_back_removes_a_waiting_run(admin_client: Client, runs: dict[str, Run]):
    act(admin_client, "roll_back_selected", runs["due"])
    assert not Run.objects.filter(pk=runs["due"].pk).exists()


def test_nothing_to_cancel_is_said(admin_client: Client, runs: dict[str, Run]):
    assert "Nothing to cancel" in act(admin_client, "cancel_selected", runs["done"]).content.decode()


def test_too_many_at_once_are_left_alone(admin_client: Client, runs: dict[str, Run], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("runs.admin.MOST_AT_ONCE", 1)
    page = act(admin_client, "cancel_selected", runs["due"], runs["running"]).content.decode()
    assert "Nothing was cancelled: these are more than 1 runs" in page
    for run in runs.values():
        before = (run.status, run.cancel_action)
        run.refresh_from_db()
        assert (run.status, run.cancel_action) == before


def test_a_runs_page_cancels_it_after_a_question(admin_client: Client, runs: dict[str, Run]):
    run = runs["due"]
    url = reverse("admin:runs_run_cancel", args=[run.pk])
    assert url in admin_client.get(change_url(run)).content.decode()
    assert "Roll back" in admin_client.get(url).content.decode()
    run.refresh_from_db()
    assert run.status == RunStatus.PENDING
    answer = admin_client.post(url, {"action": "interrupt", "_form_submitted": "on"})
    assert answer.headers["HX-Redirect"] == change_url(run)
    run.refresh_from_db()
    assert run.status == RunStatus.INTERRUPTED
    assert url not in admin_client.get(change_url(run)).content.decode()


def test_who_may_only_look_cannot_cancel_or_delete(client: Client, runs: dict[str, Run], thread: Thread):
    looker = User.objects.create_user("looker", is_staff=True)
    looker.user_permissions.set(Permission.objects.filter(codename__in=["view_run", "view_thread"]))
    client.force_login(looker)
    run = runs["due"]
    act(client, "cancel_selected", run)
    assert reverse("admin:runs_run_cancel", args=[run.pk]) not in client.get(change_url(run)).content.decode()
    assert client.post(reverse("admin:runs_run_cancel", args=[run.pk]), {"action": "interrupt"}).status_code == 403
    assert client.post(reverse("admin:threads_thread_delete", args=[thread.pk]), {"post": "yes"}).status_code == 403
    run.refresh_from_db()
    assert run.status == RunStatus.PENDING
    assert Thread.objects.filter(pk=thread.pk).exists()


def checkpoints_of(thread: Thread) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM checkpoints WHERE thread_id = %s", [str(thread.pk)])
        return int(cursor.fetchone()[0])


def with_checkpoint(thread: Thread) -> Thread:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO checkpoints (thread_id, checkpoint_id, checkpoint, metadata) VALUES (%s, '1', '{}', '{}')",
            [str(thread.pk)],
        )
    return thread


def test_deleting_a_thread_deletes_its_runs_and_checkpoints(admin_client: Client, runs: dict[str, Run], thread: Thread):
    with_checkpoint(thread)
    url = reverse("admin:threads_thread_delete", args=[thread.pk])
    assert "with its runs and checkpoints" in admin_client.get(url).content.decode()
    assert checkpoints_of(thread) == 1
    admin_client.post(url, {"post": "yes"})
    assert not Thread.objects.filter(pk=thread.pk).exists()
    assert not Run.objects.filter(pk=runs["failed"].pk).exists()
    assert checkpoints_of(thread) == 0


def test_several_threads_are_deleted_at_once(admin_client: Client, db: Any):
    threads = [with_checkpoint(Thread.objects.create()) for _ in range(3)]
    chosen = {"action": "delete_selected", "_selected_action": [str(thread.pk) for thread in threads[:2]]}
    url = reverse("admin:threads_thread_changelist")
    assert "with its runs and checkpoints" in admin_client.post(url, chosen).content.decode()
    admin_client.post(url, {**chosen, "post": "yes"})
    assert list(Thread.objects.values_list("pk", flat=True)) == [threads[2].pk]
    assert [checkpoints_of(thread) for thread in threads] == [0, 0, 1]


# --- pieces ---------------------------------------------------------------------------------------------------------


def test_the_paginator_counts_no_further_than_it_must(db: Any, monkeypatch: pytest.MonkeyPatch):
    Thread.objects.bulk_create([Thread() for _ in range(5)])
    assert BoundedPaginator(Thread.objects.order_by("pk"), 2).count == 5
    monkeypatch.setattr("config.admin.COUNTED_ROWS", 3)
    clipped = BoundedPaginator(Thread.objects.order_by("pk"), 2)
    assert (clipped.count, clipped.is_full, clipped.num_pages) == (3, True, 2)
    assert COUNTED_ROWS <= 100_000


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0354, "35 ms"),
        (2.14, "2.1 s"),
        (59.96, "60.0 s"),
        (250, "4 min 10 s"),
        (3600, "1 h"),
        (11100, "3 h 5 min"),
        (187200, "2 d 4 h"),
        (-1, "0 ms"),
    ],
)
def test_lengths_of_time_are_said_in_two_units(seconds: float, text: str):
    assert span(timedelta(seconds=seconds)) == text


def test_huge_json_is_cut():
    shown = json_block({"text": "x" * 200_000})
    assert len(shown) < 60_000
    assert "more characters" in shown
