"""The console's pieces of pages, for templates: `{% load console %}`. docs/console.md shows each. Reads no rows."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django import template
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from config import words
from console import navigation
from console.json_view import json_view as folded_json
from console.roles import role_of

register = template.Library()
DASH = format_html('<span class="wf-faint">{}</span>', "–")
# Which colour a word for a state has. What is not here is shown in grey.
TONES = {
    "good": ("success", "delivered", "idle", "ok", "on", "answered", "ready", "active", "enabled", "done"),
    "bad": (
        *("error", "timeout", "failed", "exhausted", "dead", "gone", "blocked"),
        *("auto-paused", "switched off"),
    ),
    "warn": (
        "interrupted",
        "cancelling",
        "retrying",
        "paused",
        "warning",
        "draining",
        "expired",
        "revoked",
        "quiet",
        "missed",
        "late",
        "failing",
        "stopped",
    ),
    "live": ("running", "busy", "sending", "claimed", "fired"),
    "wait": ("pending", "queued", "scheduled", "delayed", "waiting"),
}
_TONE_OF = {word: tone for tone, words in TONES.items() for word in words}


@register.simple_tag
def status(word: object, note: str = "") -> SafeString:
    """A chip: a dot in the state's colour and the word itself, which is never left to the colour alone."""
    text = str(word)
    html = '<span class="wf-chip wf-{}" data-status="{}" title="{}">{}</span>'
    return format_html(html, tone_of(text), text, note, text)


def tone_of(word: str) -> str:
    """Which colour a word for a state has; `none` of one that is not known."""
    return _TONE_OF.get(word, "none")


@register.simple_tag
def ago(moment: datetime | None) -> SafeString:
    """How long ago, or in how long; the exact time on hover. A script keeps it true while the page is open."""
    if moment is None:
        return DASH
    exact = moment.astimezone(timezone.get_fixed_timezone(0))
    title = f"{exact:%Y-%m-%dT%H:%M:%S}.{exact.microsecond // 1000:03d}Z"
    said = since(timezone.now() - moment)
    html = '<time class="wf-time" datetime="{}" title="{}" data-ago>{}</time>'
    return format_html(html, exact.isoformat(), title, said)


def since(length: timedelta) -> str:
    """`12 s ago`, `in 3 h`, `now`. static/weft/console/time.js says it the same way."""
    seconds = length.total_seconds()
    away = abs(int(seconds))
    if away < 1:
        return "now"
    size, unit = next((size, unit) for size, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")) if away >= size)
    said = f"{away // size} {unit}"
    return f"{said} ago" if seconds > 0 else f"in {said}"


@register.filter
def duration(value: timedelta | float | None) -> str:
    """A length of time, a timedelta or seconds: `35 ms`, `2.1 s`, `4 min 10 s`."""
    return words.span(timedelta(seconds=value) if isinstance(value, (int, float)) else value)


@register.filter
def tail(value: object) -> str:
    """The end of an id."""
    return words.tail(value)


@register.simple_tag
def identifier(value: object, url: str = "", short: bool = True) -> SafeString:
    """An id in fixed width, short by default, with a button that copies all of it; a link when there is a url."""
    if not value:
        return DASH
    shown = words.tail(value) if short else str(value)
    name = format_html('<a href="{}">{}</a>', url, shown) if url else shown
    return format_html('<span class="wf-id" title="{}">{}{}</span>', value, name, copy(str(value)))


@register.simple_tag
def copy(text: str, label: str = "Copy") -> SafeString:
    """A button that copies the text. Shown only where scripts run."""
    html = '<button type="button" class="wf-copy" data-copy="{}" aria-label="{}" title="{}"></button>'
    return format_html(html, text, label, label)


@register.simple_tag
def copy_of(selector: str, label: str = "Copy") -> SafeString:
    """A button that copies the text of the element the selector finds."""
    html = '<button type="button" class="wf-copy" data-copy-of="{}" aria-label="{}" title="{}"></button>'
    return format_html(html, selector, label, label)


@register.simple_tag
def icon(name: str) -> SafeString:
    """A drawing, by its name in Material Symbols. It is decoration: say in words what it stands for."""
    return format_html('<span class="wf-icon" data-icon="{}" aria-hidden="true"></span>', name)


@register.simple_tag
def json_view(value: Any) -> SafeString:
    """JSON, folded and escaped, its size bounded."""
    return folded_json(value)


@register.inclusion_tag("console/parts/tile.html")
def tile(title: str, value: object, note: str = "", url: str = "", tone: str = "", live: str = "") -> dict[str, Any]:
    """A large number. `tone` is good, warn or bad; `live` is the place of its value in a topic, `topic:path.to.it`."""
    return {"title": title, "value": value, "note": note, "url": url, "tone": tone, "live": live}


@register.inclusion_tag("console/parts/tabs.html")
def tabs(items: Iterable[Any], current: str, label: str = "Views") -> dict[str, Any]:
    """Links to the views of one thing. `items` have `name`, `title`, `url` and, where there is something to count,
    `count`.
    """
    return {"items": items, "current": current, "label": label}


@register.inclusion_tag("console/parts/sidebar.html", takes_context=True)
def sidebar(context: dict[str, Any]) -> dict[str, Any]:
    """The navigation, for our pages and for the admin's."""
    request: HttpRequest = context["request"]
    return {
        "request": request,
        "user": request.user,
        "role": role_of(request.user),
        "groups": navigation.groups(request),
        "csrf_token": context.get("csrf_token"),
    }
