"""A process has one of each, whoever asks first."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from config.once import once


def test_threads_that_ask_at_once_get_the_same() -> None:
    made = []

    @once
    def one() -> object:
        time.sleep(0.02)
        made.append(object())
        return made[-1]

    together = threading.Barrier(8)
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: together.wait() >= 0 and one(), range(8)))
    assert len(made) == 1 and set(found) == set(made)


def test_what_cannot_be_made_is_tried_again() -> None:
    tries = []

    @once
    def one() -> int:
        tries.append(1)
        if len(tries) == 1:
            raise ValueError
        return len(tries)

    for wanted in ("error", 2, 2):
        try:
            assert one() == wanted
        except ValueError:
            assert wanted == "error"
