"""langgraph's PostgreSQL store with the semantics of the protocol, for API and graphs alike. Owns the bounds of items.

Source: contract/platform.md 3 and 9.1.
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

from django.conf import settings
from langgraph.store.base import GetOp, Item, ListNamespacesOp, Op, PutOp, Result, SearchItem, SearchOp, TTLConfig
from langgraph.store.postgres import AsyncPostgresStore
from langgraph.store.postgres.base import PostgresIndexConfig
from psycopg import AsyncCursor
from psycopg.rows import DictRow

from config import dialect, encryption, outage
from config.database import AsyncPool
from config.errors import BadRequest
from config.loop import at_home
from store import meaning, queries
from store.configuration import Hnsw

MOST_LABELS = 20
# Namespace, key and field path are one entry of a b-tree, which takes 2,700 bytes.
LONGEST_NAMESPACE = LONGEST_KEY = 1000  # bytes of UTF-8, the namespace joined by dots
LONGEST_FIELD = 400
MOST_FIELDS = 50
MOST_ITEMS = 10_000  # in one answer
LAST_ITEM = 2**62
LONGEST_TTL = 5e7  # minutes, about a century


class UnfitItem(BadRequest, ValueError):
    """An item, or a question for items, is beyond the store's bounds."""

    shown_to_clients = True


class ItemStore(AsyncPostgresStore):
    """One use of the store: a run, or a request. On any loop: what it does it does on the graph loop.

    Each use has an instance of its own over the shared pool: an instance carries out one batch at a time, and a batch
    fails as a whole. `living` gives the pool there is now, which after an outage is another one.
    """

    def __init__(
        self,
        pool: AsyncPool,
        living: Callable[[], Awaitable[AsyncPool]],
        *,
        index: PostgresIndexConfig | None,
        ttl: TTLConfig,
        hnsw: Hnsw | None,
    ) -> None:
        super().__init__(pool, index=index, ttl=ttl)
        self.living, self.hnsw = living, hnsw

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """Carry out the operations, or none. Raises UnfitItem, UnsupportedFilter and EmbeddingFailed."""
        return await at_home(self._abatch([_fit(op) for op in ops]))

    async def _abatch(self, ops: list[Op]) -> list[Result]:
        outage.refuse_while_away()
        self.conn = await self.living()
        results = await super().abatch([await _sealed(op) for op in ops])
        return [await _unsealed(result) for result in results]

    def _get_batch_GET_ops_queries(self, get_ops: Sequence[tuple[int, GetOp]]) -> Any:
        together: dict[tuple[str, ...], list[tuple[int, GetOp]]] = defaultdict(list)
        for index, op in get_ops:
            together[op.namespace].append((index, op))
        found = []
        for namespace, items in together.items():
            refresh = {op.key: any(o.refresh_ttl for _, o in items if o.key == op.key) for _, op in items}
            text, parameters = queries.get(".".join(namespace), list(refresh), list(refresh.values()))
            found.append((text, parameters, namespace, [(index, op.key) for index, op in items]))
        return found

    def _prepare_batch_search_queries(self, search_ops: Sequence[tuple[int, SearchOp]]) -> Any:
        return [queries.search(op) for _, op in search_ops], []

    async def _batch_search_ops(
        self, search_ops: Sequence[tuple[int, SearchOp]], results: list[Result], cur: AsyncCursor[DictRow]
    ) -> None:
        meant = [(index, op) for index, op in search_ops if op.query and self.embeddings]
        await super()._batch_search_ops([pair for pair in search_ops if pair not in meant], results, cur)
        if meant and self.embeddings:
            vectors = await self.embeddings.aembed_documents([str(op.query) for _, op in meant])
            for (index, op), vector in zip(meant, vectors, strict=True):
                results[index] = [_found(row) for row in await self._nearest(op, vector, cur)]

    async def _nearest(self, op: SearchOp, vector: list[float], cur: AsyncCursor[DictRow]) -> list[DictRow]:
        """The rows of a search by meaning: all are measured if they are few, else the index is asked."""
        await cur.execute(*meaning.few(op, vector))
        rows = await cur.fetchall()
        if rows[0]["number"] <= meaning.MOST_MEASURED:
            return [row for row in rows if row["key"] is not None]
        if self.hnsw and op.limit + op.offset <= meaning.DEEPEST:
            async with cur.connection.transaction():
                await cur.execute(meaning.SETTINGS, [str(self.hnsw.ef_search)])
                await cur.execute(*meaning.near(op, vector))
                rows = await cur.fetchall()
            if len(rows) == op.limit:
                return rows
        await cur.execute(*meaning.every(op, vector))
        return await cur.fetchall()

    def _get_batch_list_namespaces_queries(self, list_ops: Sequence[tuple[int, ListNamespacesOp]]) -> Any:
        return [queries.namespaces(op) for _, op in list_ops]

    def _prepare_batch_PUT_queries(self, put_ops: Sequence[tuple[int, PutOp]]) -> Any:
        # In one order everywhere, so that two batches wait for each other, not for ever.
        ordered = sorted(put_ops, key=lambda pair: (pair[1].namespace, pair[1].key))
        written, embedding = super()._prepare_batch_PUT_queries(ordered)
        prefixes = [".".join(op.namespace) for _, op in ordered]
        keys = [op.key for _, op in ordered]
        before = [queries.forget_expired(prefixes, keys)]
        if self.index_config:
            before.append(queries.forget_vectors(prefixes, keys))
        return [*before, *written], embedding


