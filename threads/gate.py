"""Whether a viewer may follow a thread. It need not exist yet, so the question may have to be asked again.

Whoever waits for a thread that somebody else then creates is told nothing of it.
"""

import time
from uuid import UUID

from accounts.authorizer import EVERYTHING, Scope, authorize
from accounts.callers import Caller
from config.database import in_thread
from config.errors import NotFound
from threads.models import Thread

ASK_AGAIN_SECONDS = 5.0


class Gate:
    """One viewer's way to one thread's events."""

    def __init__(self, thread_id: UUID, scope: Scope, *, is_open: bool) -> None:
        self.thread_id, self.scope, self.is_open = thread_id, scope, is_open
        self.asked_at = time.monotonic()

    async def lets_through(self) -> bool:
        """Whether the events there are now may be shown. Asks until the thread is seen to be theirs, and now and then
        after that: its owner may change, or another thread get its id.
        """
        if self.scope == EVERYTHING:
            return True
        if not self.is_open or time.monotonic() - self.asked_at > ASK_AGAIN_SECONDS:
            self.is_open = await in_thread(_is_visible, self.thread_id, self.scope)
            self.asked_at = time.monotonic()
        return self.is_open


async def gate(thread_id: UUID, caller: Caller) -> Gate:
    """The caller's gate. Raises NotFound for somebody else's thread, and what `authorize` raises."""
    if caller.unbound:
        caller.asked.add(("threads", "read"))
        return Gate(thread_id, EVERYTHING, is_open=True)
    return await in_thread(_gate, thread_id, caller)


def _gate(thread_id: UUID, caller: Caller) -> Gate:
    scope = authorize(caller, "threads", "read", {"thread_id": thread_id})
    is_open = _is_visible(thread_id, scope)
    if not is_open and Thread.objects.filter(pk=thread_id).exists():
        raise NotFound(f"Thread with ID {thread_id} not found")
    return Gate(thread_id, scope, is_open=is_open)


def _is_visible(thread_id: UUID, scope: Scope) -> bool:
    return Thread.objects.within(scope).filter(pk=thread_id).exists()
