"""Which of a thread's events a viewer wants: channels, namespaces, depth. Pure functions.

Source: contract/streaming.md 8.2.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from config import dialect
from runs.envelopes import segment
from streaming.translation import Event

CHANNELS = ("values", "updates", "checkpoints", "messages", "tools", "custom", "lifecycle", "input", "tasks")
# Older protocol revisions do not know checkpoints, and this text is theirs.
ALLOWED = "values, updates, messages, tools, custom, lifecycle, input, tasks, or any `custom:<name>`"
NAMED = "custom:"
SHOWN_ENTRIES = 5
INPUT_METHODS = frozenset({"input.requested", "input.answered"})


@dataclass(frozen=True, slots=True)
class Filter:
    """What one subscription shows. `prefixes` None means every namespace; `depth` counts levels below a prefix."""

    channels: frozenset[str]
    prefixes: tuple[tuple[str, ...], ...] | None = None
    depth: int | None = None

    def shows(self, event: Event) -> bool:
        """Whether it shows the event."""
        return self._has_channel(event) and self._has_namespace(event.namespace)

    def _has_channel(self, event: Event) -> bool:
        channel = "input" if event.method in INPUT_METHODS else event.method
        return channel in self.channels or (channel == "custom" and self._has_name(event))

    def _has_name(self, event: Event) -> bool:
        """Of custom events some may be wanted by the name inside them."""
        if not any(channel.startswith(NAMED) for channel in self.channels):
            return False
        name = event.custom_name()
        return name is not None and segment(f"{NAMED}{name}") in self.channels

    def _has_namespace(self, namespace: Sequence[str]) -> bool:
        if self.prefixes is None:
            return True
        return any(self._is_below(prefix, namespace) for prefix in self.prefixes)

    def _is_below(self, prefix: tuple[str, ...], namespace: Sequence[str]) -> bool:
        below = len(namespace) - len(prefix)
        if below < 0 or (self.depth is not None and below > self.depth):
            return False
        return all(_same(wanted, found) for wanted, found in zip(prefix, namespace, strict=False))


def _same(wanted: str, found: str) -> bool:
    """A wanted segment without a task id stands for all tasks of the node."""
    return wanted == found or (":" not in wanted and found.partition(":")[0] == wanted)


def unsupported_channels(channels: Sequence[Any]) -> list[str]:
    """The entries that are no channel, as text."""
    return [_shown(entry) for entry in channels if not _is_channel(entry)]


def filter_of(body: dict[str, Any]) -> Filter:
    """The filter of a request whose channels have been checked; what is malformed beside them does not filter."""
    channels = frozenset(segment(channel) for channel in body["channels"])
    return Filter(channels, _prefixes(body.get("namespaces")), natural(body.get("depth")))


def natural(value: Any) -> int | None:
    """The number, if it is a whole one and not negative; true is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _prefixes(given: Any) -> tuple[tuple[str, ...], ...] | None:
    lists = isinstance(given, list) and all(isinstance(prefix, list) for prefix in given)
    if not given or not lists or not all(isinstance(part, str) for prefix in given for part in prefix):
        return None
    return tuple(tuple(segment(part) for part in prefix) for prefix in given)


def _is_channel(entry: Any) -> bool:
    return isinstance(entry, str) and (entry in CHANNELS or (entry.startswith(NAMED) and len(entry) > len(NAMED)))


def _shown(entry: Any) -> str:
    return entry if isinstance(entry, str) else dialect.dumps_text(entry)[:80]
