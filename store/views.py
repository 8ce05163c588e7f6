"""The store endpoints: items, search, namespaces. Source: contract/platform.md 3."""

from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from langgraph.store.base import Item, SearchItem
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authorizer import authorize
from accounts.callers import caller_of
from config import loop
from config.errors import ApiError, BadRequest, without_body
from config.rest import Endpoint, read_body, without_nul
from config.schema import ErrorResponse
from store import quota
from store.opening import open_store
from store.serializers import (
    DeleteBody,
    FoundItemsSerializer,
    ItemSearchBody,
    ItemSerializer,
    NamespacesBody,
    NamespacesSerializer,
    PutBody,
)

T = TypeVar("T")
GET_PARAMETERS = [
    OpenApiParameter("namespace", OpenApiTypes.STR, description="The labels, joined by dots."),
    OpenApiParameter("key", OpenApiTypes.STR, required=True),
    OpenApiParameter("refresh_ttl", OpenApiTypes.BOOL, description="Begin its time to live anew."),
]


class BadLabel(ApiError):
    """A namespace's label cannot be one. Its answer is bare text, as the protocol has it."""

    status_code = 422


class StoreEndpoint(Endpoint):
    """An endpoint of the store."""

    def handle_exception(self, exc: Exception) -> Any:
        """The answer of a bad label has neither JSON nor a content type."""
        if isinstance(exc, BadLabel):
            answer = without_body(exc.status_code)
            answer.content = str(exc.detail).encode()
            return answer
        return super().handle_exception(exc)


class Items(StoreEndpoint):
    """/store/items"""

    @extend_schema(operation_id="put_item", request=PutBody, responses={204: None, 400: ErrorResponse})
    def put(self, request: Request) -> HttpResponse:
        """Store an item, or replace its value."""
        body, caller = read_body(request, PutBody), caller_of(request)
        body["namespace"] = _namespace(body["namespace"])
        asked = {name: body.get(name) for name in ("namespace", "key", "value", "index", "ttl")}
        authorize(caller, "store", "put", asked)
        body |= {name: asked[name] for name in asked if name in body or asked[name] is not None}
        quota.admit(caller.tenant, body["value"])
        _run(_put(caller.tenant, _namespace(body["namespace"]), body))
        return Response(status=204)

    @extend_schema(operation_id="delete_item", request=DeleteBody, responses={204: None, 400: ErrorResponse})
    def delete(self, request: Request) -> HttpResponse:
        """Delete an item, if it is there."""
        body, caller = read_body(request, DeleteBody), caller_of(request)
        asked = {"namespace": _namespace(body.get("namespace", [])), "key": body["key"]}
        authorize(caller, "store", "delete", asked)
        _run(_delete(caller.tenant, _namespace(asked["namespace"]), asked["key"]))
        return Response(status=204)

    @extend_schema(
        operation_id="get_item", parameters=GET_PARAMETERS, responses={200: ItemSerializer, 400: ErrorResponse}
    )
    def get(self, request: Request) -> Response:
        """Read an item; null when there is none."""
        asked = request.query_params
        namespace = _namespace(asked.get("namespace", "").split("."))
        key = asked.get("key", "")
        if not key:
            return Response({"error": "Key is required"}, status=400)
        refresh = asked["refresh_ttl"].lower() == "true" if "refresh_ttl" in asked else None
        caller = caller_of(request)
        about: dict[str, Any] = {"namespace": namespace, "key": without_nul(key), "refresh_ttl": refresh}
        authorize(caller, "store", "get", about)
        item = _run(_get(caller.tenant, _namespace(about["namespace"]), about["key"], about["refresh_ttl"]))
        return Response(represent(item) if item else None)


class ItemSearch(StoreEndpoint):
    """POST /store/items/search"""

    @extend_schema(
        operation_id="search_items", request=ItemSearchBody, responses={200: FoundItemsSerializer, 400: ErrorResponse}
    )
    def post(self, request: Request) -> Response:
        """List the items below a namespace, by filter and by meaning."""
        body, caller = read_body(request, ItemSearchBody), caller_of(request)
        asked = {
            "namespace": _namespace(body.get("namespace_prefix", [])),
            "filter": body.get("filter"),
            "limit": body.get("limit") or 10,
            "offset": body.get("offset", 0),
            "query": body.get("query"),
            "refresh_ttl": body.get("refresh_ttl"),
        }
        scope = authorize(caller, "store", "search", asked)
        found = _run(_search(caller.tenant, _namespace(asked["namespace"]), asked, scope.filter or {}))
        return Response({"items": [{**represent(item), "score": item.score} for item in found]})


