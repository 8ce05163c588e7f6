"""The bodies runs are created with and the run object clients get. Source: contract/core.md 5.1 and 5.2."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from assistants.serializers import ConfigBody
from config.rest import AnyValue, Body, Choice, Flag, Identifier, Moment, Number, Object, Text, Unmarked, check
from runs.models import CancelAction, MultitaskStrategy, Run, RunStatus
from threads.serializers import CheckpointBody, CommandBody

STREAM_MODES = (
    "values",
    "messages",
    "messages-tuple",
    "tasks",
    "checkpoints",
    "updates",
    "events",
    "debug",
    "custom",
)
RUN_FIELDS = (
    "run_id",
    "thread_id",
    "assistant_id",
    "created_at",
    "updated_at",
    "status",
    "metadata",
    "kwargs",
    "multitask_strategy",
    "langsmith_session_name",
)


@extend_schema_field(OpenApiTypes.ANY)
class NodeNames(AnyValue):
    """`"*"` or a list of node names."""

    def to_internal_value(self, data: Any) -> Any:
        """Only these two forms will do."""
        names = isinstance(data, list) and all(isinstance(name, str) for name in data)
        if data is not None and data != "*" and not names:
            raise serializers.ValidationError('must be "*" or an array of strings')
        return data


@extend_schema_field({"oneOf": [{"type": "string", "enum": list(STREAM_MODES)}, {"type": "array"}]})
class StreamModes(AnyValue):
    """One mode or several; none at all means values."""

    def to_internal_value(self, data: Any) -> list[str]:
        """The modes as a list."""
        modes = [data] if isinstance(data, str) else data
        if not isinstance(modes, list) or any(mode not in STREAM_MODES for mode in modes if isinstance(mode, str)):
            raise serializers.ValidationError(f"must be one or more of {', '.join(STREAM_MODES)}")
        if not all(isinstance(mode, str) for mode in modes):
            raise serializers.ValidationError("must hold strings only")
        return list(dict.fromkeys(modes)) or ["values"]


class RunBody(Body):
    """What every way of creating a run takes."""

    writes = True

    assistant_id = Text(help_text="An assistant's id or a graph id.")
    input = AnyValue(required=False)
    command = CommandBody(required=False, allow_null=True)
    metadata = Object(required=False)
    config = ConfigBody(required=False)
    context = Object(required=False)  # type: ignore[assignment]
    checkpoint_id = Identifier(required=False)
    webhook = Text(required=False, allow_blank=False, max_length=65536)
    interrupt_before = NodeNames(required=False)
    interrupt_after = NodeNames(required=False)
    stream_mode = StreamModes(required=False, allow_null=False)
    stream_subgraphs = Flag(required=False)
    stream_resumable = Flag(required=False)
    feedback_keys = serializers.ListField(child=Text(), required=False)
    after_seconds = Number(required=False)
    checkpoint_during = Flag(required=False)
    durability = Choice(["sync", "async", "exit"], required=False)
    on_disconnect = Choice(["cancel", "continue"], required=False)
    timeout_seconds = Number(required=False, min_value=0.001, max_value=31_536_000)
    langsmith_tracer = Object(required=False)


@extend_schema_serializer(component_name="RunCreateStateful")
class StatefulRunBody(RunBody):
    """A run on a thread."""

    checkpoint = CheckpointBody(required=False)
    multitask_strategy = Choice(MultitaskStrategy.values, required=False)
    if_not_exists = Choice(["create", "reject"], required=False)


@extend_schema_serializer(component_name="RunCreateStateless")
class StatelessRunBody(RunBody):
    """A run on a thread of its own."""

    # Of any type: what is no breakpoint fails the run (contract/core.md 10).
    interrupt_before: AnyValue = AnyValue(required=False)  # type: ignore[assignment]
    interrupt_after: AnyValue = AnyValue(required=False)  # type: ignore[assignment]
    on_completion = Choice(["delete", "keep"], required=False)


class RunBatchBody(serializers.ListSerializer[Any]):
    """Several stateless runs, created all or none."""

    child = StatelessRunBody()


def check_batch(data: Any) -> list[dict[str, Any]]:
    """The bodies of a batch, each checked. Raises ValidationError."""
    if not isinstance(data, list) or not data:
        raise serializers.ValidationError("must be a non-empty array of runs")
    return [check(item, StatelessRunBody) for item in data]


@extend_schema_serializer(component_name="RunsCancel")
class CancelRunsBody(Body):
    """Which runs to cancel: all in a status, or some of a thread."""

    status = Choice(["pending", "running", "all"], required=False)
    thread_id = Identifier(required=False)
    run_ids = serializers.ListField(child=Identifier(), required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Exactly one of the two forms."""
        by_ids = "thread_id" in attrs and "run_ids" in attrs
        if ("status" in attrs) == by_ids or ("status" in attrs and ("thread_id" in attrs or "run_ids" in attrs)):
            raise serializers.ValidationError("give either status, or thread_id and run_ids")
        return attrs


class RunSerializer(serializers.Serializer[Run]):
    """The run object."""

    run_id = serializers.UUIDField()
    thread_id = serializers.UUIDField()
    assistant_id = serializers.UUIDField()
    created_at = Moment()
    updated_at = Moment()
    status = serializers.ChoiceField(RunStatus.choices, source="shown_status")
    metadata = Object()
    kwargs = Unmarked()
    multitask_strategy = serializers.ChoiceField(MultitaskStrategy.choices)
    langsmith_session_name = serializers.CharField(allow_null=True, default=None)


def cancel_action(text: str | None) -> CancelAction:
    """The `action` parameter; any unknown word means interrupt (contract/core.md 5.6)."""
    return CancelAction.ROLLBACK if text == CancelAction.ROLLBACK else CancelAction.INTERRUPT
