"""The filter language of resource handlers as a condition of the ORM. Reads no row; decides nothing.

Source: contract/platform.md 6.4.
"""

from collections.abc import Callable, Mapping
from typing import Any

from django.db.models import F, Func, JSONField, Q, Value
from django.db.models.fields import TextField
from django.db.models.lookups import Exact

from config.errors import ApiError

DEEPEST = 2
FEWEST_GROUPS = 2
Filter = Mapping[str, Any]


class MalformedFilter(ApiError):
    """A resource handler returned a filter nobody can evaluate."""

    status_code = 500


def condition(given: Filter, column: str, depth: int = 0) -> Q:
    """What the rows' metadata in `column` ("metadata", "thread__metadata") must be like. Raises MalformedFilter."""
    if depth > DEEPEST:
        raise MalformedFilter(f"The filter nests deeper than {DEEPEST} levels.")
    found = Q()
    for key, wanted in given.items():
        if key in ("$or", "$and"):
            found &= _together(key, wanted, column, depth)
        elif key.startswith("$"):
            raise MalformedFilter(f"Unknown filter operator {key}.")
        else:
            found &= _matches(column, key, wanted)
    return found


def _together(operator: str, groups: Any, column: str, depth: int) -> Q:
    if not isinstance(groups, list | tuple) or len(groups) < FEWEST_GROUPS:
        raise MalformedFilter(f"{operator} needs a list of at least {FEWEST_GROUPS} filters.")
    if not all(isinstance(group, Mapping) and group for group in groups):
        raise MalformedFilter(f"{operator} combines filters, and none of them may be empty.")
    found = Q()
    for group in groups:
        part = condition(group, column, depth + 1)
        found = found | part if operator == "$or" else found & part
    return found


def _matches(column: str, key: str, wanted: Any) -> Q:
    """Only the first operator of an object counts."""
    if not isinstance(wanted, Mapping):
        return _equals(column, key, wanted)
    operator, operand = next(iter(wanted.items()), ("", None))
    compare = OPERATORS.get(operator)
    if compare is None:
        raise MalformedFilter(f"Unknown filter operator {operator!r} for {key!r}.")
    return compare(column, key, operand)


def _equals(column: str, key: str, wanted: Any) -> Q:
    """The key is there and has the value. Containment is what the index serves, and says enough of a scalar."""
    contained = Q(**{f"{column}__contains": {key: wanted}})
    if not isinstance(wanted, Mapping | list | tuple):
        return contained
    field = Func(
        F(column), Value(key, TextField()), template="(%(expressions)s)", arg_joiner=" -> ", output_field=JSONField()
    )
    return contained & Q(Exact(field, Value(wanted, JSONField())))


def _contains(column: str, key: str, wanted: Any) -> Q:
    """The key holds a list with the value, or with all of the values."""
    values = list(wanted) if isinstance(wanted, list | tuple) else [wanted]
    if any(isinstance(value, Mapping | list | tuple) for value in values):
        raise MalformedFilter(f"$contains compares plain values, for {key!r} too.")
    # An empty list is contained in every list, and only in lists.
    return Q(**{f"{column}__contains": {key: values}})


OPERATORS: dict[str, Callable[[str, str, Any], Q]] = {"$eq": _equals, "$contains": _contains}
