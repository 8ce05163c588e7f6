"""Bodies and answers of the threads endpoints. Source: contract/core.md 4."""

import re
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from config.paging import Page, select_field
from config.rest import AnyValue, Body, Choice, Flag, Identifier, Integer, Moment, Number, Object, Text
from threads.models import Thread, ThreadStatus, TTLStrategy

SELECTABLE = (
    "thread_id",
    "created_at",
    "updated_at",
    "state_updated_at",
    "metadata",
    "config",
    "status",
    "values",
    "interrupts",
)
THREAD_FIELDS = (*SELECTABLE, "error")
ALIAS = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
SEGMENT = re.compile(r"\[(-?[0-9]{1,9})\]|([^.\[\]]+)")
EXTRACTABLE = ("values", "metadata", "config", "interrupts")


@extend_schema_serializer(component_name="Command")
class CommandBody(Body):
    """`command`: resume an interrupt, update the state, go to nodes."""

    update = AnyValue(required=False)  # type: ignore[assignment]
    resume = AnyValue(required=False)
    goto = AnyValue(required=False)

    def validate_update(self, value: Any) -> Any:
        """An object, or pairs of channel and value."""
        if value is not None and not isinstance(value, dict | list):
            raise serializers.ValidationError("must be an object or an array of pairs")
        pairs = value if isinstance(value, list) else []
        if not all(isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str) for pair in pairs):
            raise serializers.ValidationError("must be an array of [key, value] pairs")
        return value

    def validate_goto(self, value: Any) -> Any:
        """A node name, a Send `{node, input}`, or an array of either."""
        for target in value if isinstance(value, list) else [] if value is None else [value]:
            send = isinstance(target, dict) and isinstance(target.get("node"), str)
            if not send and not isinstance(target, str):
                raise serializers.ValidationError("must name nodes or hold {node, input} objects")
        return value


@extend_schema_serializer(component_name="CheckpointConfig")
class CheckpointBody(Body):
    """A checkpoint object as states carry it."""

    thread_id = Text(required=False)
    checkpoint_ns = Text(required=False)
    checkpoint_id = Text(required=False)
    checkpoint_map = Object(required=False)


@extend_schema_serializer(component_name="ThreadTTL")
class TTLBody(Body):
    """How long a thread lives, in minutes, and what happens then."""

    ttl = Number(required=False)
    strategy = Choice(TTLStrategy.values, required=False)


@extend_schema_field(OpenApiTypes.ANY)
class StateValues(AnyValue):
    """An update of the state: an object, an array or null."""

    def to_internal_value(self, data: Any) -> Any:
        """Only these will do."""
        if data is not None and not isinstance(data, dict | list):
            raise serializers.ValidationError("must be an object, an array or null")
        return data


@extend_schema_serializer(component_name="ThreadSuperstepUpdate")
class UpdateBody(Body):
    """One node's update within a superstep."""

    values = StateValues(required=False)
    command = CommandBody(required=False, allow_null=True)
    as_node = Text()


@extend_schema_serializer(component_name="ThreadSuperstep")
class SuperstepBody(Body):
    """The updates of one step."""

    updates = UpdateBody(many=True)


@extend_schema_serializer(component_name="ThreadCreate")
class ThreadBody(Body):
    """A new thread."""

    writes = True

    thread_id = Identifier(required=False)
    metadata = Object(required=False)
    if_exists = Choice(["raise", "do_nothing"], required=False)
    ttl = TTLBody(required=False)
    supersteps = SuperstepBody(many=True, required=False)


@extend_schema_serializer(component_name="ThreadPatch")
class ThreadPatchBody(Body):
    """Changes to a thread."""

    writes = True

    metadata = Object(required=False)
    ttl = TTLBody(required=False)


@extend_schema_serializer(component_name="ThreadCountRequest")
class ThreadCountBody(Body):
    """Which threads to count."""

    metadata = Object(required=False)
    values = Object(required=False)
    status = Choice(ThreadStatus.values, required=False)


