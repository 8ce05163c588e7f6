"""The store, as a tree of namespaces: what is in it, found by filter and by meaning, mended and deleted by people.

Everything goes through the store the API uses, the project's own where it has one. To look begins no time to live anew.
"""

import json
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlencode

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST
from langgraph.store.base import Item, SearchItem
from rest_framework.exceptions import APIException

from accounts.audit import record
from accounts.models import Tenant
from config import loop
from console.given import reason_of
from console.pages import Crumb, Page, show
from console.roles import needs
from store import quota
from store.configuration import store_settings
from store.opening import open_store

PAGE = 50
LABELS = 200
TENANTS = 500
REFUSED = (APIException, ValueError, NotImplementedError)  # langgraph says by the latter two what it refuses
Namespace = tuple[str, ...]
T = TypeVar("T")


class Refused(Exception):
    """The store refuses what was asked; the message says why."""


@dataclass(frozen=True)
class Place:
    """Where in the store somebody looks."""

    tenant: str
    namespace: Namespace
    key: str = ""

    @classmethod
    def of(cls, given: QueryDict) -> "Place":
        """From `tenant`, `prefix` and `key`. Raises Http404 for a tenant there is none of."""
        tenant = given.get("tenant", "")
        if tenant and not Tenant.objects.filter(slug=tenant).exists():
            raise Http404("There is no such tenant.")
        labels = tuple(label for label in given.get("prefix", "").split(".") if label)
        return cls(tenant, labels, given.get("key", ""))

    @property
    def path(self) -> str:
        """The labels, joined by dots."""
        return ".".join(self.namespace)

    def url(self, namespace: Namespace, key: str = "") -> str:
        """The page of a namespace of the same tenant, or of an item."""
        given = {"tenant": self.tenant, "prefix": ".".join(namespace), "key": key}
        query = urlencode({name: text for name, text in given.items() if text})
        return f"{reverse('console:item' if key else 'console:store')}{'?' if query else ''}{query}"

    def above(self) -> tuple[Crumb, ...]:
        """The namespaces on the way here, the store itself first."""
        ways = [Crumb(label, self.url(self.namespace[: depth + 1])) for depth, label in enumerate(self.namespace)]
        return (Crumb("Store", self.url(())), *ways)


@dataclass(frozen=True)
class Row:
    """An item in the list."""

    item: SearchItem
    url: str

    @property
    def path(self) -> str:
        """Its namespace."""
        return ".".join(self.item.namespace)


@require_GET
@needs("viewer")
def page(request: HttpRequest) -> HttpResponse:
    """/admin/store/"""
    place, offset, problem = Place.of(request.GET), _offset(request), ""
    labels: list[Namespace] = []
    found: list[SearchItem] = []
    try:
        wanted = _object(request.GET.get("filter", ""), "The filter")
        labels, found = _run(_look(place, request.GET.get("query", "").strip(), wanted, offset))
    except Refused as refused:
        problem = str(refused)
    return show(
        request,
        "console/store.html",
        Page(place.namespace[-1] if place.namespace else "Store", place.above()[:-1], place.path),
        place=place,
        labels=[(label[-1], place.url(label)) for label in labels],
        rows=[Row(item, place.url(tuple(item.namespace), item.key)) for item in found[:PAGE]],
        older=_page_url(request, offset + PAGE) if len(found) > PAGE else "",
        newer=_page_url(request, max(offset - PAGE, 0)) if offset else "",
        given=request.GET,
        problem=problem,
        has_index=store_settings().index is not None or store_settings().path is not None,
        tenants=list(Tenant.objects.values_list("slug", flat=True)[:TENANTS]),
    )


@require_GET
@needs("viewer")
def item(request: HttpRequest) -> HttpResponse:
    """/admin/store/item/"""
    return _shown(request, Place.of(request.GET))


