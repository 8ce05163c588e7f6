"""/metrics: what is counted, by whom, and that it is true of all processes together."""

import asyncio
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from langgraph_sdk import get_client
from prometheus_client.parser import text_string_to_metric_families

from config.metrics import HOST
from tests.conftest import LiveServer, live_server
from tests.webs import another_web

SECONDS = 20.0
SECONDS_BOUNDS = {0.01, 0.1, 0.5, 1, 5, 15, 30, 60, 120, 300, 600, 1800, 3600, float("inf")}
NAMES = {
    "http_requests_total",
    "http_requests_latency_bucket",
    "workers_max",
    "workers_active",
    "workers_available",
    "num_pending_runs",
    "num_running_runs",
    "run_wait_seconds_bucket",
    "run_duration_seconds_bucket",
    "run_attempts_total",
    "stream_viewers",
    "event_log_appends_total",
    "event_log_parts_total",
}


@pytest.fixture(scope="module")
def counting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server of its own, with two slots."""
    folder = tmp_path_factory.mktemp("counting")
    times = {"RUN_LEASE_SECONDS": "3", "RUN_LEASE_RENEWAL_SECONDS": "1", "RUN_SWEEP_SECONDS": "1"}
    with live_server(folder, N_JOBS_PER_WORKER="2", BLOCKED_LOOP_MILLISECONDS="300", **times) as running:
        yield running


def samples(url: str) -> dict[tuple[str, str], float]:
    """(name without prefix, labels as JSON) to value."""
    answer = httpx.get(f"{url}/metrics", timeout=SECONDS)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=1.0.0; charset=utf-8"
    return {
        (sample.name.removeprefix("lg_api_"), json.dumps(sample.labels, sort_keys=True)): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def value(url: str, name: str, **labels: str) -> float:
    """The sample's value; 0 while nothing was counted."""
    return samples(url).get((name, json.dumps(labels, sort_keys=True)), 0.0)


def until(url: str, name: str, wanted: float, **labels: str) -> None:
    """Wait for the sample to have the value."""
    deadline = time.monotonic() + SECONDS
    while (found := value(url, name, **labels)) != wanted:
        assert time.monotonic() < deadline, f"{name} {labels} is {found}, not {wanted}"
        time.sleep(0.2)


async def run_of(server: LiveServer, graph_id: str, **given: Any) -> Any:
    """What a stateless run comes to."""
    async with get_client(url=server.url, timeout=SECONDS) as client:
        return await client.runs.wait(None, graph_id, **given)


async def test_the_names_a_dashboard_of_the_reference_asks_for_are_there(counting: LiveServer) -> None:
    await run_of(counting, "echo", input={"text": "warp"})
    until(counting.url, "run_attempts_total", 1.0, outcome="success")
    found = {name for name, _ in samples(counting.url)}
    assert found >= NAMES, NAMES - found


def test_requests_are_counted_under_their_routes_template(counting: LiveServer) -> None:
    labels = {"method": "GET", "path": "/threads/{thread_id}", "status": "422"}
    before = value(counting.url, "http_requests_total", **labels)
    for number in range(3):
        httpx.get(f"{counting.url}/threads/number-{number}")
    until(counting.url, "http_requests_total", before + 3, **labels)
    assert value(counting.url, "http_requests_latency_count", **labels) == before + 3
    bounds = {
        float(json.loads(text)["le"]) for name, text in samples(counting.url) if name == "http_requests_latency_bucket"
    }
    assert bounds == {1000 * seconds for seconds in SECONDS_BOUNDS}
    assert "number-" not in httpx.get(f"{counting.url}/metrics").text


def test_what_asks_for_metrics_and_health_is_not_counted(counting: LiveServer) -> None:
    for path in ("/ok", "/info", "/metrics", "/openapi.json", "/docs"):
        assert httpx.get(f"{counting.url}{path}", timeout=SECONDS).status_code == 200
    httpx.get(f"{counting.url}/")
    until(counting.url, "http_requests_total", 1.0, method="GET", path="/", status="200")
    paths = {json.loads(text)["path"] for name, text in samples(counting.url) if name == "http_requests_total"}
    assert not paths & {"/ok", "/info", "/metrics", "/openapi.json", "/docs"}


def test_a_path_nobody_serves_makes_no_series_of_its_own(counting: LiveServer) -> None:
    httpx.get(f"{counting.url}/made/up/by/a/client")
    until(counting.url, "http_requests_total", 1.0, method="GET", path="/{path}", status="404")


