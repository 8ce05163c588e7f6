"""Endpoints for people: how they do, what they want to hear of, their secrets, and the verbs of the API."""

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST
from rest_framework.exceptions import APIException
from uuid_utils.compat import uuid7

from accounts.audit import record
from assistants.models import Assistant
from config import dialect
from config.words import span
from console import endpoint_figures
from console.dashboard import Tile
from console.deliveries import OFFERED, outbox_tiles, recent_of
from console.endpoint_figures import COUNTED, EndpointDay
from console.endpoint_forms import EndpointForm, RedeliverForm, RotateForm
from console.given import reason_of, uuid_of
from console.live import Topic, polled
from console.pages import Crumb, Page, show
from console.paging import sheet
from console.receiver_snippets import VERIFYING
from console.roles import needs
from webhooks import endpoints
from webhooks.masking import masked_url
from webhooks.models import WebhookEndpoint

ORDER = ("-created_at", "-endpoint_id")
STATES = {"enabled": "enabled", "failing": "failing", "off": "switched off or disabled"}
ASSISTANTS = 200  # offered to choose from


@dataclass(frozen=True)
class EndpointRow:
    """An endpoint as people see it."""

    endpoint: WebhookEndpoint
    day: EndpointDay

    @property
    def name(self) -> str:
        """What it is called."""
        return str(self.endpoint)

    @property
    def url(self) -> str:
        """Where it leads, without credentials."""
        return masked_url(self.endpoint.url)

    @property
    def state(self) -> str:
        """Whether it is told, and if not, whether the server decided so."""
        if self.endpoint.enabled:
            return "failing" if self.endpoint.failing_since else "enabled"
        return "switched off" if self.endpoint.notice else "disabled"

    @property
    def rate(self) -> str:
        """Which part of what was sent in the last day has arrived."""
        return "–" if self.day.share is None else f"{100 * self.day.share:.1f} %".replace("100.0", "100")

    @property
    def rate_note(self) -> str:
        """Of how many."""
        if not self.day.tried:
            return "nothing sent"
        return f"of the last {COUNTED:,}" if self.day.is_cut else f"of {self.day.tried:,}"

    @property
    def metadata(self) -> str:
        """Which metadata a run must have."""
        return dialect.dumps_text(self.endpoint.metadata)

    @property
    def slow(self) -> str:
        """How long its answers take, but for the slowest twentieth."""
        return "–" if self.day.slow is None else span(timedelta(milliseconds=self.day.slow))


# --- looking ----------------------------------------------------------------------------------------------------------


@require_GET
@needs("viewer")
def page(request: HttpRequest) -> HttpResponse:
    """/admin/webhooks/"""
    now, state, text = timezone.now(), request.GET.get("state", ""), request.GET.get("name", "").strip()
    found = sheet(request, _found(state, text), ORDER)
    days = endpoint_figures.days([endpoint.pk for endpoint in found.rows], now)
    return show(
        request,
        "console/webhooks.html",
        Page("Webhooks", topic="webhooks"),
        sheet=found,
        rows=[EndpointRow(endpoint, days[endpoint.pk]) for endpoint in found.rows],
        tiles=outbox_tiles(now),
        states=STATES,
        given={"state": state, "name": text},
    )


def _found(state: str, text: str) -> QuerySet[WebhookEndpoint]:
    rows = WebhookEndpoint.objects.all()
    narrowed = {
        "enabled": rows.filter(enabled=True),
        "failing": rows.filter(enabled=True, failing_since__isnull=False),
        "off": rows.filter(enabled=False),
    }
    rows = narrowed.get(state, rows)
    return rows.filter(pk__in=_named(text)) if text else rows


def _named(text: str) -> list[UUID]:
    """Those in whose name or URL, as they are shown, the text is; there are no more than the verbs let there be."""
    known = WebhookEndpoint.objects.values_list("endpoint_id", "description", "url")[: endpoints.MOST]
    return [pk for pk, description, url in known if text.lower() in f"{description} {masked_url(url)}".lower()]


