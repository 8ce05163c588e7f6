"""langgraph's tables for items and their vectors: made by `migrate`, checked at a process's start, swept by a tick."""

from collections.abc import Sequence
from typing import Any

import psycopg
from django.db import connection
from langgraph.store.postgres import PostgresStore
from langgraph.store.postgres.base import PostgresIndexConfig
from psycopg.rows import dict_row

from config.database import conninfo, prepare_threshold
from config.project import ProjectError
from store.configuration import dimensions

BATCH = 1000
BATCHES = 20
COLUMN_TYPE = "SELECT data_type FROM information_schema.columns WHERE table_name = 'store' AND column_name = %s"
DIMENSIONS = (
    "SELECT atttypmod FROM pg_attribute WHERE attrelid = to_regclass('store_vectors') AND attname = 'embedding'"
)
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
