"""What happened inside a run and when: a span for each node, tool call and model call of an attempt.

Recorded by langchain's callbacks, shown while it happens through Redis, kept in the run's row of RunTimeline. For
people who look at a run: nothing depends on it, and a run goes on where it cannot be shown. Bounded: MOST_SPANS spans
and SHOWN_TEXT characters of text.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.conf import settings
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import BaseMessage
from langgraph.errors import GraphBubbleUp
from redis.exceptions import RedisError

from config import dialect, loop
from config.redaction import without_secrets
from events import connection
from runs.frames import frames

logger = logging.getLogger(__name__)
MOST_SPANS = 1000
SHOWN_TEXT = 4000  # characters of what a model has said in one call, its last ones
ALL_TEXT = 100_000  # characters of all calls together; later ones show none
SHOW_SECONDS = 0.1  # between two versions of what is shown
KEPT_SECONDS = 600  # what is shown of a run nobody ends
RUNNING, DONE, FAILED, ASKED, STOPPED = "running", "done", "failed", "asked", "stopped"
Json = dict[str, Any]


@dataclass
class Span:
    """One thing that took time. `begin`, `first` (a model's first token) and `end` are milliseconds of the attempt."""

    number: int
    parent: int | None
    kind: str  # node, tool or model
    name: str
    begin: float
    step: int | None = None
    first: float | None = None
    end: float | None = None
    status: str = RUNNING
    error: str = ""
    text: str = ""
    tokens: dict[str, int] = field(default_factory=dict)

    def as_json(self) -> Json:
        """What is kept and shown of it: what it does not have is left out."""
        return {name: value for name, value in vars(self).items() if value not in (None, "", {})}


class Timeline(BaseCallbackHandler):
    """The spans of one attempt. Called from the attempt's loop and from the threads of its sync nodes."""

    run_inline = True

    def __init__(self, run_id: UUID, attempt: int, *, texts: bool = True) -> None:
        self.run_id, self.attempt, self.texts = run_id, attempt, texts
        self.started = time.monotonic()
        self.begun_at = time.time()
        self.spans: list[Span] = []
        self.left_out = 0
        self.room = ALL_TEXT
        self.raised: Json | None = None  # the latest error, and where it was
        self._error: BaseException | None = None
        self._open: dict[UUID, Span | None] = {}  # of everything that runs: the span it is, or is inside of
        self._mine: set[UUID] = set()
        self._lock = threading.Lock()
        self._show = threading.Event()  # something new is to be shown
        self._showing: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()

    def as_json(self) -> Json:
        """`{"attempt", "begun_at" (seconds since 1970), "spans", "left_out", "raised"}`; see frames.py for the last."""
        with self._lock:
            spans = [span.as_json() for span in self.spans]
            raised = {"raised": self.raised} if self.raised else {}
        return {"attempt": self.attempt, "begun_at": self.begun_at, "spans": spans, "left_out": self.left_out, **raised}

    def stop(self) -> Json:
        """The attempt is over: what still runs was stopped."""
        with self._lock:
            for span in self.spans:
                if span.status == RUNNING:
                    span.status, span.end = STOPPED, self._now()
        self._error = None  # with all that its frames hold
        if self._showing:
            self._showing.cancel()  # a short run is over before anybody was shown anything
        return self.as_json()

    # --- callbacks ----------------------------------------------------------------------------------------------------

    def on_chain_start(
        self, serialized: Any, inputs: Any, *, run_id: UUID, parent_run_id: UUID | None = None, **rest: Any
    ) -> None:
        """A node begins, or something around or inside of one."""
        metadata = rest.get("metadata") or {}
        node = metadata.get("langgraph_node")
        if node is not None and rest.get("name") == node:
            self._begin("node", str(node), run_id, parent_run_id, step=metadata.get("langgraph_step"))
        else:
            self._pass_on(run_id, parent_run_id)

    def on_chain_end(self, outputs: Any, *, run_id: UUID, **rest: Any) -> None:
        """It is over."""
        self._end(run_id)

    def on_chain_error(self, error: BaseException, *, run_id: UUID, **rest: Any) -> None:
        """It raised."""
        self._end(run_id, error)

    def on_tool_start(
        self, serialized: Any, input_str: str, *, run_id: UUID, parent_run_id: UUID | None = None, **rest: Any
    ) -> None:
        """A tool is called."""
        self._begin("tool", str(rest.get("name") or (serialized or {}).get("name") or "tool"), run_id, parent_run_id)

    def on_tool_end(self, output: Any, *, run_id: UUID, **rest: Any) -> None:
        """It answered."""
        self._end(run_id)

    def on_tool_error(self, error: BaseException, *, run_id: UUID, **rest: Any) -> None:
        """It raised."""
        self._end(run_id, error)

    def on_chat_model_start(
        self,
        serialized: Any,
        messages: list[list[BaseMessage]],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        **rest: Any,
    ) -> None:
        """A model is asked."""
        self._begin_model(serialized, run_id, parent_run_id, rest)

    def on_llm_start(
        self, serialized: Any, prompts: list[str], *, run_id: UUID, parent_run_id: UUID | None = None, **rest: Any
    ) -> None:
        """The same of one that knows no messages."""
        self._begin_model(serialized, run_id, parent_run_id, rest)

    def on_llm_new_token(self, token: Any, *, run_id: UUID, **rest: Any) -> None:
        """It says something."""
        span = self._open.get(run_id)
        if span is None:
            return
        with self._lock:
            if span.first is None:
                span.first = self._now()
            self._say(span, token if isinstance(token, str) else "")
        self._changed()

    def on_llm_end(self, response: Any, *, run_id: UUID, **rest: Any) -> None:
        """It is done."""
        span = self._open.get(run_id)
        if span is not None:
            messages = _messages(response)
            with self._lock:
                span.tokens = _tokens(messages)
                if not span.text:  # it did not stream
                    self._say(span, "".join(str(getattr(message, "text", "")) for message in messages))
        self._end(run_id)

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **rest: Any) -> None:
        """It failed."""
        self._end(run_id, error)

    # --- recording ----------------------------------------------------------------------------------------------------

    def _begin_model(self, serialized: Any, run_id: UUID, parent: UUID | None, rest: Json) -> None:
        about = rest.get("metadata") or {}
        name = about.get("ls_model_name") or rest.get("name") or (serialized or {}).get("name") or "model"
        self._begin("model", str(name), run_id, parent)

    def _begin(self, kind: str, name: str, run_id: UUID, parent: UUID | None, step: Any = None) -> None:
        with self._lock:
            above = self._open.get(parent) if parent else None
            if len(self.spans) >= MOST_SPANS:
                self.left_out += 1
                self._open[run_id] = above
                return
            number = above.number if above else None
            span = Span(len(self.spans) + 1, number, kind, name[:200], self._now(), step if type(step) is int else None)
            self.spans.append(span)
            self._open[run_id] = span
            self._mine.add(run_id)
        self._changed()

    def _pass_on(self, run_id: UUID, parent: UUID | None) -> None:
        with self._lock:
            self._open[run_id] = self._open.get(parent) if parent else None

    def _end(self, run_id: UUID, error: BaseException | None = None) -> None:
        with self._lock:
            span = self._open.pop(run_id, None)
            if span is None or run_id not in self._mine:
                return
            self._mine.discard(run_id)
            span.end, span.status = self._now(), _status(error)
            if span.status == FAILED:
                span.error = without_secrets(f"{type(error).__name__}: {error}")[:500]
        if error is not None and span.status == FAILED:
            self._note_where(error)
        self._changed()

    def _note_where(self, error: BaseException) -> None:
        """Once: what is around the place hears of the same error after it, with frames of its own added."""
        if error is not self._error:
            self._error = error
            self.raised = {"error": type(error).__name__, "frames": frames(error)}

    def _say(self, span: Span, text: str) -> None:
        if self.texts and text and self.room > 0:
            self.room -= len(text)
            span.text = (span.text + text)[-SHOWN_TEXT:]

    def _now(self) -> float:
        return round((time.monotonic() - self.started) * 1000, 1)

    # --- showing ------------------------------------------------------------------------------------------------------

    def _changed(self) -> None:
        if not self._show.is_set():
            self._show.set()
            self._loop.call_soon_threadsafe(self._see_to_it)

    def _see_to_it(self) -> None:
        if self._showing is None or self._showing.done():
            self._showing = self._loop.create_task(self._publish())

    async def _publish(self) -> None:
        """Show what there is, a moment after it happened, so that what happens together is shown at once."""
        while self._show.is_set():
            await asyncio.sleep(SHOW_SECONDS)
            self._show.clear()
            await show(self.run_id, self.as_json())


