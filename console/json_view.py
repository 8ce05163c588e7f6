"""JSON as people read it: folded HTML, escaped, bounded however large the value is. Its text is JSON again, to copy."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

NODES = 2000  # values shown of one document
CHARACTERS = 4000  # of one string
OPEN_DEPTH = 2  # levels that are unfolded at first
OPEN_ITEMS = 40  # more than so many stay folded


class _Budget:
    """How many values may still be shown."""

    def __init__(self, nodes: int) -> None:
        self.left = nodes

    def spend(self) -> bool:
        self.left -= 1
        return self.left >= 0


def json_view(value: Any, nodes: int = NODES) -> SafeString:
    """The value as folded HTML. What does not fit is left out and counted."""
    return format_html('<div class="wf-json" tabindex="0">{}</div>', _shown(value, 0, _Budget(nodes)))


def _shown(value: Any, depth: int, budget: _Budget) -> SafeString:
    if isinstance(value, dict):
        pairs = ((format_html('<span class="wf-key">{}</span>: ', json_text(str(k))), v) for k, v in value.items())
        return _folded("{}", list(pairs), depth, budget)
    if isinstance(value, (list, tuple)):
        return _folded("[]", [(SafeString(), inner) for inner in value], depth, budget)
    return _scalar(value)


def _folded(brackets: str, items: Sequence[tuple[SafeString, Any]], depth: int, budget: _Budget) -> SafeString:
    if not items:
        return SafeString(brackets)
    opened = " open" if depth < OPEN_DEPTH and len(items) <= OPEN_ITEMS else ""
    counted = f"{len(items):,} {'item' if brackets == '[]' else 'key'}{'' if len(items) == 1 else 's'}"
    rows = list(_rows(items, depth, budget))
    # What closes it stands behind the fold, so that a comma can follow on the same line.
    return format_html(
        '<details{}><summary data-count="{}">{}</summary><ul>{}</ul></details>{}',
        SafeString(opened),
        counted,
        brackets[0],
        format_html_join("", "<li>{}{}{}</li>", rows),
        brackets[1],
    )


def _rows(
    items: Sequence[tuple[SafeString, Any]], depth: int, budget: _Budget
) -> Iterator[tuple[SafeString, SafeString, str]]:
    for position, (key, value) in enumerate(items):
        if not budget.spend():
            left = format_html('<span class="wf-cut">… {} more</span>', f"{len(items) - position:,}")
            yield SafeString(), left, ""
            return
        yield key, _shown(value, depth + 1, budget), "," if position < len(items) - 1 else ""


def _scalar(value: Any) -> SafeString:
    if isinstance(value, str):
        cut = len(value) - CHARACTERS
        text = json_text(value[:CHARACTERS])
        more = format_html('<span class="wf-cut">… {} more characters</span>', f"{cut:,}") if cut > 0 else ""
        return format_html('<span class="wf-str">{}</span>{}', text, more)
    kind = "null" if value is None else "bool" if isinstance(value, bool) else "num"
    return format_html('<span class="wf-{}">{}</span>', kind, json_text(value))


def json_text(value: Any) -> str:
    """The value as JSON writes it, on one line."""
    return json.dumps(value, ensure_ascii=False, default=str)
