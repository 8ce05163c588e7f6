"""The pages of webhooks: an endpoint made and its secret shown once, a delivery that fails, why, and sent again."""

import re
import shlex
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from ipaddress import ip_network
from typing import Any

import httpx
import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Page, expect
from standardwebhooks import Webhook

from accounts.models import AuditEntry, Tenant
from console import deliveries, endpoint_figures, failures
from console.receiver_snippets import VERIFYING
from tests.conftest import ROOT, LiveServer
from tests.console.test_runs import ended
from tests.console.watching import shoot
from tests.receiver import Receiver, Reply, receiving
from webhooks import outbox, signing
from webhooks.masking import MASK, masked_text, masked_url
from webhooks.models import DeliveryStatus, Event, WebhookDelivery, WebhookEndpoint
from webhooks.sending import Attempt

Open = Callable[..., Page]
SignIn = Callable[[str], Client]
SECRET = re.compile(r"whsec_[A-Za-z0-9+/]{42,}=*")
BUSY = Reply(503, {"Retry-After": "600", "Set-Cookie": "session=hush"}, b"<b>come back later</b>")
URL = "https://me:hush@hooks.example/in?token=hush"


# --- in a browser -----------------------------------------------------------------------------------------------------


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


def test_a_delivery_fails_is_understood_and_is_sent_again(
    page_of: Open, console: LiveServer, receiver: Receiver
) -> None:
    path, name = "/hook?token=hush", f"On-call {time.time_ns() % 1_000_000}"
    admin, operator, viewer = page_of("admin"), page_of("operator"), page_of("viewer")
    secret = made_by(admin, name, receiver.script(path, BUSY, Reply()))
    operator.goto(admin.url)
    time.sleep(outbox.STALE_SECONDS + 0.2)  # until workers know of the endpoint
    run = ended(console, "echo", {"text": "x"})
    understood(operator, run["run_id"])

    viewer.goto(operator.url)
    expect(viewer.locator(".wf-try")).to_contain_text("webhook-signature: v1,")
    expect(viewer.get_by_role("button", name="Redeliver")).to_have_count(0)
    operator.get_by_role("button", name="Redeliver now").click()
    for page in (operator, viewer):  # by the topic, without a reload
        expect(page.locator("h1")).to_contain_text("delivered")
        expect(page.locator(".wf-try")).to_have_count(2)
    first, second = receiver.wait_for(path, 2)
    assert "cookie" not in second.headers
    assert first.headers["webhook-id"] == second.headers["webhook-id"] and first.body == second.body
    assert Webhook(secret).verify(second.body, second.headers)["data"]["run_id"] == run["run_id"]
    shoot(operator, "webhooks-delivery")

    operator.goto(admin.url)
    operator.get_by_role("button", name="Send test event").click()
    expect(operator.locator("h1")).to_contain_text("webhook.test delivered")
    admin.get_by_role("button", name="Rotate secret").click()
    admin.get_by_role("button", name="Rotate", exact=True).click()
    assert admin.locator("#secret").inner_text() != secret
    viewer.goto(f"/admin/runs/{run['run_id']}/deliveries/")
    viewer.get_by_role("link", name="run.success").click()
    expect(viewer.locator("h1")).to_contain_text("delivered")
    for path in ("/admin/webhooks/", "/admin/webhooks/deliveries/"):
        admin.goto(path)
        expect(admin.locator("tbody")).to_contain_text(name)
        shoot(admin, path.strip("/").replace("/", "-"))
    httpx.delete(f"{console.url}/webhooks/endpoints/{admin_id(admin, name)}").raise_for_status()


def made_by(admin: Page, name: str, url: str) -> str:
    """Make an endpoint, which must not lead inside, and see its secret once: returns that."""
    admin.goto("/admin/webhooks/")
    admin.get_by_role("link", name="New endpoint").click()
    admin.get_by_label("URL", exact=True).fill("http://10.0.0.5/hook")
    admin.get_by_label("Name").fill(name)
    admin.get_by_label(re.compile("run.success")).check()
    admin.get_by_role("button", name="Make the endpoint").click()
    expect(admin.locator(".wf-error")).to_contain_text("private IP range (10.0.0.5)")
    shoot(admin, "webhooks-refused")
    admin.get_by_label("URL", exact=True).fill(url)
    admin.get_by_role("button", name="Make the endpoint").click()
    secret = admin.locator("#secret").inner_text()
    assert SECRET.fullmatch(secret)
    shoot(admin, "webhooks-secret")
    admin.get_by_role("link", name="I have copied it").click()
    expect(admin.locator("h1")).to_contain_text("enabled")
    assert secret not in admin.content() and "hush" not in admin.content()
    return secret


