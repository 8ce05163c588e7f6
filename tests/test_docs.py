"""The documents tell the truth: modules they name exist, routes they list are served, and they stay short."""

import re
from pathlib import Path

import pytest
from django.urls import URLPattern, URLResolver, get_resolver

ROOT = Path(__file__).parent.parent
ROW = re.compile(r"^\| (GET|POST|PUT|PATCH|DELETE) \| `([^`]+)` \| (\w+)", re.MULTILINE)
API = (
    "assistants",
    "threads",
    "runs",
    "store",
    "webhooks",
    "ok",
    "metrics",
    "info",
    "docs",
    "openapi.json",
    "mcp",
    "a2a",
    ".well-known",
    "",
)


def text_of(name: str) -> str:
    return (ROOT / name).read_text()


def served(patterns: list[URLPattern | URLResolver], prefix: str = "") -> set[str]:
    """Every path of the URL table, its parameters as {name}."""
    found = set()
    for pattern in patterns:
        path = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            found |= served(pattern.url_patterns, path)
        else:
            found.add("/" + re.sub(r"<\w+:(\w+)>", r"{\1}", path))
    return found


@pytest.mark.parametrize("name", ["ARCHITECTURE.md", "README.md", "CONTRIBUTING.md"])
def test_every_module_a_document_names_exists(name: str) -> None:
    folder = "config/"
    for line in text_of(name).splitlines():
        if start := re.match(r"- `(\w+/)`", line):
            folder = start[1]
        for module in re.findall(r"`([\w/]+\.py)`", line):
            places = [ROOT / module, ROOT / folder / module]
            assert any(place.exists() for place in places), f"{name}: {module}"


@pytest.mark.parametrize(("name", "lines"), [("ARCHITECTURE.md", 150), ("README.md", 120)])
def test_a_document_stays_short(name: str, lines: int) -> None:
    assert len(text_of(name).splitlines()) <= lines


def test_the_coverage_table_lists_what_is_served_and_nothing_else() -> None:
    rows = {path: state for _, path, state in ROW.findall(text_of("docs/api-coverage.md"))}
    paths = {path for path in served(get_resolver().url_patterns) if path.split("/")[1] in API} - {"/"}
    assert {path for path, state in rows.items() if state != "planned"} == paths
    assert not {path for path, state in rows.items() if state == "planned"} & paths


def test_every_decision_names_a_rejected_alternative() -> None:
    for page in sorted((ROOT / "docs/decisions").glob("*.md")):
        text = page.read_text()
        assert "**Rejected.**" in text, page.name
        assert 15 <= len(text.splitlines()) <= 40, page.name


def test_every_test_the_conformance_page_names_exists() -> None:
    named = re.findall(r"`(tests/[\w./]+)`: `([^`]+)` \|", text_of("docs/conformance.md"))
    assert len(named) == text_of("docs/conformance.md").count("| `tests/")
    for path, test in named:
        opening = f'test("{test}"' if path.endswith(".mjs") else f"def {test}("
        assert opening in text_of(path), f"{path}: {test}"


def test_every_trap_of_streams_has_a_test() -> None:
    _, _, traps = text_of("docs/conformance.md").partition("## Traps")
    numbers = [int(number) for number in re.findall(r"^\| (\d+) \|.*\| `tests/", traps, re.MULTILINE)]
    assert numbers == sorted(numbers) and set(numbers) == set(range(1, 16))
