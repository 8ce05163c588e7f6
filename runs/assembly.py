"""How a run's config, context and metadata are put together from assistant, thread and request. Pure functions.

Every merge is shallow and the later wins. Source: contract/core.md 5.4.
"""

import time
from typing import Any
from uuid import UUID

from accounts.callers import Caller
from assistants.models import Assistant
from config import tracing
from config.errors import BadRequest
from runs.models import EVENT_STREAMING
from threads.models import Thread


def refuse_both(body: dict[str, Any]) -> None:
    """Raises BadRequest when both a non-empty config.configurable and a non-empty context are given."""
    if body.get("config", {}).get("configurable") and body.get("context"):
        raise BadRequest("Cannot specify both configurable and context. Prefer setting context alone.")


def run_metadata(assistant: Assistant, thread: Thread | None, body: dict[str, Any]) -> dict[str, Any]:
    """The run's metadata, which is also its config.metadata; `thread` only when it existed before."""
    return {
        **assistant.metadata,
        **(thread.metadata if thread else {}),
        **body.get("config", {}).get("metadata", {}),
        **body.get("metadata", {}),
        "assistant_id": str(assistant.assistant_id),
    }


def thread_config(assistant: Assistant, thread: Thread | None, body: dict[str, Any]) -> dict[str, Any]:
    """What the thread remembers of a run's config: all but the run's own configurable."""
    known = thread.config if thread else {}
    configurable = {**assistant.config.get("configurable", {}), **known.get("configurable", {})}
    return {**assistant.config, **known, **body.get("config", {}), "configurable": configurable}


def run_kwargs(
    assistant: Assistant,
    thread: Thread,
    body: dict[str, Any],
    caller: Caller,
    *,
    run_id: UUID,
    existed: bool,
    temporary: bool,
) -> dict[str, Any]:
    """Everything execution needs, in the shape clients see as `kwargs`."""
    during = body.get("checkpoint_during", True)
    return {
        "input": body.get("input"),
        "command": body.get("command") or None,
        "config": _config(assistant, thread, body, caller, run_id=run_id, existed=existed),
        "context": {**assistant.context, **(body.get("context") or _request_configurable(body))},
        "stream_mode": body.get("stream_mode", ["values"]),
        "interrupt_before": body.get("interrupt_before"),
        "interrupt_after": body.get("interrupt_after"),
        "webhook": body.get("webhook"),
        "feedback_keys": body.get("feedback_keys"),
        "temporary": temporary,
        "subgraphs": body.get("stream_subgraphs", False),
        "resumable": body.get("stream_resumable", False),
        "checkpoint_during": during,
        "durability": body.get("durability") or ("async" if during else "exit"),
        # Clients of the reference know no such key, so it is there only when it was given.
        **({"timeout_seconds": body["timeout_seconds"]} if "timeout_seconds" in body else {}),
    }


def _config(
    assistant: Assistant, thread: Thread, body: dict[str, Any], caller: Caller, *, run_id: UUID, existed: bool
) -> dict[str, Any]:
    asked = _asked(body, caller)
    remembered = thread.config.get("configurable", {}) if existed else {}
    own = assistant.config.get("configurable", {})
    user_id = asked.get("user_id") or remembered.get("user_id") or own.get("user_id") or caller.user.identity
    configurable = {
        **own,
        **remembered,
        **asked,
        "run_id": str(run_id),
        "thread_id": str(thread.thread_id),
        "graph_id": assistant.graph_id,
        "assistant_id": str(assistant.assistant_id),
        "user_id": user_id,
    }
    metadata = run_metadata(assistant, thread if existed else None, body)
    return {**assistant.config, **body.get("config", {}), "configurable": configurable, "metadata": metadata}


def _request_configurable(body: dict[str, Any]) -> dict[str, Any]:
    configurable: dict[str, Any] = body.get("config", {}).get("configurable", {})
    return {key: value for key, value in configurable.items() if key != EVENT_STREAMING}


def _asked(body: dict[str, Any], caller: Caller) -> dict[str, Any]:
    """What the request adds to configurable, the server's own keys included."""
    context = body.get("context")
    mirrored = {**context, "__context_provided__": True} if context else body.get("config", {}).get("configurable", {})
    asked = {**mirrored, **caller.configurable}
    if "checkpoint_id" in body:
        asked["checkpoint_id"] = body["checkpoint_id"]
    asked.update(body.get("checkpoint", {}))
    tracer = body.get("langsmith_tracer", {})
    for name, key in (("project_name", "__langsmith_project__"), ("example_id", "__langsmith_example_id__")):
        if tracer.get(name):
            asked[key] = tracer[name]
    return {
        **asked,
        **caller.auth_configurable(),
        **tracing.carried(),
        "langgraph_request_id": caller.request_id or None,
        "__request_start_time_ms__": int(time.time() * 1000),
        "__after_seconds__": body.get("after_seconds", 0),
    }
