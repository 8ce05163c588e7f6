"""Checkpoints in PostgreSQL, through langgraph's saver. Owns the pool of the graph loop; never reads a row of ours.

A saver holds a lock per instance, so each use gets an instance of its own over one shared pool.
"""

import asyncio
import math
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
)
from langgraph.checkpoint.postgres import PostgresSaver
from psycopg import AsyncConnection, Connection, InterfaceError, OperationalError
from psycopg.rows import DictRow, dict_row

from config import encryption, outage
from config.database import AsyncPool, conninfo, open_pool, prepare_threshold
from config.loop import at_home, graph_loop, start
from threads.fencing import Fence as Fence
from threads.fencing import Fenced
from threads.fencing import LeaseLost as LeaseLost
from threads.own_checkpointer import (
    FencedOwnSaver,
    OwnSaver,
    delete_own_of_run,
    is_own,
    open_own,
    own_parent_of_run,
    unfinished_dropped,
)
from threads.sealed import PLACE, SealedSaver, serde

UNFIT_TEXT = re.compile("[\0\ud800-\udfff]")
GOING_AWAY = ("08", "57P")  # PostgreSQL's classes of errors that a restart mends
RETRY_SECONDS = 0.25
NO_CHECKPOINT = "00000000-0000-0000-0000-000000000000"

# langgraph's statements, for an attempt that may have lost its run: a row is written only while the query in the place
# of `{live}` finds something, which may ask for `given.run` and `given.attempt`. A checkpoint also keeps the run from
# being taken away until it is committed. Graph tasks' writes may be long, so they only look: a process that vanishes
# in the middle of them must not hold up whoever takes the run over. They are one statement, which looks once: a task
# of whose writes some are there and some are not would count as done. A resumed graph task, a command and a channel
# kept as changes write on the checkpoint an earlier run left: what stood there is kept for a rollback (decision 0031).
FENCED_CHECKPOINT = """
INSERT INTO checkpoints (thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, checkpoint, metadata)
SELECT thread_id, ns, id, parent, checkpoint, metadata FROM (
    SELECT *, (metadata->>'run_id')::uuid AS run, (metadata->>'run_attempt')::int AS attempt
      FROM (VALUES (%s::text, %s::text, %s::text, %s::text, %s::jsonb, %s::jsonb))
        AS sent (thread_id, ns, id, parent, checkpoint, metadata)) AS given
 WHERE EXISTS ({live} FOR SHARE)
ON CONFLICT (thread_id, checkpoint_ns, checkpoint_id)
DO UPDATE SET checkpoint = EXCLUDED.checkpoint, metadata = EXCLUDED.metadata
"""
FENCED_WRITES = """
WITH fenced AS (
    SELECT * FROM (VALUES (%s::text, %s::text, %s::text, %s::text, %s::text, %s::uuid, %s::int))
        AS given (thread_id, checkpoint_ns, checkpoint_id, task_id, task_path, run, attempt),
        unnest(%s::int[], %s::text[], %s::text[], %b::bytea[]) AS one (idx, channel, type, blob)
     WHERE EXISTS ({live})),
former AS (
    INSERT INTO threads_formerwrite
        (thread_id, run_id, checkpoint_ns, checkpoint_id, task_id, idx, task_path, channel, type, blob)
    SELECT thread_id, run, checkpoint_ns, checkpoint_id, task_id, idx, old.task_path, old.channel, old.type, old.blob
      FROM fenced JOIN checkpoints USING (thread_id, checkpoint_ns, checkpoint_id)
      LEFT JOIN checkpoint_writes AS old USING (thread_id, checkpoint_ns, checkpoint_id, task_id, idx)
     WHERE checkpoints.metadata->>'run_id' IS DISTINCT FROM run::text
    ON CONFLICT DO NOTHING)
INSERT INTO checkpoint_writes
    (thread_id, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, blob)
SELECT thread_id, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, blob FROM fenced
ON CONFLICT (thread_id, checkpoint_ns, checkpoint_id, task_id, idx) DO {conflict}
"""
REPLACE = "UPDATE SET channel = EXCLUDED.channel, type = EXCLUDED.type, blob = EXCLUDED.blob"

