"""A project's own checkpointer in the place of ours: what works with it, what it must be able to do, its fence."""

import json
import os
import secrets
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.memory import InMemorySaver
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient
from psycopg.conninfo import make_conninfo

from accounts.callers import Caller
from assistants.startup import start
from config import loop
from config.database import conninfo
from config.project import ProjectError
from runs.dispatch import create_run
from runs.models import LIVE, Run
from tests.conftest import ROOT, LiveServer, live_server
from tests.projects import forget
from threads import own_checkpointer
from threads.checkpointer import fenced_saver
from threads.fencing import Fence, LeaseLost
from threads.own_checkpointer import FencedOwnSaver, open_own, serializer

SMALL = ROOT / "tests/graphs/small.py"
SAVER = """
import os
from contextlib import asynccontextmanager
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver

class Elsewhere(AsyncPostgresSaver):
    aprune = BaseCheckpointSaver.aprune

    async def adelete_for_runs(self, run_ids):
        for run_id in run_ids:
            async with self._cursor() as cursor:
                await cursor.execute("DELETE FROM checkpoints WHERE metadata->>'run_id' = %s", (run_id,))

@asynccontextmanager
async def checkpointer():
    async with Elsewhere.from_conn_string(os.environ["ELSEWHERE"]) as saver:
        await saver.setup()
        yield saver
"""
FORMS = """
from contextlib import asynccontextmanager, contextmanager
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver

seen = []
ready = InMemorySaver()
made = InMemorySaver

async def awaited():
    return ready

@contextmanager
def entered():
    yield ready

@asynccontextmanager
async def entered_async():
    seen.append("in")
    yield ready
    seen.append("out")

class Half(BaseCheckpointSaver):
    async def aput(self, *arguments): ...
    async def aget_tuple(self, config): ...

half = Half()
nothing = 5
"""


# --- on a server ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[str]:
    """The address of a database that is not the server's."""
    base, name = os.environ["DATABASE_URI"], f"weft_elsewhere_{secrets.token_hex(4)}"
    with psycopg.connect(base, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
        yield make_conninfo(base, dbname=name)
        connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory, elsewhere: str) -> Iterator[LiveServer]:
    """A server whose project keeps its checkpoints elsewhere."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "saver.py").write_text(SAVER)
    graphs = {name: f"{SMALL}:{name}" for name in ("counter", "ask", "sleeper")}
    document = {"graphs": graphs, "checkpointer": {"path": "./saver.py:checkpointer"}}
    (folder / "langgraph.json").write_text(json.dumps(document))
    with live_server(folder, WEFT_CONFIG=str(folder / "langgraph.json"), ELSEWHERE=elsewhere) as running:
        yield running


@pytest.fixture
async def client(own: LiveServer) -> AsyncIterator[LangGraphClient]:
    async with get_client(url=own.url, timeout=60) as made:
        yield made


def rows(address: str, thread_id: str) -> int:
    with psycopg.connect(address) as connection:
        found = connection.execute("SELECT count(*) FROM checkpoints WHERE thread_id = %s", (thread_id,)).fetchone()
    assert found
    return int(found[0])


async def counted(client: LangGraphClient, times: int) -> str:
    thread = await client.threads.create()
    for _ in range(times):
        await client.runs.wait(thread["thread_id"], "counter", input={"count": 1})
    return thread["thread_id"]


@pytest.mark.timeout(180)
async def test_checkpoints_go_to_the_projects_saver_and_nowhere_else(client, own, elsewhere):
    thread_id = await counted(client, 2)
    assert rows(elsewhere, thread_id) > 0
    assert rows(own.environment["DATABASE_URI"], thread_id) == 0
    state: Any = await client.threads.get_state(thread_id)
    history = await client.threads.get_history(thread_id, limit=100)
    assert state["values"]["count"] == (await client.threads.get(thread_id))["values"]["count"]
    assert len(history) == rows(elsewhere, thread_id)
    assert state["metadata"]["run_attempt"] == 1


async def test_an_interrupt_is_resumed_from_it(client):
    thread = await client.threads.create()
    first: Any = await client.runs.wait(thread["thread_id"], "ask", input={})
    assert first["__interrupt__"]
    second: Any = await client.runs.wait(thread["thread_id"], "ask", command={"resume": "yes"})
    assert "__interrupt__" not in second


async def test_a_thread_is_copied_though_the_saver_cannot(client, elsewhere):
    thread_id = await counted(client, 2)
    copy: Any = await client.threads.copy(thread_id)
    state, copied = [await client.threads.get_state(one) for one in (thread_id, copy["thread_id"])]
    assert copied["values"] == state["values"]
    assert rows(elsewhere, copy["thread_id"]) == rows(elsewhere, thread_id)
    await client.runs.wait(copy["thread_id"], "counter", input={"count": 1})
    assert (await client.threads.get_state(thread_id))["values"] == state["values"]


async def test_a_deleted_thread_leaves_no_checkpoint(client, elsewhere):
    thread_id = await counted(client, 1)
    await client.threads.delete(thread_id)
    assert rows(elsewhere, thread_id) == 0


async def test_a_deleted_run_takes_its_checkpoints_along(client, elsewhere):
    thread_id = await counted(client, 2)
    before = rows(elsewhere, thread_id)
    runs = await client.runs.list(thread_id)
    await client.runs.delete(thread_id, runs[0]["run_id"])
    assert 0 < rows(elsewhere, thread_id) < before


async def test_what_the_saver_cannot_do_is_refused(client, own):
    thread_id = await counted(client, 1)
    async with httpx.AsyncClient(base_url=own.url) as web:
        pruned = await web.post("/threads/prune", json={"thread_ids": [thread_id], "strategy": "keep_latest"})
        assert (pruned.status_code, (await web.get(f"/threads/{thread_id}/storage")).status_code) == (422, 501)
    assert "Elsewhere has no aprune, so threads cannot be pruned" in own.log.read_text()
    assert "has no adelete_for_runs" not in own.log.read_text()


# --- in this process --------------------------------------------------------------------------------------------------


@pytest.fixture
def configured(tmp_path: Path, settings) -> Iterator[Callable[..., None]]:
    """Lets the project's checkpointer section be what it is called with."""

    def write(**section: Any) -> None:
        (tmp_path / "forms.py").write_text(FORMS)
        document = {"graphs": {"counter": f"{SMALL}:counter"}, "checkpointer": section}
        (tmp_path / "langgraph.json").write_text(json.dumps(document))
        settings.LANGGRAPH_CONFIG_FILE = tmp_path / "langgraph.json"
        forget()

    yield write
    loop.run(own_checkpointer.close_own())


