"""Roles: what each may do, here and on the admin's pages of rows."""

from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, Group, User
from django.test import Client
from django.urls import reverse

from console.roles import ROLES, Role, role_of

pytestmark = pytest.mark.django_db


def person(role: str, **fields: Any) -> User:
    user = User.objects.create_user(f"the {role}", is_staff=True, **fields)
    user.groups.set(Group.objects.filter(name=role))
    return user


def test_a_migration_makes_the_groups() -> None:
    assert set(Group.objects.values_list("name", flat=True)) == {str(role) for role in ROLES}


def test_a_role_is_the_highest_of_the_groups() -> None:
    user = person("viewer")
    user.groups.add(Group.objects.get(name="operator"))
    assert role_of(user) == Role.OPERATOR


def test_strangers_the_inactive_and_those_who_may_not_sign_in_have_none() -> None:
    assert role_of(AnonymousUser()) == Role.NONE
    assert role_of(person("admin", is_active=False)) == Role.NONE
    outside = User.objects.create_user("outside")
    outside.groups.add(Group.objects.get(name="admin"))
    assert role_of(outside) == Role.NONE


def test_a_superuser_is_an_admin() -> None:
    assert role_of(User(is_active=True, is_staff=True, is_superuser=True)) == Role.ADMIN


@pytest.mark.parametrize(
    ("role", "permissions"),
    [
        ("viewer", "runs.view_run threads.view_thread"),
        ("responder", "runs.view_run threads.view_thread"),
        ("operator", "runs.view_run runs.change_run crons.change_cron webhooks.change_webhookdelivery"),
        ("admin", "runs.change_run threads.delete_thread webhooks.add_webhookendpoint auth.change_user"),
    ],
)
def test_a_role_gives_djangos_permissions(role: str, permissions: str) -> None:
    user = person(role)
    asked = [
        *("runs.view_run", "runs.change_run", "threads.delete_thread", "auth.view_user", "auth.change_user"),
        *("crons.change_cron", "webhooks.add_webhookendpoint", "webhooks.change_webhookendpoint"),
        *("webhooks.change_webhookdelivery", "accounts.view_auditentry", "accounts.view_apikey", "threads.view_thread"),
    ]
    granted = {permission for permission in asked if user.has_perm(permission)}
    assert set(permissions.split()) <= granted
    if role in ("viewer", "responder"):
        assert granted == {"runs.view_run", "threads.view_thread"}
    if role == "operator":
        assert not granted & {
            *("threads.delete_thread", "auth.view_user", "webhooks.add_webhookendpoint", "accounts.view_apikey")
        }


@pytest.mark.parametrize(("role", "status"), [("viewer", 200), ("none", 403)])
def test_a_viewer_sees_rows_and_who_has_no_role_does_not(client: Client, role: str, status: int) -> None:
    client.force_login(person(role))
    assert client.get(reverse("admin:runs_run_changelist")).status_code == status


def test_a_viewer_may_not_do_what_an_operator_does(client: Client) -> None:
    cancel = reverse("admin:runs_run_cancel", args=["00000000-0000-0000-0000-000000000000"])
    client.force_login(person("viewer"))
    assert client.post(cancel, {"action": "interrupt"}).status_code == 403
    client.force_login(person("operator"))
    assert client.post(cancel, {"action": "interrupt"}).status_code != 403


def test_a_role_costs_one_query_a_request(django_assert_num_queries: Any) -> None:
    user = User.objects.get(pk=person("operator").pk)
    with django_assert_num_queries(1):
        assert role_of(user) == role_of(user) == Role.OPERATOR
