"""The JSON dialect of the wire and of jsonb columns: how any Python value is written and which bodies are read.

Never looks at what a document means. Source: contract/core.md section 2, contract/streaming.md 1.3.
"""

import base64
import dataclasses
import json
import re
from collections import deque
from collections.abc import Callable, Mapping
from datetime import timedelta, tzinfo
from decimal import Decimal
from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import PurePath
from typing import Any
from uuid import UUID

import orjson
from langgraph.errors import EmptyInputError, GraphBubbleUp, InvalidUpdateError, TaskNotFound
from langgraph.types import Send
from pydantic import BaseModel
from starlette.exceptions import HTTPException

OPTIONS = orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY
DEEPEST = 250  # orjson writes at most 254 levels; what is nested deeper cannot be stored, so it is not read either
REDACTED = "An internal error occurred"
# The text of these exceptions is shown to clients; of any other only the class name is (contract/core.md 2.1).
OPEN_EXCEPTIONS = (
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    RuntimeError,
    RecursionError,
    TimeoutError,
    InvalidUpdateError,
    GraphBubbleUp,
    EmptyInputError,
    TaskNotFound,
    HTTPException,
)
# An escaped NUL whose backslash is not itself escaped.
ESCAPED_NUL = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")
PLAIN_TEXT = (UUID, PurePath, IPv4Address, IPv6Address, IPv4Network, IPv6Network)


def loads(body: bytes | str) -> Any:
    """The value of a JSON document. Raises ValueError for anything RFC 8259 forbids, NaN, and nesting beyond 250."""
    document = body.encode() if isinstance(body, str) else body
    value = orjson.loads(document)
    if document.count(b"[") + document.count(b"{") > DEEPEST:
        _refuse_deep(value)
    return value


def dumps(value: Any) -> bytes:
    """Compact UTF-8 JSON of any Python value. Never raises: what has no JSON form becomes null."""
    try:
        text = orjson.dumps(value, default=_plain, option=OPTIONS)
    except (TypeError, RecursionError):
        # Lone surrogates, integers beyond 64 bits, cycles and depth: rare, so they pay for a walk of their own.
        text = json.dumps(_walk(value, ()), ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    if b"\\u0000" in text:
        text = ESCAPED_NUL.sub(rb"\1\\ufffd", text)
    return text


def dumps_text(value: Any) -> str:
    """`dumps` as text, the form a jsonb parameter takes."""
    return dumps(value).decode()


def plain(value: Any) -> Any:
    """The value as a client would read it back: dicts, lists, strings, numbers, booleans and None only."""
    return orjson.loads(dumps(value))


def exception_as_json(error: BaseException) -> dict[str, str]:
    """`{"error": class name, "message": text}`; the text only of exceptions known to be safe to show."""
    if isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    shown = isinstance(error, OPEN_EXCEPTIONS) or getattr(error, "shown_to_clients", False)
    return {"error": type(error).__name__, "message": str(error) if shown else REDACTED}


def _refuse_deep(value: Any) -> None:
    level = [value]
    for _ in range(DEEPEST):
        level = [
            child
            for node in level
            for child in (node.values() if isinstance(node, dict) else node)
            if isinstance(child, dict | list)
        ]
        if not level:
            return
    raise ValueError(f"nested deeper than {DEEPEST} levels")


def _plain(value: Any) -> Any:
    """One step towards JSON for a value orjson does not know; None for what raises on the way."""
    try:
        for kind, convert in CONVERSIONS:
            if isinstance(value, kind):
                return convert(value)
        return _by_method(value)
    except Exception:
        return None


def _by_method(value: Any) -> Any:
    if isinstance(value, type):
        return None
    for name in ("model_dump", "dict", "_asdict", "tolist"):
        method = getattr(value, name, None)
        if callable(method):
            return method()
    return list(value) if isinstance(value, tuple) else None


def _decimal(value: Decimal) -> int | float:
    exponent = value.as_tuple().exponent
    return int(value) if isinstance(exponent, int) and exponent >= 0 else float(value)


CONVERSIONS: list[tuple[type | tuple[type, ...], Callable[[Any], Any]]] = [
    (BaseModel, lambda value: value.model_dump()),
    (Mapping, dict),
    (Send, lambda value: {"node": value.node, "args": value.arg}),
    (timedelta, timedelta.total_seconds),
    (bytes | bytearray, lambda value: base64.b64encode(value).decode()),  # type: ignore[list-item]
    (set | frozenset | deque, list),  # type: ignore[list-item]
    (Decimal, _decimal),
    (PLAIN_TEXT, str),
    (re.Pattern, lambda value: value.pattern),
    (BaseException, exception_as_json),
    (tzinfo, lambda value: value.tzname(None) or str(value)),
]


def _walk(value: Any, above: tuple[int, ...]) -> Any:
    """The value rebuilt of plain parts only, with `?` for lone surrogates, and null below the deepest level and for
    what contains itself. `above` has the ids of the containers around it.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, int | float):
        return _number(value)
    if len(above) > DEEPEST or id(value) in above:
        return None
    above = (*above, id(value))
    if isinstance(value, dict):
        return {_key(key): _walk(child, above) for key, child in value.items()}
    if isinstance(value, list) or type(value) is tuple:
        return [_walk(child, above) for child in value]
    return _walk(_native(value), above)


def _number(value: int | float) -> Any:
    if isinstance(value, float):
        return value if value - value == 0 else None
    return int(value) if -(2**63) <= value < 2**64 else _number(_as_float(value))


def _as_float(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf")


def _native(value: Any) -> Any:
    """One step for the kinds orjson writes by itself, then for the others."""
    if isinstance(value, Enum):
        return value.value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name, None) for field in dataclasses.fields(value)}
    try:
        return orjson.loads(orjson.dumps(value, option=OPTIONS))
    except (TypeError, RecursionError):
        return _plain(value)


def _key(key: Any) -> str:
    plain_key = _walk(key, ())
    return plain_key if isinstance(plain_key, str) else json.dumps(plain_key)
