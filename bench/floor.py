"""The floor, a process of its own: the one-node graph with checkpoints and no server, by `ainvoke` in one loop.

A job as JSON on stdin, figures as JSON on stdout, as in load.py.
"""

import asyncio
import json
import os
import sys
import time
import uuid
from typing import Any

from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool

from bench import cpu
from bench.graphs import one

WARM_UP_SHARE = 10
Pool = AsyncConnectionPool[AsyncConnection[DictRow]]


async def floor(job: dict[str, Any]) -> dict[str, Any]:
    """`count` runs, `concurrency` at a time, each on a thread of its own, through a saver of its own."""
    pool: Pool = AsyncConnectionPool(
        job["database"],
        connection_class=AsyncConnection[DictRow],
        kwargs={"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row},
        min_size=job["concurrency"],
        max_size=job["concurrency"],
        open=False,
    )
    pids = {**job["pids"], "floor": os.getpid()}
    async with pool:
        await _runs(pool, job["count"] // WARM_UP_SHARE, job["concurrency"])
        before, started = cpu.used(pids), time.perf_counter()
        latencies = await _runs(pool, job["count"], job["concurrency"])
        elapsed = time.perf_counter() - started
        return {"latencies": latencies, "elapsed": elapsed, "cpu": cpu.difference(cpu.used(pids), before)}


async def _runs(pool: Pool, count: int, concurrency: int) -> list[float]:
    numbers = iter(range(count))
    latencies: list[float] = []

    async def client() -> None:
        for _ in numbers:
            started = time.perf_counter()
            graph = one.copy({"checkpointer": AsyncPostgresSaver(pool)})
            answer = await graph.ainvoke({"text": "hello"}, {"configurable": {"thread_id": str(uuid.uuid4())}})
            assert answer["answer"] == "hello"
            latencies.append(time.perf_counter() - started)

    async with asyncio.TaskGroup() as group:
        for _ in range(concurrency):
            group.create_task(client())
    return latencies


def main() -> None:
    """Do the job."""
    json.dump(asyncio.run(floor(json.load(sys.stdin))), sys.stdout)


if __name__ == "__main__":
    main()