async def test_the_queue_is_told_as_the_rows_have_it(counting: LiveServer) -> None:
    async with get_client(url=counting.url, timeout=SECONDS) as client:
        threads = [(await client.threads.create())["thread_id"] for _ in range(4)]
        job: Any = {"steps": 40, "seconds": 0.2}
        for thread_id in threads:
            await client.runs.create(thread_id, "slow_job", input=job)
        await client.runs.create(threads[0], "slow_job", input=job, after_seconds=3600)
        until(counting.url, "num_running_runs", 2.0)
        until(counting.url, "workers_active", 2.0)
        found = samples(counting.url)
        assert (found["num_pending_runs", "{}"], found["num_delayed_runs", "{}"]) == (2.0, 1.0)
        assert (found["workers_max", "{}"], found["workers_available", "{}"]) == (2.0, 0.0)
        assert 0 < found["pending_runs_wait_time_max_seconds", "{}"] < 60
        told = httpx.get(f"{counting.url}/metrics?format=json").json()
        assert (told["queue"]["n_pending"], told["queue"]["n_running"]) == (2, 2)
        assert told["queue"]["pending_runs_wait_time_max_secs"] >= told["queue"]["pending_runs_wait_time_med_secs"] > 0
        assert told["queue"]["pending_unblocked_runs_wait_time_max_secs"] > 0
        assert told["workers"] == {"max": 2, "active": 2, "available": 0}
        assert {"method", "path", "status", "count"} == told["api"]["http_requests_total"][0].keys()
        assert isinstance(told["api"]["http_requests_total"][0]["status"], int)
        assert told["postgres"]["pool_max"] >= told["postgres"]["pool_size"] >= 1
        for status in ("pending", "running"):
            await client.http.post("/runs/cancel", json={"status": status})
    until(counting.url, "workers_active", 0.0)
    until(counting.url, "num_running_runs", 0.0)
    empty = httpx.get(f"{counting.url}/metrics?format=json").json()["queue"]
    assert empty == {
        "n_pending": 0,
        "n_running": 0,
        "pending_runs_wait_time_max_secs": None,
        "pending_runs_wait_time_med_secs": None,
        "pending_unblocked_runs_wait_time_max_secs": None,
    }


async def test_a_viewer_counts_while_it_watches(counting: LiveServer) -> None:
    async with get_client(url=counting.url, timeout=SECONDS) as client:
        thread_id = (await client.threads.create())["thread_id"]
        run = await client.runs.create(thread_id, "slow_job", input={"steps": 20, "seconds": 0.2})
        joined = asyncio.ensure_future(client.runs.join(thread_id, run["run_id"]))
        await asyncio.to_thread(until, counting.url, "stream_viewers", 1.0)
        await client.runs.cancel(thread_id, run["run_id"])
        await joined
    until(counting.url, "stream_viewers", 0.0)


async def test_a_loop_that_was_kept_from_turning_is_counted_in_milliseconds(counting: LiveServer) -> None:
    before = value(counting.url, "loop_stall_milliseconds_count")
    await run_of(counting, "blocker", input={"seconds": 1.0})
    until(counting.url, "loop_stall_milliseconds_count", before + 1)
    assert value(counting.url, "loop_stall_milliseconds_sum") >= 500


async def test_a_second_web_process_tells_what_the_first_has_counted(counting: LiveServer, tmp_path: Path) -> None:
    httpx.get(f"{counting.url}/threads/first")
    labels = {"method": "GET", "path": "/threads/{thread_id}", "status": "422"}
    with another_web(counting, tmp_path) as second:
        httpx.get(f"{second.url}/threads/second")
        until(counting.url, "http_requests_total", value(second.url, "http_requests_total", **labels), **labels)
        counted = value(counting.url, "http_requests_total", **labels)
    # Its counters outlive it.
    assert value(counting.url, "http_requests_total", **labels) == counted


def test_a_process_that_has_just_made_its_file_hides_no_others(counting: LiveServer) -> None:
    name = f"counter_{HOST}-{os.getpid()}.db"
    file = Path(counting.environment["WEFT_STATE_DIR"]) / "metrics" / name
    file.touch()
    try:
        assert value(counting.url, "workers_max") > 0
    finally:
        file.unlink()


async def test_counters_survive_a_killed_worker_and_its_slots_do_not(counting: LiveServer) -> None:
    await run_of(counting, "echo", input={"text": "weft"})
    time.sleep(0.5)
    before = value(counting.url, "run_attempts_total", outcome="success")
    assert before > 0
    counting.processes["worker"].send_signal(signal.SIGKILL)
    counting.processes["worker"].wait()
    assert value(counting.url, "workers_max") == 0
    assert value(counting.url, "run_attempts_total", outcome="success") == before
    counting.start("worker", "worker")
    until(counting.url, "workers_max", 2.0)
    await run_of(counting, "echo", input={"text": "weft"})
    until(counting.url, "run_attempts_total", before + 1, outcome="success")
    files = {path.name for path in (Path(counting.environment["WEFT_STATE_DIR"]) / "metrics").glob("counter_*.db")}
    assert len(files) <= 4 and "counter_past.db" in files, "files of the dead are not kept one by one"