def _found(row: DictRow) -> SearchItem:
    return SearchItem(
        namespace=tuple(row["prefix"].split(".")),
        key=row["key"],
        value=row["value"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        score=row["score"],
    )


async def _sealed(op: Op) -> Op:
    """The operation with its value as it is stored; namespace and key stay plain."""
    if isinstance(op, PutOp) and op.value is not None:
        return op._replace(value=await encryption.seal_on_loop("store", "value", op.value))
    return op


async def _unsealed(result: Result) -> Result:
    found: Iterable[Any] = result if isinstance(result, list) else [result]
    for item in found:
        if isinstance(item, Item):
            item.value = await encryption.unseal_on_loop("store", "value", item.value)
    return result


def _fit(op: Op) -> Op:
    """The operation as the tables take it. Raises UnfitItem."""
    if isinstance(op, PutOp):
        _check_address(op.namespace, op.key)
        return op if op.value is None else _fit_item(op)
    if isinstance(op, GetOp):
        _check_address(op.namespace, op.key)
    elif isinstance(op, SearchOp | ListNamespacesOp):
        _check_page(op.limit, op.offset)
    return op


def _fit_item(op: PutOp) -> PutOp:
    if isinstance(op.index, list) and (
        len(op.index) > MOST_FIELDS or any(_size(path) > LONGEST_FIELD or "\0" in path for path in op.index)
    ):
        raise UnfitItem(f"An item is indexed by at most {MOST_FIELDS} fields of {LONGEST_FIELD} bytes each")
    value = dialect.dumps(op.value)
    if len(value) > settings.STORE_MAX_VALUE_BYTES:
        raise UnfitItem(f"The value takes {len(value)} bytes, more than {settings.STORE_MAX_VALUE_BYTES}")
    plain: Mapping[str, Any] = dialect.plain(op.value)
    # To a hundred-thousandth of a minute: PostgreSQL reads no interval with an exponent.
    ttl = None if op.ttl is None else round(min(max(float(op.ttl), 0.0), LONGEST_TTL), 5)
    return op._replace(value=dict(plain), ttl=ttl)


def _check_address(namespace: tuple[str, ...], key: str) -> None:
    if len(namespace) > MOST_LABELS:
        raise UnfitItem(f"A namespace has at most {MOST_LABELS} labels")
    if _size(".".join(namespace)) > LONGEST_NAMESPACE:
        raise UnfitItem(f"A namespace takes at most {LONGEST_NAMESPACE} bytes")
    if _size(key) > LONGEST_KEY:
        raise UnfitItem(f"A key takes at most {LONGEST_KEY} bytes")
    if "\0" in key:
        raise UnfitItem("A key cannot contain NUL")


def _check_page(limit: int, offset: int) -> None:
    if not 0 <= limit <= MOST_ITEMS or not 0 <= offset <= LAST_ITEM:
        raise UnfitItem(f"limit goes from 0 to {MOST_ITEMS}, offset from 0")


def _size(text: str) -> int:
    return len(text.encode("utf-8", "replace"))
