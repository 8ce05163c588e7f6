"""What the playground's addresses refuse, what they create and write down, and what its page offers."""

import json
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import AuditEntry
from assistants.graphs import assistant_id_of
from assistants.models import Assistant
from console.interrupts import fields_of
from console.models import Claim
from runs.models import Run
from tests.console.test_roles import person
from threads.models import Thread

pytestmark = pytest.mark.django_db
QUERIES = 12  # session, user, role; assistants: chosen, graphs, others; versions; the same for the one beside


@pytest.fixture
def assistant() -> Assistant:
    made = Assistant.objects.create(graph_id="contextual", name="Tried", context={"style": "plain"})
    made.record_version()
    return made


def start(client: Client, body: Any, thread: object = "") -> Any:
    where = f"threads/{thread}/runs" if thread else "runs"
    return client.post(f"/admin/playground/{where}/stream", json.dumps(body), content_type="application/json")


def test_an_operator_starts_what_the_body_says_and_it_is_written_down(client: Client, assistant: Assistant) -> None:
    client.force_login(person("operator"))
    thread = uuid4()
    body = {
        "assistant_id": str(assistant.pk),
        "input": {"a": 1},
        "interrupt_after": ["node"],
        "if_not_exists": "create",
    }
    answer = start(client, body, thread)
    run = Run.objects.get(thread_id=thread)
    assert answer.status_code == 200
    assert answer.headers["Content-Location"] == f"/threads/{thread}/runs/{run.pk}"
    assert (run.kwargs["input"], run.kwargs["interrupt_after"]) == ({"a": 1}, ["node"])
    assert "csrf" not in str(run.kwargs).lower()
    entry = AuditEntry.objects.get(action="try")
    assert (entry.actor, entry.object_id, entry.after["run_id"]) == ("the operator", str(assistant.pk), str(run.pk))
    stateless = start(client, {"assistant_id": str(assistant.pk)})
    assert stateless.headers["Content-Location"] == f"/runs/{Run.objects.exclude(pk=run.pk).get().pk}"


@pytest.mark.parametrize("role", ["viewer", "responder", None])
def test_who_is_no_operator_starts_and_stops_nothing(client: Client, assistant: Assistant, role: str | None) -> None:
    if role:
        client.force_login(person(role))
    assert start(client, {"assistant_id": str(assistant.pk)}).status_code == (403 if role else 302)
    run = Run.objects.create(thread=Thread.objects.create(), assistant_id=assistant.pk)
    assert client.post(f"/admin/playground/runs/{run.pk}/stop").status_code == (403 if role else 302)
    run.refresh_from_db()
    assert (run.status, Run.objects.count(), AuditEntry.objects.count()) == ("pending", 1, 0)


def test_a_request_of_another_site_starts_nothing(assistant: Assistant) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(person("operator"))
    assert start(client, {"assistant_id": str(assistant.pk)}).status_code == 403
    assert not Run.objects.exists()


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({}, 422, "assistant_id"),
        ([1], 422, "must be an object"),
        ({"assistant_id": "nothing"}, 422, "Invalid assistant"),
        ({"assistant_id": str(uuid4())}, 404, "not found"),
        ({"assistant_id": "contextual", "stream_mode": ["loud"]}, 422, "stream_mode"),
        ({"assistant_id": "contextual", "context": {"a": 1}, "config": {"configurable": {"a": 1}}}, 400, "both"),
    ],
)
def test_a_bad_body_is_told_in_the_apis_words_and_creates_nothing(
    client: Client, assistant: Assistant, body: Any, status: int, said: str
) -> None:
    Assistant.objects.get_or_create(pk=assistant_id_of("contextual"), defaults={"graph_id": "contextual"})
    client.force_login(person("operator"))
    thread = Thread.objects.create()
    answer = start(client, body, thread.pk)
    assert (answer.status_code, said in answer.json()["detail"]) == (status, True), answer.json()
    assert not Run.objects.exists() and not AuditEntry.objects.exists()


