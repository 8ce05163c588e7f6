"""Deliveries are signed, sent, tried again and given up; on committed rows and to a real receiver."""

import ssl
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from standardwebhooks import Webhook, WebhookVerificationError

from config import outbound
from config.project import project
from tests.receiver import Received, Receiver, Reply, receiving, until
from threads.models import HeadState
from webhooks import outbox, outcome, sender, tasks
from webhooks.models import SUBSCRIBABLE, DeliveryStatus, Event, WebhookDelivery, WebhookEndpoint

# Rows are committed, because senders have connections of their own; of a test only this app's tables are emptied.
pytestmark = pytest.mark.django_db(transaction=True, available_apps=["webhooks"])
TLS = Path(__file__).parent / "tls"
LEASE = timedelta(seconds=30)
DONE = HeadState(values={"answer": 42}, exists=True)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


@pytest.fixture(autouse=True)
def _at_once(settings: Any) -> None:
    """Loopback allowed, retries at once."""
    settings.WEBHOOK_ALLOWED_NETWORKS = (ip_network("127.0.0.1"),)
    settings.WEBHOOK_RETRY_SECONDS = (0.1, 0.1, 0.1)


def new_endpoint(url: str, events: list[str] | None = None, **fields: Any) -> WebhookEndpoint:
    return WebhookEndpoint.objects.create(url=url, events=SUBSCRIBABLE if events is None else events, **fields)


def sent(*deliveries: WebhookDelivery) -> None:
    """Have them sent; returns when none is pending."""
    sender.start().wake()
    tick = time.monotonic()

    def settled() -> bool:
        nonlocal tick
        if time.monotonic() - tick > 0.1:  # what beat does
            tick = time.monotonic()
            sender.start().wake()
        return not WebhookDelivery.objects.filter(status=DeliveryStatus.PENDING).exists()

    until(settled)
    for delivery in deliveries:
        delivery.refresh_from_db()


def names(delivery: WebhookDelivery) -> list[str]:
    return [attempt["failure"] for attempt in delivery.attempts]


def verified(request: Received, secret: str) -> Any:
    """The document of a request whose signature the official library accepts."""
    return Webhook(secret).verify(request.body, request.headers)


# --- sent -------------------------------------------------------------------------------------------------------------


def delivery_to(url: str, **fields: Any) -> WebhookDelivery:
    fields = {"lane": "receiver", "event": Event.SUCCESS, "body": '{"status":"success"}', **fields}
    return WebhookDelivery.objects.create(url=url, **fields)


def test_a_delivery_is_sent_signed_and_its_attempt_kept(receiver: Receiver) -> None:
    endpoint = new_endpoint(receiver.script("/hook", Reply(body=b"thanks", headers={"X-Trace": "7"})))
    delivery = outbox.write_test(endpoint)
    sent(delivery)
    (request,) = receiver.to("/hook")
    assert verified(request, endpoint.secret)["type"] == "webhook.test"
    assert request.headers["webhook-id"] == str(delivery.pk)
    assert request.headers["content-type"] == "application/json"
    (attempt,) = delivery.attempts
    assert (delivery.status, attempt["status"], attempt["failure"], attempt["answer"]) == (
        "delivered", 200, "", "thanks",
    )  # fmt: skip
    assert attempt["answer_headers"]["x-trace"] == "7"
    assert attempt["request_headers"]["webhook-signature"] == request.headers["webhook-signature"]
    assert attempt["milliseconds"] >= 0
    with pytest.raises(WebhookVerificationError):
        verified(request, new_endpoint(receiver.url).secret)


def test_both_secrets_sign_until_the_overlap_is_over(receiver: Receiver) -> None:
    endpoint = new_endpoint(receiver.script("/hook"))
    before = endpoint.secret
    endpoint.rotate(timedelta(hours=1))
    outbox.write_test(endpoint)
    sent()
    assert verified(receiver.to("/hook")[0], before) == verified(receiver.to("/hook")[0], endpoint.secret)
    WebhookEndpoint.objects.update(old_secret_expires_at=timezone.now())
    outbox.write_test(endpoint)
    sent()
    verified(receiver.to("/hook")[1], endpoint.secret)
    with pytest.raises(WebhookVerificationError):
        verified(receiver.to("/hook")[1], before)


