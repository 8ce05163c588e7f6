"""Storage and retention: the largest threads are found and measured, sweeps noted, and swept now by admins alone."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test import Client
from django.utils import timezone

from accounts.models import AuditEntry
from accounts.tasks import forget_audit
from config import sweeps
from config.models import Sweep
from console import storage
from console.models import ThreadSize
from threads import measuring
from threads.models import Thread

pytestmark = pytest.mark.django_db
QUERIES = 12  # session, user, role, sweeps, sizes of all, of tables, threads twice, savepoints aside


@pytest.fixture
def people(client: Client) -> Iterator[Any]:
    """Signs somebody with a role in: `people("viewer").get(...)`."""

    def signed_in(role: str) -> Client:
        user = User.objects.create_user(role, is_staff=True)
        user.groups.set(Group.objects.filter(name=role))
        client.force_login(user)
        return client

    yield signed_in


def thread_of(*sizes: int) -> Thread:
    """A thread with a checkpoint, and a value of so many bytes each in its channel."""
    thread = Thread.objects.create(metadata={"graph_id": "chat"})
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO checkpoints (thread_id, checkpoint_id, checkpoint, metadata)"
            " VALUES (%s, '1', '{\"channel_versions\": {}}', '{}')",
            [str(thread.pk)],
        )
        cursor.executemany(
            "INSERT INTO checkpoint_blobs (thread_id, channel, version, type, blob)"
            " VALUES (%s, 'log', %s, 'bytes', %s)",
            [(str(thread.pk), str(number), b"x" * size) for number, size in enumerate(sizes)],
        )
    return thread


def test_the_largest_threads_are_measured_exactly_and_forgotten_with_their_rows(
    people: Any, django_assert_max_num_queries: Any
) -> None:
    small, large = thread_of(10), thread_of(300_000, 20_000)
    storage.measure()
    assert [one.thread.pk for one in storage.largest()] == [large.pk, small.pk]
    assert storage.largest()[0].size.bytes == measuring.storage(large.pk)["total_bytes"] > 320_000
    viewer = people("viewer")
    with django_assert_max_num_queries(QUERIES):
        page = viewer.get("/admin/storage/").content.decode()
    assert str(large.pk) in page and "checkpoint_blobs" in page and "Sweep now" not in page
    with connection.cursor() as cursor:
        for table in measuring.SIZED:
            cursor.execute(f"DELETE FROM {table} WHERE thread_id = %s", [str(large.pk)])
    storage.measure()
    assert [one.thread.pk for one in storage.largest()] == [small.pk]


def test_a_large_thread_of_few_rows_is_found_by_samples_of_a_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "PAGES", 8)
    monkeypatch.setattr(storage, "CANDIDATES", 2)
    for _ in range(30):
        thread_of(*[1500] * 20)  # four pages each
    large = thread_of(*[5_000_000] * 2)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM checkpoints")  # a table of a page or two would be read as a whole
    assert len(measuring.sampled(8, 100)) < 25, "a sample reads a part only"
    looks = 0
    while not ThreadSize.objects.filter(thread_id=large.pk).exists():
        looks += 1
        assert looks < 500
        storage.measure()
    storage.measure()
    assert storage.largest()[0].thread.pk == large.pk, "once found it is measured again"


def test_a_sweep_is_noted_with_what_it_removed() -> None:
    old = timezone.now() - timedelta(days=4000)
    for number in range(3):
        AuditEntry.objects.create(actor="x", action="y", object_type="z", object_id=str(number), created_at=old)
    forget_audit()
    first = Sweep.objects.get(name="audit")
    assert (first.removed, first.total) == (3, 3) and first.removed_at
    forget_audit()
    second = Sweep.objects.get(name="audit")
    assert (second.removed, second.total, second.removed_at) == (3, 3, first.removed_at)
    assert second.swept_at > first.swept_at


def test_batches_end_with_one_that_is_not_full_or_in_time() -> None:
    left = iter([sweeps.BATCH, sweeps.BATCH, 7, 0])
    assert sweeps.in_batches(lambda most: next(left)) == 2 * sweeps.BATCH + 7
    assert sweeps.in_batches(lambda most: most, seconds=0) == sweeps.BATCH


def test_an_admin_sweeps_now_and_nobody_else_does(people: Any) -> None:
    late, kept = Thread.objects.create(), Thread.objects.create()
    old = AuditEntry.objects.create(
        actor="x", action="y", object_type="z", object_id="1", created_at=timezone.now() - timedelta(days=4000)
    )
    Thread.objects.filter(pk=late.pk).update(expires_at=timezone.now() - timedelta(hours=1), ttl_strategy="delete")
    assert people("operator").post("/admin/storage/sweep/threads/").status_code == 403
    assert Thread.objects.filter(pk=late.pk).exists()
    admin = people("admin")
    page = admin.post("/admin/storage/sweep/threads/", follow=True).content.decode()
    assert "Threads swept: 1 went." in page and "Sweep now: Threads" in page
    assert AuditEntry.objects.filter(pk=old.pk).exists(), "to look sweeps nothing"
    assert list(Thread.objects.all()) == [kept]
    assert Sweep.objects.get(name="threads").total == 1
    entry = AuditEntry.objects.get(action="sweep")
    assert (entry.object_id, entry.after) == ("threads", {"removed": 1})
    assert admin.post("/admin/storage/sweep/events/").status_code == 404


@pytest.mark.parametrize("name", ["items", "deliveries", "audit", "firings", "answers"])
def test_every_sweep_can_be_carried_out_now(people: Any, name: str) -> None:
    page = people("admin").post(f"/admin/storage/sweep/{name}/", follow=True).content.decode()
    assert "nothing&#x27;s time is up" in page
    assert Sweep.objects.get(name=name).total == 0
