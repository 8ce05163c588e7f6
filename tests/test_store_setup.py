"""The store's section of langgraph.json, the tables it needs, the sweep, and a store of the project's own."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.db import connection
from langgraph.store.base import BaseStore
from psycopg.conninfo import make_conninfo

from config import loop
from config.database import conninfo
from config.project import ProjectError
from config.ticks import Interval
from store import configuration, opening, tables
from store.configuration import CheckedEmbeddings, EmbeddingFailed, store_settings
from store.items import ItemStore
from store.opening import open_store
from tests.projects import forget

OWN = """
from contextlib import asynccontextmanager
from langgraph.store.memory import InMemoryStore

seen = []
ready = InMemoryStore()

@asynccontextmanager
async def entered():
    seen.append("in")
    yield InMemoryStore()
    seen.append("out")

def made():
    return ready

async def awaited():
    return ready

def embed(texts):
    return [[1.0] for _ in texts]

nothing = 5
"""


@pytest.fixture
def section(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Any], None]]:
    """Lets the project's store section be what it is called with."""

    def write(store: Any) -> None:
        (tmp_path / "own.py").write_text(OWN)
        document = {"graphs": {"g": "./g.py:graph"}, "store": store}
        (tmp_path / "langgraph.json").write_text(json.dumps(document))
        monkeypatch.setattr(settings, "LANGGRAPH_CONFIG_FILE", tmp_path / "langgraph.json")
        loop.run(opening.close())
        forget()

    yield write
    loop.run(opening.close())


@pytest.mark.parametrize(
    ("store", "text"),
    [
        ([], "'store'"),
        ({"index": []}, ""),
        ({"index": "x"}, "store.index must be an object"),
        ({"index": {"dims": 0, "embed": "./own.py:embed"}}, "store.index.dims"),
        ({"index": {"dims": "3", "embed": "./own.py:embed"}}, "store.index.dims"),
        ({"index": {"dims": 3}}, "store.index.embed"),
        ({"index": {"dims": 3, "embed": "./own.py:absent"}}, "has no 'absent'"),
        ({"index": {"dims": 3, "embed": "./absent.py:embed"}}, "does not exist"),
        ({"index": {"dims": 3, "embed": "./own.py:nothing"}}, "no embedding function"),
        ({"index": {"dims": 3, "embed": "openai:text-embedding-3-small"}}, "langchain"),
        ({"index": {"dims": 3, "embed": "./own.py:embed", "fields": "text"}}, "store.index.fields"),
        ({"ttl": {"default_ttl": -1}}, "store.ttl.default_ttl"),
        ({"ttl": {"sweep_interval_minutes": "5"}}, "sweep_interval_minutes"),
        ({"path": 5}, "store.path"),
    ],
    ids=lambda value: value if isinstance(value, str) else json.dumps(value),
)
def test_a_section_that_cannot_be_used_says_why(section: Callable[[Any], None], store: Any, text: str) -> None:
    section(store)
    if not text:
        assert store_settings().index is None
        return
    with pytest.raises(ProjectError, match=text):
        store_settings()


