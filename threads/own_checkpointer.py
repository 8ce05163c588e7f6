"""Checkpoints where the project wants them: the section `checkpointer` of langgraph.json, and a saver of its own.

Such a saver is entered once a process on the graph loop, and used there alone. What it cannot do is refused, or said
at the start. Source: contract/platform.md 8.1 and 8.7; docs/decisions/0027.
"""

import asyncio
import atexit
import functools
import inspect
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, AsyncExitStack, asynccontextmanager
from itertools import groupby
from typing import Any
from uuid import UUID

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
)
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.serde.types import ERROR

from config import encryption, loop
from config.database import AsyncPool, alone
from config.loading import find
from config.project import ProjectError, project
from threads.fencing import Fence, Fenced, LeaseLost

logger = logging.getLogger(__name__)
ERROR_SOURCE_NODE = "__error_source_node__"  # beside an error that an error handler took care of
REQUIRED = ("aput", "aput_writes", "aget_tuple", "alist")
OPTIONAL = {
    "adelete_thread": "the checkpoints of deleted threads stay",
    "adelete_for_runs": "runs that are rolled back or deleted leave their checkpoints behind",
    "aprune": "threads cannot be pruned to their latest checkpoint",
}
# Held while a checkpoint is written, so that nobody takes the run over meanwhile. A process that vanishes lets go of it
# after so long, and one that is only stopped has lost it then.
LIVE = "SELECT 1 FROM (VALUES (%s::uuid, %s::int)) AS given (run, attempt) WHERE EXISTS ({live} FOR SHARE)"
LET_GO = "SET LOCAL idle_in_transaction_session_timeout = '10s'"

_own: BaseCheckpointSaver[Any] | None = None
_entered = AsyncExitStack()
_opening = asyncio.Lock()


def is_own() -> bool:
    """Whether the project has a saver of its own."""
    return project().checkpointer.get("path") is not None


@functools.cache
def serializer() -> JsonPlusSerializer:
    """How values become bytes, as `checkpointer.serde` has it. Raises ProjectError."""
    given = project().checkpointer.get("serde") or {}
    if not isinstance(given, dict) or not isinstance(given.get("pickle_fallback", False), bool):
        raise ProjectError("checkpointer.serde must be an object, its pickle_fallback true or false.")
    names = ("allowed_json_modules", "allowed_msgpack_modules")
    allowed: dict[str, Any] = {name: _modules(name, given[name]) for name in names if given.get(name) is not None}
    return JsonPlusSerializer(pickle_fallback=given.get("pickle_fallback", False), **allowed)


def check() -> None:
    """What a process does before it serves: enter the saver, and say what it cannot do. Raises ProjectError."""
    serializer()
    if is_own():
        if encryption.is_on():
            raise ProjectError("checkpointer.path: this server cannot encrypt what the project's own saver stores.")
        own = loop.run(open_own())
        for name, why in OPTIONAL.items():
            if not _overrides(own, name):
                logger.warning("checkpointer.path: %s has no %s, so %s.", type(own).__name__, name, why)


async def open_own() -> BaseCheckpointSaver[Any]:
    """The project's saver. Call it on the graph loop. Raises ProjectError, or whatever the project's code raises."""
    global _own
    if _own is None:
        async with _opening:
            if _own is None:
                path = project().checkpointer["path"]
                given = find(path, "checkpointer") if isinstance(path, str) else None
                async with alone("project's checkpointer"):  # most make tables, which two at once cannot
                    _own = await _made(path, given)
                atexit.register(lambda: loop.run(close_own()))
    return _own


async def close_own() -> None:
    """Leave the saver; the next use enters it anew. Call it on the graph loop."""
    global _own, _entered
    entered, _own, _entered = _entered, None, AsyncExitStack()
    await entered.aclose()


def unfinished_dropped(writes: Sequence[tuple[str, Any]]) -> Sequence[tuple[str, Any]]:
    """What a graph task wrote, or its error alone: with the rest a resume would take the task for done."""
    channels = {channel for channel, _ in writes}
    if ERROR in channels and ERROR_SOURCE_NODE not in channels:
        return [write for write in writes if write[0] == ERROR]
    return writes


class OwnSaver(BaseCheckpointSaver[Any]):
    """The project's saver for one use, on any loop: what it does it does on the graph loop."""

    def __init__(self, own: BaseCheckpointSaver[Any]) -> None:
        super().__init__(serde=own.serde)
        self.own = own

    @property
    def config_specs(self) -> list[Any]:
        """The saver's."""
        return self.own.config_specs

    def get_next_version(self, current: Any, channel: None) -> Any:
        """The saver's."""
        return self.own.get_next_version(current, channel)

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """A checkpoint."""
        return await loop.at_home(self.own.aget_tuple(config))

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """Checkpoints, newest first."""
        found = self.own.alist(config, filter=filter, before=before, limit=limit)
        for checkpoint in await loop.at_home(_all(found)):
            yield checkpoint

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Save a checkpoint."""
        named: Any = {**metadata, "thread_id": config["configurable"]["thread_id"]}
        return await loop.at_home(self._put(config, checkpoint, named, new_versions))

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Save what a graph task wrote."""
        await loop.at_home(self._put_writes(config, writes, task_id, task_path))

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Forget all but each thread's latest checkpoint. Raises NotImplementedError."""
        if not _overrides(self.own, "aprune"):
            raise NotImplementedError("The project's checkpointer cannot prune threads")
        await loop.at_home(self.own.aprune(thread_ids, strategy=strategy))

    async def _put(self, *arguments: Any) -> RunnableConfig:
        return await self.own.aput(*arguments)

    async def _put_writes(self, *arguments: Any) -> None:
        await self.own.aput_writes(*arguments)


