"""The SQL of a search by meaning over langgraph's tables: text and parameters, nothing executed.

Few candidates are all measured; among more the index of vectors is asked, and where it gives too few, all are measured.
docs/decisions/0035-exact-among-few-hnsw-among-many.md says with which figures.
"""

from collections.abc import Sequence

from langgraph.store.base import SearchOp

from store.queries import NEWEST, REFRESHED, ROW, Condition, below, joined, wanted

MOST_MEASURED = 5000  # candidates of one search
DEEPEST = 200  # the last place for which the index is asked; it gives up to so many, twice
FOUND = "prefix, key, value, created_at, updated_at, 1 - distance AS score"
ORDER = "distance ASC NULLS LAST, found.updated_at DESC, found.prefix, found.key"
# What an index scan does for a transaction: go on past what a filter leaves out, and look at so many at a time. The
# planner must not sort instead: it is asked only where there are many to sort.
SETTINGS = (
    "SELECT set_config('hnsw.iterative_scan', 'relaxed_order', true), set_config('hnsw.ef_search', %s, true),"
    " set_config('enable_sort', 'off', true)"
)


def few(op: SearchOp, vector: Sequence[float]) -> Condition:
    """All candidates measured, nearest first, each row with their number; only that when it is above MOST_MEASURED.

    The best of an item's vectors counts; an item without any comes after all that have one.
    """
    where, parameters = wanted(op)
    text = (
        f"WITH candidates AS MATERIALIZED (SELECT {ROW} FROM store WHERE {where} LIMIT {MOST_MEASURED + 1}),"
        " size AS MATERIALIZED (SELECT count(*) AS number FROM candidates),"
        f" found AS MATERIALIZED (SELECT {ROW}, best.distance, %s::bool AS refresh FROM candidates AS store"
        " LEFT JOIN LATERAL (SELECT min(v.embedding <=> %s::vector) AS distance FROM store_vectors v"
        " WHERE v.prefix = store.prefix AND v.key = store.key) best ON true"
        f" WHERE (SELECT number FROM size) <= {MOST_MEASURED}"
        f" ORDER BY best.distance ASC NULLS LAST, {NEWEST} LIMIT %s OFFSET %s){REFRESHED}"
        f" SELECT size.number, {FOUND} FROM size LEFT JOIN found ON true ORDER BY {ORDER}"
    )
    return text, [*parameters, op.refresh_ttl, vector, op.limit, op.offset]


def near(op: SearchOp, vector: Sequence[float]) -> Condition:
    """Those the index knows to be near, measured exactly. Fewer than asked for are not all there are."""
    where, parameters = wanted(op)
    half = f"halfvec({len(vector)})"
    text = (
        "WITH near AS MATERIALIZED (SELECT v.prefix, v.key, v.embedding <=> %s::vector AS distance"
        # One look at each item the index names; a join might begin with the items that match, of which there are many.
        " FROM store_vectors v, LATERAL (SELECT 1 FROM store WHERE store.prefix = v.prefix AND store.key = v.key"
        f" AND {where} LIMIT 1) AS fits ORDER BY (v.embedding::{half}) <=> %s::vector::{half} LIMIT %s),"
        " best AS (SELECT prefix, key, min(distance) AS distance FROM near GROUP BY prefix, key),"
        f" found AS MATERIALIZED (SELECT {ROW}, best.distance, %s::bool AS refresh FROM best JOIN store"
        f" ON store.prefix = best.prefix AND store.key = best.key ORDER BY best.distance, {NEWEST}"
        f" LIMIT %s OFFSET %s){REFRESHED}"
        f" SELECT {FOUND} FROM found ORDER BY {ORDER}"
    )
    # More than are asked for: an item may have several vectors, and the index knows them in half precision only.
    most = 2 * (op.limit + op.offset) + 40
    return text, [vector, *parameters, vector, most, op.refresh_ttl, op.limit, op.offset]


def every(op: SearchOp, vector: Sequence[float]) -> Condition:
    """All candidates measured, however many there are."""
    where, parameters = wanted(op)
    among, path = joined(below(op.namespace_prefix, "v"))
    text = (
        f"WITH found AS MATERIALIZED (SELECT {ROW}, best.distance, %s::bool AS refresh FROM store LEFT JOIN"
        " (SELECT v.prefix, v.key, min(v.embedding <=> %s::vector) AS distance FROM store_vectors v"
        f" WHERE {among} GROUP BY v.prefix, v.key) best ON store.prefix = best.prefix AND store.key = best.key"
        f" WHERE {where} ORDER BY best.distance ASC NULLS LAST, {NEWEST} LIMIT %s OFFSET %s){REFRESHED}"
        f" SELECT {FOUND} FROM found ORDER BY {ORDER}"
    )
    return text, [op.refresh_ttl, vector, *path, *parameters, op.limit, op.offset]
