"""Searches by meaning among many candidates, where the index of vectors is asked, beside those that measure all."""

import random
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from django.db import connection
from langgraph.store.base import PutOp, SearchItem, SearchOp

from config import loop
from config.database import conninfo
from config.project import ProjectError
from store import meaning, opening, tables
from store.configuration import Hnsw, store_settings
from store.items import ItemStore
from store.opening import open_store
from store.tenancy import TenantStore
from tests.test_store_setup import bare_database, section

__all__ = ["bare_database", "section"]
pytestmark = pytest.mark.django_db(transaction=True)
COLOURS = ["red", "green", "blue"]
ITEMS = 400


@pytest.fixture
def space(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A namespace of items whose vectors differ, far more than are all measured."""
    monkeypatch.setattr(meaning, "MOST_MEASURED", 20)
    root, choose = uuid4().hex, random.Random(1)
    ops = [
        PutOp((root, f"user-{n % 4}"), f"key-{n}", {"text": " ".join(choose.choices(COLOURS, k=9)), "part": n % 5})
        for n in range(ITEMS)
    ]
    loop.run(_batch([*ops, PutOp((root, "bare"), "bare", {"text": "red"}, index=False)]))
    yield root
    loop.run(opening.close())


async def _batch(ops: list[Any]) -> list[Any]:
    return await (await open_store("")).abatch(ops)


def search(*prefix: str, query: str = "red", limit: int = 10, **arguments: Any) -> list[SearchItem]:
    (found,) = loop.run(_batch([SearchOp(prefix, query=query, limit=limit, **arguments)]))
    return list(found)


def scores(items: list[SearchItem]) -> list[float | None]:
    return [item.score and round(item.score, 5) for item in items]


@pytest.mark.parametrize("wanted", [None, {"part": 3}, {"part": {"$lt": 4}}], ids=str)
@pytest.mark.parametrize("below", [(), ("user-2",)], ids=str)
def test_the_index_finds_what_measuring_all_finds(
    space: str, monkeypatch: pytest.MonkeyPatch, below: tuple[str, ...], wanted: Any
) -> None:
    near = search(space, *below, filter=wanted)
    monkeypatch.setattr(meaning, "MOST_MEASURED", 10 * ITEMS)
    assert scores(near) == scores(search(space, *below, filter=wanted))
    assert near and all(item.namespace[: len(below) + 1] == (space, *below) for item in near)


def test_a_page_of_the_index_goes_on_where_the_one_before_ended(space: str) -> None:
    whole = search(space, limit=30)
    assert search(space, limit=10, offset=10) == whole[10:20]


def test_where_the_index_gives_too_few_all_are_measured(space: str) -> None:
    found = search(space, limit=ITEMS + 1)
    assert len({item.key for item in found}) == ITEMS + 1
    assert (found[-1].key, found[-1].score) == ("bare", None)
    numbers = scores(found)[:-1]
    assert numbers == sorted(numbers, key=lambda score: -(score or 0))


def test_an_item_with_many_vectors_is_found_once(space: str) -> None:
    loop.run(_batch([PutOp((space, "many"), "many", {"all": ["red"] * 50}, index=["all[*]"])]))
    found = search(space)
    assert found[0].key == "many"
    assert len({item.key for item in found}) == 10


def test_the_index_is_what_is_asked(space: str) -> None:
    """And with a filter too, which the planner might otherwise begin with."""
    hnsw = store_settings().hnsw
    assert hnsw
    op = SearchOp((space,), query="red", filter={"part": 3}, limit=10)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE store")
        cursor.execute("BEGIN")
        cursor.execute(meaning.SETTINGS, [str(hnsw.ef_search)])
        text, parameters = meaning.near(op, [1.0, 0.0, 0.0, 0.0])
        cursor.execute(f"EXPLAIN {text}", parameters)
        plan = "\n".join(line for (line,) in cursor.fetchall())
        cursor.execute("ROLLBACK")
    assert f"Index Scan using {hnsw.name}" in plan


def test_its_settings_are_gone_with_the_transaction(space: str) -> None:
    async def asked() -> Any:
        view = await open_store("")
        assert isinstance(view, TenantStore)
        store = view.inner
        assert isinstance(store, ItemStore)
        await store.asearch((space,), query="red")
        pool = await store.living()
        async with pool.connection() as own:
            return await (await own.execute("SHOW enable_sort")).fetchone()

    assert loop.run(asked()) == {"enable_sort": "on"}


def indexes(database: str, name: str) -> set[str]:
    with psycopg.connect(conninfo(), dbname=database) as own:
        rows = own.execute("SELECT indexname FROM pg_indexes WHERE starts_with(indexname, %s)", [name]).fetchall()
        return {row[0] for row in rows}


def test_migrate_makes_the_index_that_is_configured_and_drops_others(section: Any, bare_database: str) -> None:
    index: dict[str, Any] = {"dims": 3, "embed": "./own.py:embed"}
    section({"index": index})
    tables.create_tables()
    tables.create_tables()
    assert indexes(bare_database, "store_vectors_hnsw") == {Hnsw().name}
    assert indexes(bare_database, "store_value") == {"store_value"}
    section({"index": {**index, "ann_index_config": {"kind": "hnsw", "m": 8, "ef_construction": 32}}})
    tables.create_tables()
    assert indexes(bare_database, "store_vectors_hnsw") == {"store_vectors_hnsw_8_32"}
    section({"index": {**index, "ann_index_config": {"kind": "flat"}}})
    tables.create_tables()
    assert indexes(bare_database, "store_vectors_hnsw") == set()


def test_an_index_half_built_is_built_anew(section: Any, bare_database: str) -> None:
    section({"index": {"dims": 3, "embed": "./own.py:embed"}})
    tables.create_tables()
    with psycopg.connect(conninfo(), dbname=bare_database, autocommit=True) as own:
        own.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = %s::regclass", [Hnsw().name])
        tables.create_tables()
        row = own.execute("SELECT indisvalid FROM pg_index WHERE indexrelid = %s::regclass", [Hnsw().name]).fetchone()
    assert row == (True,)


@pytest.mark.parametrize(
    ("given", "dims", "text"),
    [
        ({"kind": "ivfflat"}, 3, "must be flat, or hnsw"),
        ({"kind": "hnsw"}, 5000, "up to 4000"),
        ({"m": 1}, 3, "m must be a whole number from 2"),
        ({"m": 40}, 3, "at least twice m"),
        ({"ef_search": 1001}, 3, "ef_search"),
        ({"ef_search": True}, 3, "ef_search"),
    ],
    ids=str,
)
def test_an_index_that_cannot_be_is_refused(section: Any, given: Any, dims: int, text: str) -> None:
    section({"index": {"dims": dims, "embed": "./own.py:embed", "ann_index_config": given}})
    with pytest.raises(ProjectError, match=text):
        store_settings()


def test_vectors_too_long_for_an_index_have_none(section: Any) -> None:
    section({"index": {"dims": 5000, "embed": "./own.py:embed"}})
    assert store_settings().hnsw is None
