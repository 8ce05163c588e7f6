"""The process's own asyncio loop, in a thread: where graphs run and their async pools live.

A web request's loop never runs user code, and a Celery thread waits here for what it started.
"""

import asyncio
import functools
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

import uvloop

T = TypeVar("T")


@functools.cache
def graph_loop() -> asyncio.AbstractEventLoop:
    """The loop, started at first use and stopped with the process."""
    loop = uvloop.new_event_loop()
    threading.Thread(target=loop.run_forever, name="graph-loop", daemon=True).start()
    return loop


def start(coroutine: Coroutine[Any, Any, T]) -> Future[T]:
    """Run the coroutine on the graph loop; the future is the calling thread's handle on it."""
    return asyncio.run_coroutine_threadsafe(coroutine, graph_loop())


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run the coroutine on the graph loop and wait for its result. Never call it from the graph loop itself."""
    return start(coroutine).result()
