"""Checkpoints encrypted at rest: how langgraph's saver is given bytes and metadata nobody can read, and gets them back.

langgraph serializes in threads and mostly deserializes on the graph loop, which handlers need meanwhile.
"""

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
    get_serializable_checkpoint_metadata,
)
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from psycopg.rows import DictRow

from config import encryption
from threads.own_checkpointer import serializer

PLACE = ("thread_id", "checkpoint_ns", "checkpoint_id")  # of a checkpoint, in configurable


def serde() -> SerializerProtocol:
    """How values become bytes, encrypted where that is asked for. Raises ProjectError."""
    return EncryptedSerializer(encryption.Cipher(), serializer()) if encryption.is_on() else serializer()


class SealedSaver(AsyncPostgresSaver):
    """langgraph's saver on the graph loop, with `serde` and encrypted metadata."""

    async def put_sealed(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Save a checkpoint."""
        # What langgraph would add to it has to be encrypted too, and must not be added again.
        whole = get_serializable_checkpoint_metadata(config, metadata)
        place = {name: text for name, text in config["configurable"].items() if name in PLACE}
        sealed = await encryption.seal_on_loop("checkpoint", "metadata", whole)
        return await super().aput({"configurable": place}, checkpoint, sealed, new_versions)

    async def delta_history(self, config: RunnableConfig, channels: Sequence[str]) -> Mapping[str, DeltaChannelHistory]:
        """What a channel kept as changes was made of."""
        found: Any = await super().aget_delta_channel_history(config=config, channels=channels)
        if isinstance(found, partial):
            return await asyncio.to_thread(found)
        return found  # type: ignore[no-any-return]

    def _build_delta_channels_writes_history(self, **rows: Any) -> Any:
        """What langgraph makes of the rows; where handlers decrypt them, what makes it in a thread."""
        build = partial(super()._build_delta_channels_writes_history, **rows)
        return build if encryption.asks_for_blobs() else build()

    async def _load_checkpoint_tuple(self, value: DictRow) -> CheckpointTuple:
        row = {**value, "metadata": await encryption.unseal_on_loop("checkpoint", "metadata", value["metadata"])}
        if not encryption.asks_for_blobs():
            return await super()._load_checkpoint_tuple(row)
        loaded = await asyncio.to_thread(self._load_blobs, row["channel_values"])
        found = await super()._load_checkpoint_tuple({**row, "channel_values": []})
        found.checkpoint["channel_values"].update(loaded)
        return found
