"""The protocol over a WebSocket: commands come in, answers and events go out, one at a time.

Nothing here waits for a client without a bound: commands that pile up and events nobody takes end the connection.
Source: contract/streaming.md 9.
"""

import asyncio
import logging
import uuid
from collections.abc import Coroutine, Iterable
from typing import Any
from uuid import UUID

from channels.generic.websocket import AsyncWebsocketConsumer
from redis.exceptions import RedisError
from rest_framework.exceptions import APIException

from accounts import limits
from accounts.authentication import caller_for
from accounts.callers import Caller
from config import dialect
from events import log
from streaming import commands
from streaming.commands import Params, ProtocolError
from streaming.filters import Filter, filter_of
from streaming.reader import Reader, TooSlow
from streaming.translation import Event, seq_of
from streaming.tree import Seen
from threads.gate import gate

logger = logging.getLogger(__name__)
STREAM_ENDED = (1011, "thread stream ended")
TOO_SLOW = (1013, "the client does not take what is sent")
NOT_YOURS = (4404, "Thread not found")
TOO_MANY = (1013, "too many commands are waiting")
LONGEST_INBOX = 100  # commands a client may have waiting
TOGETHER_SECONDS = 0.1  # how long a connection's first subscription waits for more, to be replayed as one
SEND_SECONDS = 20.0  # how long it may take to make room for one event
CLOSE_SECONDS = 1.0
LONGEST_REASON = 100  # characters; a close frame holds 123 bytes


