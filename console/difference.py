"""What differs between two states, channel by channel; lists of messages are compared by their ids. Pure functions."""

from dataclasses import dataclass, field
from typing import Any

from config import dialect

ADDED, REMOVED, CHANGED, SAME = "added", "removed", "changed", "same"


@dataclass(frozen=True)
class Item:
    """One entry of a list that is compared by ids, or the whole of another value."""

    kind: str
    before: Any = None
    after: Any = None


@dataclass(frozen=True)
class Channel:
    """One key of the state. `size` is the bytes of its later value as JSON."""

    name: str
    kind: str
    size: int
    items: list[Item] = field(default_factory=list)
    unchanged: int = 0  # entries of a list that are in both


def difference(before: Any, after: Any) -> list[Channel]:
    """The channels of both states, changed ones first. What is no object counts as one channel named `values`."""
    old, new = _channels(before), _channels(after)
    found = [_channel(name, old, new) for name in {**old, **new}]
    return sorted(found, key=lambda channel: (channel.kind == SAME, channel.name))


def _channels(values: Any) -> dict[str, Any]:
    if isinstance(values, dict):
        return values
    return {} if values is None else {"values": values}


def _channel(name: str, old: dict[str, Any], new: dict[str, Any]) -> Channel:
    before, after = old.get(name), new.get(name)
    size = len(dialect.dumps(after)) if name in new else 0
    if name not in old:
        return Channel(name, ADDED, size, [Item(ADDED, None, after)])
    if name not in new:
        return Channel(name, REMOVED, size, [Item(REMOVED, before, None)])
    if before == after:
        return Channel(name, SAME, size)
    if isinstance(before, list) and isinstance(after, list):
        compare = _by_id if _have_ids(before) and _have_ids(after) else _by_place
        items, unchanged = compare(before, after)
        return Channel(name, CHANGED, size, items, unchanged)
    return Channel(name, CHANGED, size, [Item(CHANGED, before, after)])


def _have_ids(items: list[Any]) -> bool:
    return all(isinstance(item, dict) and item.get("id") for item in items)


def _by_id(before: list[Any], after: list[Any]) -> tuple[list[Item], int]:
    old, new = ({item["id"]: item for item in items} for items in (before, after))
    items = [Item(REMOVED, item, None) for key, item in old.items() if key not in new]
    items += [Item(CHANGED, old[key], item) for key, item in new.items() if key in old and old[key] != item]
    items += [Item(ADDED, None, item) for key, item in new.items() if key not in old]
    return items, sum(1 for key, item in new.items() if old.get(key) == item)


def _by_place(before: list[Any], after: list[Any]) -> tuple[list[Item], int]:
    """Lists that only grew at their end, which is what reducers do, show what came; others all that is elsewhere."""
    common = 0
    while common < min(len(before), len(after)) and before[common] == after[common]:
        common += 1
    gone = [Item(REMOVED, item, None) for item in before[common:]]
    return gone + [Item(ADDED, None, item) for item in after[common:]], common
