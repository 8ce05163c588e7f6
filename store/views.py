"""The store endpoints: items, search, namespaces. Source: contract/platform.md 3."""

from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from langgraph.store.base import Item, SearchItem
from rest_framework.request import Request
from rest_framework.response import Response

from config import loop
from config.errors import ApiError, BadRequest, without_body
from config.rest import Endpoint, read_body, without_nul
from config.schema import ErrorResponse
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
        body = read_body(request, PutBody)
        _run(_put(_namespace(body["namespace"]), body))
        return Response(status=204)

    @extend_schema(operation_id="delete_item", request=DeleteBody, responses={204: None, 400: ErrorResponse})
    def delete(self, request: Request) -> HttpResponse:
        """Delete an item, if it is there."""
        body = read_body(request, DeleteBody)
        _run(_delete(_namespace(body.get("namespace", [])), body["key"]))
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
        item = _run(_get(namespace, without_nul(key), refresh))
        return Response(represent(item) if item else None)


class ItemSearch(StoreEndpoint):
    """POST /store/items/search"""

    @extend_schema(
        operation_id="search_items", request=ItemSearchBody, responses={200: FoundItemsSerializer, 400: ErrorResponse}
    )
    def post(self, request: Request) -> Response:
        """List the items below a namespace, by filter and by meaning."""
        body = read_body(request, ItemSearchBody)
        found = _run(_search(_namespace(body.get("namespace_prefix", [])), body))
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
        body = read_body(request, NamespacesBody)
        prefix, suffix = _namespace(body.get("prefix", [])), _namespace(body.get("suffix", []))
        found = _run(_list(prefix, suffix, body))
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


def _namespace(labels: Sequence[str]) -> tuple[str, ...]:
    """Raises BadLabel for a label that is empty or has a dot."""
    for label in labels:
        if not label or "." in label:
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


async def _put(namespace: tuple[str, ...], body: dict[str, Any]) -> None:
    if not namespace:
        raise BadRequest("Namespace cannot be empty.")
    options = {"ttl": body["ttl"]} if "ttl" in body else {}
    await (await open_store()).aput(namespace, body["key"], body["value"], body.get("index"), **options)


async def _delete(namespace: tuple[str, ...], key: str) -> None:
    await (await open_store()).adelete(namespace, key)


async def _get(namespace: tuple[str, ...], key: str, refresh: bool | None) -> Item | None:
    return await (await open_store()).aget(namespace, key, refresh_ttl=refresh)


async def _search(prefix: tuple[str, ...], body: dict[str, Any]) -> list[SearchItem]:
    return await (await open_store()).asearch(
        prefix,
        query=body.get("query") or None,
        filter=body.get("filter") or None,
        limit=body.get("limit") or 10,
        offset=body.get("offset", 0),
        refresh_ttl=body.get("refresh_ttl"),
    )


async def _list(prefix: tuple[str, ...], suffix: tuple[str, ...], body: dict[str, Any]) -> list[tuple[str, ...]]:
    return await (await open_store()).alist_namespaces(
        prefix=prefix or None,
        suffix=suffix or None,
        max_depth=body.get("max_depth"),
        limit=body.get("limit", 100),
        offset=body.get("offset", 0),
    )