class ThreadEvents(AsyncWebsocketConsumer):  # type: ignore[misc]
    """One client's connection to one thread.

    `turn` is held while a page of events is sent and while a subscription replays: what lies up to `passed` is a
    replay's to send, what lies behind it is the follower's, so that nothing comes twice and nothing is left out.
    """

    channel_layer_alias = "none"  # events come through events/log.py; a layer would cost a subscription a socket

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve the connection until the client leaves or is cut off."""
        self.serving, self.cut = asyncio.current_task(), False
        self.tasks: list[asyncio.Task[None]] = []
        try:
            await super().__call__(scope, receive, send)
        except asyncio.CancelledError:
            if not self.cut:
                raise
        finally:
            for task in self.tasks:
                task.cancel()

    async def dispatch(self, message: dict[str, Any]) -> None:
        """Pass a message on, without Channels' care for database connections: none is used here."""
        await getattr(self, message["type"].replace(".", "_"))(message)

    async def connect(self) -> None:
        """Accept; the thread need not exist yet. A browser can read by which code it is turned away."""
        await self.accept()
        try:
            self.caller = await caller_for(self.scope)
            await limits.admit(self.caller)
            self.thread_id = UUID(self.scope["url_route"]["kwargs"]["thread_id"])
            self.gate = await gate(self.thread_id, self.caller)
        except ValueError:
            await self.close(*STREAM_ENDED)
            return
        except APIException as refused:
            await self.close(4000 + refused.status_code, str(refused.detail)[:LONGEST_REASON])
            return
        self.subscriptions: dict[str, Filter] = {}
        self.came_late = False  # whether the log had events when the client connected
        self.passed = self.sent = 0  # the last number the follower has passed, and the highest that went out
        self.seen = Seen()
        self.inbox: asyncio.Queue[str] = asyncio.Queue(LONGEST_INBOX)
        self.writing, self.turn, self.following = asyncio.Lock(), asyncio.Lock(), asyncio.Event()
        self.tasks += [asyncio.create_task(self._until_broken(work)) for work in (self._commands(), self._events())]

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Take a frame, text or binary; its command waits for its turn."""
        if not self.tasks:
            return
        try:
            self.inbox.put_nowait((bytes_data or b"").decode("utf-8", "replace") if text_data is None else text_data)
        except asyncio.QueueFull:
            await self._cut_off(*TOO_MANY)

    async def disconnect(self, code: int) -> None:
        """The client has left; its runs go on."""

    # --- the two tasks ------------------------------------------------------------------------------------------------

    async def _until_broken(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
            await self._cut_off(*STREAM_ENDED)
        except (TimeoutError, TooSlow):
            await self._cut_off(*TOO_SLOW)
        except Exception:
            logger.exception("The events of thread %s cannot be sent", self.thread_id)
            await self._cut_off(*STREAM_ENDED)

    async def _events(self) -> None:
        """Send what comes from now on, page by page."""
        reader = await self._at_the_end()
        self.passed = reader.seq
        self.came_late = bool(self.passed)
        self.following.set()
        async for found in reader.follow():
            async with self.turn:
                await self._send_events(found, list(self.subscriptions.values()))
                self.passed = reader.seq

    async def _at_the_end(self) -> Reader:
        """A reader of what is still to come."""
        try:
            end = await log.tail(str(self.thread_id))
        except RedisError:
            end = log.BEGINNING
        reader = Reader(self.thread_id, 0 if end == log.BEGINNING else seq_of(end, 7))
        reader.position = end
        return reader

    async def _commands(self) -> None:
        await self.following.wait()
        while True:
            text = await self._next_command()
            # A client that comes back subscribes to everything at once. Replayed one by one, a run's end would reach
            # it by the first subscription and the text only by the next, which it does not read any more then.
            together: list[dict[str, Any]] = []
            while text is not None and (command := _subscribe_command(text)):
                together.append(command)
                text = await self._next_command(self._patience()) if len(together) < LONGEST_INBOX else None
            for answer in await self._subscribe_together(together) if together else ():
                await self._send(answer)
            if text is not None:
                await self._send(await self._answer(text))

    async def _next_command(self, seconds: float | None = None) -> str | None:
        """The next frame's text; None when none comes for `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                return await self.inbox.get()
        except TimeoutError:
            return None

    def _patience(self) -> float:
        """Seconds to wait for more subscriptions: none when the client has some, or when nothing came before it."""
        return 0 if self.subscriptions or not self.came_late else TOGETHER_SECONDS

    # --- commands -----------------------------------------------------------------------------------------------------

    async def _answer(self, text: str) -> bytes:
        try:
            given = dialect.loads(text)
        except ValueError:
            error = ProtocolError("invalid_argument", "Protocol commands must be valid JSON.")
            return dialect.dumps(commands.failure(None, error))
        command_id = given.get("id") if isinstance(given, dict) else None
        try:
            if not commands.is_command(given):
                raise ProtocolError("invalid_argument", commands.BAD_COMMAND)
            params = given.get("params")
            result = await self._result(given["method"], params if isinstance(params, dict) else {})
        except ProtocolError as error:
            return dialect.dumps(commands.failure(command_id, error))
        return dialect.dumps(commands.success(command_id, result, self.sent))

    async def _result(self, method: str, params: Params) -> Params:
        match method:
            case "subscription.reconnect":
                since = commands.check_reconnect(params)
                await self._check_stored(since)
                given = params.get("subscription_id")
                known = given if isinstance(given, str) and given else str(uuid.uuid4())
                (replayed,) = await self._subscribe({known: filter_of(params)}, since)
                return {"subscription_id": known, "replayed_events": replayed}
            case "subscription.unsubscribe":
                found = commands.subscription_of(params)
                if self.subscriptions.pop(found, None) is None:
                    raise ProtocolError("no_such_subscription", f"Unknown subscription: {found}")
                return {}
            case "agent.getTree":
                tree = self.seen.tree()
                if tree is None:
                    raise commands.no_active_run()
                return {"tree": tree}
            case "input.respond":
                self._check_namespaces(params)
        return await commands.carry_out(str(self.thread_id), method, params, self._caller())

    async def _subscribe_together(self, given: list[dict[str, Any]]) -> list[bytes]:
        """Subscribe to all that came together, in one replay; an answer each."""
        wanted: dict[str, Filter] = {}
        answers: list[dict[str, Any]] = []
        for command in given:
            params = command["params"] if isinstance(command.get("params"), dict) else {}
            try:
                commands.check_channels(command["method"], params)
            except ProtocolError as error:
                answers.append(commands.failure(command["id"], error))
                continue
            subscription_id = str(uuid.uuid4())
            wanted[subscription_id] = filter_of(params)
            answers.append(commands.success(command["id"], {"subscription_id": subscription_id}, 0))
        counts = dict(zip(wanted, await self._subscribe(wanted, 0), strict=True)) if wanted else {}
        for answer in answers:
            if answer["type"] == "success":
                answer["result"]["replayed_events"] = counts[answer["result"]["subscription_id"]]
                answer["meta"]["applied_through_seq"] = self.sent
        return [dialect.dumps(answer) for answer in answers]

    async def _subscribe(self, wanted: dict[str, Filter], since: int) -> list[int]:
        """Send what the log has for the subscriptions, then let the follower go on; how many events each had."""
        async with self.turn:
            counts = [0] * len(wanted)
            try:
                async for found in Reader(self.thread_id, since).replay(self.passed):
                    await self._send_events(found, list(wanted.values()))
                    for index, one in enumerate(wanted.values()):
                        counts[index] += sum(one.shows(event) for event in found)
            except RedisError:
                logger.warning("The log of thread %s cannot be replayed", self.thread_id, exc_info=True)
            self.subscriptions.update(wanted)
        return counts

    async def _check_stored(self, since: int) -> None:
        """Raises ProtocolError where the log no longer has all that lies behind the number."""
        try:
            oldest = await log.oldest(str(self.thread_id))
        except RedisError:
            logger.warning("The log of thread %s cannot be read", self.thread_id, exc_info=True)
            return
        if oldest is None:
            raise commands.no_active_run()
        if since < seq_of(oldest) and (since or log.is_trimmed(oldest)):
            raise commands.resume_gap(since, seq_of(oldest), self.sent)

    def _check_namespaces(self, params: Params) -> None:
        """An answer goes to where its question was seen."""
        commands.answers_of(params)
        for interrupt_id, namespace in commands.namespaces_of(params).items():
            if self.seen.questions.get(interrupt_id, namespace) != namespace:
                text = "Interrupt namespace does not match the pending interrupt."
                raise ProtocolError("no_such_interrupt", text)

    def _caller(self) -> Caller:
        """No header of the upgrade reaches the graph (contract/streaming.md 8.4)."""
        return self.caller.with_headers({})

    # --- writing ------------------------------------------------------------------------------------------------------

    async def _send_events(self, found: Iterable[Event], filters: list[Filter]) -> None:
        """Send what any of the filters shows."""
        events = list(found)
        if events and not await self.gate.lets_through():
            await self._cut_off(*NOT_YOURS)
            return
        for event in events:
            self.seen.note(event)
            if any(wanted.shows(event) for wanted in filters):
                await self._send(event.wire)
                self.sent = max(self.sent, event.seq)

    async def _send(self, document: bytes) -> None:
        """Raises TimeoutError when the client makes no room."""
        async with self.writing, asyncio.timeout(SEND_SECONDS):
            await self.send(text_data=document.decode())

    async def _cut_off(self, code: int, reason: str) -> None:
        """Close, if the client still takes that, and stop serving it."""
        self.cut = True
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self.close(code, reason)
        except Exception:
            logger.info("A client of thread %s did not take its close frame", self.thread_id)
        if self.serving is not None:
            self.serving.cancel()


def _subscribe_command(text: str) -> dict[str, Any] | None:
    """The command if it is a well-formed one that subscribes."""
    try:
        given = dialect.loads(text)
    except ValueError:
        return None
    found = commands.is_command(given) and given["method"] == "subscription.subscribe"
    return given if found else None