def understood(operator: Page, run_id: str) -> None:
    """See on the endpoint's page that the run's delivery failed, and on its own page why."""
    recent = operator.locator("[data-live-html$=':recent']")
    expect(recent.locator("tr", has_text=run_id[-12:])).to_contain_text("retrying")
    shoot(operator, "webhooks-endpoint")
    recent.get_by_role("link", name="run.success").click()
    expect(operator.locator("h1")).to_contain_text("retrying")
    facts = operator.locator("[data-live-html$=':facts']")
    expect(facts).to_contain_text("bad_status: The receiver failed: it answered 503.")
    expect(facts).to_contain_text("in 9 min")
    expect(operator.locator(".wf-try")).to_contain_text("<b>come back later</b>")
    assert "hush" not in operator.content()
    shoot(operator, "webhooks-delivery-failed")


def admin_id(admin: Page, name: str) -> str:
    """The endpoint's id."""
    address = admin.get_by_role("link", name=name).first.get_attribute("href") or ""
    return address.rstrip("/").rpartition("/")[2]


# --- by Django's client -----------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _loopback(settings: Any) -> None:
    settings.WEBHOOK_ALLOWED_NETWORKS = (ip_network("127.0.0.1"),)


@pytest.fixture
def endpoint(db: Any) -> WebhookEndpoint:
    return WebhookEndpoint.objects.create(url=URL, events=[Event.ERROR], description="pager")


def written(endpoint: WebhookEndpoint | None, **fields: Any) -> WebhookDelivery:
    """A delivery that is not sent by anybody."""
    known = {"url": URL, "lane": "x", "event": Event.ERROR, "body": '{"type":"run.error"}', "status": "failed"}
    return WebhookDelivery.objects.create(endpoint=endpoint, **{**known, **fields})


def attempt(**fields: Any) -> dict[str, Any]:
    """An attempt as it is kept."""
    return Attempt(**{"url": URL, "status": 500, "failure": "bad_status", "milliseconds": 12, **fields}).document()


def text_of(client: Client, url: str, status: int = 200) -> str:
    answer = client.get(url)
    assert answer.status_code == status, url
    return answer.content.decode()


FORM = {"url": "http://127.0.0.1:1/?token=hush", "events": ["run.error", "run.success"], "metadata": '{"team": "a"}'}
VERBS = {
    "new-endpoint": "admin",
    "edit-endpoint": "admin",
    "rotate-endpoint": "admin",
    "switch-endpoint": "admin",
    "delete-endpoint": "admin",
    "test-endpoint": "operator",
    "redeliver-failed": "operator",
    "redeliver": "operator",
}


def test_who_lacks_a_verbs_role_is_refused_and_changes_nothing(sign_in: SignIn, endpoint: WebhookEndpoint) -> None:
    delivery = written(endpoint)
    places = {"endpoint": [endpoint.pk], "redeliver": [delivery.pk], "new-endpoint": [], "redeliver-failed": []}
    for verb, least in VERBS.items():
        url = reverse(f"console:{verb}", args=places.get(verb, places["endpoint"]))
        for role in ("none", "viewer", "responder", "operator"):
            if role != least:
                assert sign_in(role).post(url, FORM).status_code == 403, (verb, role)
    assert WebhookEndpoint.objects.get().url == URL and WebhookDelivery.objects.get().status == "failed"
    page = text_of(sign_in("viewer"), reverse("console:endpoint", args=[endpoint.pk]))
    assert "<form" not in page.partition("<main")[2] and "All fields" not in page
    assert not AuditEntry.objects.exists()


