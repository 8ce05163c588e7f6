"""How Django REST framework reads our dialect: bodies and strict fields. Knows no resource."""

import functools
from collections.abc import Callable
from typing import Any, cast
from uuid import UUID

from django.db import connection
from django.http import HttpRequest
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.views import APIView

from config import dialect
from config.encryption import MARKER
from config.errors import Invalid
from config.idempotency import once

# Set by the server only; what a client sends under these names is dropped (contract/core.md 1.5).
RESERVED_CONFIGURABLE = frozenset(
    {
        "langgraph_auth_user",
        "langgraph_auth_user_id",
        "langgraph_auth_permissions",
        "langgraph_request_id",
        "__langsmith_project__",
        "__langsmith_example_id__",
        "__request_start_time_ms__",
        "__after_seconds__",
        "__otel_traceparent__",
        "__otel_tracestate__",
        "__dd_trace_headers__",
        "__pregel_node_finished",
        "__context_provided__",
        "__event_streaming_v2",
    }
)
RESERVED_METADATA = frozenset({"thread_id", "assistant_id", "run_id", "cron_id", "counters_since_delta_snapshot"})
NULS = ("\0", "\\u0000", "\\U0000")


class Endpoint(APIView):
    """A view that answers at once. OPTIONS belongs to CORS, and HEAD has become GET before it comes here."""

    http_method_names = ["get", "post", "put", "patch", "delete"]
    # Whether its POST creates something, and so is carried out once for an Idempotency-Key.
    creates = False

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Answer, and give the database connection back."""
        try:
            if self.creates and request.method == "POST":
                answer: Callable[[], Any] = functools.partial(super().dispatch, request, *args, **kwargs)
                return once(request, answer)
            return super().dispatch(request, *args, **kwargs)
        finally:
            if not connection.in_atomic_block:
                connection.close()


# --- bodies -------------------------------------------------------------------------------------------------------


class Body(serializers.Serializer[Any]):
    """A request body: unknown keys are ignored, an explicit null counts as absent unless the field allows null.

    `writes` says the body creates or changes rows, so reserved metadata keys are dropped from it.
    """

    writes = False

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        """The declared keys that were sent, checked."""
        if not isinstance(data, dict):
            raise serializers.ValidationError("must be an object")
        fields = self.fields
        given = {
            name: value
            for name, value in data.items()
            if name in fields and (value is not None or fields[name].allow_null)
        }
        return cast("dict[str, Any]", super().to_internal_value(given))


@functools.cache
def _validator(kind: type[Body]) -> Body:
    """One instance a class: validation keeps no state, and building one costs more than using it."""
    return kind()


def parse_json(raw: bytes) -> Any:
    """The document. Raises Invalid (422) when it is not JSON, an empty body included."""
    try:
        return dialect.loads(raw)
    except ValueError:
        raise Invalid("Invalid JSON in request body") from None


def read_body(request: HttpRequest | Request, kind: type[Body]) -> dict[str, Any]:
    """The request's body checked against `kind`. Raises Invalid (422)."""
    return check(parse_json(request.body), kind)


def check(data: Any, kind: type[Body]) -> dict[str, Any]:
    """Drop reserved keys, then validate. Raises rest_framework's ValidationError, which answers 422."""
    if isinstance(data, dict):
        strip_reserved(data, metadata=kind.writes)
        if kind.writes:
            refuse_nul_keys(data)
    return cast("dict[str, Any]", _validator(kind).run_validation(data))


def strip_reserved(data: dict[str, Any], *, metadata: bool) -> None:
    """Remove, in place, the keys only the server may set; never looks inside input or command."""
    config = data.get("config")
    places = [data.get("configurable"), data.get("context")]
    if isinstance(config, dict):
        places.append(config.get("configurable"))
    _drop(places, RESERVED_CONFIGURABLE)
    if metadata:
        _drop([data.get("metadata"), config.get("metadata") if isinstance(config, dict) else None], RESERVED_METADATA)


def _drop(places: list[Any], reserved: frozenset[str]) -> None:
    for place in places:
        if isinstance(place, dict):
            for key in reserved & place.keys():
                del place[key]


def refuse_nul_keys(data: dict[str, Any]) -> None:
    """Keys of config, config.configurable and context must not contain NUL in any spelling. Raises Invalid."""
    config = data.get("config")
    places = [config, data.get("context"), config.get("configurable") if isinstance(config, dict) else None]
    for place in places:
        if isinstance(place, dict) and any(nul in key for key in place for nul in NULS):
            raise Invalid("config and context keys must not contain NUL characters")


