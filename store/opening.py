"""A store for one use: ours over a pool on the graph loop, or the project's own. Opened there, used on any loop."""

import asyncio
import atexit
import inspect
from contextlib import AbstractAsyncContextManager, AbstractContextManager, AsyncExitStack
from typing import Any

from langgraph.store.base import BaseStore

from accounts.callers import acting
from config import loop, outage
from config.database import AsyncPool, alone, open_pool
from config.loading import find
from config.project import ProjectError
from store.configuration import store_settings
from store.items import ItemStore
from store.tenancy import TenantStore

_pool: AsyncPool | None = None
_custom: BaseStore | None = None
_entered = AsyncExitStack()
_opening = asyncio.Lock()


async def open_store(tenant: str) -> BaseStore:
    """The store of a run or a request, as its tenant sees it.

    Raises ProjectError, or whatever the project's own store raises.
    """
    current = store_settings()
    if current.path is not None:
        custom = await loop.at_home(_open_custom(current.path)) if _custom is None else _custom
        return TenantStore(custom, tenant) if tenant else custom
    pool = await loop.at_home(_open_pool())
    store = ItemStore(pool, _open_pool, index=current.index, ttl=current.ttl, hnsw=current.hnsw)
    return TenantStore(store, tenant)


async def open_own_store() -> BaseStore:
    """The store of the tenant the running code acts for. Raises as `open_store` does."""
    return await open_store(acting().tenant)


async def close() -> None:
    """Give everything back; the next use opens it anew. Call it on the graph loop."""
    global _custom, _entered
    await _close_pool(5.0)
    if _custom is not None:
        entered, _custom, _entered = _entered, None, AsyncExitStack()
        await entered.aclose()


async def _open_pool() -> AsyncPool:
    """A pool of its own: an embedding is computed while a connection waits, and checkpoints must not wait for that."""
    global _pool
    if _pool is not None:
        return _pool
    async with _opening:
        if _pool is None:
            _pool = await open_pool(min_size=0)
        return _pool


async def _close_pool(patience: float) -> None:
    global _pool
    if _pool is not None:
        closing, _pool = _pool, None
        await closing.close(timeout=patience)


# Whoever waits for a connection is let go.
outage.at_loss(lambda: loop.start(_close_pool(0)))


async def _open_custom(path: str) -> BaseStore:
    """The project's own, entered once a process and left with it."""
    global _custom
    async with _opening:
        if _custom is None:
            given = find(path, "store")
            async with alone("project's store"):  # most make tables, which two at once cannot
                _custom = await _entered_store(path, given)
            atexit.register(lambda: loop.run(close()))
        return _custom


async def _entered_store(path: str, given: Any) -> BaseStore:
    made = given() if callable(given) and not isinstance(given, BaseStore) else given
    if inspect.isawaitable(made):
        made = await made
    if not isinstance(made, BaseStore):
        if isinstance(made, AbstractAsyncContextManager):
            made = await _entered.enter_async_context(made)
        elif isinstance(made, AbstractContextManager):
            made = _entered.enter_context(made)
    if not isinstance(made, BaseStore):
        raise ProjectError(f"store.path: {path} gives a {type(made).__name__}, not a store.")
    return made