@extend_schema_serializer(component_name="ThreadSearchRequest")
class ThreadSearchBody(ThreadCountBody, Page):
    """Which threads to list, and how."""

    ids = serializers.ListField(child=Identifier(), required=False)
    sort_by = Choice(["thread_id", "status", "created_at", "updated_at", "state_updated_at"], required=False)
    sort_order = Choice(["asc", "desc"], required=False)
    select = select_field(SELECTABLE)
    extract = Object(required=False)

    def validate_extract(self, value: dict[str, Any]) -> dict[str, str]:
        """At most ten aliases to paths into the row."""
        if len(value) > 10:
            raise serializers.ValidationError("at most 10 paths can be extracted")
        for alias, path in value.items():
            if not ALIAS.fullmatch(alias) or alias in THREAD_FIELDS:
                raise serializers.ValidationError(f"{alias!r} cannot be an alias")
            if not isinstance(path, str) or re.split(r"[.\[]", path, maxsplit=1)[0] not in EXTRACTABLE:
                raise serializers.ValidationError(f"a path must start with one of {', '.join(EXTRACTABLE)}")
        return value


@extend_schema_serializer(component_name="ThreadPruneRequest")
class PruneBody(Body):
    """Which threads to prune, and how far."""

    thread_ids = serializers.ListField(child=Identifier())
    strategy = Choice(TTLStrategy.values, required=False)


@extend_schema_serializer(component_name="ThreadStateUpdate")
class StateUpdateBody(Body):
    """An update of a thread's state."""

    values = StateValues(required=False)
    as_node = Text(required=False)
    checkpoint = CheckpointBody(required=False)
    checkpoint_id = Text(required=False)


@extend_schema_serializer(component_name="ThreadStateCheckpointRequest")
class StateAtBody(Body):
    """Which checkpoint's state to read."""

    checkpoint = CheckpointBody()
    subgraphs = Flag(required=False)


@extend_schema_serializer(component_name="ThreadStateSearch")
class HistoryBody(Body):
    """Which part of a thread's history to read."""

    limit = Integer(required=False, min_value=1, max_value=1000)
    before = AnyValue(required=False)
    metadata = Object(required=False)
    checkpoint = CheckpointBody(required=False)


class ThreadSerializer(serializers.Serializer[Thread]):
    """The thread object."""

    thread_id = serializers.UUIDField()
    created_at = Moment()
    updated_at = Moment()
    state_updated_at = serializers.SerializerMethodField()
    metadata = Object()
    status = serializers.ChoiceField(ThreadStatus.choices)
    config = Object()
    values = AnyValue()
    interrupts = Object()
    error = AnyValue()

    @extend_schema_field(OpenApiTypes.DATETIME)
    def get_state_updated_at(self, thread: Thread) -> Any:
        """When the state last changed; the row's own time before the first change."""
        return thread.state_updated_at or thread.updated_at


@extend_schema_serializer(component_name="ThreadState")
class StateSerializer(serializers.Serializer[Any]):
    """The state object; `threads.state` makes it, this describes it."""

    values = AnyValue()
    next = serializers.ListField(child=serializers.CharField())
    tasks = serializers.ListField(child=Object())
    metadata = Object(allow_null=True)
    created_at = Moment(allow_null=True)
    checkpoint = CheckpointBody(allow_null=True)
    parent_checkpoint = CheckpointBody(allow_null=True)
    interrupts = serializers.ListField(child=Object())
    checkpoint_id = serializers.CharField(allow_null=True)
    parent_checkpoint_id = serializers.CharField(allow_null=True)


def ttl_of(thread: Thread) -> dict[str, Any]:
    """`{"ttl": ...}` of a thread that has one, else nothing."""
    if thread.ttl_minutes is None:
        return {}
    return {
        "ttl": {"strategy": thread.ttl_strategy, "ttl_minutes": thread.ttl_minutes, "expires_at": thread.expires_at}
    }


def extracted(row: dict[str, Any], paths: dict[str, str]) -> dict[str, Any]:
    """alias -> the value its path leads to in the row, or null (contract/core.md 4.8)."""
    return {alias: _at(row, path) for alias, path in paths.items()}


def _at(value: Any, path: str) -> Any:
    for index, key in SEGMENT.findall(path):
        if isinstance(value, list) and index:
            value = value[int(index)] if -len(value) <= int(index) < len(value) else None
        elif isinstance(value, dict) and key and not key.startswith("_"):
            value = value.get(key)
        else:
            return None
    return value