class FencedOwnSaver(Fenced, OwnSaver):
    """The same for one attempt of a run: it asks the run's row before it writes, and holds it while it writes.

    Weaker than PostgreSQL's: what the saver itself is still sending when its process is stopped arrives whenever it
    does.
    """

    def __init__(self, own: BaseCheckpointSaver[Any], fence: Fence, pool: Callable[[], Awaitable[AsyncPool]]) -> None:
        super().__init__(own)
        self.put_behind(fence)
        self.pool = pool

    async def _put(self, *arguments: Any) -> RunnableConfig:
        """Raises LeaseLost."""
        config, checkpoint, metadata, versions = arguments
        named = {**metadata, "run_id": str(self.fence.run_id), "run_attempt": self.fence.attempt}
        with self.writing():
            async with self._living():
                return await super()._put(config, checkpoint, named, versions)

    async def _put_writes(self, *arguments: Any) -> None:
        """Raises LeaseLost."""
        config, writes, *task = arguments
        with self.writing():
            async with self._living():
                await super()._put_writes(config, unfinished_dropped(writes), *task)

    @asynccontextmanager
    async def _living(self) -> AsyncIterator[None]:
        """While the block is executed the run stays this attempt's. Raises LeaseLost."""
        async with (await self.pool()).connection() as ours, ours.transaction():
            await ours.execute(LET_GO)
            found = await ours.execute(
                LIVE.format(live=self.fence.live),
                (self.fence.run_id, self.fence.attempt),
            )
            if await found.fetchone() is None:
                raise LeaseLost
            yield


async def own_parent_of_run(thread_id: UUID, run_id: UUID) -> str | None:
    """The id of the root checkpoint the run set out from."""
    found = await _of_thread(thread_id, filter={"run_id": str(run_id)})
    first = min((one for one in found if not _namespace(one)), key=_id, default=None)
    return first.parent_config["configurable"]["checkpoint_id"] if first and first.parent_config else None


async def delete_own_of_run(run_id: UUID) -> None:
    """Delete what the run wrote, where the saver can."""
    own = await open_own()
    if _overrides(own, "adelete_for_runs"):
        await own.adelete_for_runs([str(run_id)])


async def delete_own_of_threads(thread_ids: Iterable[UUID]) -> None:
    """Delete the threads' checkpoints, where the saver can."""
    own = await open_own()
    if _overrides(own, "adelete_thread"):
        for thread_id in thread_ids:
            await own.adelete_thread(str(thread_id))


async def copy_own(source: UUID, target: UUID) -> None:
    """Give the target thread all checkpoints of the source under their ids, by the saver itself or one by one."""
    own = await open_own()
    if _overrides(own, "acopy_thread"):
        await own.acopy_thread(str(source), str(target))
        return
    for one in sorted(await _of_thread(source), key=_id):
        parent = one.parent_config["configurable"]["checkpoint_id"] if one.parent_config else None
        place: Any = {"thread_id": str(target), "checkpoint_ns": _namespace(one), "checkpoint_id": parent}
        metadata: Any = {**one.metadata, "thread_id": str(target)}
        versions = one.checkpoint["channel_versions"]
        written = await own.aput({"configurable": place}, one.checkpoint, metadata, versions)
        for task_id, writes in groupby(one.pending_writes or (), key=lambda write: write[0]):
            await own.aput_writes(written, [write[1:] for write in writes], task_id)


async def _of_thread(thread_id: UUID, **options: Any) -> list[CheckpointTuple]:
    found = (await open_own()).alist({"configurable": {"thread_id": str(thread_id)}}, **options)
    return await _all(found)


async def _all(found: AsyncIterator[CheckpointTuple]) -> list[CheckpointTuple]:
    return [item async for item in found]


def _namespace(one: CheckpointTuple) -> str:
    return str(one.config["configurable"].get("checkpoint_ns", ""))


def _id(one: CheckpointTuple) -> str:
    return str(one.config["configurable"]["checkpoint_id"])


def _overrides(saver: BaseCheckpointSaver[Any], name: str) -> bool:
    return getattr(type(saver), name) is not getattr(BaseCheckpointSaver, name)


async def _made(path: Any, given: Any) -> BaseCheckpointSaver[Any]:
    made = given() if callable(given) and not isinstance(given, BaseCheckpointSaver) else given
    if inspect.isawaitable(made):
        made = await made
    if not isinstance(made, BaseCheckpointSaver):
        if isinstance(made, AbstractAsyncContextManager):
            made = await _entered.enter_async_context(made)
        elif isinstance(made, AbstractContextManager):
            made = _entered.enter_context(made)
    if not isinstance(made, BaseCheckpointSaver):
        raise ProjectError(f"checkpointer.path: {path} gives a {type(made).__name__}, not a checkpoint saver.")
    missing = [name for name in REQUIRED if not _overrides(made, name)]
    if missing:
        raise ProjectError(f"checkpointer.path: {type(made).__name__} has no {', '.join(missing)}.")
    return made


def _modules(name: str, given: Any) -> Any:
    """True for all, or names of classes: `["package", "module", "Class"]` each."""
    if given is True:
        return True
    if not isinstance(given, list) or not all(isinstance(one, list) for one in given):
        raise ProjectError(f"checkpointer.serde.{name} must be true, or an array of arrays of names.")
    return [tuple(one) for one in given]