class Namespaces(StoreEndpoint):
    """POST /store/namespaces"""

    @extend_schema(
        operation_id="list_namespaces",
        request=NamespacesBody,
        responses={200: NamespacesSerializer, 400: ErrorResponse},
    )
    def post(self, request: Request) -> Response:
        """List the namespaces that have items."""
        body, caller = read_body(request, NamespacesBody), caller_of(request)
        asked = {
            "namespace": _namespace(body.get("prefix", [])),
            "suffix": _namespace(body.get("suffix", [])),
            "max_depth": body.get("max_depth"),
            "limit": body.get("limit", 100),
            "offset": body.get("offset", 0),
        }
        authorize(caller, "store", "list_namespaces", asked)
        found = _run(_list(caller.tenant, _namespace(asked["namespace"]), _namespace(asked["suffix"]), asked))
        return Response({"namespaces": [list(namespace) for namespace in found]})


def represent(item: Item) -> dict[str, Any]:
    """The item object."""
    return {
        "namespace": list(item.namespace),
        "key": item.key,
        "value": item.value,
        "created_at": item.created_at,
        "updated_at": item.updated_at,
    }


def _namespace(labels: Sequence[str] | None) -> tuple[str, ...]:
    """Raises BadLabel for a label that is empty or has a dot. A handler may have made the labels."""
    labels = labels or ()
    for label in labels:
        if not isinstance(label, str) or not label or "." in label:
            raise BadLabel(f"Namespace label {label!r} must be a non-empty string without periods")
    return tuple(labels)


def _run(call: Coroutine[Any, Any, T]) -> T:
    """What the store answers. Raises BadRequest for what it refuses: langgraph says that by a ValueError."""
    try:
        return loop.run(call)
    except ApiError:
        raise
    except (ValueError, NotImplementedError) as error:
        raise BadRequest(str(error)) from None


async def _put(tenant: str, namespace: tuple[str, ...], body: dict[str, Any]) -> None:
    if not namespace:
        raise BadRequest("Namespace cannot be empty.")
    options = {"ttl": body["ttl"]} if "ttl" in body else {}
    await (await open_store(tenant)).aput(namespace, body["key"], body["value"], body.get("index"), **options)


async def _delete(tenant: str, namespace: tuple[str, ...], key: str) -> None:
    await (await open_store(tenant)).adelete(namespace, key)


async def _get(tenant: str, namespace: tuple[str, ...], key: str, refresh: bool | None) -> Item | None:
    return await (await open_store(tenant)).aget(namespace, key, refresh_ttl=refresh)


async def _search(
    tenant: str, prefix: tuple[str, ...], body: dict[str, Any], required: Mapping[str, Any]
) -> list[SearchItem]:
    """What matches the body's filter and the one a resource handler requires, too."""
    wanted = both(body.get("filter") or {}, required)
    if wanted is None:
        return []
    return await (await open_store(tenant)).asearch(
        prefix,
        query=body.get("query") or None,
        filter=wanted or None,
        limit=body.get("limit") or 10,
        offset=body.get("offset", 0),
        refresh_ttl=body.get("refresh_ttl"),
    )


def both(asked: Mapping[str, Any], required: Mapping[str, Any]) -> dict[str, Any] | None:
    """One filter that says what both say; None where that is nothing. On a key that cannot be joined, what is required
    is all that counts.
    """
    joined = {**asked, **required}
    for key in asked.keys() & required.keys():
        one, other = _compared(asked[key]), _compared(required[key])
        if any(one[operator] != other[operator] for operator in one.keys() & other.keys() if operator == "$eq"):
            return None
        joined[key] = {**one, **other}
    return joined


def _compared(wanted: Any) -> dict[str, Any]:
    """A condition in its long form."""
    is_long = isinstance(wanted, dict) and any(key.startswith("$") for key in wanted)
    return wanted if is_long else {"$eq": wanted}


async def _list(
    tenant: str, prefix: tuple[str, ...], suffix: tuple[str, ...], body: dict[str, Any]
) -> list[tuple[str, ...]]:
    return await (await open_store(tenant)).alist_namespaces(
        prefix=prefix or None,
        suffix=suffix or None,
        max_depth=body.get("max_depth"),
        limit=body.get("limit", 100),
        offset=body.get("offset", 0),
    )
