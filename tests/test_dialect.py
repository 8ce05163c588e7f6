"""The JSON dialect: how any Python value is written, and which documents are read. Source: contract/core.md 2."""

import json
import re
from collections import ChainMap, deque, namedtuple
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from ipaddress import ip_address
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, ToolMessage
from langgraph.errors import GraphRecursionError, InvalidUpdateError
from langgraph.types import Send
from pydantic import BaseModel, model_serializer
from starlette.exceptions import HTTPException

from config import dialect

Pair = namedtuple("Pair", "left right")


class Model(BaseModel):
    when: datetime = datetime(2024, 1, 2, tzinfo=UTC)


class Broken(BaseModel):
    @model_serializer
    def fail(self) -> dict[str, Any]:
        raise RuntimeError


@dataclass
class Data:
    a: Any = 1
    unset: int = field(init=False)


class Colour(Enum):
    RED = "red"


class Old:
    def dict(self) -> dict[str, int]:
        return {"old": 1}


def written(value: Any) -> Any:
    return json.loads(dialect.dumps(value))


TABLE = [
    (Model(), {"when": "2024-01-02T00:00:00+00:00"}),
    (Old(), {"old": 1}),
    (Pair(1, (2,)), {"left": 1, "right": [2]}),
    (datetime(2024, 1, 2, 3, 4, 5), "2024-01-02T03:04:05"),
    (datetime(2024, 1, 2, 3, 4, 5, 6, tzinfo=timezone(timedelta(hours=2))), "2024-01-02T03:04:05.000006+02:00"),
    (date(2024, 1, 2), "2024-01-02"),
    (time(3, 4), "03:04:00"),
    (timedelta(seconds=90), 90.0),
    (b"abc", "YWJj"),
    (bytearray(b"abc"), "YWJj"),
    ({1}, [1]),
    (frozenset({1}), [1]),
    (deque([1, 2]), [1, 2]),
    ((1, 2), [1, 2]),
    (UUID(int=5), "00000000-0000-0000-0000-000000000005"),
    (Decimal("3"), 3),
    (Decimal("1.50"), 1.5),
    (Colour.RED, "red"),
    (PurePosixPath("/a/b"), "/a/b"),
    (re.compile("a+"), "a+"),
    (float("nan"), None),
    (float("-inf"), None),
    (ValueError("v"), {"error": "ValueError", "message": "v"}),
    (Send("n", {"a": 1}), {"node": "n", "args": {"a": 1}}),
    (ZoneInfo("Europe/Berlin"), "Europe/Berlin"),
    (UTC, "UTC"),
    (ip_address("127.0.0.1"), "127.0.0.1"),
    (Model, None),
    (1j, None),
    (object(), None),
    ({1: "x", None: 0, False: 0}, {"1": "x", "null": 0, "false": 0}),
    ("a\ud800b", "a?b"),
    ("a\0b", "a\ufffdb"),
    ("a\\u0000b", "a\\u0000b"),
    (2**70, float(2**70)),
    (ChainMap({"a": 1}), {"a": 1}),
    (Broken(), None),
]


@pytest.mark.parametrize(
    ("value", "expected"), TABLE, ids=[f"{number}-{type(value).__name__}" for number, (value, _) in enumerate(TABLE)]
)
def test_every_value_has_its_form_alone_and_beside_what_makes_orjson_give_up(value: Any, expected: Any) -> None:
    assert written(value) == expected
    assert written({"value": value, "rare": "\ud800"}) == {"value": expected, "rare": "?"}
    assert written(Data(a=value))["a"] == expected


def test_a_message_is_its_model_dump() -> None:
    ai = written(AIMessage("hi", id="m1"))
    assert (ai["type"], ai["content"], ai["id"], ai["tool_calls"]) == ("ai", "hi", "m1", [])
    tool = written(ToolMessage("done", tool_call_id="c1"))
    assert (tool["tool_call_id"], tool["status"], tool["artifact"]) == ("c1", "success", None)


def test_nul_in_a_key_becomes_the_replacement_character() -> None:
    assert written({"a\0": 1}) == {"a\ufffd": 1}


def test_what_contains_itself_ends_in_null() -> None:
    loop: list[Any] = []
    loop += [loop, loop]
    assert written(loop) == [None, None]


def test_the_text_of_an_unknown_exception_is_not_shown() -> None:
    class Leaky(Exception):
        pass

    assert dialect.exception_as_json(Leaky("secret")) == {"error": "Leaky", "message": dialect.REDACTED}
    assert dialect.exception_as_json(OSError("secret"))["message"] == dialect.REDACTED


@pytest.mark.parametrize(
    "error",
    [KeyError("k"), InvalidUpdateError("k"), GraphRecursionError("k"), TimeoutError("k"), HTTPException(404, "k")],
)
def test_the_text_of_a_known_exception_is_shown(error: Exception) -> None:
    shown = dialect.exception_as_json(error)
    assert (shown["error"], "k" in shown["message"]) == (type(error).__name__, True)


def test_of_several_exceptions_the_first_is_shown() -> None:
    group = ExceptionGroup("several", [ValueError("first"), ValueError("second")])
    assert dialect.exception_as_json(group) == {"error": "ValueError", "message": "first"}


@pytest.mark.parametrize("text", ["", "{", "NaN", "-Infinity", "1e999", '"\\ud800"', "[1,]", "[" * 251 + "]" * 251])
def test_what_cannot_be_kept_is_not_read(text: str) -> None:
    with pytest.raises(ValueError):
        dialect.loads(text)


KEYS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    # NUL is written as another character
    | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner),
    max_leaves=20,
)


@settings(max_examples=200, deadline=None)
@given(JSON)
def test_json_survives_a_round_trip(value: Any) -> None:
    assert dialect.loads(dialect.dumps(value)) == value


ANYTHING = st.recursive(
    st.none()
    | st.text(st.characters())
    | st.integers()
    | st.floats()
    | st.binary()
    | st.datetimes()
    | st.complex_numbers()
    | st.decimals()
    | st.timedeltas()
    | st.builds(object)
    | st.just(Broken())
    | st.builds(Data, st.text(st.characters())),
    lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(st.text(st.characters()) | st.integers(), inner),
    max_leaves=10,
)


@settings(max_examples=200, deadline=None)
@given(ANYTHING)
def test_any_value_can_be_written_and_read_again(value: Any) -> None:
    assert "\0" not in dialect.dumps_text(value)
    json.loads(dialect.dumps(value))
