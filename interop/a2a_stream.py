"""The events of one A2A turn, from the parts of its run: text as it grows, then the artifact and the last status.

Source: contract/platform.md 11.9.
"""

from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import orjson
from django.utils import timezone

from config.database import in_thread
from events.log import Part
from interop.parts import content_parts
from interop.tasks import agent_message, task_id_of
from interop.turns import CANCELED, Outcome, Turn, outcome_of
from runs import following
from runs.live import View

Json = dict[str, Any]


async def events_of(turn: Turn, view: View) -> AsyncIterator[list[Json]]:
    """The turn's events behind the first, those that came together at once; an empty list now and then."""
    growing, answer, lost = _Growing(turn), following.Answer(), False
    try:
        async for parts in view.parts():
            for part in parts:
                answer.take(part)
            yield [event for part in parts for event in growing.take(part)]
    except following.EventsLost:
        answer, lost = following.Answer(), True
    left = answer.document()
    if left is None:
        async for left in following.asked(partial(following.thread_answer, view.thread_id, lost=lost)):
            if left is None:
                yield []
    yield await in_thread(_last_events, turn, left or b"{}")


class _Growing:
    """The text of each of the agent's messages so far."""

    def __init__(self, turn: Turn) -> None:
        self.turn = turn
        self.texts: dict[str, str] = {}

    def take(self, part: Part) -> list[Json]:
        """The update a part means, if any: a chunk of an agent's message, with all of its text so far."""
        if part.event != "messages":
            return []
        chunk, _ = orjson.loads(part.data)
        if chunk.get("type") not in ("ai", "AIMessageChunk"):
            return []
        key, before = str(chunk.get("id")), self.texts.get(str(chunk.get("id")), "")
        text = "".join(said["text"] for said in content_parts(chunk.get("content")) if said["kind"] == "text")
        whole = text if chunk["type"] == "ai" else before + text
        if whole == before:
            return []
        self.texts[key] = whole
        return [_status(self.turn, "working", whole)]


def _last_events(turn: Turn, left: bytes) -> list[Json]:
    """The artifact, if there is one, and the status the task ends or waits in."""
    outcome = outcome_of(turn, left)
    if outcome.error is not None:
        return [_status(turn, "failed", str(outcome.error.get("message", "")), final=True)]
    last = _status(turn, outcome.state, CANCELED if outcome.state == "canceled" else None, final=True)
    return [_artifact(turn, outcome), last] if outcome.artifact else [last]


def _artifact(turn: Turn, outcome: Outcome) -> Json:
    whole = {} if outcome.state == "input-required" else {"append": False, "lastChunk": True}
    return {"kind": "artifact-update", **_identity(turn), "artifact": outcome.artifact, **whole}


def _status(turn: Turn, state: str, text: str | None = None, *, final: bool = False) -> Json:
    status: Json = {"state": state, "timestamp": timezone.now().isoformat()}
    if text is not None:
        status["message"] = agent_message(turn.run, text)
    return {"kind": "status-update", **_identity(turn), "status": status, "final": final}


def _identity(turn: Turn) -> Json:
    return {"taskId": task_id_of(turn.run), "contextId": str(turn.run.thread_id)}
