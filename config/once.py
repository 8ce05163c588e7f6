"""What a process has one of, made at first use. Knows nothing of what it is."""

import functools
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def once(make: Callable[[], T]) -> Callable[[], T]:
    """Make it at the first call, and give every caller that one, however many threads are the first.

    functools.cache gives each of them one of its own: it holds no lock while it makes something.
    """
    lock, cached = threading.Lock(), functools.cache(make)

    @functools.wraps(make)
    def made() -> T:
        with lock:
            return cached()

    return made