def test_a_secret_is_shown_once_however_often_a_form_is_sent(sign_in: SignIn, db: Any) -> None:
    client, made = sign_in("admin"), uuid.uuid4()
    answer = client.post("/admin/webhooks/new/", {**FORM, "endpoint_id": str(made)})
    endpoint = WebhookEndpoint.objects.get(pk=made)
    assert endpoint.secret in answer.context["secret"] and answer.headers["Cache-Control"] == "no-store"
    assert (endpoint.metadata, endpoint.tenant) == ({"team": "a"}, "")
    again = client.post("/admin/webhooks/new/", {**FORM, "endpoint_id": str(made)})
    assert again.headers["Location"] == reverse("console:endpoint", args=[made])
    rotate, seen = reverse("console:rotate-endpoint", args=[made]), endpoint.updated_at.isoformat()
    rotated = client.post(rotate, {"hours": "2", "seen": seen}).context["secret"]
    assert rotated != endpoint.secret and client.post(rotate, {"hours": "2", "seen": seen}).status_code == 302
    assert WebhookEndpoint.objects.get().secrets() == [rotated, endpoint.secret]
    pages = [reverse("console:endpoint", args=[made]), reverse("console:edit-endpoint", args=[made])]
    for page in (text_of(client, url) for url in [*pages, "/admin/webhooks/", "/admin/audit/"]):
        assert not SECRET.search(page)
    assert [entry.action for entry in AuditEntry.objects.order_by("id")] == ["create", "rotate"]
    assert "hush" not in str(list(AuditEntry.objects.values_list("after", flat=True)))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"url": "http://localhost/"}, "localhost address. Addresses inside are refused"),
        ({"url": "http://10.0.0.5/"}, "private IP range (10.0.0.5)"),
        ({"url": "http://no-such-host.invalid/"}, "DNS resolution failed. See that the host is spelt right"),
        ({"url": "ftp://127.0.0.1/"}, "reached by https or http"),
        ({"url": ""}, "required"),
        ({"metadata": "[1]"}, "must be a JSON object"),
        ({"metadata": "{"}, "no JSON"),
        ({"assistant_id": "x"}, "no id of an assistant"),
        ({"events": []}, "Choose one event"),
        ({"events": ["webhook.test"]}, "not one of the available choices"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_in_words(sign_in: SignIn, change: dict[str, Any], reason: str) -> None:
    answer = sign_in("admin").post("/admin/webhooks/new/", {**FORM, **change})
    assert answer.status_code == 422 and reason in answer.content.decode()
    assert not WebhookEndpoint.objects.exists()


def test_an_endpoint_is_changed_switched_tested_and_deleted(sign_in: SignIn, endpoint: WebhookEndpoint) -> None:
    client, args = sign_in("admin"), [endpoint.pk]
    assert "hush" in text_of(client, reverse("console:edit-endpoint", args=args)), "who may change it sees it whole"
    edit = reverse("console:edit-endpoint", args=args)
    assert client.post(edit, {**FORM, "url": URL}).status_code == 302, "DNS is not asked about what is not changed"
    client.post(edit, {**FORM, "description": "night"})
    endpoint.refresh_from_db()
    assert (endpoint.description, endpoint.url, endpoint.metadata) == ("night", FORM["url"], {"team": "a"})
    client.post(reverse("console:switch-endpoint", args=args), {"to": "off", "reason": "moved"})
    client.post(reverse("console:test-endpoint", args=args))
    assert not WebhookDelivery.objects.exists(), "it is off"
    assert "disabled" in text_of(client, "/admin/webhooks/?state=off")
    client.post(reverse("console:switch-endpoint", args=args), {"to": "on"})
    answer = client.post(reverse("console:test-endpoint", args=args))
    delivery = WebhookDelivery.objects.get()
    assert answer.headers["Location"] == reverse("console:delivery", args=[delivery.pk])
    client.post(reverse("console:delete-endpoint", args=args), {"reason": "gone"})
    assert not WebhookEndpoint.objects.exists() and not WebhookDelivery.objects.exists()
    entries = list(AuditEntry.objects.order_by("id"))
    assert [entry.action for entry in entries] == ["change", "change", "disable", "enable", "test", "delete"]
    assert entries[1].before["url"] == f"https://{MASK}@hooks.example/in?token={MASK}"
    assert (entries[2].reason, entries[4].after) == ("moved", {"delivery_id": str(delivery.pk)})


def test_a_tenant_is_chosen_where_there_are_some(sign_in: SignIn, db: Any) -> None:
    Tenant.objects.create(slug="acme")
    sign_in("admin").post("/admin/webhooks/new/", {**FORM, "tenant": "acme"})
    assert WebhookEndpoint.objects.get().tenant == "acme"


def test_failed_deliveries_are_sent_again_by_receiver_and_time(sign_in: SignIn, endpoint: WebhookEndpoint) -> None:
    off = WebhookEndpoint.objects.create(url=URL, events=[Event.ERROR], enabled=False)
    day = timezone.now() - timedelta(days=1)
    old, new, of_run, of_off = written(endpoint, created_at=day), written(endpoint), written(None), written(off)
    written(endpoint, status="delivered")
    client, url = sign_in("operator"), reverse("console:redeliver-failed")

    def again(**form: Any) -> set[Any]:
        client.post(url, form)
        found = set(WebhookDelivery.objects.filter(status="pending").values_list("pk", flat=True))
        WebhookDelivery.objects.filter(pk__in=found).update(status="failed")
        return found

    since = f"{timezone.now() - timedelta(hours=1):%Y-%m-%dT%H:%M}"
    assert again(endpoint=endpoint.pk, since=since) == {new.pk}
    assert again(endpoint=endpoint.pk) == {new.pk, old.pk}
    assert again(since=since) == {new.pk, of_run.pk}, "a receiver that is off is left alone"
    assert again(endpoint=off.pk) == again(since="soon") == set()
    assert [entry.after["deliveries"] for entry in AuditEntry.objects.order_by("id")] == [1, 2, 2]
    WebhookDelivery.objects.filter(pk=new.pk).update(
        status="pending", claimed_until=timezone.now() + timedelta(minutes=1)
    )
    said = client.post(reverse("console:redeliver", args=[new.pk]), follow=True).content.decode()
    assert "being sent right now" in said and ">sending<" in said
    assert "is off: enable it" in text_of(client, reverse("console:delivery", args=[of_off.pk]))


def test_what_came_from_elsewhere_is_escaped_and_masked(sign_in: SignIn, settings: Any, db: Any) -> None:
    settings.WEBHOOK_SECRETS = []
    evil = "<script>alert(1)</script>"
    kept = attempt(
        answer=evil,
        detail=f"to {URL}",
        redirects=[URL],
        request_headers={"authorization": "Basic hush", "x-token": "hush", "webhook-id": "7"},
        answer_headers={"x-evil": evil, "set-cookie": "hush", "location": URL},
    )
    delivery = written(
        None, body=f'{{"text": "it\'s {evil}"}}', attempts=[kept], failure="bad_status", run_id=uuid.uuid4()
    )
    pages = [reverse("console:delivery", args=[delivery.pk]), "/admin/webhooks/deliveries/?failure=bad_status"]
    for text in (text_of(sign_in("viewer"), url) for url in pages):
        assert evil not in text and "hush" not in text and f"https://{MASK}@hooks.example/in?token={MASK}" in text
    page = sign_in("viewer").get(pages[0])
    assert f"x-token: {MASK}" in page.content.decode() and "Not signed" in page.content.decode()
    sent = shlex.split(page.context["curl"].replace("\\\n", ""))
    assert sent[-1] == delivery.body and "webhook-id: 7" in sent and not any("x-token" in part for part in sent)
    file = sign_in("viewer").get(f"{pages[0]}body.json")
    assert file.content.decode() == delivery.body and "attachment" in file.headers["Content-Disposition"]
    assert URL in sign_in("admin").get(pages[0]).context["curl"], "who may change the URL anyway may send to it"
    endpoint = WebhookEndpoint.objects.create(url=URL, events=[Event.ERROR])
    for row in (delivery, endpoint):
        rows = reverse(f"admin:webhooks_{row._meta.model_name}_change", args=[row.pk])
        assert "hush" not in text_of(sign_in("viewer"), rows), "rows are no way around it"
    large = written(None, body="x" * 30_000)
    page = sign_in("viewer").get(reverse("console:delivery", args=[large.pk]))
    assert page.context["curl"].endswith("@body.json") and len(page.content) < 80_000


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://a.example/b/c", "https://a.example/b/c"),
        ("https://u:p@q@a.example:8/b?x=1&y&z=#f", f"https://{MASK}@a.example:8/b?x={MASK}&{MASK}&z={MASK}"),
        ("http://[::1", MASK),
    ],
)
def test_of_a_url_what_opens_the_door_is_masked(url: str, shown: str) -> None:
    assert masked_url(url) == shown
    assert masked_text(f"to {url} now") == f"to {shown} now"


