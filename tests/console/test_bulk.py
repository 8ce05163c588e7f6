"""One verb for many runs: which ones, once each, stopped and taken up again; and filters kept under a name."""

import uuid
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.utils import timezone

from accounts.audit import Actor
from accounts.callers import Caller
from accounts.models import ActorKind, AuditEntry
from assistants.graphs import default_assistant_ids
from assistants.startup import start
from console import bulk, run_filters
from console.models import BulkAction, BulkState, SavedView, Verb
from console.run_filters import Filters
from runs import queue_limit
from runs.dispatch import create_run
from runs.models import Run, RunStatus
from threads.models import Thread

pytestmark = pytest.mark.django_db
ADA = Actor("ada", ActorKind.PERSON, "127.0.0.1")
LIST = "/admin/runs/"
BEGIN = "/admin/runs/bulk/begin/"
Login = Callable[[str], Client]


@pytest.fixture(autouse=True)
def project(settings: Any) -> None:
    settings.REDIS_KEY_PREFIX = f"{uuid.uuid4()}:"
    start()


@pytest.fixture
def login() -> Login:
    def make(role: str) -> Client:
        user = User.objects.create_user(f"the {role}", is_staff=True)
        user.groups.set(Group.objects.filter(name=role))
        client = Client()
        client.force_login(user)
        return client

    return make


def new_run(status: str = RunStatus.PENDING, thread: uuid.UUID | None = None, **body: Any) -> Run:
    asked = {"assistant_id": "counter", "input": {"steps": 2}, "if_not_exists": "create", **body}
    run = create_run(thread or uuid.uuid4(), asked, Caller())
    if status != RunStatus.PENDING:
        Run.objects.filter(pk=run.pk).update(status=status, ended_at=timezone.now())
    return run


def begin(verb: Verb, chosen: Iterable[Run] | None = None, **filters: str) -> BulkAction:
    ids = None if chosen is None else [run.pk for run in chosen]
    return bulk.begin(uuid.uuid4(), ADA, bulk.Asked(verb, ids, Filters(filters), "enough"))


def ended(action: BulkAction) -> BulkAction:
    """The action once ticks have done all of it."""
    for _ in range(50):
        bulk.work()
        action.refresh_from_db()
        if action.state != BulkState.RUNNING:
            return action
    raise AssertionError(f"it goes on for ever: {action.note}")


def statuses(runs: Iterable[Run]) -> list[str]:
    return [Run.objects.get(pk=run.pk).status for run in runs]


def retries_of(run: Run) -> int:
    return Run.objects.filter(metadata__contains={"retry_of": str(run.pk)}).count()


# --- which runs -------------------------------------------------------------------------------------------------------


def test_all_that_match_are_cancelled_and_nothing_else() -> None:
    now, later = new_run(metadata={"team": "a"}), new_run(metadata={"team": "a"}, after_seconds=3600)
    over, other = new_run(RunStatus.SUCCESS, metadata={"team": "a"}), new_run(metadata={"team": "b"})
    action = begin(Verb.CANCEL, metadata="team:a")
    assert (action.expected, action.is_counted) == (2, True)
    after, after_too = new_run(metadata={"team": "a"}), new_run(metadata={"team": "a"}, after_seconds=3600)
    action = ended(action)
    assert statuses([now, later, over, other]) == ["interrupted", "interrupted", "success", "pending"]
    assert statuses([after, after_too]) == ["pending", "pending"], "what came after the question is not meant"
    assert (action.seen, action.done, action.refused) == (2, 2, {})
    assert Run.objects.get(pk=now.pk).cancel_reason == "interrupt by ada: enough"


def test_a_filter_without_an_index_reaches_no_further_while_runs_are_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_filters, "WINDOW", 3)
    runs = [new_run(RunStatus.ERROR) for _ in range(5)]
    Run.objects.update(attempt=2)
    action = ended(begin(Verb.DELETE, attempts="2"))
    assert (action.expected, action.done) == (3, 3)
    assert set(Run.objects.values_list("pk", flat=True)) == {run.pk for run in runs[:2]}


