"""The audit log: what is written stays as it is, and only with what it tells of."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, connection, transaction
from django.test import RequestFactory
from django.utils import timezone

from accounts import tasks
from accounts.audit import SYSTEM, Actor, record
from accounts.models import ActorKind, AuditEntry

pytestmark = pytest.mark.django_db
SUBJECT = ("runs.run", "1")


def old_entry(age: timedelta) -> AuditEntry:
    entry = AuditEntry(actor="system", actor_kind="system", action="old", object_type="a.b", object_id="1")
    entry.created_at = timezone.now() - age
    entry.save(force_insert=True)
    return entry


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE accounts_auditentry SET actor = 'somebody else'",
        "UPDATE accounts_auditentry SET created_at = created_at",
        "DELETE FROM accounts_auditentry",
    ],
)
def test_the_database_refuses_to_change_or_delete_an_entry(statement: str) -> None:
    record(SYSTEM, "create", SUBJECT)
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
    assert AuditEntry.objects.get().actor == "system"


def test_retention_deletes_what_is_older_than_it_says_and_nothing_else() -> None:
    old, new = old_entry(timedelta(days=3)), record(SYSTEM, "create", SUBJECT)
    yesterday = timezone.now() - timedelta(days=1)
    assert AuditEntry.objects.forget(yesterday, 10) == 1
    assert list(AuditEntry.objects.all()) == [new]
    assert not AuditEntry.objects.filter(pk=old.pk).exists()
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT set_config('weft.audit_forget_before', %s, true)", [yesterday.isoformat()])
        cursor.execute("DELETE FROM accounts_auditentry")


@pytest.mark.django_db(transaction=True)
def test_the_permission_to_delete_ends_with_its_transaction() -> None:
    old_entry(timedelta(days=3))
    AuditEntry.objects.forget(timezone.now() - timedelta(days=4), 10)
    with pytest.raises(DatabaseError, match="append-only"):
        AuditEntry.objects.all().delete()
    old_entry(timedelta(days=3))
    assert AuditEntry.objects.forget(timezone.now(), 1) == 1
    assert AuditEntry.objects.count() == 1


@pytest.mark.parametrize(("days", "kept"), [(0, 2), (1, 1)])
def test_the_tick_keeps_entries_for_as_long_as_the_setting_says(settings: Any, days: int, kept: int) -> None:
    settings.AUDIT_RETENTION_DAYS = days
    old_entry(timedelta(days=2))
    record(SYSTEM, "create", SUBJECT)
    tasks.forget_audit()
    assert AuditEntry.objects.count() == kept


def test_an_entry_is_kept_only_if_what_it_tells_of_is() -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        record(SYSTEM, "create", SUBJECT)
        raise ZeroDivisionError
    assert not AuditEntry.objects.exists()


def test_an_entry_says_who_did_what_to_which_row_from_where() -> None:
    user = User.objects.create_user("ada")
    request = RequestFactory().post("/", REMOTE_ADDR="192.0.2.7")
    request.user = user
    record(request, "rename", user, before={"name": "a"}, after={"name": "b"}, reason="married")
    entry = AuditEntry.objects.about(user).get()
    assert (entry.actor, entry.actor_kind, entry.ip) == ("ada", ActorKind.PERSON, "192.0.2.7")
    assert (entry.action, entry.object_type, entry.object_id) == ("rename", "auth.user", str(user.pk))
    assert (entry.before, entry.after, entry.reason) == ({"name": "a"}, {"name": "b"}, "married")
    assert timezone.now() - entry.created_at < timedelta(seconds=60)


def test_an_address_that_is_none_does_not_keep_an_entry_from_being_written() -> None:
    request = RequestFactory().post("/", REMOTE_ADDR="")
    request.user = User.objects.create_user("ada")
    assert record(request, "rename", SUBJECT).ip is None


def test_the_newest_entry_comes_first() -> None:
    named = [record(Actor(name, ActorKind.KEY), "create", SUBJECT) for name in "abc"]
    assert list(AuditEntry.objects.all()) == named[::-1]


def test_lists_and_histories_of_an_object_use_an_index() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off")
    newest = AuditEntry.objects.all()[:50].explain()
    history = AuditEntry.objects.filter(object_type="runs.run", object_id="1").order_by("-created_at")[:50].explain()
    assert "audit_newest" in newest and "audit_object" in history
