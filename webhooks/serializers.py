"""Bodies and answers of /webhooks. Ours; docs/extensions.md."""

from typing import Any

from drf_spectacular.utils import extend_schema_serializer
from rest_framework import serializers

from config.paging import Page
from config.rest import Body, Choice, Flag, Identifier, Moment, Number, Object, Text
from webhooks.models import SUBSCRIBABLE, DeliveryStatus, Event, WebhookDelivery, WebhookEndpoint


class EndpointFields(Body):
    """What an endpoint is told to be."""

    description = Text(required=False)
    assistant_id = Identifier(required=False, allow_null=True, help_text="Only runs of this assistant.")
    metadata = Object(required=False, help_text="Only runs whose metadata contains this.")
    enabled = Flag(required=False)


@extend_schema_serializer(component_name="WebhookEndpointCreate")
class EndpointBody(EndpointFields):
    """A new endpoint."""

    url = Text(allow_blank=False, max_length=65536)
    events = serializers.ListField(child=Choice(SUBSCRIBABLE), allow_empty=False)


@extend_schema_serializer(component_name="WebhookEndpointPatch")
class EndpointPatchBody(EndpointFields):
    """What to change of an endpoint."""

    url = Text(required=False, allow_blank=False, max_length=65536)
    events = serializers.ListField(child=Choice(SUBSCRIBABLE), required=False, allow_empty=False)


@extend_schema_serializer(component_name="WebhookEndpointSearch")
class EndpointSearchBody(Page):
    """Which endpoints to list, newest first."""

    enabled = Flag(required=False)


@extend_schema_serializer(component_name="WebhookSecretRotate")
class RotateBody(Body):
    """How long the secret so far signs too."""

    overlap_hours = Number(required=False, min_value=0, max_value=24 * 30)


@extend_schema_serializer(component_name="WebhookRedeliver")
class RedeliverBody(Body):
    """Which failed deliveries of an endpoint to send again."""

    since = serializers.DateTimeField(required=False, help_text="ISO 8601; of events at or after it.")


@extend_schema_serializer(component_name="WebhookDeliverySearch")
class DeliverySearchBody(Page):
    """Which deliveries to list, newest first."""

    status = Choice(DeliveryStatus.values, required=False)
    event = Choice(Event.values, required=False)
    endpoint_id = Identifier(required=False)
    run_id = Identifier(required=False)
    thread_id = Identifier(required=False)
    created_after = serializers.DateTimeField(required=False)
    created_before = serializers.DateTimeField(required=False)


@extend_schema_serializer(component_name="WebhookEndpoint")
class EndpointSerializer(serializers.Serializer[WebhookEndpoint]):
    """An endpoint, without its secret."""

    endpoint_id = serializers.UUIDField()
    url = serializers.CharField()
    description = serializers.CharField()
    events = serializers.ListField(child=serializers.CharField())
    assistant_id = serializers.UUIDField(allow_null=True)
    metadata = Object()
    enabled = serializers.BooleanField()
    notice = serializers.CharField(help_text="Why the server switched it off.")
    failing_since = Moment()
    old_secret_expires_at = Moment()
    created_at = Moment()
    updated_at = Moment()


@extend_schema_serializer(component_name="WebhookEndpointWithSecret")
class SecretSerializer(EndpointSerializer):
    """An endpoint with its secret, which is shown this once."""

    secret = serializers.CharField()


@extend_schema_serializer(component_name="WebhookDelivery")
class DeliverySerializer(serializers.Serializer[WebhookDelivery]):
    """A delivery in a list."""

    delivery_id = serializers.UUIDField()
    endpoint_id = serializers.UUIDField(allow_null=True)
    url = serializers.CharField()
    event = serializers.CharField()
    run_id = serializers.UUIDField(allow_null=True)
    thread_id = serializers.UUIDField(allow_null=True)
    status = serializers.ChoiceField(DeliveryStatus.choices)
    failure = serializers.CharField()
    tries = serializers.IntegerField()
    next_attempt_at = Moment()
    created_at = Moment()
    ended_at = Moment()

    def to_representation(self, instance: WebhookDelivery) -> dict[str, Any]:
        """Without the next attempt when there is none."""
        found = super().to_representation(instance)
        return found if instance.status == DeliveryStatus.PENDING else {**found, "next_attempt_at": None}


@extend_schema_serializer(component_name="WebhookDeliveryInFull")
class WholeDeliverySerializer(DeliverySerializer):
    """A delivery with what was sent and every attempt that is kept."""

    body = serializers.CharField(help_text="As it was sent.")
    attempts = serializers.ListField(child=Object())


@extend_schema_serializer(component_name="WebhookRedelivered")
class CountSerializer(serializers.Serializer[Any]):
    """How many."""

    count = serializers.IntegerField()