def _status(error: BaseException | None) -> str:
    if error is None:
        return DONE
    if isinstance(error, asyncio.CancelledError):
        return STOPPED
    return ASKED if isinstance(error, GraphBubbleUp) else FAILED


def _messages(response: Any) -> list[Any]:
    """What a model answered, the first choice of each prompt."""
    generations: Sequence[Sequence[Any]] = getattr(response, "generations", ())
    return [getattr(choices[0], "message", choices[0]) for choices in generations if choices]


def _tokens(messages: Sequence[Any]) -> dict[str, int]:
    """`{"in", "out"}`, as far as the model says."""
    found = {"in": 0, "out": 0}
    for message in messages:
        usage = getattr(message, "usage_metadata", None) or {}
        found["in"] += usage.get("input_tokens") or 0
        found["out"] += usage.get("output_tokens") or 0
    return {name: count for name, count in found.items() if count}


def key_of(run_id: UUID | str) -> str:
    """Where Redis has what is shown of a run."""
    return f"{settings.REDIS_KEY_PREFIX}timeline:{run_id}"


async def show(run_id: UUID, document: Json) -> None:
    """Let those who look at the run see the document. Without Redis they see it when the run has ended."""
    try:
        await loop.at_home(_set(key_of(run_id), dialect.dumps(document)))
    except RedisError as error:
        logger.debug("The timeline of run %s is not shown: %s", run_id, error)


async def _set(key: str, document: bytes) -> None:
    await connection.client().set(key, document, ex=KEPT_SECONDS)


async def shown(run_id: UUID | str) -> Json | None:
    """What is shown of a run that goes on; None when there is nothing, or no Redis."""
    try:
        found = await loop.at_home(_get(key_of(run_id)))
    except RedisError:
        return None
    document: Json | None = dialect.loads(found) if found else None
    return document


async def _get(key: str) -> Any:
    return await connection.client().get(key)
