"""What several test modules read off the wire: server-sent events byte by byte, and rows until they change."""

import asyncio
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import orjson
from langgraph_sdk.client import LangGraphClient

HEARTBEAT = b": heartbeat"
PATIENCE = 20.0
# What a run's kwargs hold when its body says nothing.
KWARGS = {
    "input": None,
    "command": None,
    "stream_mode": ["values"],
    "interrupt_before": None,
    "interrupt_after": None,
    "webhook": None,
    "feedback_keys": None,
    "temporary": False,
    "subgraphs": False,
    "resumable": False,
    "checkpoint_during": True,
    "durability": "async",
}
TICKS = {"assistant_id": "ticker", "input": {"ticks": 10, "pause": 0.1}, "stream_mode": ["custom", "values"]}


@dataclass(frozen=True)
class Frame:
    """One server-sent event."""

    event: str
    data: Any
    id: str | None = None


@dataclass(frozen=True)
class Stream:
    """A whole answer of server-sent events."""

    response: httpx.Response
    raw: bytes

    @property
    def frames(self) -> list[Frame]:
        """The events without heartbeats. Fails on any byte the format does not allow."""
        return [frame_of(block) for block in blocks_of(self.raw) if block != HEARTBEAT]

    @property
    def names(self) -> list[str]:
        """The event names in order."""
        return [frame.event for frame in self.frames]

    def data(self, event: str) -> list[Any]:
        """The payloads of one event."""
        return [frame.data for frame in self.frames if frame.event == event]


def blocks_of(raw: bytes) -> list[bytes]:
    """The frames of a stream, each ended by an empty CRLF line."""
    if not raw:
        return []
    assert raw.endswith(b"\r\n\r\n"), raw[-80:]
    assert raw.count(b"\n") == raw.count(b"\r") == raw.count(b"\r\n")
    return raw[:-4].split(b"\r\n\r\n")


def frame_of(block: bytes) -> Frame:
    """`event`, `data`, perhaps `id`, in this order and nothing else."""
    event, data, *rest = block.split(b"\r\n")
    assert event.startswith(b"event: ") and data.startswith(b"data: "), block
    assert len(rest) <= 1 and all(line.startswith(b"id: ") for line in rest), block
    return Frame(event[7:].decode(), orjson.loads(data[6:]), rest[0][4:].decode() if rest else None)


async def stream(
    http: httpx.AsyncClient,
    path: str,
    body: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Stream:
    """POST the body, or GET without one, and read to the end."""
    method = "GET" if body is None else "POST"
    async with http.stream(method, path, json=body, headers=headers) as response:
        return Stream(response, await response.aread())


async def new_thread(sdk: LangGraphClient, **arguments: Any) -> str:
    """The id of a new thread."""
    return str((await sdk.threads.create(**arguments))["thread_id"])


async def finished(sdk: LangGraphClient, thread_id: str | None, graph_id: str, **arguments: Any) -> Any:
    """What a run of the graph answers that is waited for."""
    return await sdk.runs.wait(thread_id, graph_id, **arguments)


async def values_of(sdk: LangGraphClient, thread_id: str) -> dict[str, Any]:
    """The values of the thread's state now."""
    values: Any = (await sdk.threads.get_state(thread_id))["values"]
    return dict(values)


async def status_of(sdk: LangGraphClient, thread_id: str, run_id: str) -> str:
    """The run's status now."""
    return str((await sdk.runs.get(thread_id, run_id))["status"])


async def until(sdk: LangGraphClient, thread_id: str, run_id: str, wanted: Collection[str]) -> str:
    """Wait for the run to have one of the statuses; returns it."""
    deadline = time.monotonic() + PATIENCE
    while (status := await status_of(sdk, thread_id, run_id)) not in wanted:
        assert time.monotonic() < deadline, f"still {status}"
        await asyncio.sleep(0.02)
    return status


async def until_started(sdk: LangGraphClient, thread_id: str, run_id: str, node: str) -> None:
    """Wait until the run has reached the node: until its checkpoint says the node is next."""
    await until(sdk, thread_id, run_id, ("running",))
    deadline = time.monotonic() + PATIENCE
    while (await sdk.threads.get_state(thread_id))["next"] != [node]:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def until_settled(sdk: LangGraphClient, thread_id: str) -> Any:
    """Wait until nothing is in flight on the thread; returns the thread."""
    deadline = time.monotonic() + PATIENCE
    while (thread := await sdk.threads.get(thread_id))["status"] == "busy":
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
    return thread


def detail(response: httpx.Response) -> str:
    """The text of an error, whose body must be nothing but it."""
    body = response.json()
    assert list(body) == ["detail"] and isinstance(body["detail"], str) and body["detail"]
    return str(body["detail"])


async def created(http: httpx.AsyncClient, thread_id: str, /, **body: Any) -> dict[str, Any]:
    """A run that nobody executes before tomorrow, unless the body says otherwise."""
    answer = await http.post(
        f"/threads/{thread_id}/runs", json={"assistant_id": "echo", "after_seconds": 86400, **body}
    )
    assert answer.status_code == 200, answer.text
    run: dict[str, Any] = answer.json()
    return run


async def started(http: httpx.AsyncClient, sdk: LangGraphClient, /, **body: Any) -> str:
    """The path of a run in the background."""
    thread_id = await new_thread(sdk)
    answer = await http.post(f"/threads/{thread_id}/runs", json={**TICKS, **body})
    assert answer.status_code == 200, answer.text
    return f"/threads/{thread_id}/runs/{answer.json()['run_id']}"


def ids_in(path: str) -> tuple[str, str]:
    """Thread and run of a run's path."""
    _, _, thread_id, _, run_id = path.split("/")
    return thread_id, run_id


def ticks_of(part: Stream) -> list[int]:
    """The ticks of a stream."""
    return [payload["tick"] for payload in part.data("custom")]