def test_a_cookie_is_never_sent_back(receiver: Receiver) -> None:
    delivery_to(receiver.script("/sets", Reply(headers={"Set-Cookie": "session=7; Path=/"})))
    sent()
    delivery_to(receiver.script("/other"))
    sent()
    assert "cookie" not in receiver.to("/other")[0].headers


def test_a_runs_own_url_is_signed_with_the_servers_secrets(receiver: Receiver, settings: Any) -> None:
    delivery_to(receiver.script("/unsigned"))
    sent()
    assert "webhook-signature" not in receiver.to("/unsigned")[0].headers
    settings.WEBHOOK_SECRETS = [WebhookEndpoint().secret, WebhookEndpoint().secret]
    delivery_to(receiver.script("/signed"))
    sent()
    for secret in settings.WEBHOOK_SECRETS:
        verified(receiver.to("/signed")[0], secret)


def test_failures_are_tried_again_until_one_succeeds(receiver: Receiver) -> None:
    delivery = delivery_to(receiver.script("/hook", Reply(500), Reply(503), Reply(204)))
    sent(delivery)
    assert (delivery.status, names(delivery)) == ("delivered", ["bad_status", "bad_status", ""])
    ids = {request.headers["webhook-id"] for request in receiver.to("/hook")}
    assert ids == {str(delivery.pk)}
    assert len({request.body for request in receiver.to("/hook")}) == 1


def test_after_the_last_pause_there_is_no_other_attempt(receiver: Receiver) -> None:
    delivery = delivery_to(receiver.script("/hook", Reply(500, body=b"x" * 100_000)))
    sent(delivery)
    assert (delivery.status, delivery.failure) == ("failed", "bad_status")
    assert len(receiver.to("/hook")) == 4
    assert [len(attempt["answer"]) for attempt in delivery.attempts] == [4096] * 4


def test_retry_after_is_honoured(receiver: Receiver) -> None:
    receiver.script("/hook", Reply(429, {"Retry-After": "1"}), Reply())
    delivery = delivery_to(f"{receiver.url}/hook")
    sent(delivery)
    first, second = receiver.to("/hook")
    assert second.at - first.at > 0.99


def test_pauses_follow_the_schedule_with_jitter_and_a_bound(settings: Any) -> None:
    settings.WEBHOOK_RETRY_SECONDS = (5.0, 300.0)
    found = {outcome.pause(1, None).total_seconds() for _ in range(200)}
    assert 240 <= min(found) < 270 and 330 < max(found) <= 360
    assert outcome.pause(0, 60.0).total_seconds() == 60
    assert outcome.pause(0, 1e9).total_seconds() == outcome.LONGEST_PAUSE


def test_the_schedule_is_ten_attempts_over_three_days() -> None:
    from config import settings as defaults

    assert len(defaults.WEBHOOK_RETRY_SECONDS) == 9
    assert 72 <= sum(defaults.WEBHOOK_RETRY_SECONDS) / 3600 <= 80


def test_410_ends_it_and_switches_the_endpoint_off(receiver: Receiver) -> None:
    endpoint = new_endpoint(receiver.script("/gone", Reply(410)))
    delivery = outbox.write_test(endpoint)
    sent(delivery)
    assert (delivery.status, names(delivery)) == ("failed", ["gone"])
    until(lambda: not WebhookEndpoint.objects.get(pk=endpoint.pk).enabled)
    endpoint.refresh_from_db()
    assert "410" in endpoint.notice