T = TypeVar("T")
_pool: AsyncPool | None = None
_opening = asyncio.Lock()


async def pool() -> AsyncPool:
    """The graph loop's pool, opened at first use. Call it on the graph loop only.

    Raises OperationalError while PostgreSQL is away.
    """
    global _pool
    outage.refuse_while_away()
    if _pool is None:
        async with _opening:
            if _pool is None:
                _pool = await _open()
    return _pool


async def _open() -> AsyncPool:
    if asyncio.get_running_loop() is not graph_loop():
        raise RuntimeError("The checkpointer's pool belongs to the graph loop")
    return await open_pool(configure=_plan_once)


async def _plan_once(fresh: AsyncConnection[DictRow]) -> None:
    """Every statement here finds its rows by their keys, so one plan fits all values, on a table of any size. Left to
    itself PostgreSQL plans the longer ones at each use, which takes it longer than executing them.
    """
    if prepare_threshold() is not None:
        await fresh.execute("SET plan_cache_mode = force_generic_plan")
        await fresh.execute("SET enable_seqscan = off")


@dataclass(frozen=True)
class Blob:
    """A channel's value that goes into the table of blobs although it is text or a number."""

    value: str | float


class CheckpointerFailed(OperationalError):
    """PostgreSQL is there and failed us. A class of its own, so that a node's own PostgreSQL is not taken for ours."""


class Saver(SealedSaver):
    """langgraph's saver, for any text and number, on any loop: what it does it does on the graph loop.

    langgraph keeps them inside the checkpoint's jsonb, which has no place for NUL, lone surrogates, NaN and infinity;
    those go where larger values go. A checkpoint's metadata also names its thread (contract/core.md 4.13).
    """

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """A checkpoint."""
        return await at_home(self._get_tuple(config))

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """Checkpoints, newest first."""
        found = super().alist(config, filter=filter, before=before, limit=limit)
        for checkpoint in await at_home(_all(found)):
            yield checkpoint

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Save a checkpoint."""
        return await at_home(self._put(config, checkpoint, metadata, new_versions))

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Save what a graph task wrote."""
        await at_home(self._put_writes(config, writes, task_id, task_path))

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """What a channel kept as changes was made of."""
        return await at_home(self.delta_history(config, channels))

    async def _get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        return await super().aget_tuple(config)

    async def _put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        sealing = encryption.is_on()
        values = {
            name: Blob(v) if _unfit_for_jsonb(v, sealing=sealing) else v
            for name, v in checkpoint["channel_values"].items()
        }
        fit: Checkpoint = {**checkpoint, "channel_values": values}
        named: Any = {**metadata, "thread_id": config["configurable"]["thread_id"]}
        return await self.put_sealed(config, fit, named, new_versions)

    async def _put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str
    ) -> None:
        await super().aput_writes(config, writes, task_id, task_path)

    def _dump_blobs(self, thread_id: str, checkpoint_ns: str, values: dict[str, Any], versions: ChannelVersions) -> Any:
        unpacked = {name: v.value if isinstance(v, Blob) else v for name, v in values.items()}
        return super()._dump_blobs(thread_id, checkpoint_ns, unpacked, versions)


async def _all(found: AsyncIterator[T]) -> list[T]:
    """langgraph's saver has them all in memory by the time it yields the first."""
    return [item async for item in found]


def _unfit_for_jsonb(value: Any, *, sealing: bool) -> bool:
    """Whether it goes where larger values go, and are encrypted."""
    if isinstance(value, str):
        return sealing or UNFIT_TEXT.search(value) is not None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return sealing or not math.isfinite(value)


