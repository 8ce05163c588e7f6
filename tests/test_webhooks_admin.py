"""The admin's pages of webhooks: an endpoint made, its secret shown once, deliveries seen and sent again."""

import re
from datetime import timedelta
from ipaddress import ip_network
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from webhooks.models import DeliveryStatus, Event, WebhookDelivery, WebhookEndpoint
from webhooks.sending import Attempt

pytestmark = pytest.mark.django_db
SECRET = re.compile(r"whsec_[A-Za-z0-9+/]{42,}=*")


@pytest.fixture(autouse=True)
def _loopback(settings: Any) -> None:
    settings.WEBHOOK_ALLOWED_NETWORKS = (ip_network("127.0.0.1"),)


@pytest.fixture
def endpoint() -> WebhookEndpoint:
    return WebhookEndpoint.objects.create(url="http://127.0.0.1:1/hook", events=[Event.ERROR], description="pager")


@pytest.fixture
def delivery(endpoint: WebhookEndpoint) -> WebhookDelivery:
    attempt = Attempt(endpoint.url, status=500, failure="bad_status", answer="<b>oops</b>", milliseconds=12)
    return WebhookDelivery.objects.create(
        endpoint=endpoint,
        url=endpoint.url,
        lane="x",
        event=Event.ERROR,
        body='{"type":"run.error"}',
        status=DeliveryStatus.FAILED,
        failure="bad_status",
        attempts=[attempt.document()],
    )


def page(row: Any, what: str = "change") -> str:
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_{what}", args=[row.pk])


def text_of(client: Client, url: str) -> str:
    response = client.get(url, follow=True)
    assert response.status_code == 200, url
    return response.content.decode()


def test_an_endpoint_is_made_and_its_secret_shown_once(admin_client: Client) -> None:
    url = reverse("admin:webhooks_webhookendpoint_add")
    form = {"url": "http://127.0.0.1:1/", "events": ["run.error", "run.success"], "metadata": "{}", "enabled": "on"}
    shown = admin_client.post(url, {**form, "_continue": "1"}, follow=True).content.decode()
    made = WebhookEndpoint.objects.get()
    assert made.events == ["run.success", "run.error"] or made.events == ["run.error", "run.success"]
    assert SECRET.findall(shown.replace("&#x2B;", "+")) == [made.secret]
    assert made.secret not in text_of(admin_client, page(made))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"url": "http://localhost/"}, "localhost address"),
        ({"metadata": "[1]"}, "must be a JSON object"),
        ({"events": []}, "required"),
    ],
    ids=str,
)
def test_what_the_api_refuses_the_form_refuses(admin_client: Client, change: dict[str, Any], reason: str) -> None:
    form = {"url": "http://127.0.0.1:1/", "events": ["run.error"], "metadata": "{}", **change}
    response = admin_client.post(reverse("admin:webhooks_webhookendpoint_add"), form)
    assert reason in response.content.decode()
    assert not WebhookEndpoint.objects.exists()


def test_the_pages_answer_and_show_what_was_sent(
    admin_client: Client, endpoint: WebhookEndpoint, delivery: WebhookDelivery
) -> None:
    for name in ("webhookendpoint", "webhookdelivery"):
        assert "pager" in text_of(admin_client, reverse(f"admin:webhooks_{name}_changelist"))
    query = f"?endpoint__endpoint_id__exact={endpoint.pk}&status__exact=failed&q={delivery.pk}"
    found = text_of(admin_client, reverse("admin:webhooks_webhookdelivery_changelist") + query)
    assert str(delivery.pk) in found
    shown = text_of(admin_client, page(delivery))
    assert "&lt;b&gt;oops&lt;/b&gt;" in shown and "bad_status" in shown and "run.error" in shown
    assert "0.0% arrived (1 failed)" in text_of(admin_client, page(endpoint))


def test_a_notice_says_why_the_server_switched_an_endpoint_off(admin_client: Client, endpoint: WebhookEndpoint) -> None:
    WebhookEndpoint.objects.switch_off(endpoint.pk, "It answered 410 Gone.")
    assert "It answered 410 Gone." in text_of(admin_client, page(endpoint))
    assert "switched off" in text_of(admin_client, reverse("admin:webhooks_webhookendpoint_changelist"))


def test_a_test_event_is_sent_from_the_page(admin_client: Client, endpoint: WebhookEndpoint) -> None:
    admin_client.get(reverse("admin:webhooks_webhookendpoint_send_test", args=[endpoint.pk]))
    assert WebhookDelivery.objects.get().event == Event.TEST


def test_failed_deliveries_are_sent_again(
    admin_client: Client, endpoint: WebhookEndpoint, delivery: WebhookDelivery
) -> None:
    def again(status: str) -> bool:
        delivery.refresh_from_db()
        found = delivery.status == status
        WebhookDelivery.objects.update(status="failed")
        return found

    admin_client.get(reverse("admin:webhooks_webhookdelivery_redeliver", args=[delivery.pk]))
    assert again("pending")
    chosen = {"action": "redeliver_selected", "_selected_action": [str(delivery.pk)]}
    admin_client.post(reverse("admin:webhooks_webhookdelivery_changelist"), chosen)
    assert again("pending")
    url = reverse("admin:webhooks_webhookendpoint_redeliver", args=[endpoint.pk])
    assert admin_client.get(url).status_code == 200
    form = {"_form_submitted": "on", "since": "1"}
    admin_client.post(url, form)
    assert again("pending")
    WebhookDelivery.objects.update(created_at=timezone.now() - timedelta(hours=2))
    admin_client.post(url, form)
    assert again("failed")


def test_a_secret_is_rotated(admin_client: Client, endpoint: WebhookEndpoint) -> None:
    url = reverse("admin:webhooks_webhookendpoint_rotate", args=[endpoint.pk])
    admin_client.post(url, {"_form_submitted": "on", "hours": "2"})
    before, now = endpoint.secret, WebhookEndpoint.objects.get()
    assert now.secrets() == [now.secret, before] and now.secret != before
    assert now.secret in text_of(admin_client, page(endpoint)).replace("&#x2B;", "+")


def test_who_may_only_look_does_nothing(client: Client, endpoint: WebhookEndpoint, delivery: WebhookDelivery) -> None:
    from django.contrib.auth.models import Permission, User

    viewer = User.objects.create(username="viewer", is_staff=True)
    viewer.user_permissions.set(Permission.objects.filter(codename__startswith="view_webhook"))
    client.force_login(viewer)
    assert "pager" in text_of(client, page(endpoint))
    for url in (
        reverse("admin:webhooks_webhookendpoint_send_test", args=[endpoint.pk]),
        reverse("admin:webhooks_webhookendpoint_rotate", args=[endpoint.pk]),
        reverse("admin:webhooks_webhookdelivery_redeliver", args=[delivery.pk]),
    ):
        assert client.get(url).status_code == 403, url
    assert WebhookDelivery.objects.get().status == "failed"
