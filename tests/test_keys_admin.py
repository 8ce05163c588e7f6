"""The admin's pages of keys, tenants and the audit log. A key's text is on the page that made it and nowhere else."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.audit import SYSTEM
from accounts.issuing import FORM, create_key, digest_of
from accounts.models import ApiKey, AuditEntry, KeyState, Tenant

pytestmark = pytest.mark.django_db
LIST, ADD = reverse("admin:accounts_apikey_changelist"), reverse("admin:accounts_apikey_add")


def page(row: Any, what: str = "change") -> str:
    return reverse(f"admin:accounts_{row._meta.model_name}_{what}", args=[row.pk])


def text_of(client: Client, url: str) -> str:
    response = client.get(url)
    assert response.status_code == 200, url
    return response.content.decode()


def key_on(response: Any) -> str:
    """The one key on a page, which no cache keeps."""
    assert response.status_code == 200 and "no-store" in response.headers["Cache-Control"]
    found = re.findall(FORM, response.content.decode())
    assert len(found) == 1
    return str(found[0])


def test_a_key_is_made_and_shown_once(admin_client: Client) -> None:
    tenant = Tenant.objects.create(slug="acme")
    form = {"name": "ci", "tenant": tenant.pk, "scopes": "threads:read\nstore:*", "burst": 5, "requests_per_second": 2}
    text = key_on(admin_client.post(ADD, form))
    key = ApiKey.objects.get(digest=digest_of(text))
    assert (key.name, key.tenant, key.scopes, key.created_by) == ("ci", tenant, ["store:*", "threads:read"], "admin")
    assert (key.requests_per_second, key.burst) == (2, 5)
    secret = text.rpartition("_")[2]
    for url in (LIST, ADD, page(key), page(key, "rotate"), reverse("admin:accounts_auditentry_changelist"), "/admin/"):
        assert secret not in text_of(admin_client, url), url
    for entry in AuditEntry.objects.all():
        assert secret not in text_of(admin_client, page(entry))
        assert secret not in f"{entry.before}{entry.after}"
    kept = "".join(str(session.get_decoded()) for session in Session.objects.all())
    assert secret not in kept and secret not in str(admin_client.cookies)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"scopes": "threads"}, "is no scope"),
        ({"scopes": " "}, "required"),
        ({"name": ""}, "required"),
        ({"expires_at_0": "2020-01-01", "expires_at_1": "0:0"}, "over already"),
        ({"requests_per_second": "-1"}, "greater than"),
    ],
    ids=str,
)
def test_what_cannot_be_a_key_is_said_in_the_form(admin_client: Client, wrong: dict[str, str], reason: str) -> None:
    response = admin_client.post(ADD, {"name": "ci", "scopes": "*", **wrong})
    assert reason in response.content.decode()
    assert not ApiKey.objects.exists()


def test_a_key_is_rotated_on_a_page_that_shows_the_new_one(admin_client: Client) -> None:
    old = create_key(SYSTEM, "ci").key
    assert "Rotate" in text_of(admin_client, page(old, "rotate"))
    assert ApiKey.objects.count() == 1
    text = key_on(admin_client.post(page(old, "rotate"), {"hours": "2"}))
    old.refresh_from_db()
    assert ApiKey.objects.get(digest=digest_of(text)).rotated_from == old
    assert old.overlap_until and timedelta(0) < old.overlap_until - timezone.now() <= timedelta(hours=2)
    again = admin_client.post(page(old, "rotate"), {"hours": "2"}, follow=True).content.decode()
    assert "only an active key can be rotated" in again and ApiKey.objects.count() == 2


def test_keys_are_revoked_from_their_page_and_from_the_list(admin_client: Client) -> None:
    first, second = create_key(SYSTEM, "a").key, create_key(SYSTEM, "b").key
    answer = admin_client.post(page(first, "revoke"), {"reason": "leaked", "_form_submitted": "on"})
    assert answer.headers["HX-Redirect"] == page(first)
    admin_client.post(LIST, {"action": "revoke_selected", "_selected_action": [str(second.pk)]})
    assert {key.state for key in ApiKey.objects.all()} == {KeyState.REVOKED}
    entry = AuditEntry.objects.about(first).get(action="revoke")
    assert (entry.actor, entry.actor_kind, entry.reason, entry.ip) == ("admin", "person", "leaked", "127.0.0.1")


def test_a_key_can_be_neither_edited_nor_deleted(admin_client: Client) -> None:
    key = create_key(SYSTEM, "ci").key
    assert admin_client.post(page(key), {"name": "changed", "scopes": "*"}).status_code == 403
    assert admin_client.post(page(key, "delete"), {"post": "yes"}).status_code == 403
    assert ApiKey.objects.get().name == "ci"


def test_who_may_only_look_at_keys_can_do_nothing_to_them(client: Client) -> None:
    looker = User.objects.create_user("looker", is_staff=True)
    looker.user_permissions.set(Permission.objects.filter(codename="view_apikey"))
    client.force_login(looker)
    key = create_key(SYSTEM, "ci").key
    text_of(client, LIST)
    assert client.post(ADD, {"name": "mine", "scopes": "*"}).status_code == 403
    for verb in ("rotate", "revoke"):
        assert client.post(page(key, verb), {"hours": "1", "_form_submitted": "on"}).status_code == 403
    assert ApiKey.objects.get().state == KeyState.ACTIVE


@pytest.mark.parametrize(("role", "status"), [("viewer", 403), ("operator", 403), ("admin", 200)])
def test_keys_are_for_admins_alone(client: Client, role: str, status: int) -> None:
    user = User.objects.create_user("somebody", is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    client.force_login(user)
    for url in (LIST, ADD, page(create_key(SYSTEM, "ci").key), reverse("admin:accounts_tenant_changelist")):
        assert client.get(url).status_code == status, url


def test_what_is_changed_of_a_tenant_is_in_the_audit_log(admin_client: Client) -> None:
    admin_client.post(reverse("admin:accounts_tenant_add"), {"slug": "acme", "name": "Acme", "runs_in_flight": 3})
    tenant = Tenant.objects.get(slug="acme")
    admin_client.post(page(tenant), {"slug": "other", "name": "Acme", "runs_in_flight": 5})
    tenant.refresh_from_db()
    assert (tenant.slug, tenant.runs_in_flight) == ("acme", 5)
    admin_client.post(page(tenant, "delete"), {"post": "yes"})
    history = list(AuditEntry.objects.about(tenant).values_list("action", "before", "after"))
    assert [action for action, _, _ in history] == ["delete", "change", "create"]
    assert history[1][1:] == ({"runs_in_flight": 3}, {"runs_in_flight": 5})


def test_the_audit_log_is_searched_by_actor_and_object(admin_client: Client) -> None:
    key = create_key(SYSTEM, "ci").key
    url = reverse("admin:accounts_auditentry_changelist")
    for found in ("system", str(key.pk)):
        assert str(key.pk)[-12:] in text_of(admin_client, f"{url}?q={found}")
    assert str(key.pk)[-12:] not in text_of(admin_client, f"{url}?q=nobody")