async def close(patience: float = 5.0) -> None:
    """Give all connections back, within so many seconds; the next use opens the pool anew."""
    global _pool
    if _pool is not None:
        closing, _pool = _pool, None
        await closing.close(timeout=patience)


outage.at_loss(lambda: start(close(patience=0)))


async def saver() -> BaseCheckpointSaver[Any]:
    """A checkpointer for one run or one read."""
    return OwnSaver(await open_own()) if is_own() else Saver(await pool(), serde=serde())


class FencedSaver(Fenced, Saver):
    """A saver that writes only while its run's attempt is live, and never half of a cancelled graph task.

    The clock alone would not do: a process that is stopped between its look at the clock and its write, or whose
    network is, writes when it wakes up. So each statement asks the run's row, and writes nothing when it is too late.

    When PostgreSQL is away it waits and tries again for as long as the lease holds.

    langgraph stores what a cancelled task had written so far beside its error; a resume would then take the task for
    done and skip the rest of it. Only the error is kept here, so the task runs again.
    """

    def __init__(self, pool: AsyncPool, fence: Fence) -> None:
        super().__init__(pool, serde=serde())
        self.put_behind(fence)
        self.UPSERT_CHECKPOINTS_SQL = FENCED_CHECKPOINT.format(live=fence.live)
        self.UPSERT_CHECKPOINT_WRITES_SQL = FENCED_WRITES.format(live=fence.live, conflict=REPLACE)
        self.INSERT_CHECKPOINT_WRITES_SQL = FENCED_WRITES.format(live=fence.live, conflict="NOTHING")

    async def _put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Raises LeaseLost."""
        own: Any = {**metadata, "run_id": str(self.fence.run_id), "run_attempt": self.fence.attempt}
        with self.writing():
            return await self._patiently(partial(super()._put, config, checkpoint, own, new_versions))

    async def _put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str
    ) -> None:
        """Raises LeaseLost."""
        writes = unfinished_dropped(writes)
        with self.writing():
            await self._patiently(partial(self._write, config, writes, task_id, task_path))

    async def _write(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str
    ) -> None:
        """As langgraph does it, but for its pipeline: one statement needs none."""
        replaces = all(channel in WRITES_IDX_MAP for channel, _ in writes)
        place = [config["configurable"][name] for name in PLACE]
        rows = await asyncio.to_thread(self._dump_writes, *place, task_id, task_path, writes)
        async with self._cursor() as cursor:
            for row in rows:
                await cursor.execute(
                    self.UPSERT_CHECKPOINT_WRITES_SQL if replaces else self.INSERT_CHECKPOINT_WRITES_SQL, row
                )

    async def _get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        return await self._patiently(partial(super()._get_tuple, config))

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """What a channel kept as changes was made of."""
        step = partial(self.delta_history, config, channels)
        return await at_home(self._patiently(step))

    async def _patiently(self, step: Callable[[], Awaitable[T]]) -> T:
        async def on_a_living_pool() -> T:
            self.conn = await pool()  # another one after an outage
            return await step()

        return await _patiently(self.fence.holds, on_a_living_pool)

    def _dump_writes(self, *arguments: Any) -> Any:
        """All as one row. Of two that have one place the last counts."""
        rows = {row[5]: row for row in super()._dump_writes(*arguments)}.values()
        columns = [list(column) for column in zip(*(row[5:] for row in rows), strict=True)]
        return [(*arguments[:5], self.fence.run_id, self.fence.attempt, *columns)] if rows else []


async def fenced_saver(fence: Fence) -> FencedSaver | FencedOwnSaver:
    """A checkpointer for one attempt of a run. Raises LeaseLost."""
    if is_own():
        return FencedOwnSaver(await open_own(), fence, pool)
    return FencedSaver(await _patiently(fence.holds, pool), fence)


async def _patiently(holds: Callable[[], bool], step: Callable[[], Awaitable[T]]) -> T:
    """Take a step that may be taken twice, again and again while PostgreSQL is away.

    Raises LeaseLost when the lease ran out meanwhile, and CheckpointerFailed for what PostgreSQL has against the step.
    """
    while True:
        try:
            return await step()
        except (OperationalError, InterfaceError) as error:
            if error.sqlstate and not error.sqlstate.startswith(GOING_AWAY):
                raise CheckpointerFailed(str(error)) from error
            if not holds():
                raise LeaseLost from error
        await asyncio.sleep(RETRY_SECONDS)


async def first_checkpoint_of_run(thread_id: UUID, run_id: UUID) -> dict[str, str]:
    """The root checkpoint from which a run set out: `{"checkpoint_id", "checkpoint_ns"}`.

    For the first run of a thread it is one that does not exist, which langgraph reads as the empty state.
    """
    if is_own():
        return {"checkpoint_ns": "", "checkpoint_id": await own_parent_of_run(thread_id, run_id) or NO_CHECKPOINT}
    async with (await pool()).connection() as own:
        cursor = await own.execute(
            "SELECT parent_checkpoint_id FROM checkpoints WHERE thread_id = %s AND checkpoint_ns = ''"
            " AND metadata->>'run_id' = %s ORDER BY checkpoint_id LIMIT 1",
            (str(thread_id), str(run_id)),
        )
        row = await cursor.fetchone()
    parent = row["parent_checkpoint_id"] if row else None
    return {"checkpoint_ns": "", "checkpoint_id": parent or NO_CHECKPOINT}


# What is left of a run that is rolled back: nothing it wrote, and what it wrote over.
ROLLBACK = (
    "DELETE FROM checkpoint_writes w USING threads_formerwrite f WHERE f.thread_id = %(thread)s AND f.run_id = %(run)s"
    " AND (w.thread_id, w.checkpoint_ns, w.checkpoint_id, w.task_id, w.idx)"
    " = (f.thread_id, f.checkpoint_ns, f.checkpoint_id, f.task_id, f.idx)",
    "WITH former AS (DELETE FROM threads_formerwrite WHERE thread_id = %(thread)s AND run_id = %(run)s RETURNING *)"
    " INSERT INTO checkpoint_writes"
    " (thread_id, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, blob)"
    " SELECT thread_id, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, blob"
    " FROM former WHERE channel IS NOT NULL",
    "DELETE FROM checkpoint_writes w USING checkpoints c WHERE w.thread_id = %(thread)s"
    " AND c.thread_id = w.thread_id AND c.checkpoint_ns = w.checkpoint_ns"
    " AND c.checkpoint_id = w.checkpoint_id AND c.metadata->>'run_id' = %(run)s",
    "DELETE FROM checkpoints WHERE thread_id = %(thread)s AND metadata->>'run_id' = %(run)s",
    "DELETE FROM checkpoint_blobs b WHERE b.thread_id = %(thread)s AND NOT EXISTS (SELECT FROM checkpoints c"
    " WHERE c.thread_id = b.thread_id AND c.checkpoint_ns = b.checkpoint_ns"
    " AND c.checkpoint->'channel_versions'->>b.channel = b.version)",
)


async def delete_run_checkpoints(thread_id: UUID, run_id: UUID) -> None:
    """Delete the checkpoints a run wrote, with what only they referred to, and restore what it changed in others."""
    if is_own():
        await delete_own_of_run(run_id)
        return
    arguments = {"thread": str(thread_id), "run": str(run_id)}
    async with (await pool()).connection() as own, own.transaction():
        for statement in ROLLBACK:
            await own.execute(statement, arguments)


def create_tables(**_: Any) -> None:
    """Create or upgrade langgraph's checkpoint tables. Runs after every `migrate`."""
    own = Connection[DictRow]
    with own.connect(
        conninfo(), autocommit=True, prepare_threshold=prepare_threshold(), row_factory=dict_row
    ) as connection:
        PostgresSaver(connection).setup()
