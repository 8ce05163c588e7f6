"""/webhooks: endpoints and deliveries. Ours; nothing official is shadowed (docs/extensions.md)."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authorizer import Scope, authorize
from accounts.callers import caller_of
from config.errors import NotFound
from config.paging import ordered, page_response
from config.rest import Endpoint, parse_uuid, read_body
from config.schema import ErrorResponse
from webhooks.endpoints import OVERLAP, change_endpoint, create_endpoint, redeliver, redeliver_failed, test_endpoint
from webhooks.models import WebhookDelivery, WebhookEndpoint
from webhooks.serializers import (
    CountSerializer,
    DeliverySearchBody,
    DeliverySerializer,
    EndpointBody,
    EndpointPatchBody,
    EndpointSearchBody,
    EndpointSerializer,
    RedeliverBody,
    RotateBody,
    SecretSerializer,
    WholeDeliverySerializer,
)

represent = EndpointSerializer().to_representation
with_secret = SecretSerializer().to_representation
summary = DeliverySerializer().to_representation
in_full = WholeDeliverySerializer().to_representation
ENDPOINT_FIELDS = EndpointPatchBody().fields.keys() | EndpointBody().fields.keys()


class Endpoints(Endpoint):
    """POST /webhooks/endpoints"""

    creates = True

    @extend_schema(
        operation_id="create_webhook_endpoint",
        request=EndpointBody,
        responses={200: SecretSerializer, 409: ErrorResponse},
    )
    def post(self, request: Request) -> Response:
        """Create an endpoint; its secret is shown this once."""
        caller, fields = caller_of(request), _fields(read_body(request, EndpointBody))
        fields.setdefault("metadata", {})
        authorize(caller, "webhooks", "create", fields)
        return Response(with_secret(create_endpoint({**_known(fields), "tenant": caller.tenant})))


class EndpointSearch(Endpoint):
    """POST /webhooks/endpoints/search"""

    @extend_schema(
        operation_id="search_webhook_endpoints",
        request=EndpointSearchBody,
        responses=EndpointSerializer(many=True),
    )
    def post(self, request: Request) -> Response:
        """List endpoints, newest first."""
        body = read_body(request, EndpointSearchBody)
        scope = authorize(caller_of(request), "webhooks", "search", {})
        rows = ordered(WebhookEndpoint.objects.within(scope), body, default="created_at")
        return page_response(rows.filter(enabled=body["enabled"]) if "enabled" in body else rows, body, represent)


class OneEndpoint(Endpoint):
    """/webhooks/endpoints/{endpoint_id}"""

    @extend_schema(operation_id="get_webhook_endpoint", responses=EndpointSerializer)
    def get(self, request: Request, endpoint_id: str) -> Response:
        """Read an endpoint."""
        return Response(represent(_endpoint(request, "read", endpoint_id)))

    @extend_schema(operation_id="patch_webhook_endpoint", request=EndpointPatchBody, responses=EndpointSerializer)
    def patch(self, request: Request, endpoint_id: str) -> Response:
        """Change an endpoint."""
        wanted = _id(endpoint_id)
        fields = _fields(read_body(request, EndpointPatchBody))
        asked = {**fields, "endpoint_id": wanted}
        scope = authorize(caller_of(request), "webhooks", "update", asked)
        with transaction.atomic():
            endpoint = change_endpoint(_within(WebhookEndpoint.objects.within(scope), wanted), _known(asked))
            # Its metadata chooses whose runs it hears of: nobody widens that beyond what they may see.
            _within(WebhookEndpoint.objects.within(scope), wanted)
        return Response(represent(endpoint))

    @extend_schema(operation_id="delete_webhook_endpoint", responses={204: None})
    def delete(self, request: Request, endpoint_id: str) -> Response:
        """Delete an endpoint with its deliveries."""
        _endpoint(request, "delete", endpoint_id).delete()
        return Response(status=204)


class EndpointSecret(Endpoint):
    """POST /webhooks/endpoints/{endpoint_id}/rotate"""

    creates = True

    @extend_schema(operation_id="rotate_webhook_secret", request=RotateBody, responses=SecretSerializer)
    def post(self, request: Request, endpoint_id: str) -> Response:
        """Give the endpoint a new secret, shown this once; the one so far signs too for a while."""
        wanted = _id(endpoint_id)
        body = read_body(request, RotateBody)
        endpoint = _endpoint(request, "update", wanted)
        endpoint.rotate(timedelta(hours=body["overlap_hours"]) if "overlap_hours" in body else OVERLAP)
        return Response(with_secret(endpoint))


class EndpointTest(Endpoint):
    """POST /webhooks/endpoints/{endpoint_id}/test"""

    creates = True

    @extend_schema(
        operation_id="test_webhook_endpoint",
        request=None,
        responses={200: DeliverySerializer, 409: ErrorResponse},
    )
    def post(self, request: Request, endpoint_id: str) -> Response:
        """Send the endpoint a test event."""
        return Response(summary(test_endpoint(_endpoint(request, "update", endpoint_id))))


class EndpointRedelivery(Endpoint):
    """POST /webhooks/endpoints/{endpoint_id}/redeliver"""

    creates = True

    @extend_schema(
        operation_id="redeliver_failed_webhooks",
        request=RedeliverBody,
        responses={200: CountSerializer, 409: ErrorResponse},
    )
    def post(self, request: Request, endpoint_id: str) -> Response:
        """Send again all that failed, or all since a time."""
        wanted = _id(endpoint_id)
        body = read_body(request, RedeliverBody)
        return Response({"count": redeliver_failed(_endpoint(request, "update", wanted), body.get("since"))})


class DeliverySearch(Endpoint):
    """POST /webhooks/deliveries/search"""

    @extend_schema(
        operation_id="search_webhook_deliveries",
        request=DeliverySearchBody,
        responses=DeliverySerializer(many=True),
    )
    def post(self, request: Request) -> Response:
        """List deliveries, newest first."""
        body = read_body(request, DeliverySearchBody)
        shown = _shown(authorize(caller_of(request), "webhooks", "search", {}))
        rows = shown.filter(**_filters(body)).defer("body", "attempts")
        return page_response(ordered(rows, body, default="created_at"), body, summary)


class OneDelivery(Endpoint):
    """GET /webhooks/deliveries/{delivery_id}"""

    @extend_schema(operation_id="get_webhook_delivery", responses=WholeDeliverySerializer)
    def get(self, request: Request, delivery_id: str) -> Response:
        """Read a delivery with its attempts."""
        return Response(in_full(_delivery(request, "read", delivery_id)))


class DeliveryAgain(Endpoint):
    """POST /webhooks/deliveries/{delivery_id}/redeliver"""

    creates = True

    @extend_schema(
        operation_id="redeliver_webhook",
        request=None,
        responses={200: DeliverySerializer, 409: ErrorResponse},
    )
    def post(self, request: Request, delivery_id: str) -> Response:
        """Send a delivery again, whether it had arrived or not."""
        return Response(summary(redeliver(_delivery(request, "update", delivery_id))))


def _fields(body: dict[str, Any]) -> dict[str, Any]:
    if body.get("assistant_id"):
        body["assistant_id"] = parse_uuid(body["assistant_id"], "assistant ID")
    if "events" in body:
        body["events"] = list(dict.fromkeys(body["events"]))
    return body


def _known(asked: dict[str, Any]) -> dict[str, Any]:
    """The fields of an endpoint, in whatever else a handler left."""
    return {name: value for name, value in asked.items() if name in ENDPOINT_FIELDS}


def _filters(body: dict[str, Any]) -> dict[str, Any]:
    filters: dict[str, Any] = {name: body[name] for name in ("status", "event") if name in body}
    for name in ("endpoint_id", "run_id", "thread_id"):
        if name in body:
            filters[name] = parse_uuid(body[name], name.replace("_id", " ID"))
    if "created_after" in body:
        filters["created_at__gte"] = body["created_after"]
    if "created_before" in body:
        filters["created_at__lt"] = body["created_before"]
    return filters


def _id(text: str) -> UUID:
    return parse_uuid(text, "endpoint ID")


def _endpoint(request: Request, action: str, given: str | UUID) -> WebhookEndpoint:
    """The endpoint, if the caller may do that to it. Raises NotFound and what `authorize` raises."""
    wanted = given if isinstance(given, UUID) else _id(given)
    scope = authorize(caller_of(request), "webhooks", action, {"endpoint_id": wanted})
    return _within(WebhookEndpoint.objects.within(scope), wanted)


def _shown(scope: Scope) -> QuerySet[WebhookDelivery]:
    """Deliveries of endpoints the scope shows. Under a handler's filter those to a run's own URL are nobody's."""
    if not scope.filter:
        return WebhookDelivery.objects.within(scope)
    return WebhookDelivery.objects.filter(endpoint__in=WebhookEndpoint.objects.within(scope))


def _within(rows: QuerySet[WebhookEndpoint], wanted: UUID) -> WebhookEndpoint:
    found = rows.filter(pk=wanted).first()
    if found is None:
        raise NotFound("Webhook endpoint not found")
    return found


def _delivery(request: Request, action: str, text: str) -> WebhookDelivery:
    wanted = parse_uuid(text, "delivery ID")
    scope = authorize(caller_of(request), "webhooks", action, {"delivery_id": wanted})
    found = _shown(scope).select_related("endpoint").filter(pk=wanted).first()
    if found is None:
        raise NotFound("Webhook delivery not found")
    return found