@pytest.mark.parametrize("form", ["ready", "made", "awaited", "entered", "entered_async"])
def test_a_saver_comes_in_every_form(form, configured):
    configured(path=f"./forms.py:{form}")
    own_checkpointer.check()
    found = loop.run(open_own())
    assert isinstance(found, InMemorySaver)
    assert loop.run(open_own()) is found


def test_one_process_at_a_time_makes_a_saver(configured):
    configured(path="./forms.py:awaited")
    with psycopg.connect(conninfo()) as another:
        another.execute("SELECT pg_advisory_xact_lock(hashtextextended('project''s checkpointer', 0))")
        opening = loop.start(open_own())
        with pytest.raises(TimeoutError):
            opening.result(0.5)
        another.commit()
        assert isinstance(opening.result(10), InMemorySaver)


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("./forms.py:half", "Half has no aput_writes, alist"),
        ("./forms.py:nothing", "gives a int, not a checkpoint saver"),
        ("./forms.py:absent", "has no 'absent'"),
    ],
)
def test_a_saver_that_cannot_be_used_stops_the_start(path, says, configured):
    configured(path=path)
    with pytest.raises(ProjectError, match=says):
        own_checkpointer.check()


def test_a_saver_we_cannot_encrypt_for_stops_the_start(configured, settings):
    configured(path="./forms.py:ready")
    settings.LANGGRAPH_AES_KEY = b"k" * 16
    with pytest.raises(ProjectError, match="encrypt"):
        own_checkpointer.check()


@pytest.mark.django_db(transaction=True)
def test_an_attempt_that_is_no_longer_the_live_one_saves_nothing(configured, settings):
    configured(path="./forms.py:ready")
    start()
    made = create_run(uuid.uuid4(), {"assistant_id": "counter", "if_not_exists": "create"}, Caller())
    run = Run.objects.claim(made.run_id, "worker", timedelta(seconds=30))
    assert run is not None
    saver = loop.run(fenced_saver(Fence(run.run_id, run.attempt, LIVE, lambda: True)))
    assert isinstance(saver, FencedOwnSaver)
    assert save(saver, run) == 1
    Run.objects.filter(pk=run.pk).update(attempt=2)
    with pytest.raises(LeaseLost):
        save(saver, run)
    with pytest.raises(LeaseLost):
        loop.run(saver.aput_writes(place(run, empty_checkpoint()["id"]), [("count", 1)], "task"))
    Run.objects.filter(pk=run.pk).update(attempt=1)
    loop.run(saver.close())
    with pytest.raises(LeaseLost):
        save(saver, run)
    assert loop.run(saved(run)) == 1


def place(run: Run, checkpoint_id: str | None = None) -> Any:
    named = {"checkpoint_id": checkpoint_id} if checkpoint_id else {}
    return {"configurable": {"thread_id": str(run.thread_id), "checkpoint_ns": "", **named}}


def save(saver: FencedOwnSaver, run: Run) -> int:
    metadata: Any = {"source": "loop", "step": 1, "parents": {}, "run_id": "a node's own"}
    loop.run(saver.aput(place(run), empty_checkpoint(), metadata, {}))
    return loop.run(saved(run))


async def saved(run: Run) -> int:
    found = (await open_own()).alist(place(run), filter={"run_id": str(run.run_id), "run_attempt": 1})
    return len([one async for one in found])


class Point:
    """A class no serialiser knows."""

    def __init__(self, x: int) -> None:
        self.x = x


def test_serde_options_reach_the_serialiser(configured):
    configured(serde={"pickle_fallback": True, "allowed_msgpack_modules": [["a", "B"]], "allowed_json_modules": True})
    made = serializer()
    assert made.pickle_fallback
    assert made._allowed_json_modules is True
    assert made._allowed_msgpack_modules == {("a", "B")}
    kind, data = made.dumps_typed(Point(3))
    assert (kind, made.loads_typed((kind, data)).x) == ("pickle", 3)
    configured()
    assert not serializer().pickle_fallback


@pytest.mark.parametrize("serde", [{"pickle_fallback": "yes"}, {"allowed_json_modules": ["a.B"]}, ["x"]])
def test_serde_options_that_make_no_sense_stop_the_start(serde, configured):
    configured(serde=serde)
    with pytest.raises(ProjectError, match="serde"):
        own_checkpointer.check()