def test_a_tenants_wall_stands_here_too(client: Client) -> None:
    client.force_login(person("operator"))
    theirs = Assistant.objects.create(graph_id="echo", tenant="acme")
    assert start(client, {"assistant_id": str(theirs.pk)}, Thread.objects.create().pk).status_code == 409
    assert start(client, {"assistant_id": str(theirs.pk)}).status_code == 200
    assert Run.objects.get().tenant == "acme"


def test_a_question_that_somebody_has_taken_is_theirs(client: Client, assistant: Assistant) -> None:
    client.force_login(person("operator"))
    thread = Thread.objects.create()
    later = timezone.now() + timedelta(minutes=5)
    Claim.objects.create(interrupt_id="i", thread_id=thread.pk, person="somebody", expires_at=later)
    body = {"assistant_id": str(assistant.pk), "command": {"resume": {"i": True}}}
    answer = start(client, body, thread.pk)
    assert (answer.status_code, answer.json()["detail"]) == (409, "somebody has taken this question.")
    Claim.objects.update(person="the operator")
    assert start(client, body, thread.pk).status_code == 200
    assert AuditEntry.objects.get().action == "answer"


def test_a_viewer_follows_and_reads_what_came_of_a_run(client: Client, assistant: Assistant) -> None:
    client.force_login(person("viewer"))
    thread = Thread.objects.create(values={"said": "<b>"})
    run = Run.objects.create(thread=thread, assistant_id=assistant.pk, kwargs={"resumable": False})
    path = f"/admin/playground/threads/{thread.pk}/runs/{run.pk}/stream"
    assert client.get(path, headers={"Last-Event-ID": "-1"}).headers["Content-Type"].startswith("text/event-stream")
    assert client.get(path.replace(str(thread.pk), str(uuid4()))).status_code == 404
    page = client.get(f"/admin/playground/runs/{run.pk}/outcome").content.decode()
    assert "&lt;b&gt;" in page and "<b>" not in page.replace("<b></b>", "")


def test_the_page_says_what_goes_with_an_earlier_version(
    client: Client, assistant: Assistant, django_assert_max_num_queries: Any
) -> None:
    client.force_login(person("viewer"))
    assistant.revise({"context": {"style": "loud", "volume": 11}})
    with django_assert_max_num_queries(QUERIES):
        answer = client.get(f"/admin/playground/?assistant={assistant.pk}&version=1&beside={assistant.pk}")
    first, second = answer.context["panes"]
    assert json.loads(first.context) == {"style": "plain"} and "there stays: volume." in first.note
    assert (second.version, second.context, second.note) == (None, "", "")


@pytest.mark.parametrize("query", ["", "?assistant=x&version=y&thread=z&beside=w", "?find=nobody"])
def test_a_page_for_whatever_is_asked(client: Client, assistant: Assistant, query: str) -> None:
    client.force_login(person("viewer"))
    assert client.get(f"/admin/playground/{query}").status_code == 200


def test_a_graph_that_is_gone_is_told(client: Client) -> None:
    client.force_login(person("operator"))
    gone = Assistant.objects.create(graph_id="no_longer")
    page = client.get(f"/admin/playground/?assistant={gone.pk}")
    assert "no graph no_longer any more" in page.content.decode()


def test_what_may_be_null_and_what_is_defined_elsewhere_have_fields_of_their_own() -> None:
    schema = {
        "$defs": {"Tone": {"enum": ["low", "high"], "type": "string"}},
        "properties": {
            "note": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None, "title": "Note"},
            "tone": {"$ref": "#/$defs/Tone", "default": "high"},
            "either": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
        },
    }
    assert [(field.kind, field.default) for field in fields_of(schema)] == [
        ("text", ""),
        ("select", "high"),
        ("json", ""),
    ]
