"""The loops graphs run on and the threads of their sync nodes.

The graph loop, in a thread of its own, has every async pool: PostgreSQL's, Redis's, the bell's. Runs execute there too,
or each on a loop of its own (BG_JOB_ISOLATED_LOOPS). A web request's loop never runs user code; the project's own
routes have a loop for themselves.
"""

import asyncio
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import uvloop
from django.conf import settings

from config.once import once

T = TypeVar("T")
GOODBYE_SECONDS = 1.0  # what a run's own loop waits for tasks its graph left behind

# On whose behalf a task works, and the threads its sync nodes get.
_owner: ContextVar[object | None] = ContextVar("owner", default=None)
_threads: ContextVar[ThreadPoolExecutor | None] = ContextVar("threads", default=None)
_thread_of: WeakKeyDictionary[asyncio.AbstractEventLoop, int] = WeakKeyDictionary()


@once
def graph_loop() -> asyncio.AbstractEventLoop:
    """The loop, started at first use and stopped with the process."""
    loop = _new_loop()
    threading.Thread(target=_run_for_ever, args=(loop,), name="graph-loop", daemon=True).start()
    return loop


@once
def app_loop() -> asyncio.AbstractEventLoop:
    """The loop of the project's own application (config/custom_app.py), started at first use."""
    loop = _new_loop()
    threading.Thread(target=_run_for_ever, args=(loop,), name="app-loop", daemon=True).start()
    return loop


def start(coroutine: Coroutine[Any, Any, T]) -> Future[T]:
    """Run the coroutine on the graph loop; the future is the calling thread's handle on it."""
    return asyncio.run_coroutine_threadsafe(coroutine, graph_loop())


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run the coroutine on the graph loop and wait for its result. Never call it from the graph loop itself."""
    return start(coroutine).result()


async def at_home(coroutine: Coroutine[Any, Any, T]) -> T:
    """Await the coroutine on the graph loop, where the pools are, from whatever loop.

    What it hands to threads goes to the server's own: sync nodes that wait for it may have taken all of their run's.
    """
    token = _threads.set(None)
    try:
        if asyncio.get_running_loop() is graph_loop():
            return await coroutine
        return await asyncio.wrap_future(start(coroutine))
    finally:
        _threads.reset(token)


# --- a run's loop -----------------------------------------------------------------------------------------------------


@contextmanager
def loop_for_a_run() -> Iterator[asyncio.AbstractEventLoop]:
    """The loop one run executes on: the graph loop, or with BG_JOB_ISOLATED_LOOPS a new one, closed at the end."""
    if not settings.BG_JOB_ISOLATED_LOOPS:
        yield graph_loop()
        return
    loop = _new_loop()
    try:
        yield loop
    finally:
        loop.run_until_complete(_cancel_leftovers())
        loop.close()


def run_on(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, T]) -> T:
    """Run the coroutine on a loop of `loop_for_a_run` and wait for its result; a loop of its own turns here."""
    if loop is graph_loop():
        return run(coroutine)
    _thread_of[loop] = threading.get_ident()
    return loop.run_until_complete(coroutine)


async def _cancel_leftovers() -> None:
    """End what a graph started and did not wait for. Threads cannot be ended and are left to themselves."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    if left:
        await asyncio.wait(left, timeout=GOODBYE_SECONDS)
    with suppress(TimeoutError):
        async with asyncio.timeout(GOODBYE_SECONDS):
            await asyncio.get_running_loop().shutdown_asyncgens()


@contextmanager
def working_for(owner: object) -> Iterator[None]:
    """Whatever this task starts works for `owner` and shares RUN_THREADS threads, which no other owner waits for.

    Sync nodes beyond that wait for one of their own run's to end. A thread outlives the block when its node does.
    """
    threads = ThreadPoolExecutor(settings.RUN_THREADS, thread_name_prefix="node")
    tokens = _owner.set(owner), _threads.set(threads)
    try:
        yield
    finally:
        _owner.reset(tokens[0])
        _threads.reset(tokens[1])
        threads.shutdown(wait=False)


class _RoutedThreads(ThreadPoolExecutor):
    """A loop's default executor: gives each piece of work to the threads of the run it belongs to."""

    def submit(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Run it in a thread of the run's, or of the server's own; that is also for what a run left behind."""
        if threads := _threads.get():
            with suppress(RuntimeError):  # the run has ended
                return threads.submit(function, *args, **kwargs)
        return super().submit(function, *args, **kwargs)


# --- seen from other threads ------------------------------------------------------------------------------------------


def thread_of(loop: asyncio.AbstractEventLoop) -> int | None:
    """The identifier of the thread that turns the loop."""
    return _thread_of.get(loop)


def owner_of(task: "asyncio.Task[Any]") -> object | None:
    """Whom the task works for; None for the server itself."""
    if sys.version_info >= (3, 12):
        return task.get_context().get(_owner)
    return getattr(task, "owner", None)


def _task_with_owner(loop: asyncio.AbstractEventLoop, coroutine: Any, **kwargs: Any) -> "asyncio.Task[Any]":
    """Before Python 3.12 a task does not tell its context, so what `owner_of` needs is noted beside it."""
    task: Any = asyncio.Task(coroutine, loop=loop, **kwargs)
    context = kwargs.get("context")
    task.owner = context.get(_owner) if context else _owner.get()
    return task  # type: ignore[no-any-return]


def _new_loop() -> asyncio.AbstractEventLoop:
    loop = uvloop.new_event_loop()
    loop.set_default_executor(_RoutedThreads(thread_name_prefix="graph-loop"))
    if sys.version_info < (3, 12):
        loop.set_task_factory(_task_with_owner)
    return loop


def _run_for_ever(loop: asyncio.AbstractEventLoop) -> None:
    _thread_of[loop] = threading.get_ident()
    loop.run_forever()