def _shown(request: HttpRequest, place: Place, text: str = "", problem: str = "") -> HttpResponse:
    try:
        found = _run(_get(place))
    except Refused as refused:
        raise Http404(str(refused)) from None
    if found is None:
        raise Http404("There is no such item, or no longer.")
    return show(
        request,
        "console/store_item.html",
        Page(place.key, place.above(), place.path),
        status=422 if problem else 200,
        place=place,
        item=found,
        text=text or json.dumps(found.value, indent=2, ensure_ascii=False),
        problem=problem,
        fields={"tenant": place.tenant, "prefix": place.path, "key": place.key},
    )


@require_POST
@needs("operator")
def edit(request: HttpRequest) -> HttpResponse:
    """POST /admin/store/item/edit/: another value for an item that is there."""
    place, text = Place.of(request.POST), request.POST.get("value", "")
    try:
        value = _object(text.strip() or "null", "The value")  # nothing is not meant as an empty object
        if _run(_get(place)) is None:
            raise Http404("There is no such item, or no longer.")
        _admit(place, value)
        _run(_put(place, value))
    except Refused as refused:
        return _shown(request, place, text, str(refused))
    _record(request, "edit", place)
    messages.success(request, "The item has its new value.")
    return redirect(place.url(place.namespace, place.key))


@require_POST
@needs("admin")
def delete(request: HttpRequest) -> HttpResponse:
    """POST /admin/store/item/delete/"""
    place = Place.of(request.POST)
    try:
        _run(_delete(place))
    except Refused as refused:
        messages.error(request, str(refused))
    else:
        _record(request, "delete", place)
        messages.success(request, f"{place.key} is deleted.")
    return redirect(place.url(place.namespace))


def _record(request: HttpRequest, action: str, place: Place) -> None:
    """Which item it was; values stay in the store, where they may be encrypted."""
    where = {"tenant": place.tenant, "namespace": list(place.namespace), "key": place.key}
    reason = reason_of(request.POST)
    record(request, action, ("store.item", f"{place.path}/{place.key}"), after=where, reason=reason)


# --- the store --------------------------------------------------------------------------------------------------------


async def _look(
    place: Place, query: str, wanted: dict[str, Any], offset: int
) -> tuple[list[Namespace], list[SearchItem]]:
    """The next labels, and the items here and below."""
    store = await open_store(place.tenant)
    depth = len(place.namespace) + 1
    spaces = await store.alist_namespaces(prefix=place.namespace or None, max_depth=depth, limit=LABELS)
    found = await store.asearch(
        place.namespace,
        query=query or None,
        filter=wanted or None,
        limit=PAGE + 1,
        offset=offset,
        refresh_ttl=False,
    )
    return [tuple(space) for space in spaces if len(space) == depth], found


async def _get(place: Place) -> Item | None:
    return await (await open_store(place.tenant)).aget(place.namespace, place.key, refresh_ttl=False)


async def _put(place: Place, value: dict[str, Any]) -> None:
    await (await open_store(place.tenant)).aput(place.namespace, place.key, value)


async def _delete(place: Place) -> None:
    await (await open_store(place.tenant)).adelete(place.namespace, place.key)


def _run(call: Coroutine[Any, Any, T]) -> T:
    try:
        return loop.run(call)
    except REFUSED as error:
        raise Refused(str(error)) from None


def _admit(place: Place, value: dict[str, Any]) -> None:
    try:
        quota.admit(place.tenant, value)
    except APIException as error:
        raise Refused(str(error)) from None


# --- what is given ----------------------------------------------------------------------------------------------------


def _object(text: str, what: str) -> dict[str, Any]:
    """A JSON object; nothing is an empty one. Raises Refused."""
    if not text.strip():
        return {}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Refused(f"{what} is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise Refused(f"{what} must be a JSON object.")
    return found


def _offset(request: HttpRequest) -> int:
    text = request.GET.get("offset", "")
    return int(text) if text.isdecimal() and len(text) < 7 else 0


def _page_url(request: HttpRequest, offset: int) -> str:
    query = request.GET.copy()
    query["offset"] = str(offset)
    return f"?{query.urlencode()}"
