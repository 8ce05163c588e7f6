"""The SQL of the store over langgraph's tables `store` and `store_vectors`: text and parameters, nothing executed.

An expired item is gone from every answer, swept or not. Source: contract/platform.md 3.6, 3.7 and 9.1.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any

from langgraph.store.base import ListNamespacesOp, SearchOp

from config import dialect
from config.errors import BadRequest
from config.rest import without_nul
from store.tenancy import MARK

Condition = tuple[str, list[Any]]
MOST_CONDITIONS = 200
ROW = "store.prefix, store.key, store.value, store.created_at, store.updated_at"
LIVE = "(store.expires_at IS NULL OR store.expires_at > now())"
NEWEST = "store.updated_at DESC, store.prefix, store.key"
# What somebody else has locked is being written or refreshed already: to wait for it could be to wait for ever.
REFRESHED = """
, due AS (
    SELECT s.prefix, s.key FROM store s JOIN found ON s.prefix = found.prefix AND s.key = found.key
    WHERE found.refresh AND s.ttl_minutes IS NOT NULL FOR UPDATE OF s SKIP LOCKED),
refreshed AS (
    UPDATE store SET expires_at = now() + store.ttl_minutes * interval '1 minute'
    FROM due WHERE store.prefix = due.prefix AND store.key = due.key)
"""
# Who asks for all there is asks for what the default tenant has.
NO_TENANTS: Condition = ("NOT starts_with(store.prefix, %s)", [MARK])
COMPARED = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}
NUMERIC = r"^\s*[+-]?([0-9]{1,200}\.?[0-9]{0,200}|\.[0-9]{1,200})([eE][+-]?[0-9]{1,2})?\s*$"


class UnsupportedFilter(BadRequest, ValueError):
    """A filter says something the store cannot compare."""


def get(prefix: str, keys: Sequence[str], refresh: Sequence[bool]) -> Condition:
    """Several items of one namespace, their time to live begun anew where `refresh` says so."""
    text = (
        "WITH asked AS (SELECT * FROM unnest(%s::text[], %s::bool[]) AS asked(key, refresh)),"
        f" found AS MATERIALIZED (SELECT {ROW}, asked.refresh FROM store JOIN asked USING (key)"
        f" WHERE store.prefix = %s AND {LIVE}){REFRESHED}"
        " SELECT key, value, created_at, updated_at FROM found"
    )
    return text, [list(keys), list(refresh), prefix]


def search(op: SearchOp) -> Condition:
    """The items below a namespace that match the filter, newest first. Raises UnsupportedFilter."""
    where, parameters = wanted(op)
    text = (
        f"WITH found AS MATERIALIZED (SELECT {ROW}, %s::bool AS refresh FROM store WHERE {where}"
        f" ORDER BY {NEWEST} LIMIT %s OFFSET %s){REFRESHED}"
        " SELECT prefix, key, value, created_at, updated_at, NULL::float8 AS score FROM found"
        " ORDER BY found.updated_at DESC, found.prefix, found.key"
    )
    return text, [op.refresh_ttl, *parameters, op.limit, op.offset]


def wanted(op: SearchOp) -> Condition:
    """Whether an item is below the namespace and matches the filter. Raises UnsupportedFilter."""
    place = below(op.namespace_prefix) if op.namespace_prefix else [NO_TENANTS]
    return joined([(LIVE, []), *place, *_filters(op.filter or {})])


def namespaces(op: ListNamespacesOp) -> Condition:
    """The namespaces that have items, cut to a depth, in the order of their labels."""
    places: list[Condition] = [(LIVE, [])]
    conditions: list[Condition] = []
    roots = [match.path[0] for match in op.match_conditions or () if match.match_type == "prefix" and match.path]
    if all(label == "*" for label in roots):
        places.append(NO_TENANTS)
    for match in op.match_conditions or ():
        path = [str(label) for label in match.path]
        if match.match_type == "prefix":
            places += below(path[: path.index("*")] if "*" in path else path)
            conditions += _labels(path, "%s")
        else:
            conditions += _labels(path, "cardinality(labels) - %s")
    (here, within), (where, parameters) = joined(places), joined(conditions)
    cut = "labels" if op.max_depth is None else f"labels[:{int(op.max_depth)}]"
    # Each namespace is taken apart once, not once an item.
    text = (
        f"WITH here AS MATERIALIZED (SELECT DISTINCT prefix FROM store WHERE {here})"
        f' SELECT DISTINCT {cut} COLLATE "C" AS truncated_prefix'
        " FROM here, LATERAL (SELECT string_to_array(here.prefix, '.') AS labels) split"
        f" WHERE {where} ORDER BY truncated_prefix LIMIT %s OFFSET %s"
    )
    return text, [*within, *parameters, op.limit, op.offset]


def forget_expired(prefixes: Sequence[str], keys: Sequence[str]) -> Condition:
    """Delete those of the items whose time was up: what is put in their place is new."""
    text = (
        "DELETE FROM store USING unnest(%s::text[], %s::text[]) AS put(prefix, key)"
        " WHERE store.prefix = put.prefix AND store.key = put.key AND store.expires_at <= now()"
    )
    return text, [list(prefixes), list(keys)]


def forget_vectors(prefixes: Sequence[str], keys: Sequence[str]) -> Condition:
    """Delete the vectors of items that get a new value, which need not have as many."""
    text = (
        "DELETE FROM store_vectors v USING unnest(%s::text[], %s::text[]) AS put(prefix, key)"
        " WHERE v.prefix = put.prefix AND v.key = put.key"
    )
    return text, [list(prefixes), list(keys)]


def below(labels: Sequence[str], table: str = "store") -> list[Condition]:
    """Items of the namespace and of those below it, label by label: `user` is not below `use`."""
    if not labels:
        return []
    path = ".".join(labels)
    column = f"{table}.prefix"
    # The bounds are for the index: one stretch of it, whose few strangers (`use-r`) the other conditions leave out.
    bounds = f"{column} ~>=~ %s AND {column} ~<~ %s"
    return [
        (f"{bounds} AND ({column} = %s OR starts_with({column}, %s))", [path, f"{path}/", path, f"{path}."]),
    ]


def _labels(path: Sequence[str], place: str) -> list[Condition]:
    """Each label where it belongs; `*` stands for any one. `place` is a position's SQL, counted from either end."""
    conditions: list[Condition] = [("cardinality(labels) >= %s", [len(path)])] if path else []
    for index, label in enumerate(path):
        position = index + 1 if place == "%s" else len(path) - 1 - index
        if label != "*":
            conditions.append((f"labels[{place}::int] = %s", [position, label]))
    return conditions