def test_each_failure_has_its_name(receiver: Receiver, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.WEBHOOK_RETRY_SECONDS = ()
    settings.WEBHOOK_TIMEOUT_SECS = 0.5
    monkeypatch.setattr(outbound, "lookup", _stub({"two.example": ["127.0.0.1", "10.0.0.5"]}))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(TLS / "receiver.pem", TLS / "receiver.key")
    with receiving(tls) as secure, receiving() as closed:
        pass
    with receiving(tls) as secure:
        port = receiver.url.rsplit(":", 1)[1]
        wanted = {
            delivery_to(receiver.script("/slow", Reply(pause=3)), lane="1"): "timed_out",
            delivery_to(closed.url, lane="2"): "connection_refused",
            delivery_to(secure.url, lane="3"): "tls_failed",
            delivery_to("http://nowhere.example/", lane="4"): "dns_lookup_failed",
            delivery_to(f"http://two.example:{port}/two", lane="5"): "blocked_address",
            delivery_to("http://10.0.0.5/", lane="6"): "blocked_address",
            delivery_to(receiver.script("/moved", Reply(302, {"Location": "/"})), lane="8"): "redirected",
            delivery_to(receiver.script("/bad", Reply(404)), lane="7"): "bad_status",
        }
        sent(*wanted)
    assert {delivery.url: names(delivery) for delivery in wanted} == {d.url: [name] for d, name in wanted.items()}
    assert not receiver.to("/two")
    assert all(delivery.status == "failed" for delivery in wanted)


def _stub(known: dict[str, list[str]]) -> Any:
    """A resolver that knows a few names, and addresses."""

    def lookup(host: str) -> list[str]:
        if host in known:
            return known[host]
        if host.replace(".", "").isdigit():
            return [host]
        raise outbound.NameNotResolved

    return lookup


def test_a_name_that_changes_its_address_is_connected_to_where_it_was_checked(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: the first answer is allowed, all later ones lead inside. Loopback stands for a public address."""
    answers = [["127.0.0.1"]]
    monkeypatch.setattr(outbound, "lookup", lambda host: answers.pop(0) if answers else ["10.0.0.5"])
    port = receiver.url.rsplit(":", 1)[1]
    delivery = delivery_to(f"http://hooks.example:{port}/hook")
    sent(delivery)
    assert delivery.status == "delivered" and not answers
    assert receiver.to("/hook")[0].headers["host"] == f"hooks.example:{port}"
    again = delivery_to(f"http://hooks.example:{port}/hook")
    sent(again)
    assert set(names(again)) == {"blocked_address"}
    assert "10.0.0.5" in again.attempts[0]["detail"]
    assert len(receiver.to("/hook")) == 1


def test_tls_checks_the_name_of_the_url_though_the_address_is_pinned(
    monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.WEBHOOK_RETRY_SECONDS = ()
    monkeypatch.setenv("SSL_CERT_FILE", str(TLS / "receiver.pem"))
    monkeypatch.setattr(sender, "_sender", sender.Sender())  # which reads the certificates we trust
    monkeypatch.setattr(outbound, "lookup", lambda host: ["127.0.0.1"])
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(TLS / "receiver.pem", TLS / "receiver.key")
    asked: list[str | None] = []
    tls.sni_callback = lambda connection, name, context: asked.append(name)
    with receiving(tls) as secure:
        port = secure.url.rsplit(":", 1)[1]
        right, wrong = delivery_to(f"https://hooks.example:{port}/"), delivery_to(f"https://other.example:{port}/")
        sent(right, wrong)
    assert (right.status, wrong.failure) == ("delivered", "tls_failed")
    assert sorted(map(str, asked)) == ["hooks.example", "other.example"]


# --- redirects --------------------------------------------------------------------------------------------------------


def moved(target: str, status: int = 307) -> Reply:
    return Reply(status, {"Location": target})


@pytest.mark.parametrize("status", [307, 308])
def test_a_receiver_that_has_moved_is_sent_the_same_request(receiver: Receiver, status: int) -> None:
    endpoint = new_endpoint(receiver.script("/old", moved("/new", status)))
    delivery = delivery_to(endpoint.url, endpoint=endpoint)
    sent(delivery)
    assert delivery.status == "delivered"
    assert delivery.attempts[0]["redirects"] == [f"{receiver.url}/new"]
    (old,), (new,) = receiver.to("/old"), receiver.to("/new")
    assert old.headers["webhook-id"] == new.headers["webhook-id"] == str(delivery.pk)
    assert verified(old, endpoint.secret) == verified(new, endpoint.secret)


@pytest.mark.parametrize(
    ("target", "failure"),
    [
        ("http://127.0.0.2/", "blocked_address"),
        ("http://localhost/", "blocked_address"),
        ("http://[::1]/", "blocked_address"),
        ("http://169.254.169.254/latest", "blocked_address"),
        ("//10.0.0.5/", "blocked_address"),
        ("http://inside.example/", "blocked_address"),
        ("ftp://93.184.215.14/", "blocked_address"),
        ("http://nowhere.example/", "dns_lookup_failed"),
        ("http://1.2.3.4:99999/", "blocked_address"),
    ],
)
def test_where_a_redirect_leads_is_checked_like_a_url(
    receiver: Receiver, settings: Any, monkeypatch: pytest.MonkeyPatch, target: str, failure: str
) -> None:
    settings.WEBHOOK_RETRY_SECONDS = ()
    known = {"inside.example": ["10.0.0.5"], "[::1]": ["::1"], "::1": ["::1"]}
    monkeypatch.setattr(outbound, "lookup", _stub(known))
    delivery = delivery_to(receiver.script("/old", moved(target)))
    sent(delivery)
    assert (names(delivery), delivery.status) == ([failure], "failed")
    assert len(receiver.requests) == 1


def test_a_redirect_to_a_name_is_pinned_to_the_address_that_was_checked(
    receiver: Receiver, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rebinding between hops: the name leads inside from its second look-up on, and is looked up once."""
    settings.WEBHOOK_RETRY_SECONDS = ()
    port = receiver.url.rsplit(":", 1)[1]
    answers = [["127.0.0.1"]]
    monkeypatch.setattr(
        outbound,
        "lookup",
        lambda host: [host] if host == "127.0.0.1" else answers.pop(0) if answers else ["10.0.0.5"],
    )
    delivery = delivery_to(receiver.script("/old", moved(f"http://moved.example:{port}/new")))
    sent(delivery)
    assert delivery.status == "delivered" and not answers
    assert receiver.to("/new")[0].headers["host"] == f"moved.example:{port}"


def test_the_headers_of_the_project_go_to_no_other_origin(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving() as other:
        policy = replace(project().webhooks, headers={"x-token": "t0k3n"})
        monkeypatch.setattr(sender, "project", lambda: replace(project(), webhooks=policy))
        receiver.script("/old", moved("/same"))
        sent(delivery_to(receiver.script("/away", moved(f"{other.url}/new"))), delivery_to(f"{receiver.url}/old"))
        assert [request.headers.get("x-token") for request in receiver.requests] == ["t0k3n"] * 3
        assert [request.headers.get("x-token") for request in other.to("/new")] == [None]
    assert policy.headers == {"x-token": "t0k3n"}


def test_no_redirect_gives_up_tls(receiver: Receiver, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.WEBHOOK_RETRY_SECONDS = ()
    monkeypatch.setenv("SSL_CERT_FILE", str(TLS / "receiver.pem"))
    monkeypatch.setattr(sender, "_sender", sender.Sender())
    monkeypatch.setattr(outbound, "lookup", lambda host: ["127.0.0.1"])
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(TLS / "receiver.pem", TLS / "receiver.key")
    with receiving(tls) as secure:
        secure.script("/old", moved(f"{receiver.url}/plain"))
        delivery = delivery_to(f"https://hooks.example:{secure.url.rsplit(':', 1)[1]}/old")
        sent(delivery)
    assert names(delivery) == ["redirected"] and "from https" in delivery.attempts[0]["detail"]
    assert not receiver.requests


def test_redirects_without_end_end(receiver: Receiver, settings: Any) -> None:
    settings.WEBHOOK_RETRY_SECONDS = ()
    delivery = delivery_to(receiver.script("/loop", moved("/loop")))
    sent(delivery)
    assert names(delivery) == ["redirected"] and "more than 5" in delivery.attempts[0]["detail"]
    assert len(receiver.requests) == 6


@pytest.mark.parametrize("status", [301, 302, 303])
def test_a_redirect_that_makes_a_get_of_it_is_a_failure(receiver: Receiver, settings: Any, status: int) -> None:
    settings.WEBHOOK_RETRY_SECONDS = ()
    delivery = delivery_to(receiver.script("/old", moved("/new", status)))
    sent(delivery)
    assert names(delivery) == ["redirected"]
    assert not receiver.to("/new")


# --- many senders, slow receivers, crashes ----------------------------------------------------------------------------


def test_two_senders_never_send_one_delivery_twice(receiver: Receiver) -> None:
    deliveries = [delivery_to(receiver.script(f"/{number}"), lane=str(number % 7)) for number in range(80)]
    other = sender.Sender()
    for _ in range(5):
        other.wake()
        sender.start().wake()
    sent()
    other.drain()
    assert Counter(request.path for request in receiver.requests) == {f"/{n}": 1 for n in range(len(deliveries))}
    assert set(WebhookDelivery.objects.values_list("claims", flat=True)) == {1}


def test_a_slow_receiver_holds_up_only_itself(receiver: Receiver) -> None:
    slow = receiver.script("/slow", Reply(pause=1.0))
    for _ in range(30):
        delivery_to(slow, lane="slow")
    sender.start().wake()
    receiver.wait_for("/slow")
    quick = delivery_to(receiver.script("/quick"), lane="quick")
    sender.start().wake()
    receiver.wait_for("/quick")
    assert len(receiver.to("/slow")) < sender.PER_LANE + sender.BATCH
    sent(quick)
    assert receiver.most_at_once <= sender.PER_LANE + sender.BATCH


def test_what_a_crashed_sender_had_claimed_is_sent_when_its_lease_is_over(receiver: Receiver) -> None:
    delivery = delivery_to(receiver.script("/hook"))
    (lost,) = WebhookDelivery.objects.claim(1, timedelta(seconds=1), [])
    assert not WebhookDelivery.objects.claim(1, LEASE, []), "claimed twice at once"
    sent(delivery)
    assert (delivery.status, delivery.claims) == ("delivered", 2)
    assert not lost.failed({"failure": "late"}), "the crashed one came back and wrote"
    delivery.refresh_from_db()
    assert delivery.status == "delivered"


def test_the_tick_sends_what_no_worker_has_come_for(receiver: Receiver, settings: Any) -> None:
    late = timezone.now() - tasks.UNHEARD - timedelta(seconds=1)
    delivery = delivery_to(receiver.script("/hook"), next_attempt_at=late)
    tasks.tick()
    receiver.wait_for("/hook")
    until(lambda: WebhookDelivery.objects.get(pk=delivery.pk).status == "delivered")


# --- endpoints over time ----------------------------------------------------------------------------------------------


def test_an_endpoint_that_only_failed_for_five_days_is_switched_off(receiver: Receiver) -> None:
    endpoint = new_endpoint(receiver.script("/hook", Reply(500)))
    delivery = outbox.write_test(endpoint)
    until(lambda: WebhookEndpoint.objects.get(pk=endpoint.pk).failing_since)
    sent(delivery)
    assert WebhookEndpoint.objects.get(pk=endpoint.pk).enabled
    WebhookEndpoint.objects.update(failing_since=timezone.now() - timedelta(days=5, minutes=1))
    last, waiting = outbox.write_test(endpoint), delivery_to(endpoint.url, endpoint=endpoint, lane="x")
    WebhookDelivery.objects.filter(pk=waiting.pk).update(next_attempt_at=timezone.now() + timedelta(days=1))
    sent(last, waiting)
    endpoint.refresh_from_db()
    assert not endpoint.enabled and "every attempt failed" in endpoint.notice
    assert (last.status, waiting.status, waiting.failure) == ("failed", "failed", "endpoint_disabled")


def test_one_success_clears_the_record(receiver: Receiver) -> None:
    endpoint = new_endpoint(receiver.url, failing_since=timezone.now() - timedelta(days=9))
    outbox.write_test(endpoint)
    sent()
    assert WebhookEndpoint.objects.get(pk=endpoint.pk).failing_since is None


def test_old_deliveries_are_forgotten_and_waiting_ones_are_not(settings: Any) -> None:
    old = timezone.now() - timedelta(days=settings.WEBHOOK_RETENTION_DAYS, minutes=1)
    far = timezone.now() + timedelta(days=1)
    kept = delivery_to("http://a.example/", created_at=old, next_attempt_at=far)
    young = delivery_to("http://a.example/", status="failed")
    for _ in range(3):
        delivery_to("http://a.example/", status="delivered", created_at=old)
    assert WebhookDelivery.objects.forget(timedelta(days=settings.WEBHOOK_RETENTION_DAYS), 2) == 2
    tasks.forget()
    assert set(WebhookDelivery.objects.values_list("pk", flat=True)) == {kept.pk, young.pk}