@require_GET
@needs("viewer")
def one(request: HttpRequest, endpoint_id: UUID) -> HttpResponse:
    """/admin/webhooks/endpoints/<id>/"""
    endpoint, now = _endpoint(endpoint_id), timezone.now()
    row = _row(endpoint, now)
    rotating = len(endpoint.secrets()) > 1
    return show(
        request,
        "console/webhooks_endpoint.html",
        Page(row.name, _above(), row.url if endpoint.description else "", topic=f"endpoint:{endpoint.pk}"),
        row=row,
        endpoint=endpoint,
        tiles=_tiles(row),
        recent=recent_of(endpoint),
        assistant=Assistant.objects.filter(pk=endpoint.assistant_id).first() if endpoint.assistant_id else None,
        secret_end=endpoint.secret[-4:],
        until=endpoint.old_secret_expires_at if rotating else None,
        rotate_form=RotateForm(),
        redeliver_form=RedeliverForm(initial={"since": now - OFFERED}),
        live=f"endpoint:{endpoint.pk}:tiles.",
        mine={"endpoint": endpoint.pk},
        seen={"seen": endpoint.updated_at.isoformat()},
        on={"to": "on"},
        off={"to": "off"},
        verifying=VERIFYING,
    )


def _endpoint(endpoint_id: UUID) -> WebhookEndpoint:
    found = WebhookEndpoint.objects.filter(pk=endpoint_id).first()
    if found is None:
        raise Http404("There is no such endpoint, or no longer.")
    return found


def _above() -> tuple[Crumb, ...]:
    return (Crumb("Webhooks", reverse("console:webhooks")),)


def _row(endpoint: WebhookEndpoint, now: datetime) -> EndpointRow:
    return EndpointRow(endpoint, endpoint_figures.days([endpoint.pk], now)[endpoint.pk])


def _tiles(row: EndpointRow) -> dict[str, Tile]:
    day, log = row.day, f"{reverse('console:deliveries')}?endpoint={row.endpoint.pk}"
    share = day.share
    tone = "" if share is None or share > 0.95 else "warn" if share > 0.8 else "bad"
    return {
        "rate": Tile("Arrived", row.rate, f"{row.rate_note} in 24 h", f"{log}&period=24h", tone),
        "slow": Tile("p95", row.slow, "of the latest attempts", f"{log}&period=24h"),
        "untried": Tile(
            "To be sent",
            f"{day.untried:,}",
            f"{day.retrying:,} more to be tried again" if day.retrying else "not tried yet",
            f"{log}&status=pending",
        ),
        "failed": Tile(
            "Failed", f"{day.failed:,}", "in 24 h", f"{log}&status=failed&period=24h", "bad" if day.failed else ""
        ),
    }


# --- making and changing ----------------------------------------------------------------------------------------------


@require_http_methods(["GET", "POST"])
@needs("admin")
def create(request: HttpRequest) -> HttpResponse:
    """/admin/webhooks/new/: the form, and after it the secret, this once."""
    form = EndpointForm(request.POST or None)
    made = uuid_of(request.POST.get("endpoint_id")) or uuid7()  # of the form, so that sent twice it makes one
    if WebhookEndpoint.objects.filter(pk=made).exists():  # the form was sent twice
        messages.warning(request, "This endpoint was made already. Its secret was shown then, and is not again.")
        return redirect("console:endpoint", made)
    if request.method == "POST" and form.is_valid():
        try:
            with transaction.atomic():
                endpoint = endpoints.create_endpoint({**form.cleaned_data, "endpoint_id": made})
                record(request, "create", endpoint, after=_told(form.cleaned_data))
            return _secret_shown(request, endpoint)
        except APIException as refused:
            form.add_error(None, str(refused.detail))
    return _form_shown(request, form, Page("New endpoint", _above()), endpoint_id=made)


@require_http_methods(["GET", "POST"])
@needs("admin")
def edit(request: HttpRequest, endpoint_id: UUID) -> HttpResponse:
    """/admin/webhooks/endpoints/<id>/edit/"""
    endpoint = _endpoint(endpoint_id)
    form = EndpointForm(request.POST or None, endpoint)
    if request.method == "POST" and form.is_valid():
        given = form.cleaned_data
        changed = {name: value for name, value in given.items() if getattr(endpoint, name) != value}
        before = _told({name: getattr(endpoint, name) for name in changed})
        if changed:
            with transaction.atomic():
                endpoints.change_endpoint(endpoint, changed)
                record(request, "change", endpoint, before=before, after=_told(changed))
        messages.success(request, "Saved." if changed else "Nothing was changed.")
        return redirect("console:endpoint", endpoint.pk)
    above = (*_above(), Crumb(str(endpoint), reverse("console:endpoint", args=[endpoint.pk])))
    return _form_shown(request, form, Page("Change", above))


def _form_shown(request: HttpRequest, form: EndpointForm, page: Page, **context: Any) -> HttpResponse:
    offered = Assistant.objects.order_by("name").values_list("assistant_id", "name", "graph_id")[:ASSISTANTS]
    status = 422 if form.errors else 200
    return show(
        request, "console/webhooks_form.html", page, status=status, form=form, assistants=list(offered), **context
    )


