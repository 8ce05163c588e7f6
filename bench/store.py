"""The store with many items: by key, by filter, by namespace, and by meaning, with how much of the truth that finds."""

import json
import math
import random
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from bench import embedding
from bench.measure import QUICK, Measurement
from bench.report import row

ITEMS, QUICK_SHARE = 100_000, 20
TEAMS, USERS, KINDS, TAGS = 10, 1000, 20, 1000
QUESTIONS = 100
PAUSE_SECONDS = 0.005
INDEXES = "SELECT indexname, indexdef FROM pg_indexes WHERE indexname LIKE 'store_vectors_hnsw%'"
EXACT = """
SELECT v.key FROM store_vectors v JOIN store s ON s.prefix = v.prefix AND s.key = v.key
WHERE starts_with(v.prefix, %s) AND s.value @> %s
  AND (s.value ->> 'number')::int < %s ORDER BY v.embedding <=> %s::vector LIMIT 10
"""


def fill(bench: Measurement) -> None:
    """Make the items, unless they are there: rows by SQL, as the server would write them."""
    count = _count(bench)
    with psycopg.connect(bench.server.database, autocommit=True) as own:
        if own.execute("SELECT count(*) >= %s FROM store", [count]).fetchone() == (True,):
            return
        ((name, definition),) = own.execute(INDEXES).fetchall()
        own.execute(f"DROP INDEX {name}")
        with own.cursor().copy("COPY store (prefix, key, value) FROM STDIN") as copy:
            for n in range(count):
                copy.write_row((_prefix(n), f"key-{n}", Jsonb(_value(n))))
        with own.cursor().copy("COPY store_vectors (prefix, key, field_name, embedding) FROM STDIN") as copy:
            for n in range(count):
                vector = ",".join(f"{number:.6f}" for number in embedding.embed_one(embedding.text_of(n)))
                copy.write_row((_prefix(n), f"key-{n}", "text", f"[{vector}]"))
        own.execute("UPDATE store SET updated_at = now() - right(key, -4)::int * interval '1 second'")
        own.execute("SET maintenance_work_mem = '512MB'")
        own.execute(definition)
        own.execute("VACUUM ANALYZE store")
        own.execute("VACUUM ANALYZE store_vectors")


def items(bench: Measurement) -> None:
    """One item, and lists of them."""
    some = _some(bench)
    new = random.randrange(10**9)
    puts = [
        {"namespace": ["new"], "key": f"{new}-{n}", "value": {"text": embedding.text_of(-n - 1)}}
        for n in range(100_000)
    ]
    _asked(bench, "PUT /store/items, embedded", [["PUT", "/store/items", body] for body in puts])
    gets = [["GET", f"/store/items?namespace={_prefix(n)}&key=key-{n}", None] for n in some]
    _asked(bench, "GET /store/items", gets)
    for what, body in _searches(some):
        _asked(bench, f"search, {what}", [["POST", "/store/items/search", one] for one in body])
    listings: dict[str, list[dict[str, Any]]] = {
        "all": [{}],
        "below a team": [{"prefix": [_prefix(n).split(".")[0]]} for n in some],
        "by suffix": [{"suffix": [_prefix(n).split(".")[1]]} for n in some],
        "max_depth 1": [{"max_depth": 1}],
    }
    for what, body in listings.items():
        _asked(bench, f"namespaces, {what}", [["POST", "/store/namespaces", one] for one in body])


def _searches(some: list[int]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    def bodies(filter: Any = None, labels: int = 0) -> list[dict[str, Any]]:
        return [
            {"namespace_prefix": _prefix(n).split(".")[:labels], **({"filter": filter(n)} if filter else {})}
            for n in some
        ]

    yield "newest of all", bodies()
    yield "newest of a user", bodies(labels=2)
    yield "filter of 1 in 20", bodies(lambda n: {"kind": f"kind-{n % KINDS}"})
    yield "filter of 1 in 1,000", bodies(lambda n: {"tag": n % TAGS})
    yield "filter nothing fits", bodies(lambda n: {"tag": f"none-{n}"})
    yield "team, filter of 1 in 1,000", bodies(lambda n: {"tag": n % TAGS}, labels=1)
    yield "user, number above", bodies(lambda n: {"number": {"$gt": n}}, labels=2)


def meaning(bench: Measurement) -> None:
    """By meaning: how long it takes, and how many of the ten nearest are found."""
    half = _count(bench) // 2
    wanted: dict[str, tuple[int, Any]] = {
        "all": (0, None),
        "a team (1 in 10)": (1, None),
        "a user (1 in 1,000)": (2, None),
        "filter of 1 in 2": (0, lambda n: {"number": {"$lt": half}}),
        "filter of 1 in 20": (0, lambda n: {"kind": f"kind-{n % KINDS}"}),
        "filter of 1 in 1,000": (0, lambda n: {"tag": n % TAGS}),
        "team and filter of 1 in 2": (1, lambda n: {"number": {"$lt": half}}),
    }
    for what, (labels, chosen) in wanted.items():
        bodies = [
            {
                "query": embedding.text_of(-n - 1),
                "namespace_prefix": _prefix(n).split(".")[:labels],
                **({"filter": chosen(n)} if chosen else {}),
            }
            for n in _some(bench)[:QUESTIONS]
        ]
        _asked(bench, f"by meaning, {what}", [["POST", "/store/items/search", body] for body in bodies])
        bench.facts[f"recall, {what}"] = _recall(bench, bodies[: QUESTIONS // 2])


def _recall(bench: Measurement, bodies: list[dict[str, Any]]) -> float:
    """The share of the truth the answers have."""
    found = there = 0
    with psycopg.connect(bench.server.database, autocommit=True) as own:
        own.execute("SET enable_indexscan = off")
        for body in bodies:
            prefix, filters = ".".join(body["namespace_prefix"]), dict(body.get("filter") or {})
            below = filters.pop("number", {"$lt": ITEMS})["$lt"]
            vector = embedding.embed_one(body["query"])
            truth = {key for (key,) in own.execute(EXACT, [prefix, Jsonb(filters), below, vector])}
            connection = HTTPConnection("127.0.0.1", bench.server.port)
            connection.request("POST", "/store/items/search", json.dumps(body), {"Content-Type": "application/json"})
            answer = json.loads(connection.getresponse().read())
            found += len(truth & {item["key"] for item in answer["items"]})
            there += len(truth)
    return found / there if there else math.nan


def _count(bench: Measurement) -> int:
    return ITEMS // (QUICK_SHARE if bench.scale is QUICK else 1)


def _prefix(n: int) -> str:
    return f"team-{n % TEAMS}.user-{n % USERS:03}"


def _value(n: int) -> dict[str, Any]:
    return {"text": embedding.text_of(n), "kind": f"kind-{n % KINDS}", "tag": n * 7 % TAGS, "number": n}


def _some(bench: Measurement) -> list[int]:
    return random.Random(1).sample(range(_count(bench)), 1000)


def _asked(bench: Measurement, what: str, requests: list[Any]) -> None:
    found = bench.loop(requests, seconds=bench.scale.seconds / 5, warm_up=0.5, pause=PAUSE_SECONDS)
    latencies = found["latencies"]
    bench.add(row(what, seconds=latencies, cpu=found["cpu"], things=len(latencies)))


# In the order in which they run.
SECTIONS = {"a hundred thousand items": fill, "items": items, "meaning": meaning}