def test_chosen_runs_are_dealt_with_and_reasons_are_counted() -> None:
    waiting, over, gone = new_run(), new_run(RunStatus.SUCCESS), new_run()
    action = begin(Verb.ROLL_BACK, [waiting, over, gone])
    Run.objects.filter(pk=gone.pk).delete()
    action = ended(action)
    assert not Run.objects.filter(pk=waiting.pk).exists()
    assert (action.seen, action.done, action.refused) == (2, 1, {"Run is not pending or running": 1})


def test_the_action_has_one_entry_in_the_audit_log() -> None:
    new_run(RunStatus.ERROR)
    action = ended(begin(Verb.DELETE, status="error"))
    (entry,) = AuditEntry.objects.filter(object_type="console.bulkaction")
    assert (entry.actor, entry.action, entry.object_id) == ("ada", "delete runs", str(action.pk))
    assert (entry.before, entry.reason, entry.ip) == ({"filters": {"status": "error"}}, "enough", "127.0.0.1")
    assert entry.after == {"seen": 1, "done": 1, "refused": {}}


# --- once each --------------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """The process is gone: nobody catches this."""


@pytest.mark.parametrize("before_the_step", [True, False])
def test_who_is_killed_in_the_middle_leaves_no_run_run_again_twice(
    monkeypatch: pytest.MonkeyPatch, before_the_step: bool
) -> None:
    runs = [new_run(RunStatus.ERROR) for _ in range(5)]
    action = begin(Verb.RETRY, status="error")
    verb, calls = bulk.VERBS[Verb.RETRY], 0

    def dies(*arguments: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 3 and before_the_step:
            raise Killed
        verb(*arguments)
        if calls == 3:
            raise Killed  # the new run is written, and not committed

    monkeypatch.setitem(bulk.VERBS, Verb.RETRY, dies)
    with pytest.raises(Killed):
        bulk.work()
    action.refresh_from_db()
    assert (action.seen, [retries_of(run) for run in runs]) == (2, [1, 1, 0, 0, 0])
    action = ended(action)
    assert (action.seen, action.done) == (5, 5)
    assert [retries_of(run) for run in runs] == [1] * 5
    assert statuses(runs) == ["error"] * 5


def test_what_another_process_has_brought_further_is_not_done_again() -> None:
    runs = [new_run(RunStatus.ERROR) for _ in range(2)]
    action = begin(Verb.RETRY, status="error")
    stale = BulkAction.objects.get(pk=action.pk)
    assert bulk._step(action, runs[0])
    assert not bulk._step(stale, runs[0])
    assert retries_of(runs[0]) == 1


def test_a_run_that_was_run_again_is_left_alone_by_the_next_action() -> None:
    first = new_run(RunStatus.ERROR)
    ended(begin(Verb.RETRY, status="error"))
    second = new_run(RunStatus.ERROR)
    action = ended(begin(Verb.RESTART, status="error"))
    assert (action.done, action.refused) == (1, {"The run was run again already": 1})
    assert (retries_of(first), retries_of(second)) == (1, 1)


def test_a_form_that_is_sent_twice_is_one_action(login: Login) -> None:
    run, form_id = new_run(RunStatus.ERROR), str(uuid.uuid4())
    client = login("operator")
    form = {"verb": "retry", "which": "chosen", "run": str(run.pk), "id": form_id}
    answers = [client.post(BEGIN, form) for _ in range(2)]
    assert [answer["Location"] for answer in answers] == [f"/admin/runs/bulk/{form_id}/"] * 2
    assert BulkAction.objects.count() == 1


# --- stopped, waiting, broken -----------------------------------------------------------------------------------------


def test_it_stops_before_its_next_run(login: Login) -> None:
    runs = [new_run() for _ in range(4)]
    action, client = begin(Verb.CANCEL, status="pending"), login("operator")
    assert bulk._step(action, runs[3])
    client.post(f"/admin/runs/bulk/{action.pk}/stop/")
    assert not bulk._step(action, runs[2]), "a batch that was begun before"
    bulk.work()
    action.refresh_from_db()
    assert (action.state, action.seen, action.stopped_by) == ("stopped", 1, "the operator")
    assert statuses(runs) == ["pending"] * 3 + ["interrupted"]
    page = client.get(f"/admin/runs/bulk/{action.pk}/").content.decode()
    assert "stopped by the operator" in page and "stop-bulk" not in page
    (entry,) = AuditEntry.objects.filter(object_type="console.bulkaction")
    assert entry.after == {"seen": 1, "done": 1, "refused": {}, "stopped_by": "the operator"}


def test_a_full_queue_is_waited_for(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [new_run(RunStatus.ERROR) for _ in range(3)]
    action = begin(Verb.RETRY, status="error")
    monkeypatch.setattr(queue_limit, "queue", queue_limit.Queue)  # counts at every question
    settings.MAX_PENDING_RUNS = 1
    bulk.work()
    action.refresh_from_db()
    assert (action.state, action.seen) == ("running", 1)
    assert "Too many runs" in action.note
    settings.MAX_PENDING_RUNS = 10
    action = ended(action)
    assert (action.done, action.note, sum(retries_of(run) for run in runs)) == (3, "", 3)


def test_a_broken_run_holds_up_no_other() -> None:
    good, broken = new_run(RunStatus.ERROR), new_run(RunStatus.ERROR)
    Run.objects.filter(pk=broken.pk).update(kwargs={})
    action = ended(begin(Verb.RETRY, status="error"))
    assert (action.done, action.refused) == (1, {"KeyError": 1})
    assert retries_of(good) == 1


def test_many_runs_are_dealt_with_in_pieces_of_so_many_queries(
    django_assert_max_num_queries: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    many, assistant_id = 5000, default_assistant_ids()["counter"]
    thread = Thread.objects.create()
    Run.objects.bulk_create(
        Run(thread=thread, assistant_id=assistant_id, status=RunStatus.ERROR, kwargs={}) for _ in range(many)
    )
    action = begin(Verb.DELETE, status="error")
    assert action.expected == many
    monkeypatch.setattr(bulk, "BATCH", 40)
    left = many
    for _ in range(3):
        with django_assert_max_num_queries(3 + 40 * 16):
            assert bulk._work_on(action.pk, float("inf")) == (40, True)
        left -= 40
        assert Run.objects.count() == left
    seen = bulk.work(0.2)
    action.refresh_from_db()
    assert 0 < seen < left, "a tick ends when its time is up"
    assert (action.seen, action.done) == (many - left + seen, many - left + seen)


# --- who may ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("role", "verb", "status"),
    [
        ("viewer", "cancel", 403),
        ("responder", "retry", 403),
        ("operator", "cancel", 302),
        ("operator", "delete", 403),
        ("admin", "delete", 302),
    ],
)
def test_who_may_do_what_to_many_runs(login: Login, role: str, verb: str, status: int) -> None:
    run, client = new_run(), login(role)
    answer = client.post(BEGIN, {"verb": verb, "which": "chosen", "run": str(run.pk), "typed": "delete"})
    assert answer.status_code == status
    assert BulkAction.objects.count() == (status == 302)
    seen = client.get(LIST).content.decode()
    assert ('form="bulk"' in seen, "bulk-delete" in seen) == (role in ("operator", "admin"), role == "admin")
    for path in ("/admin/runs/bulk/", *(f"/admin/runs/bulk/{one.pk}/" for one in BulkAction.objects.all())):
        assert client.get(path).status_code == 200


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"verb": "cancel", "which": "all", "thread": "nonsense"}, "is no id"),
        ({"verb": "cancel", "which": "all", "status": "nonsense"}, "is none of its values"),
        ({"verb": "cancel", "which": "all", "longer": "nan"}, "is no number"),
        ({"verb": "cancel", "which": "chosen"}, "Choose the runs first"),
        ({"verb": "drop", "which": "all"}, "Say what is to be done"),
        ({"verb": "delete", "which": "all", "typed": "x"}, "type “delete”"),
    ],
)
def test_what_is_unclear_does_nothing(login: Login, form: dict[str, str], said: str) -> None:
    new_run()
    answer = login("admin").post(BEGIN, form, follow=True)
    assert said in answer.content.decode()
    assert not BulkAction.objects.exists()


