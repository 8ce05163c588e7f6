"""langgraph's tables for items and their vectors: made by `migrate`, checked at a process's start, swept by a tick."""

from collections.abc import Sequence
from typing import Any, LiteralString, cast

import psycopg
from django.db import connection
from langgraph.store.postgres import PostgresStore
from langgraph.store.postgres.base import PostgresIndexConfig
from psycopg import sql
from psycopg.rows import dict_row

from config.database import conninfo, prepare_threshold
from config.project import ProjectError
from store.configuration import Hnsw, dimensions, hnsw

HNSW = "store_vectors_hnsw"
# What is listed newest first, what filters by equality can use, and namespaces without their items.
INDEXES = {
    "store_updated": "(updated_at DESC)",
    "store_value": "USING gin (value jsonb_path_ops)",
    "store_namespaces": "(prefix text_pattern_ops, expires_at)",
}
BATCH = 1000
BATCHES = 20
COLUMN_TYPE = "SELECT data_type FROM information_schema.columns WHERE table_name = 'store' AND column_name = %s"
DIMENSIONS = (
    "SELECT atttypmod FROM pg_attribute WHERE attrelid = to_regclass('store_vectors') AND attname = 'embedding'"
)
PGVECTOR = (
    "SELECT string_to_array(extversion, '.')::int[] >= '{0,8}' AS fits FROM pg_extension WHERE extname = 'vector'"
)
# An index that was being built when somebody died, or by which something else was built.
UNFIT = """
SELECT indexrelid::regclass::text AS name FROM pg_index
WHERE indrelid = to_regclass(%s) AND starts_with(indexrelid::regclass::text, %s)
  AND (NOT indisvalid OR indexrelid::regclass::text <> %s)
"""
SWEEP = """
DELETE FROM store USING (
    SELECT prefix, key FROM store WHERE expires_at <= now()
    ORDER BY prefix, key LIMIT %s FOR UPDATE SKIP LOCKED) expired
WHERE store.prefix = expired.prefix AND store.key = expired.key
"""


def create_tables(**_: Any) -> None:
    """Create or upgrade the tables; those of vectors when the project has an index. Raises ProjectError."""
    dims = dimensions()
    with psycopg.Connection.connect(
        conninfo(), autocommit=True, prepare_threshold=prepare_threshold(), row_factory=dict_row
    ) as own:
        PostgresStore(own).setup()
        # langgraph counts whole minutes; half of one would never expire, or at once.
        if own.execute(COLUMN_TYPE, ["ttl_minutes"]).fetchone() == {"data_type": "integer"}:
            own.execute("ALTER TABLE store ALTER COLUMN ttl_minutes TYPE double precision")
        for name, definition in INDEXES.items():
            _create_index(own, "store", name, definition)
        if dims:
            _create_vectors(own, dims)


def _create_vectors(own: psycopg.Connection[Any], dims: int) -> None:
    try:
        own.execute("CREATE EXTENSION IF NOT EXISTS vector")
    except (
        psycopg.errors.FeatureNotSupported,
        psycopg.errors.UndefinedFile,
        psycopg.errors.InsufficientPrivilege,
    ) as e:
        raise ProjectError(f"store.index needs pgvector, and PostgreSQL says: {str(e).strip()}") from None
    index = PostgresIndexConfig(dims=dims, embed=_embed_nothing, ann_index_config={"kind": "flat"})
    PostgresStore(own, index=index).setup()
    wanted = hnsw()
    if wanted:
        _check_pgvector(own)
    _create_index(own, "store_vectors", wanted.name if wanted else "", _hnsw(wanted, dims) if wanted else "", HNSW)


def _check_pgvector(own: psycopg.Connection[Any]) -> None:
    if not own.execute(PGVECTOR).fetchone():
        raise ProjectError(
            "store.index needs pgvector 0.8 (ALTER EXTENSION vector UPDATE), or ann_index_config: {kind: flat}."
        )


def _hnsw(wanted: Hnsw, dims: int) -> str:
    return (
        f"USING hnsw ((embedding::halfvec({dims})) halfvec_cosine_ops)"
        f" WITH (m = {wanted.m}, ef_construction = {wanted.ef_construction})"
    )


def _create_index(own: psycopg.Connection[Any], table: str, name: str, definition: str, family: str = "") -> None:
    """The one index whose name begins with `family` (its own name, without one); none when `name` is empty.

    Writers go on meanwhile.
    """
    for row in own.execute(UNFIT, [table, family or name, name]).fetchall():
        own.execute(_sql(f"DROP INDEX CONCURRENTLY {row['name']}"))
    if name:
        own.execute(_sql(f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {name} ON {table} {definition}"))


def _sql(text: str) -> sql.SQL:
    return sql.SQL(cast(LiteralString, text))  # type: ignore[redundant-cast]


def _embed_nothing(texts: Sequence[str]) -> list[list[float]]:
    return []


def check_tables() -> None:
    """Raises ProjectError when the table of vectors is not as the project's index says."""
    dims = dimensions()
    if not dims:
        return
    with connection.cursor() as cursor:
        cursor.execute(DIMENSIONS)
        row = cursor.fetchone()
    if row is None:
        raise ProjectError("store.index is new: run `manage.py migrate` to create the table of its vectors.")
    if row[0] != dims:
        raise ProjectError(
            f"store.index.dims is {dims}, but the vectors stored so far have {row[0]}: drop the tables store_vectors"
            " and vector_migrations, run `manage.py migrate`, and put the items again."
        )


def sweep_expired() -> int:
    """Delete items whose time is up, some thousands at most; returns how many."""
    swept = 0
    with connection.cursor() as cursor:
        for _ in range(BATCHES):
            cursor.execute(SWEEP, [BATCH])
            swept += cursor.rowcount
            if cursor.rowcount < BATCH:
                break
    return swept
