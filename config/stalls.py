"""Says when a loop does not turn, and what its thread is at. Only looks; runs/blocking.py does it for runs."""

import asyncio
import logging
import sys
import threading
import time
import traceback
from contextlib import suppress

from django.conf import settings

from config import loop as loops

logger = logging.getLogger(__name__)
LOOKS = 4  # within the time a loop may block
STACK_FRAMES = 20


def watch(loop: asyncio.AbstractEventLoop, name: str) -> None:
    """Look at the loop from a thread as long as the process lives; one line of the log for each time it blocks."""
    if settings.BLOCKED_LOOP_MILLISECONDS:
        arguments = (loop, name, settings.BLOCKED_LOOP_MILLISECONDS / 1000)
        threading.Thread(target=_watch_for_ever, args=arguments, name="stall-watch", daemon=True).start()


def _watch_for_ever(loop: asyncio.AbstractEventLoop, name: str, limit: float) -> None:
    while True:
        answered, asked = threading.Event(), time.monotonic()
        with suppress(RuntimeError):  # closed
            loop.call_soon_threadsafe(answered.set)
        if not answered.wait(limit):
            logger.warning("%s has blocked its loop for %.1f s:\n%s", name, limit, _stack(loop))
            answered.wait()
            logger.warning("%s blocked its loop for %.1f s in all", name, time.monotonic() - asked)
        time.sleep(limit / LOOKS)


def _stack(loop: asyncio.AbstractEventLoop) -> str:
    frame = sys._current_frames().get(loops.thread_of(loop) or 0)
    return "".join(traceback.format_list(traceback.extract_stack(frame)[-STACK_FRAMES:])) if frame else ""
