"""Crons in the admin: what pages show, and that pausing, resuming and running are the API's verbs."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from assistants.graphs import assistant_id_of
from assistants.startup import start
from crons.models import Cron, Firing, Outcome
from runs.models import Run

pytestmark = pytest.mark.django_db
LIST = "/admin/crons/cron/"


@pytest.fixture
def admin_user(db: Any) -> User:
    return User.objects.create_superuser("admin")


@pytest.fixture
def cron(db: Any) -> Cron:
    start()
    made = Cron(assistant_id=assistant_id_of("echo"), schedule="0 9 * * *", timezone="Asia/Kathmandu")
    made.payload = {"n": "<b>"}
    made.save(force_insert=True)
    made.advance(timezone.now())
    return made


def act(client: Client, action: str, *crons: Cron) -> str:
    chosen = {"action": action, "_selected_action": [str(cron.pk) for cron in crons]}
    return client.post(LIST, chosen, follow=True).content.decode()


def test_the_list_and_a_page_show_what_matters(admin_client: Client, cron: Cron) -> None:
    Firing.objects.create(cron=cron, slot=timezone.now(), outcome=Outcome.SKIPPED, detail="an earlier run <i>")
    assert "0 9 * * *" in admin_client.get(LIST).content.decode()
    page = admin_client.get(reverse("admin:crons_cron_change", args=[cron.pk])).content.decode()
    for text in ("Asia/Kathmandu", "09:00:00 +0545", "03:15:00.000 UTC", "an earlier run &lt;i&gt;", "&lt;b&gt;"):
        assert text in page, text


@pytest.mark.parametrize(
    "query", ["enabled__exact=1", "overlap__exact=allow", "q=nothing", "q={cron}", "q={assistant}"]
)
def test_filters_answer(admin_client: Client, cron: Cron, query: str) -> None:
    page = admin_client.get(f"{LIST}?{query.format(cron=cron.pk, assistant=str(cron.assistant_id)[:8])}")
    assert page.status_code == 200
    assert (str(cron.pk) in page.content.decode()) == (query != "q=nothing")


def test_pausing_and_resuming(admin_client: Client, cron: Cron) -> None:
    assert "Paused 1 cron." in act(admin_client, "pause_selected", cron)
    cron.refresh_from_db()
    assert (cron.enabled, cron.due_at, cron.payload["enabled"]) == (False, None, False)
    Cron.objects.update(failures=3, paused_at=timezone.now() - timedelta(days=1))
    assert "Resumed 1 cron." in act(admin_client, "resume_selected", cron)
    cron.refresh_from_db()
    assert (cron.enabled, cron.due_at, cron.failures, cron.paused_at) == (True, cron.next_run_date, 0, None)
    assert "Resumed 0 crons." in act(admin_client, "resume_selected", cron)


def test_running_now(admin_client: Client, cron: Cron) -> None:
    act(admin_client, "run_selected", cron)
    url = reverse("admin:crons_cron_run_now", args=[cron.pk])
    assert url in admin_client.get(reverse("admin:crons_cron_change", args=[cron.pk])).content.decode()
    assert admin_client.get(url).status_code == 200
    assert Run.objects.count() == 1
    assert admin_client.post(url, {"_form_submitted": "on"}).headers["HX-Redirect"]
    assert Run.objects.count() == 2
    page = admin_client.get(reverse("admin:crons_cron_change", args=[cron.pk])).content.decode()
    for run in Run.objects.all():
        assert reverse("admin:runs_run_change", args=[run.pk]) in page


def test_who_may_only_look_can_do_nothing(client: Client, cron: Cron) -> None:
    looker = User.objects.create_user("looker", is_staff=True)
    looker.user_permissions.set(Permission.objects.filter(codename="view_cron"))
    client.force_login(looker)
    for action in ("pause_selected", "run_selected"):
        act(client, action, cron)
    assert client.post(reverse("admin:crons_cron_run_now", args=[cron.pk]), {}).status_code == 403
    cron.refresh_from_db()
    assert cron.enabled
    assert not Run.objects.exists()


def test_a_list_asks_as_many_queries_for_many_as_for_few(
    admin_client: Client, cron: Cron, django_assert_max_num_queries: Any
) -> None:
    Cron.objects.bulk_create(Cron(assistant_id=cron.assistant_id, schedule="@daily") for _ in range(30))
    with django_assert_max_num_queries(5):
        admin_client.get(LIST)