def parse_uuid(text: str, what: str) -> UUID:
    """The UUID in any of the spellings Python reads. Raises Invalid naming `what` ("thread ID")."""
    try:
        return UUID(text)
    except ValueError:
        raise Invalid(f"Invalid {what}: must be a UUID") from None


def without_nul(text: str) -> str:
    """The text with U+FFFD for U+0000, as everything is stored and answered (contract/core.md 1.6)."""
    return text.replace("\0", "\ufffd")


def is_true(text: str | None) -> bool:
    """Whether a query parameter says yes: true, yes or 1 in any case."""
    return (text or "").lower() in {"true", "yes", "1"}


# --- strict fields: JSON types are not coerced ----------------------------------------------------------------------


class Text(serializers.CharField):
    """A JSON string, kept as it is but for NUL, which PostgreSQL has no place for."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"allow_blank": True, "trim_whitespace": False, **kwargs})
        self.validators = [v for v in self.validators if type(v).__name__ != "ProhibitNullCharactersValidator"]

    def to_internal_value(self, data: Any) -> str:
        """Only a string will do."""
        if not isinstance(data, str):
            raise serializers.ValidationError(f"{_shown(data)} is not a string")
        return without_nul(data)


class Choice(serializers.ChoiceField):
    """One of a few strings, case-sensitive."""

    def to_internal_value(self, data: Any) -> str:
        """Only one of the choices will do."""
        if not isinstance(data, str) or data not in self.choices:
            raise serializers.ValidationError(f"{_shown(data)} is not one of {', '.join(self.choices)}")
        return data


class Number(serializers.FloatField):
    """A JSON number."""

    def to_internal_value(self, data: Any) -> float:
        """Only a number will do; true and "2" are none."""
        if isinstance(data, bool) or not isinstance(data, int | float):
            raise serializers.ValidationError(f"{_shown(data)} is not a number")
        return data


class Integer(serializers.IntegerField):
    """A JSON number without a fraction; 2.0 is one."""

    def to_internal_value(self, data: Any) -> int:
        """Only a whole number will do."""
        whole = isinstance(data, int) or (isinstance(data, float) and data.is_integer())
        if isinstance(data, bool) or not whole:
            raise serializers.ValidationError(f"{_shown(data)} is not an integer")
        return int(data)


class Flag(serializers.BooleanField):
    """A JSON true or false."""

    def to_internal_value(self, data: Any) -> bool:
        """Only a boolean will do."""
        if not isinstance(data, bool):
            raise serializers.ValidationError(f"{_shown(data)} is not a boolean")
        return data


@extend_schema_field(OpenApiTypes.OBJECT)
class Object(serializers.Field[Any, Any, Any, Any]):
    """A JSON object, kept as it is."""

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        """Only an object will do."""
        if not isinstance(data, dict):
            raise serializers.ValidationError(f"{_shown(data)} is not an object")
        return data

    def to_representation(self, value: Any) -> Any:
        """As it is."""
        return value


class Unmarked(Object):
    """An object of an answer, without what says how it is encrypted."""

    def to_representation(self, value: Any) -> Any:
        """Without the marker."""
        return {key: inner for key, inner in value.items() if key != MARKER} if MARKER in value else value


@extend_schema_field(OpenApiTypes.ANY)
class AnyValue(serializers.Field[Any, Any, Any, Any]):
    """Any JSON value, null included."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"allow_null": True, **kwargs})

    def to_internal_value(self, data: Any) -> Any:
        """As it is."""
        return data

    def to_representation(self, value: Any) -> Any:
        """As it is."""
        return value


@extend_schema_field(OpenApiTypes.UUID)
class Identifier(Text):
    """A UUID in a body; its form is checked by the code that uses it, with the detail that code owns."""


@extend_schema_field(OpenApiTypes.DATETIME)
class Moment(serializers.Field[Any, Any, Any, Any]):
    """A time in an answer: ISO 8601 with microseconds and +00:00, written by the dialect."""

    def to_representation(self, value: Any) -> Any:
        """As it is."""
        return value


def _shown(data: Any) -> str:
    text = dialect.dumps_text(data)
    return text if len(text) <= 80 else f"{text[:77]}..."
