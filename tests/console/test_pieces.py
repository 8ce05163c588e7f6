"""The console's pieces of pages: JSON, times, chips, and pages of rows that are never counted."""

import json
import re
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.template import Context, Template
from django.test import RequestFactory
from django.utils import timezone
from django.utils.html import strip_tags

from console.json_view import json_view
from console.paging import sheet
from threads.models import Thread


def rendered(source: str, **context: Any) -> str:
    return Template("{% load console %}" + source).render(Context(context))


def text_of(html: str) -> str:
    return unescape(strip_tags(html))


@pytest.mark.parametrize(
    "value",
    [
        None,
        {},
        [],
        {"a": [1, 2.5, True, None, 'ü\n"<script>alert(1)</script>'], "b": {"c": {"d": [{"e": []}]}}},
        [[[]], "x"],
    ],
)
def test_the_text_of_shown_json_is_the_json(value: Any) -> None:
    shown = json_view(value)
    assert "<script>" not in shown
    assert json.loads(text_of(shown)) == value


def test_shown_json_is_bounded() -> None:
    shown = json_view({"rows": [{"number": number, "text": "x" * 50_000} for number in range(5000)]})
    assert len(shown) < 10_000_000
    assert "more characters" in shown
    assert "… 4," in shown


def test_deep_json_is_shown() -> None:
    value: Any = 1
    for _ in range(200):
        value = [value]
    assert json.loads(text_of(json_view(value))) == value


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "now"), (12, "12 s ago"), (61, "1 min ago"), (7300, "2 h ago"), (200_000, "2 d ago"), (-7300, "in 2 h")],
)
def test_a_time_is_said_from_now_with_the_exact_one_on_hover(seconds: int, said: str) -> None:
    moment = timezone.now() - timedelta(seconds=seconds)
    html = rendered("{% ago moment %}", moment=moment)
    assert text_of(html) == said
    assert f'title="{moment:%Y-%m-%dT%H:%M:%S}' in html and "Z" in html


def test_a_chip_says_its_word_and_is_escaped() -> None:
    assert "wf-bad" in rendered("{% status 'error' %}")
    assert text_of(rendered("{% status 'error' %}")) == "error"
    assert "<b>" not in rendered("{% status word %}", word="<b>")


def test_an_id_is_short_and_copied_whole() -> None:
    html = rendered("{% identifier value %}", value="0197-aaaa-bbbb-cccccccccccc")
    assert text_of(html) == "…cccccccccccc"
    assert 'data-copy="0197-aaaa-bbbb-cccccccccccc"' in html


# --- pages of rows ----------------------------------------------------------------------------------------------------

ORDER = ("-created_at", "-thread_id")


@pytest.fixture
def threads(db: Any) -> list[Thread]:
    """Seven threads, newest first; three of one moment."""
    now = timezone.now()
    ages = (0, 1, 1, 1, 2, 3, 4)
    made = [Thread.objects.create(created_at=now - timedelta(seconds=age)) for age in ages]
    return sorted(made, key=lambda thread: (thread.created_at, thread.pk), reverse=True)


def page(query: str, size: int = 3) -> Any:
    return sheet(RequestFactory().get(f"/{query}"), Thread.objects.all(), ORDER, size)


def test_pages_follow_each_other_without_a_gap_in_both_directions(threads: list[Thread]) -> None:
    first = page("")
    second = page(first.older)
    third = page(second.older)
    assert [*first.rows, *second.rows, *third.rows] == threads
    assert (first.newer, third.older) == ("", "")
    assert page(third.newer).rows == second.rows
    assert page(second.newer).rows == first.rows
    assert page(second.newer).newer == ""


def test_a_page_keeps_the_filters_of_the_address(threads: list[Thread]) -> None:
    assert re.match(r"\?status=idle&before=", page("?status=idle&before=x").older)


@pytest.mark.parametrize("place", ["x", "W10", "WyJhIiwgImIiXQ", "eyJhIjogMX0"])
def test_an_unreadable_place_is_the_first_page(threads: list[Thread], place: str) -> None:
    assert page(f"?before={place}").rows == threads[:3]


def test_nothing_is_counted(threads: list[Thread], django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(1) as captured:
        page("")
    assert "COUNT" not in captured.captured_queries[0]["sql"].upper()
