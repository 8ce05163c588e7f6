"""The `store` section of langgraph.json, checked, and what it names imported. Never touches the database.

Source: contract/platform.md 3.8, 3.9 and 9.1.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.embeddings import Embeddings
from langgraph.store.base import TTLConfig, ensure_embeddings
from langgraph.store.postgres.base import PostgresIndexConfig

from config.errors import ApiError
from config.loading import find
from config.project import ProjectError, project

SWEEP_MINUTES = 5.0
MOST_DIMENSIONS = 16_000  # what a pgvector column takes
MOST_INDEXED = 4_000  # what an index of half-precision vectors takes


class EmbeddingFailed(ApiError):
    """The project's embedding function raised, or gave something other than one vector a text."""

    status_code = 502
    shown_to_clients = True


@dataclass(frozen=True)
class Hnsw:
    """pgvector's index: neighbours of a vector, candidates when one is added, and candidates of a search."""

    m: int = 16
    ef_construction: int = 64
    ef_search: int = 400

    @property
    def name(self) -> str:
        """Of the index in the database; another when it has to be built anew."""
        return f"store_vectors_hnsw_{self.m}_{self.ef_construction}"


@dataclass(frozen=True)
class StoreSettings:
    """The section. `index` is what langgraph's store takes; `path` names a store of the project's own."""

    ttl: TTLConfig
    sweep_minutes: float = SWEEP_MINUTES
    index: PostgresIndexConfig | None = None
    hnsw: Hnsw | None = None
    path: str | None = None


@functools.cache
def store_settings() -> StoreSettings:
    """The project's, its embeddings imported. Raises ProjectError, or whatever the module raises."""
    section = project().store
    path = section.get("path")
    if path is not None and not isinstance(path, str):
        raise ProjectError("store.path must be text: ./file.py:name, or package.module.name.")
    ttl = _object(section, "ttl")
    return StoreSettings(
        ttl=TTLConfig(
            refresh_on_read=bool(ttl.get("refresh_on_read", True)),
            omit_expired=True,
            default_ttl=_minutes(ttl, "default_ttl"),
        ),
        sweep_minutes=_minutes(ttl, "sweep_interval_minutes") or SWEEP_MINUTES,
        index=_index(_object(section, "index")) if path is None else None,
        hnsw=hnsw(),
        path=path,
    )


def dimensions() -> int | None:
    """How long the vectors are; None without an index. Imports nothing. Raises ProjectError."""
    section = project().store
    index = _object(section, "index")
    return _dims(index) if index and section.get("path") is None else None


def hnsw() -> Hnsw | None:
    """How the vectors are indexed; None when they are not. Imports nothing. Raises ProjectError."""
    dims = dimensions()
    if not dims:
        return None
    given = _object(project().store["index"], "ann_index_config")
    kind = given.get("kind", "hnsw" if dims <= MOST_INDEXED else "flat")
    if kind == "flat":
        return None
    if kind != "hnsw" or dims > MOST_INDEXED:
        raise ProjectError(f"store.index.ann_index_config.kind must be flat, or hnsw for up to {MOST_INDEXED} dims.")
    usual = Hnsw()
    found = Hnsw(
        m=_whole(given, "m", usual.m, 2, 100),
        ef_construction=_whole(given, "ef_construction", usual.ef_construction, 4, 1000),
        ef_search=_whole(given, "ef_search", usual.ef_search, 1, 1000),
    )
    if found.ef_construction < 2 * found.m:
        raise ProjectError("store.index.ann_index_config.ef_construction must be at least twice m.")
    return found


class CheckedEmbeddings(Embeddings):
    """Embeddings that give one vector of `dims` finite numbers for each text, or raise EmbeddingFailed."""

    def __init__(self, inner: Embeddings, dims: int) -> None:
        self.inner, self.dims = inner, dims

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """A vector a text."""
        try:
            given = await self.inner.aembed_documents(texts)
        except Exception as error:
            raise EmbeddingFailed(f"The embedding function failed: {type(error).__name__}") from error
        return self._checked(given, len(texts))

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """The same, for code that does not await."""
        return self._checked(self.inner.embed_documents(texts), len(texts))

    def embed_query(self, text: str) -> list[float]:
        """The vector of one text."""
        return self.embed_documents([text])[0]

    def _checked(self, given: Sequence[Sequence[float]], count: int) -> list[list[float]]:
        try:
            vectors = [[float(number) for number in vector] for vector in given]
        except (TypeError, ValueError):
            vectors = []
        if len(vectors) != count:
            raise EmbeddingFailed("The embedding function did not give one vector a text")
        for vector in vectors:
            if len(vector) != self.dims or not all(math.isfinite(number) for number in vector):
                raise EmbeddingFailed(f"The embedding function did not give vectors of {self.dims} finite numbers")
        return vectors


def _index(section: dict[str, Any]) -> PostgresIndexConfig | None:
    if not section:
        return None
    dims, fields = _dims(section), section.get("fields") or ["$"]
    if not isinstance(fields, list) or not all(isinstance(field, str) for field in fields):
        raise ProjectError("store.index.fields must be an array of field paths.")
    # langgraph neither makes nor asks an index of its own: see tables.py and meaning.py.
    return PostgresIndexConfig(
        dims=dims,
        embed=CheckedEmbeddings(_embeddings(section.get("embed")), dims),
        fields=fields,
        ann_index_config={"kind": "flat"},
        distance_type="cosine",
    )


def _dims(section: dict[str, Any]) -> int:
    dims = section.get("dims")
    if not isinstance(dims, int) or isinstance(dims, bool) or not 1 <= dims <= MOST_DIMENSIONS:
        raise ProjectError(f"store.index.dims must be a whole number from 1 to {MOST_DIMENSIONS}, not {dims!r}.")
    return dims


def _embeddings(embed: Any) -> Embeddings:
    """From a path to an object or function, or `provider:model`, for which langchain is needed."""
    if not isinstance(embed, str) or ":" not in embed:
        raise ProjectError("store.index.embed must be ./file.py:name, package.module:name or provider:model.")
    place = embed.rpartition(":")[0]
    given = find(embed, "store") if "/" in place or "." in place else embed
    if not isinstance(given, str | Embeddings) and not callable(given):
        raise ProjectError(f"store.index.embed: {embed} is a {type(given).__name__}, no embedding function.")
    try:
        return ensure_embeddings(given)
    except (ValueError, ImportError) as error:
        raise ProjectError(f"store.index.embed: {error}") from None


def _object(section: dict[str, Any], key: str) -> dict[str, Any]:
    found = section.get(key) or {}
    if not isinstance(found, dict):
        raise ProjectError(f"store.{key} must be an object.")
    return found


def _whole(section: dict[str, Any], key: str, usual: int, least: int, most: int) -> int:
    given = section.get(key, usual)
    if not isinstance(given, int) or isinstance(given, bool) or not least <= given <= most:
        raise ProjectError(f"store.index.ann_index_config.{key} must be a whole number from {least} to {most}.")
    return given


def _minutes(section: dict[str, Any], key: str) -> float | None:
    given = section.get(key)
    if given is None:
        return None
    if not isinstance(given, int | float) or isinstance(given, bool) or not 0 < given < math.inf:
        raise ProjectError(f"store.ttl.{key} must be a positive number of minutes, not {given!r}.")
    return float(given)