def test_the_section_may_come_from_the_environment(
    section: Callable[[Any], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    section({"ttl": {"default_ttl": 1}})
    monkeypatch.setenv("LANGGRAPH_STORE", json.dumps({"ttl": {"default_ttl": 2, "refresh_on_read": False}}))
    found = store_settings()
    assert (found.ttl["default_ttl"], found.ttl["refresh_on_read"]) == (2, False)


@pytest.mark.parametrize("name", ["ready", "made", "awaited", "entered"])
def test_a_store_of_the_projects_own_takes_the_place_of_ours(section: Callable[[Any], None], name: str) -> None:
    section({"path": f"./own.py:{name}"})

    async def use() -> Any:
        store = await open_store("")
        await store.aput(("a",), "k", {"n": 1})
        again = await open_store("")
        return store, again, await again.aget(("a",), "k")

    store, again, item = loop.run(use())
    assert isinstance(store, BaseStore) and not isinstance(store, ItemStore)
    assert store is again
    assert item.value == {"n": 1}
    assert configuration.dimensions() is None


def test_a_store_of_the_projects_own_is_left_when_it_is_closed(section: Callable[[Any], None]) -> None:
    section({"path": "./own.py:entered"})
    loop.run(open_store(""))
    seen = sys.modules["weft_store_own"].seen
    assert seen == ["in"]
    loop.run(opening.close())
    assert seen == ["in", "out"]


def test_one_process_at_a_time_makes_a_store(section: Callable[[Any], None]) -> None:
    section({"path": "./own.py:awaited"})
    with psycopg.connect(conninfo()) as another:
        another.execute("SELECT pg_advisory_xact_lock(hashtextextended('project''s store', 0))")
        being_made = loop.start(open_store(""))
        with pytest.raises(TimeoutError):
            being_made.result(0.5)
        another.commit()
        assert isinstance(being_made.result(10), BaseStore)


def test_what_is_no_store_is_refused(section: Callable[[Any], None]) -> None:
    section({"path": "./own.py:nothing"})
    with pytest.raises(ProjectError, match="not a store"):
        loop.run(open_store(""))


@pytest.mark.django_db(transaction=True)
def test_the_default_time_to_live_is_for_whoever_says_nothing(section: Callable[[Any], None]) -> None:
    section({"ttl": {"default_ttl": 0.5, "refresh_on_read": False}})

    async def put() -> None:
        store = await open_store("")
        await store.aput(("ttl",), "default", {})
        await store.aput(("ttl",), "ever", {}, ttl=None)

    loop.run(put())
    with connection.cursor() as cursor:
        cursor.execute("SELECT key, ttl_minutes FROM store WHERE prefix = 'ttl' ORDER BY key")
        assert cursor.fetchall() == [("default", 0.5), ("ever", None)]
        cursor.execute("DELETE FROM store")


@pytest.mark.django_db(transaction=True)
def test_the_sweep_deletes_what_has_expired_and_nothing_else() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO store (prefix, key, value, expires_at, ttl_minutes) SELECT 'sweep', i::text, '{}',"
            " CASE WHEN i <= 2500 THEN now() - interval '1 second' WHEN i <= 2510 THEN now() + interval '1 hour' END, 1"
            " FROM generate_series(1, 2520) i"
        )
        assert tables.sweep_expired() == 2500
        assert tables.sweep_expired() == 0
        cursor.execute("SELECT count(*) FROM store WHERE prefix = 'sweep'")
        assert cursor.fetchone() == (20,)
        cursor.execute("DELETE FROM store")


def test_an_interval_is_over_the_first_time_and_after_its_seconds() -> None:
    interval = Interval()
    assert [interval.is_over(1000), interval.is_over(1000), interval.is_over(0)] == [True, False, True]


@pytest.mark.parametrize(
    "given", [[], [[1.0]], [[1.0, float("nan")]], [["a", "b"]], [[1.0, 2.0], [1.0, 2.0]], None], ids=str
)
def test_vectors_must_be_one_a_text_and_as_long_as_dims_says(given: Any) -> None:
    class Fixed(CheckedEmbeddings):
        def embed_documents(self, texts: list[str]) -> Any:
            return given

    checked = CheckedEmbeddings(Fixed.__new__(Fixed), 2)
    with pytest.raises(EmbeddingFailed):
        checked.embed_documents(["text"])


@pytest.fixture
def bare_database(django_db_setup: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A database without any table, which the store takes for its own."""
    name, address = "weft_store_tables", conninfo()
    with psycopg.connect(address, autocommit=True) as own:
        own.execute(f"DROP DATABASE IF EXISTS {name}")
        own.execute(f"CREATE DATABASE {name}")
        monkeypatch.setattr(tables, "conninfo", lambda: make_conninfo(address, dbname=name))
        yield name
        own.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_without_pgvector_only_an_index_is_refused_and_says_so(
    section: Callable[[Any], None], bare_database: str
) -> None:
    with psycopg.connect(conninfo(), autocommit=True) as own:
        own.execute(f"ALTER DATABASE {bare_database} SET extension_control_path = '/nowhere'")
    section({"index": {"dims": 3, "embed": "./own.py:embed"}})
    with pytest.raises(ProjectError, match="needs pgvector"):
        tables.create_tables()
    section({})
    tables.create_tables()
    tables.create_tables()


@pytest.mark.django_db
def test_a_start_with_an_index_the_tables_are_not_made_for_says_what_to_do(section: Callable[[Any], None]) -> None:
    section({"index": {"dims": 4, "embed": "./own.py:embed"}})
    tables.check_tables()
    section({"index": {"dims": 5, "embed": "./own.py:embed"}})
    with pytest.raises(ProjectError, match="have 4"):
        tables.check_tables()
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE store_vectors RENAME TO gone")
    with pytest.raises(ProjectError, match="migrate"):
        tables.check_tables()
