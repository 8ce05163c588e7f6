"""What viewers get where events are lost: the end in their place, never a gap and never silence."""

import asyncio
import secrets

import httpx
import psycopg
from langgraph_sdk.client import LangGraphClient
from redis import Redis

from tests.conftest import LiveServer
from tests.test_thread_stream import watching
from tests.wire import PATIENCE, finished, ids_in, new_thread, started, stream, until, until_settled


def forget(server: LiveServer, thread_id: str) -> None:
    """What a restart of Redis does to one thread."""
    prefix = server.environment["REDIS_KEY_PREFIX"]
    with Redis.from_url(server.environment["REDIS_URI"]) as redis:
        for key in [*redis.scan_iter(f"{prefix}events:{thread_id}*"), f"{prefix}head:{thread_id}"]:
            redis.delete(key)


async def test_a_run_whose_log_is_lost_ends_with_its_status_and_state(
    server: LiveServer, sdk: LangGraphClient, http: httpx.AsyncClient
) -> None:
    path = await started(http, sdk, input={"ticks": 20, "pause": 0.1}, stream_resumable=True)
    thread_id, run_id = ids_in(path)
    watching = asyncio.create_task(stream(http, f"{path}/stream", headers={"Last-Event-ID": "-1"}))
    await until(sdk, thread_id, run_id, ("running",))
    await asyncio.sleep(0.7)
    forget(server, thread_id)
    found = await asyncio.wait_for(watching, PATIENCE)
    ticks = [payload["tick"] for payload in found.data("custom")]
    assert ticks == list(range(len(ticks))) and len(ticks) < 20
    assert found.names[-2:] == ["metadata", "values"]
    assert found.data("metadata")[-1] == {"run_id": run_id, "attempt": 1, "status": "success"}
    assert found.data("values")[-1] == {"ticks": 0, "pause": 0.1}


async def test_an_end_that_is_not_in_the_log_is_found_in_the_row(
    server: LiveServer, sdk: LangGraphClient, http: httpx.AsyncClient
) -> None:
    path = await started(http, sdk, after_seconds=600)
    run_id = ids_in(path)[1]
    watching = asyncio.create_task(stream(http, f"{path}/stream"))
    await asyncio.sleep(0.5)
    with psycopg.connect(server.environment["DATABASE_URI"], autocommit=True) as connection:
        connection.execute("UPDATE runs_run SET status = 'success', ended_at = now() WHERE run_id = %s", [run_id])
    found = await asyncio.wait_for(watching, PATIENCE)
    assert found.names == ["metadata", "values"] and found.data("metadata")[0]["status"] == "success"


async def test_a_reader_the_log_has_left_behind_is_told(
    server: LiveServer, sdk: LangGraphClient, http: httpx.AsyncClient
) -> None:
    path = await started(http, sdk, input={"ticks": 60, "pause": 0.1}, stream_resumable=True)
    thread_id, run_id = ids_in(path)
    await until(sdk, thread_id, run_id, ("running",))
    await asyncio.sleep(1)
    key = f"{server.environment['REDIS_KEY_PREFIX']}events:{thread_id}"
    with Redis.from_url(server.environment["REDIS_URI"]) as redis:
        first = redis.xrange(key, count=1)[0][0].decode()
        redis.xtrim(key, maxlen=2, approximate=False)
    found = await asyncio.wait_for(stream(http, f"{path}/stream", headers={"Last-Event-ID": first}), PATIENCE)
    assert found.names == ["error"] and found.data("error")[0]["error"] == "EventsLost"
    await sdk.runs.cancel(thread_id, run_id)


async def test_a_viewer_of_a_thread_is_told_and_sent_away(
    server: LiveServer, sdk: LangGraphClient, http: httpx.AsyncClient
) -> None:
    thread_id = await new_thread(sdk)
    async with watching(http, thread_id) as viewer:
        await finished(sdk, thread_id, "echo", input={"text": "a"})
        await viewer.frames(4)
        forget(server, thread_id)
        await finished(sdk, thread_id, "echo", input={"text": "b"})
        [told] = await viewer.end()
    assert (told.event, told.data["error"]) == ("error", "EventsLost")


async def test_large_payloads_are_stored_small_and_shown_whole(
    server: LiveServer, sdk: LangGraphClient, http: httpx.AsyncClient
) -> None:
    text = secrets.token_hex(16) * 4000
    thread_id = await new_thread(sdk)
    await finished(sdk, thread_id, "echo", input={"text": text})
    run_id = (await sdk.runs.list(thread_id))[0]["run_id"]
    found = await stream(http, f"/threads/{thread_id}/runs/{run_id}/stream", headers={"Last-Event-ID": "-1"})
    assert found.data("values")[-1]["text"] == text
    key = f"{server.environment['REDIS_KEY_PREFIX']}events:{thread_id}"
    with Redis.from_url(server.environment["REDIS_URI"]) as redis:
        stored = sum(len(value) for _, fields in redis.xrange(key) for value in fields.values())
    assert stored < len(text) / 4


async def test_a_log_is_kept_while_another_run_of_its_thread_lives(
    server: LiveServer, sdk: LangGraphClient, http: httpx.AsyncClient
) -> None:
    thread_id = await new_thread(sdk)
    running = await sdk.runs.create(thread_id, "sleeper", input={"seconds": 60})
    await until(sdk, thread_id, running["run_id"], ("running",))
    queued = await sdk.runs.create(thread_id, "ticker", input={"ticks": 1})
    await asyncio.sleep(1)
    await sdk.runs.cancel(thread_id, queued["run_id"])
    await asyncio.sleep(1)
    key = f"{server.environment['REDIS_KEY_PREFIX']}events:{thread_id}"
    with Redis.from_url(server.environment["REDIS_URI"]) as redis:
        assert redis.ttl(key) > 10_000
        await sdk.runs.cancel(thread_id, running["run_id"])
        await until_settled(sdk, thread_id)
        await asyncio.sleep(1)
        assert 0 < redis.ttl(key) <= 120
