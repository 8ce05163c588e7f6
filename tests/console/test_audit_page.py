"""The audit log's page, and the jump box: they find what is there, and only what the person may see."""

import json
import uuid
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import Group
from django.test import Client

from accounts.audit import SYSTEM, record
from accounts.models import ApiKey, AuditEntry
from assistants.models import Assistant
from console import audit, kinds
from runs.models import Run
from threads.models import Thread


@pytest.fixture
def run(db: Any) -> Run:
    assistant = Assistant.objects.create(graph_id="chat")
    return Run.objects.create(thread=Thread.objects.create(), assistant_id=assistant.pk, status="success")


# --- the audit log ----------------------------------------------------------------------------------------------------


def test_entries_are_shown_with_who_what_and_why(sign_in: Any, run: Run) -> None:
    record(SYSTEM, "cancel", run, before={"status": "<b>"}, after={"status": "done"}, reason="too long")
    page = sign_in("operator").get("/admin/audit/").content.decode()
    for text in ("system", "cancel", "runs.run", "too long", "&lt;b&gt;", f"/admin/runs/{run.pk}/"):
        assert text in page, text


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("actor=system", 3),
        ("actor=nobody", 0),
        ("action=cancel", 2),
        ("object_type=runs.run", 2),
        ("action=cancel&object_id={run}", 1),
        ("actor_kind=key", 0),
        ("actor_kind=nonsense&span=nonsense", 3),
        ("span=all", 3),
    ],
)
def test_filters_leave_what_fits(sign_in: Any, run: Run, query: str, found: int) -> None:
    record(SYSTEM, "cancel", run)
    record(SYSTEM, "cancel", ("runs.run", uuid.uuid4()))
    record(SYSTEM, "create", ("accounts.apikey", uuid.uuid4()))
    page = sign_in("admin").get(f"/admin/audit/?{query.format(run=run.pk)}")
    assert len(page.context["entries"]) == found


def test_a_page_costs_as_many_queries_for_many_entries_as_for_few(
    sign_in: Any, django_assert_max_num_queries: Any
) -> None:
    for number in range(120):
        record(SYSTEM, "cancel", ("runs.run", number))
    client = sign_in("operator")
    with django_assert_max_num_queries(6):  # session, user, role, entries, and two for Django's own permissions
        first = client.get("/admin/audit/")
    assert len(first.context["entries"]) == 50
    assert len(client.get(f"/admin/audit/{first.context['sheet'].older}").context["entries"]) == 50


@pytest.mark.django_db(transaction=True)
def test_an_export_has_every_entry_once_a_line_each(sign_in: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "EXPORTED_AT_ONCE", 3)
    for number in range(8):
        record(SYSTEM, "cancel", ("runs.run", number), after={"number": number})
    answer = sign_in("operator").get("/admin/audit/export.ndjson?action=cancel")
    assert answer.headers["Content-Disposition"].startswith('attachment; filename="audit-2')

    async def read() -> bytes:
        return b"".join([part async for part in answer])

    lines = [json.loads(line) for line in async_to_sync(read)().splitlines()]
    assert [line["object_id"] for line in lines] == [str(number) for number in reversed(range(8))]
    assert lines[0]["after"] == {"number": 7}


@pytest.mark.parametrize("path", ["/admin/audit/", "/admin/audit/export.ndjson"])
def test_the_audit_log_is_for_operators(sign_in: Any, path: str) -> None:
    assert sign_in("responder").get(path).status_code == 403


def test_nobody_changes_entries(sign_in: Any, run: Run) -> None:
    entry = record(SYSTEM, "cancel", run)
    client = sign_in("admin")
    for verb in ("change", "delete"):
        assert client.post(f"/admin/accounts/auditentry/{entry.pk}/{verb}/", {"post": "yes"}).status_code == 403
    assert client.post("/admin/audit/", {"action": "x"}).status_code == 200
    assert AuditEntry.objects.get().action == "cancel"


# --- the jump box -----------------------------------------------------------------------------------------------------


def found(client: Client, text: object) -> list[tuple[str, str]]:
    answer = client.get("/admin/jump/", {"q": str(text)}, headers={"Accept": "application/json"})
    return [(one["kind"], one["url"]) for one in answer.json()["found"]]


def test_an_id_leads_to_the_page_of_what_has_it(sign_in: Any, run: Run) -> None:
    client = sign_in("viewer")
    assert found(client, run.pk) == [("run", kinds.url_of("runs.run", run.pk))]
    assert found(client, run.thread_id) == [("thread", kinds.url_of("threads.thread", run.thread_id))]
    assert found(client, run.assistant_id)[0][0] == "assistant"
    assert found(client, str(run.assistant_id)[:10].upper())[0][0] == "assistant"
    assert client.get(f"/admin/jump/?q={run.pk}").headers["Location"] == f"/admin/runs/{run.pk}/"


@pytest.mark.parametrize("text", ["", "0", "not an id", "%", "ffffffff-ffff-ffff-ffff-ffffffffffff", "' OR 1=1"])
def test_what_is_no_id_finds_nothing(sign_in: Any, run: Run, text: str) -> None:
    client = sign_in("viewer")
    assert found(client, text) == []
    assert client.get("/admin/jump/", {"q": text}).status_code == 200


def test_what_one_may_not_see_is_not_found(sign_in: Any, db: Any) -> None:
    key = ApiKey.objects.create(name="a", prefix="p", digest="d", identity=uuid.uuid4(), scopes=["*"], created_by="me")
    assert found(sign_in("operator"), key.pk) == []
    assert found(sign_in("admin"), key.pk)[0][0] == "API key"


def test_every_kind_has_a_page() -> None:
    for kind in kinds.KINDS:
        assert kind.url(uuid.uuid4()).startswith("/admin/")


# --- what the admin's pages of rows write down ------------------------------------------------------------------------


def test_what_is_done_on_pages_of_rows_is_written_down(sign_in: Any, run: Run) -> None:
    client = sign_in("admin")
    graph = {"config": {"configurable": {"graph_id": "chat"}}}
    pending = Run.objects.create(thread=run.thread, assistant_id=run.assistant_id, kwargs=graph)
    chosen = {"action": "cancel_selected", "_selected_action": [str(pending.pk)]}
    client.post("/admin/runs/run/", chosen)
    client.post("/admin/auth/group/add/", {"name": "night shift"})
    client.post(f"/admin/threads/thread/{run.thread_id}/delete/", {"post": "yes"})
    assert list(AuditEntry.objects.values_list("actor", "action", "object_type", "object_id").order_by("id")) == [
        ("a admin", "cancel", "runs.run", str(pending.pk)),
        ("a admin", "create", "auth.group", str(Group.objects.get(name="night shift").pk)),
        ("a admin", "delete", "threads.thread", str(run.thread_id)),
    ]
    assert AuditEntry.objects.get(action="create").after == {"name": "night shift"}
