"""Reads of many followers in few round trips: what is asked for while a reading is under way goes out together."""

import asyncio
from typing import Any
from weakref import WeakKeyDictionary

from events.connection import answering, client

BATCH = 64  # streams a round trip; more would hold the first of them up

Rows = list[tuple[bytes, dict[bytes, bytes]]]


class Reader:
    """One loop's reads, in the order in which they are asked for."""

    def __init__(self) -> None:
        self.waiting: list[tuple[str, str, int, asyncio.Future[Rows]]] = []
        self.task: asyncio.Task[None] | None = None

    async def rows(self, key: str, after: str, limit: int) -> Rows:
        """Up to `limit` entries of the stream behind `after`. Raises RedisError."""
        answer: asyncio.Future[Rows] = asyncio.get_running_loop().create_future()
        self.waiting.append((key, after, limit, answer))
        if self.task is None:
            self.task = asyncio.create_task(self._read())
        return await answer

    async def _read(self) -> None:
        try:
            while self.waiting:
                batch, self.waiting = self.waiting[:BATCH], self.waiting[BATCH:]
                await self._answer(batch)
        finally:
            self.task = None

    async def _answer(self, batch: list[tuple[str, str, int, "asyncio.Future[Rows]"]]) -> None:
        pipeline = client().pipeline(transaction=False)
        for key, after, limit, _ in batch:
            pipeline.xrange(key, min=f"({after}", count=limit)
        try:
            async with answering():
                found: list[Any] = await pipeline.execute(raise_on_error=False)
        except BaseException as error:
            for *_, answer in batch:
                if not answer.done():
                    answer.set_exception(error)
            if not isinstance(error, Exception):
                raise
            return
        for (*_, answer), rows in zip(batch, found, strict=True):
            if answer.done():  # whoever asked has left
                continue
            if isinstance(rows, Exception):
                answer.set_exception(rows)
            else:
                answer.set_result(rows)


_readers: WeakKeyDictionary[asyncio.AbstractEventLoop, Reader] = WeakKeyDictionary()


def reader() -> Reader:
    """The running loop's."""
    return _readers.setdefault(asyncio.get_running_loop(), Reader())
