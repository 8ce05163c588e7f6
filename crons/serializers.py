"""Bodies and answers of the crons endpoints. Source: contract/platform.md 4."""

from datetime import UTC, datetime
from typing import Any

from django.utils.dateparse import parse_datetime
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from assistants.serializers import ConfigBody
from config.paging import Page, select_field
from config.rest import AnyValue, Body, Choice, Flag, Identifier, Integer, Moment, Object, Text, Unmarked
from crons.models import CatchUp, Cron, OnRunCompleted, Overlap
from runs.models import MultitaskStrategy
from runs.serializers import NodeNames, StreamModes

CRON_FIELDS = (
    "cron_id",
    "assistant_id",
    "thread_id",
    "user_id",
    "end_time",
    "schedule",
    "timezone",
    "payload",
    "next_run_date",
    "metadata",
    "on_run_completed",
    "enabled",
    "created_at",
    "updated_at",
)
SORTABLE = ["cron_id", "assistant_id", "thread_id", "next_run_date", "end_time", "created_at", "updated_at"]


@extend_schema_field(OpenApiTypes.DATETIME)
class EndTime(AnyValue):
    """ISO 8601; UTC where it names no offset."""

    def to_internal_value(self, data: Any) -> datetime | None:
        """Only a time will do, or null where that means something."""
        if data is None:
            return None
        try:
            found = parse_datetime(data) if isinstance(data, str) else None
        except ValueError:
            found = None
        if found is None:
            raise serializers.ValidationError("must be a time in ISO 8601")
        try:
            return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
        except OverflowError:
            raise serializers.ValidationError("is out of range") from None


class Policies(Body):
    """What Weft adds: docs/extensions.md."""

    overlap = Choice(Overlap.values, required=False)
    catch_up = Choice(CatchUp.values, required=False)
    pause_after_failures = Integer(required=False, min_value=0, max_value=1_000_000)


class CronFields(Policies):
    """What creating and changing a cron have in common; a key that is unknown stays in the payload."""

    writes = True

    timezone = Text(required=False, help_text="A name of the IANA database; UTC without.")
    input = AnyValue(required=False)
    metadata = Object(required=False)
    config = ConfigBody(required=False)
    context = Object(required=False)  # type: ignore[assignment]
    webhook = Text(required=False, allow_blank=False, max_length=65536)
    interrupt_before = NodeNames(required=False)
    interrupt_after = NodeNames(required=False)
    enabled = Flag(required=False)
    stream_mode = StreamModes(required=False, allow_null=False)
    stream_subgraphs = Flag(required=False)
    stream_resumable = Flag(required=False)
    durability = Choice(["sync", "async", "exit"], required=False)
    multitask_strategy = Choice(MultitaskStrategy.values, required=False)
    checkpoint_during = Flag(required=False)


@extend_schema_serializer(component_name="ThreadCronCreate")
class ThreadCronBody(CronFields):
    """A cron on a thread."""

    assistant_id = Text(help_text="An assistant's id or a graph id.")
    schedule = Text(help_text="5 fields, 6 with seconds, 7 with years, or an alias such as @daily.")
    end_time = EndTime(required=False, allow_null=False)


@extend_schema_serializer(component_name="CronCreate")
class CronBody(ThreadCronBody):
    """A cron whose runs have threads of their own."""

    on_run_completed = Choice(OnRunCompleted.values, required=False)


@extend_schema_serializer(component_name="CronPatch")
class CronPatchBody(CronFields):
    """Changes to a cron; null changes nothing but `end_time`, which it takes away."""

    schedule = Text(required=False)
    end_time = EndTime(required=False)
    on_run_completed = Choice(OnRunCompleted.values, required=False)


@extend_schema_serializer(component_name="CronCountRequest")
class CronCountBody(Body):
    """Which crons to count."""

    assistant_id = Identifier(required=False)
    thread_id = Identifier(required=False)
    metadata = Object(required=False)


@extend_schema_serializer(component_name="CronSearch")
class CronSearchBody(CronCountBody, Page):
    """Which crons to list, and how."""

    enabled = Flag(required=False)
    sort_by = Choice(SORTABLE, required=False)
    sort_order = Choice(["asc", "desc"], required=False)
    select = select_field(CRON_FIELDS)


@extend_schema_serializer(component_name="CronPreview")
class PreviewBody(Body):
    """A timetable to look at before there is a cron."""

    schedule = Text()
    timezone = Text(required=False)
    end_time = EndTime(required=False, allow_null=False)
    limit = Integer(required=False, min_value=1, max_value=100)


@extend_schema_serializer(component_name="Cron")
class CronSerializer(serializers.Serializer[Cron]):
    """The cron object."""

    cron_id = serializers.UUIDField()
    assistant_id = serializers.UUIDField()
    thread_id = serializers.UUIDField(allow_null=True)
    user_id = serializers.CharField(allow_null=True)
    end_time = Moment(allow_null=True)
    schedule = serializers.CharField()
    timezone = serializers.CharField(allow_null=True)
    payload = Unmarked()
    next_run_date = Moment(allow_null=True)
    metadata = Object()
    on_run_completed = serializers.ChoiceField(OnRunCompleted.choices, allow_null=True)
    enabled = serializers.BooleanField()
    created_at = Moment()
    updated_at = Moment()


@extend_schema_serializer(component_name="CronSlots")
class SlotsSerializer(serializers.Serializer[Any]):
    """When a cron fires next."""

    next_run_dates = serializers.ListField(child=Moment())