def _filters(wanted: dict[str, Any]) -> list[Condition]:
    found = [_matching([without_nul(key)], part) for key, part in wanted.items()]
    if sum(len(parameters) for _, parameters in found) > MOST_CONDITIONS * 4:
        raise UnsupportedFilter(f"A filter can have about {MOST_CONDITIONS} conditions")
    return found


def _matching(path: list[str], wanted: Any) -> Condition:
    """A condition on the part of an item's value at `path`."""
    if not isinstance(wanted, dict):
        return _equal(path, wanted)
    if any(key.startswith("$") for key in wanted):
        return joined(_compared(path, operator, operand) for operator, operand in wanted.items())
    is_object: Condition = ("jsonb_typeof(store.value #> %s::text[]) = 'object'", [path])
    return joined([is_object, *(_matching([*path, without_nul(key)], part) for key, part in wanted.items())])


def _equal(path: list[str], wanted: Any) -> Condition:
    """What is missing counts as null."""
    document = dialect.dumps_text(wanted)
    same, parameters = "coalesce(store.value #> %s::text[], 'null') = %s::jsonb", [path, document]
    if not isinstance(wanted, str | int | float) or document == "null":
        return same, parameters
    # Follows from the other, and is what the index of values can answer.
    part: Any = wanted
    for label in reversed(path):
        part = {label: part}
    return f"store.value @> %s::jsonb AND {same}", [dialect.dumps_text(part), *parameters]


def _compared(path: list[str], operator: str, operand: Any) -> Condition:
    if operator == "$eq":
        return _equal(path, operand)
    if operator == "$ne":
        text, parameters = _equal(path, operand)
        return f"NOT ({text})", parameters
    if operator not in COMPARED:
        raise UnsupportedFilter(f"Unsupported operator: {operator}")
    if isinstance(operand, bool) or not isinstance(operand, int | float | str):
        raise UnsupportedFilter(f"{operator} compares numbers or texts only")
    number = _number(operand)
    if number is None:
        return (
            "CASE WHEN jsonb_typeof(store.value #> %s::text[]) = 'string'"
            f' THEN (store.value #>> %s::text[]) COLLATE "C" {COMPARED[operator]} %s ELSE false END',
            [path, path, without_nul(str(operand))],
        )
    return (
        "CASE WHEN jsonb_typeof(store.value #> %s::text[]) = 'number' OR store.value #>> %s::text[] ~ %s"
        f" THEN (store.value #>> %s::text[])::numeric {COMPARED[operator]} %s::numeric ELSE false END",
        [path, path, NUMERIC, path, number],
    )


def _number(operand: int | float | str) -> str | None:
    """The operand as a numeric's text; None for a text that is no number."""
    try:
        number = float(operand)
    except (ValueError, OverflowError):
        return None
    return repr(number) if math.isfinite(number) else None


def joined(conditions: Iterable[Condition]) -> Condition:
    """All of the conditions as one."""
    texts, parameters = [], []
    for text, values in conditions:
        texts.append(text)
        parameters += values
    return " AND ".join(f"({text})" for text in texts) or "TRUE", parameters
