"""Writing into a thread's state, as a node would: the one verb of the API and of the console."""

import logging
from collections.abc import Callable, Mapping
from typing import Any

from django.db import transaction
from redis.exceptions import RedisError

from assistants.graphs import load_all
from config import dialect, loop
from config.errors import BadRequest, Conflict
from events import log
from threads import state
from threads.models import Thread, ThreadStatus

logger = logging.getLogger(__name__)
STATE_UPDATE = "state_update"


def write_state(
    lock: Callable[[], Thread],
    config_of: Callable[[Thread], Mapping[str, Any]],
    *,
    values: Any,
    as_node: str | None,
    checkpoint: Mapping[str, Any],
) -> dict[str, Any]:
    """Write values as a new checkpoint behind `checkpoint` ({} is the latest); returns the new one's object.

    `lock` returns the thread, locked. Raises what it does, Conflict while runs are in flight, and BadRequest.
    """
    with transaction.atomic():
        # The row stays locked meanwhile, so that no run starts on a state that is being changed.
        thread = lock()
        graph_id = _updatable_graph(thread)
        writing = state.update_state(
            thread.thread_id,
            graph_id,
            config_of(thread),
            tenant=thread.tenant,
            values=values,
            as_node=as_node,
            checkpoint=checkpoint,
        )
        written, head, latest = loop.run(writing)
        thread.settle(head, graph_id=graph_id, busy=False)
    loop.run(_publish(thread, latest))
    return written


def _updatable_graph(thread: Thread) -> str:
    if thread.status == ThreadStatus.BUSY:
        raise Conflict("Thread is busy with a running job. Cannot update state.")
    if thread.graph_id is None or thread.graph_id not in load_all():
        raise BadRequest(f"Thread {thread.pk} has no known graph, so its state cannot be updated")
    return thread.graph_id


async def _publish(thread: Thread, latest: dict[str, Any]) -> None:
    """Tell whoever follows the thread. The update is made: without Redis nobody is told, and nothing else happens."""
    data = dialect.dumps({"state": latest, "thread_id": str(thread.thread_id)})
    try:
        await log.append(str(thread.thread_id), "", [log.Part("", STATE_UPDATE, data)], last=True)
    except RedisError:
        logger.warning("A state update could not be published", exc_info=True)