def test_each_failure_of_the_documentation_is_explained() -> None:
    table = (ROOT / "docs/webhooks.md").read_text().partition("| failure |")[2].partition("\n\n")[0]
    names = {name for line in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", line.split("|")[1])}
    assert names == set(failures.NAMES)
    for status in (None, 302, 400, 401, 404, 418, 500, 503):
        assert failures.cause_of("bad_status", status).cure
    assert "503" in failures.cause_of("bad_status", 503).text


def test_the_code_for_receivers_verifies_what_is_sent(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    secret = signing.new_secret()
    monkeypatch.setenv("WEBHOOK_SECRET", secret)
    scope: dict[str, Any] = {}
    exec(VERIFYING["Python"], scope)
    body = b'{"type": "run.success"}'
    headers = signing.headers("message", int(time.time()), body, [secret])
    assert scope["receive"](body, headers) == 204 and "run.success" in capsys.readouterr().out
    assert scope["receive"](body + b" ", headers) == 401


# --- many -------------------------------------------------------------------------------------------------------------

MANY = 10_000


def filled(endpoint: WebhookEndpoint, count: int) -> uuid.UUID:
    """Deliveries, every fourth to the URL of a run, every tenth failed; gives the run the first five are of."""
    now, run = timezone.now(), uuid.uuid4()
    rows = [
        WebhookDelivery(
            endpoint=None if number % 4 == 0 else endpoint,
            url=URL,
            lane="x",
            event=Event.ERROR if number % 2 else Event.SUCCESS,
            body="{}",
            run_id=run if number < 5 else None,
            status=DeliveryStatus.FAILED if number % 10 == 9 else DeliveryStatus.DELIVERED,
            failure="timed_out" if number % 10 == 9 else "",
            tries=1,
            attempts=[attempt(milliseconds=number % 100)],
            created_at=now - timedelta(seconds=number),
        )
        for number in range(count)
    ]
    WebhookDelivery.objects.bulk_create(rows, batch_size=2000)
    return run


@pytest.fixture
def others(db: Any) -> list[WebhookEndpoint]:
    """Endpoints that have heard of nothing."""
    rows = [WebhookEndpoint(url=URL, events=[Event.ERROR], description=f"n{number}") for number in range(60)]
    return WebhookEndpoint.objects.bulk_create(rows)


def test_pages_of_many_deliveries_cost_few_queries(
    sign_in: SignIn, endpoint: WebhookEndpoint, others: list[WebhookEndpoint], django_assert_max_num_queries: Any
) -> None:
    filled(endpoint, MANY)
    client, newest = sign_in("admin"), WebhookDelivery.objects.order_by("-created_at")[0]
    # Of each, five are for session, person, role and Django's own permissions.
    for url, most in (
        ("/admin/webhooks/", 8),
        (reverse("console:endpoint", args=[endpoint.pk]), 8),
        ("/admin/webhooks/deliveries/", 9),
        ("/admin/webhooks/deliveries/?failure=timed_out&event=run.error&period=24h", 9),
        (reverse("console:delivery", args=[newest.pk]), 6),
    ):
        started = time.monotonic()
        with django_assert_max_num_queries(most):
            assert client.get(url).status_code == 200
        assert time.monotonic() - started < 3, f"{url} takes too long"
    with django_assert_max_num_queries(1):
        found = endpoint_figures.days([endpoint.pk, *(other.pk for other in others)], timezone.now())
    day = found[endpoint.pk]
    assert day.tried == endpoint_figures.COUNTED and day.is_cut and day.share == pytest.approx(0.87, abs=0.02)
    assert day.slow is not None and 90 <= day.slow < 100 and day.failure == "timed_out"
    assert found[others[0].pk].share is None and len(found) == len(others) + 1
    with django_assert_max_num_queries(1):
        assert deliveries.outbox_tiles(timezone.now())["failed"].value == "1,000"


def test_the_log_is_narrowed_and_paged(
    sign_in: SignIn, endpoint: WebhookEndpoint, others: list[WebhookEndpoint]
) -> None:
    run = filled(endpoint, 200)
    client, log = sign_in("viewer"), "/admin/webhooks/deliveries/"
    for query, found, problems in (
        ("", 50, 0),
        (f"run={run}", 5, 0),
        (f"run={run}&endpoint=runs", 2, 0),
        (f"run={run}&event=run.success", 3, 0),
        ("status=pending", 0, 0),
        (f"endpoint={endpoint.pk}&status=failed&failure=timed_out&period=1h", 20, 0),
        ("failure=gone", 0, 0),
        ("run=x&endpoint=y&status=z", 50, 2),
    ):
        context = client.get(f"{log}?{query}").context
        assert (len(context["rows"]), len(context["filters"].problems)) == (found, problems), query
    first = client.get(log).context["sheet"]
    second = client.get(f"{log}{first.older}").context["sheet"]
    assert not {row.pk for row in first.rows} & {row.pk for row in second.rows}
    back = client.get(f"{log}{second.newer}").context["sheet"]
    assert [row.pk for row in back.rows] == [row.pk for row in first.rows]
    assert len(client.get("/admin/webhooks/").context["rows"]) == 50 < len(others)
    assert len(client.get("/admin/webhooks/?name=N59").context["rows"]) == 1
    assert len(client.get("/admin/webhooks/?name=hush").context["rows"]) == 0, "what is masked is not searched"