def _told(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields as the audit log may keep them."""
    shown = {name: str(value) if isinstance(value, UUID) else value for name, value in fields.items()}
    return {**shown, "url": masked_url(shown["url"])} if "url" in shown else shown


def _secret_shown(request: HttpRequest, endpoint: WebhookEndpoint) -> HttpResponse:
    rotated = len(endpoint.secrets()) > 1
    page = Page("The secret", (*_above(), Crumb(str(endpoint), reverse("console:endpoint", args=[endpoint.pk]))))
    answer = show(
        request,
        "console/webhooks_secret.html",
        page,
        endpoint=endpoint,
        secret=endpoint.secret,
        until=endpoint.old_secret_expires_at if rotated else None,
        verifying=VERIFYING,
    )
    answer["Cache-Control"] = "no-store"
    return answer


@require_POST
@needs("admin")
def rotate(request: HttpRequest, endpoint_id: UUID) -> HttpResponse:
    """POST /admin/webhooks/endpoints/<id>/rotate/: as the API's rotate; the secret is shown this once."""
    form = RotateForm(request.POST)
    if not form.is_valid():
        messages.error(request, "Hours must be a whole number from 0 to 720.")
        return redirect("console:endpoint", endpoint_id)
    with transaction.atomic():
        endpoint = WebhookEndpoint.objects.select_for_update().filter(pk=endpoint_id).first()
        if endpoint is None:
            raise Http404("There is no such endpoint, or no longer.")
        if request.POST.get("seen") != endpoint.updated_at.isoformat():  # the form was sent twice, or it changed since
            messages.warning(request, "Nothing was rotated: the endpoint has changed since this page was opened.")
            return redirect("console:endpoint", endpoint_id)
        endpoint.rotate(timedelta(hours=form.cleaned_data["hours"]))
        record(request, "rotate", endpoint, after={"overlap_hours": form.cleaned_data["hours"]})
    return _secret_shown(request, endpoint)


@require_POST
@needs("admin")
def switch(request: HttpRequest, endpoint_id: UUID) -> HttpResponse:
    """POST /admin/webhooks/endpoints/<id>/switch/: `to` is on or off."""
    endpoint, on = _endpoint(endpoint_id), request.POST.get("to") == "on"
    if endpoint.enabled != on:
        with transaction.atomic():
            endpoints.change_endpoint(endpoint, {"enabled": on})
            reason = reason_of(request.POST)
            record(request, "enable" if on else "disable", endpoint, reason=reason)
    said = "It hears of runs that end from now on." if on else "Nothing is sent to it; what waited has failed."
    messages.success(request, said)
    return redirect("console:endpoint", endpoint_id)


@require_POST
@needs("admin")
def delete(request: HttpRequest, endpoint_id: UUID) -> HttpResponse:
    """POST /admin/webhooks/endpoints/<id>/delete/: with its deliveries, as the API does."""
    endpoint = _endpoint(endpoint_id)
    with transaction.atomic():
        before = {"url": masked_url(endpoint.url), "description": endpoint.description}
        record(request, "delete", endpoint, before=before, reason=reason_of(request.POST))
        endpoint.delete()
    messages.success(request, "The endpoint and its deliveries are deleted.")
    return redirect("console:webhooks")


@require_POST
@needs("operator")
def test(request: HttpRequest, endpoint_id: UUID) -> HttpResponse:
    """POST /admin/webhooks/endpoints/<id>/test/: leads to the delivery, which shows what becomes of it."""
    endpoint = _endpoint(endpoint_id)
    try:
        with transaction.atomic():
            delivery = endpoints.test_endpoint(endpoint)
            record(request, "test", endpoint, after={"delivery_id": str(delivery.pk)})
    except APIException as refused:
        messages.error(request, str(refused.detail))
        return redirect("console:endpoint", endpoint_id)
    messages.success(request, "The test event is on its way; this page shows what becomes of it.")
    return redirect("console:delivery", delivery.pk)


# --- live -------------------------------------------------------------------------------------------------------------


def _look_at_endpoint(key: str) -> dict[str, Any]:
    try:
        endpoint = WebhookEndpoint.objects.get(pk=UUID(key))
    except (ValueError, WebhookEndpoint.DoesNotExist):
        return {}
    tiles = {name: asdict(tile) for name, tile in _tiles(_row(endpoint, timezone.now())).items()}
    recent = render_to_string("console/webhooks/recent.html", {"rows": recent_of(endpoint)})
    return {"tiles": tiles, "recent": recent}


TOPIC = Topic(polled(_look_at_endpoint, seconds=1.0))