def test_the_list_says_how_many_match_to_a_bound(login: Login, monkeypatch: pytest.MonkeyPatch) -> None:
    client = login("operator")
    runs = [new_run() for _ in range(3)]
    assert "all 3 runs" in client.get(LIST).content.decode()
    assert "all 3 that match" in client.get(f"{LIST}?status=pending").content.decode()
    assert 'value="all"' not in client.get(f"{LIST}?thread=nonsense").content.decode()
    Run.objects.bulk_create(Run(thread=runs[0].thread, assistant_id=runs[0].assistant_id) for _ in range(60))
    monkeypatch.setattr("console.runs.COUNTED", 55)
    assert "at least 55 that match" in client.get(f"{LIST}?status=pending").content.decode()


def test_the_list_takes_no_more_than_twelve_queries(login: Login, django_assert_max_num_queries: Any) -> None:
    run = new_run()
    Run.objects.bulk_create(Run(thread=run.thread, assistant_id=run.assistant_id) for _ in range(120))
    client = login("admin")
    for query in ("", "?status=pending", "?attempts=1"):
        with django_assert_max_num_queries(12):
            client.get(f"{LIST}{query}")


# --- saved views ------------------------------------------------------------------------------------------------------


def test_views_are_ones_own_or_everybodys(login: Login) -> None:
    ann, bob, viewer, admin = (login(role) for role in ("operator", "responder", "viewer", "admin"))
    save = "/admin/views/runs/save/"
    answer = ann.post(save, {"name": "Mine", "status": "error", "which": "all"})
    assert answer["Location"] == f"{LIST}?status=error"
    ann.post(save, {"name": "Ours", "graph": "counter", "shared": "yes"})
    ann.post(save, {"name": "Ours", "graph": "echo", "shared": "yes"})
    assert list(SavedView.objects.values_list("name", "filters")) == [
        ("Mine", {"status": "error"}),
        ("Ours", {"graph": "echo"}),
    ]
    seen = [client.get(LIST).content.decode() for client in (ann, bob, viewer)]
    assert ["Mine" in page for page in seen] == [True, False, False]
    assert all("Ours" in page and "Failed in the last 24 h" in page for page in seen)
    assert [client.post(save, {"name": "x", "status": "error"}).status_code for client in (bob, viewer)] == [403, 403]
    assert "Mine" not in ann.get("/admin/threads/").content.decode()
    ours, mine = SavedView.objects.get(name="Ours"), SavedView.objects.get(name="Mine")
    assert bob.post(f"/admin/views/{ours.pk}/delete/").status_code == 403
    assert admin.post(f"/admin/views/{mine.pk}/delete/").status_code == 404
    assert admin.post(f"/admin/views/{ours.pk}/delete/").status_code == 302
    assert ann.post(f"/admin/views/{mine.pk}/delete/").status_code == 302
    assert not SavedView.objects.exists()


def test_built_in_views_find_what_they_say(login: Login) -> None:
    client = login("viewer")
    failed, waiting, retried = new_run(RunStatus.ERROR), new_run(), new_run(RunStatus.SUCCESS)
    Run.objects.filter(pk=waiting.pk).update(created_at=timezone.now() - timedelta(minutes=5))
    Run.objects.filter(pk=retried.pk).update(attempt=3)
    for query, run in (("status=error&period=24h", failed), ("waiting=60", waiting), ("attempts=2", retried)):
        page = client.get(f"{LIST}?{query}").content.decode()
        assert f"/admin/runs/{run.pk}/" in page
        assert page.count('data-label="Created"') == 1
        assert 'aria-current="page">All' not in page
    assert "Asking somebody" in client.get("/admin/threads/").content.decode()
