"""Filters of a list under a name: built-in ones, those people share, and one's own. Knows which filters a list has."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_POST

from console.given import given_of, query_of
from console.models import SavedView
from console.roles import Role, needs, role_of
from console.run_filters import NAMES

MOST = 30  # a list and person, and shown
LONGEST = 40  # characters of a name


@dataclass(frozen=True)
class Listed:
    """A list whose filters may be saved; `built_in` ones are there for everybody."""

    route: str
    names: tuple[str, ...]
    built_in: Mapping[str, dict[str, str]]


LISTS = {
    "runs": Listed(
        "console:runs",
        NAMES,
        {
            "Failed in the last 24 h": {"status": "error", "period": "24h"},
            "Waiting long": {"waiting": "60"},
            "Retried": {"attempts": "2"},
        },
    ),
    "threads": Listed(
        "console:threads",
        ("status", "graph", "metadata"),
        {"Asking somebody": {"status": "interrupted"}, "Failed": {"status": "error"}},
    ),
}


@dataclass(frozen=True)
class View:
    """A saved view as a tab; `name` tells tabs apart."""

    name: str
    title: str
    url: str
    count: None = None


def views(request: HttpRequest, of: str, given: dict[str, str]) -> dict[str, Any]:
    """For `console/parts/views.html`: the tabs, which of them is current, and what may be done. One query."""
    listed = LISTS[of]
    address = reverse(listed.route)
    rows = list(_visible(request, of))
    tabs = [View("all", "All", address)]
    tabs += [View(title, title, f"{address}?{query_of(filters)}") for title, filters in listed.built_in.items()]
    tabs += [View(f"saved-{row.pk}", row.name, f"{address}?{query_of(row.filters)}") for row in rows]
    known = [{}, *listed.built_in.values(), *(row.filters for row in rows)]
    current = next((tab.name for tab, filters in zip(tabs, known, strict=True) if filters == given), "")
    chosen = next((row for row in rows if current == f"saved-{row.pk}"), None)
    may_delete = chosen is not None and _may_delete(request, chosen)
    return {"of": of, "tabs": tabs, "current": current, "deletable": chosen if may_delete else None, "given": given}


def _visible(request: HttpRequest, of: str) -> list[SavedView]:
    own_or_shared = Q(owner_id=request.user.pk) | Q(is_shared=True)
    return list(SavedView.objects.filter(own_or_shared, page=of).order_by("name", "pk")[: 2 * MOST])


def _may_delete(request: HttpRequest, view: SavedView) -> bool:
    return view.owner_id == request.user.pk or (view.is_shared and role_of(request.user) >= Role.ADMIN)


@require_POST
@needs("operator")
def save(request: HttpRequest, of: str) -> HttpResponse:
    """POST /admin/views/<list>/save/: `name`, `shared`, the list's filters. One's own of that name is replaced."""
    if of not in LISTS:
        raise Http404
    listed = LISTS[of]
    filters, name = given_of(request.POST, listed.names), request.POST.get("name", "").strip()[:LONGEST]
    own = SavedView.objects.filter(owner_id=request.user.pk, page=of)
    if not (name and filters):
        messages.error(request, "A view needs a name, and filters to keep.")
    elif own.exclude(name=name)[:MOST].count() >= MOST:
        messages.error(request, f"You have {MOST} views of this list already: delete one first.")
    else:
        kept = {"filters": filters, "is_shared": bool(request.POST.get("shared"))}
        SavedView.objects.update_or_create(owner_id=request.user.pk, page=of, name=name, defaults=kept)
        messages.success(request, f"Saved as “{name}”.")
    return redirect(f"{reverse(listed.route)}?{query_of(filters)}")


@require_POST
@needs("operator")
def delete(request: HttpRequest, view_id: int) -> HttpResponse:
    """POST /admin/views/<id>/delete/: one's own; admins delete shared ones too."""
    view = SavedView.objects.filter(pk=view_id).first()
    if view is None or not _may_delete(request, view):
        raise Http404("There is no such view of yours.")
    view.delete()
    messages.success(request, f"The view “{view.name}” is deleted.")
    return redirect(LISTS[view.page].route)
