"""What clients do while everything breaks, and what they were told: the load and its records."""

import asyncio
import contextlib
import random
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.chaos.graphs import work
from tests.chaos.patience import GaveUp, PatientClient, frames_of, run_of

ENDED = ("success", "error", "timeout", "interrupted")
SUCCESS = frozenset({"success"})
# What may become of a run that was asked to stop when it may have been over.
STOPPED = frozenset({"success", "interrupted"})
ROLLED_BACK = frozenset({"success", "gone"})
POLL_SECONDS = 0.3


@dataclass
class Accepted:
    """A run that was answered with 2xx. `outcomes` are the ends it may have, `gone` for one that leaves no row."""

    run_id: str
    thread_id: str | None
    scenario: str
    tag: str
    steps: int
    outcomes: frozenset[str] = SUCCESS
    resumes: str = ""  # the tag of the run whose interrupt it answers


@dataclass
class Watched:
    """A stream as one client saw it, over all its connections. Times are the wall's."""

    run_id: str
    started: float
    ids: list[str] = field(default_factory=list)
    parts: list[tuple[int, int]] = field(default_factory=list)  # attempt and number of each custom part
    connections: int = 0
    ended: float = 0.0
    status: str = ""  # the run's, right after the stream had ended
    replayed: list[str] = field(default_factory=list)  # the ids the log has afterwards


@dataclass
class Answered:
    """What a wait said in the end."""

    run_id: str
    started: float
    ended: float
    log: list[str] | None
    expected: list[str]


@dataclass
class Records:
    """All that clients know."""

    accepted: dict[str, Accepted] = field(default_factory=dict)
    tags: set[str] = field(default_factory=set)
    queues: list[list[str]] = field(default_factory=list)  # run ids of one thread in the order of their creation
    watched: list[Watched] = field(default_factory=list)
    answered: list[Answered] = field(default_factory=list)
    gave_up: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)  # what a client was told and should not have been


class Load:
    """Clients that do one thing after the other until `runs` were accepted or the time is up."""

    def __init__(self, urls: Sequence[str], seed: int, runs: int, seconds: float) -> None:
        self.rng = random.Random(f"load {seed}")
        self.client = PatientClient(urls, self.rng)
        self.records = Records()
        self.runs = runs
        self.seconds = seconds
        self.ends = 0.0
        scenarios = {
            self.background: 3,
            self.stream: 4,
            self.wait: 3,
            self.stateless: 2,
            self.queue: 2,
            self.supersede: 2,
            self.cancel: 2,
            self.approval: 2,
            self.delayed: 1,
            self.batch: 1,
        }
        self.scenarios, self.weights = list(scenarios), list(scenarios.values())

    async def go_on(self, clients: int) -> None:
        """Be that many clients until it is over."""
        self.ends = time.monotonic() + self.seconds
        async with asyncio.TaskGroup() as group:
            for _ in range(clients):
                group.create_task(self._one_client())
        await self.client.http.aclose()

    def stop(self) -> None:
        """Let every client end what it does, and begin nothing more."""
        self.ends = 0.0

    async def _one_client(self) -> None:
        # All begin with a run of some seconds, so that whatever happens at first happens to somebody.
        scenario = self.long
        while time.monotonic() < self.ends and len(self.records.accepted) < self.runs:
            try:
                await scenario()
            except GaveUp as error:
                self.records.gave_up.append(str(error))
            except Refused as error:
                self.records.broken.append(str(error))
            (scenario,) = self.rng.choices(self.scenarios, self.weights)

    # --- scenarios ----------------------------------------------------------------------------------------------

    async def background(self) -> None:
        """A run on a new thread, asked about until it is over."""
        run = await self._create(str(uuid.uuid4()), "background")
        await self._until_ended(run)

    async def long(self) -> None:
        """A run of more than six seconds."""
        body = self._body("long", 12, if_not_exists="create")
        body["input"]["pause"] = 0.5
        thread_id = str(uuid.uuid4())
        answer = await self.client.request("POST", f"/threads/{thread_id}/runs", body)
        await self._until_ended(self._accept(self._checked(answer).json()["run_id"], thread_id, "long", body))

    async def delayed(self) -> None:
        """A run that may start a second from now."""
        run = await self._create(str(uuid.uuid4()), "delayed", after_seconds=1)
        await self._until_ended(run)

    async def queue(self) -> None:
        """Several runs on one thread, which takes them one after the other."""
        thread_id = str(uuid.uuid4())
        runs = [await self._create(thread_id, "queue", steps=2) for _ in range(self.rng.randint(2, 4))]
        self.records.queues.append([run.run_id for run in runs])
        await self._until_ended(runs[-1])

    async def supersede(self) -> None:
        """A run takes the place of another."""
        thread_id, strategy = str(uuid.uuid4()), self.rng.choice(["interrupt", "rollback", "reject"])
        first = await self._create(thread_id, "superseded", steps=8)
        if strategy != "reject":
            first.outcomes = STOPPED if strategy == "interrupt" else ROLLED_BACK
        await asyncio.sleep(self.rng.uniform(0, 0.8))
        with contextlib.suppress(Refused):
            await self._until_ended(await self._create(thread_id, strategy, multitask_strategy=strategy))
        await self._until_ended(first)

    async def cancel(self) -> None:
        """A run is cancelled, waiting for its end or not."""
        run = await self._create(str(uuid.uuid4()), "cancelled", steps=10)
        action, wait = self.rng.choice(["interrupt", "rollback"]), self.rng.choice([0, 1])
        await asyncio.sleep(self.rng.uniform(0, 1.2))
        # Before it is asked for: the answer may get lost.
        run.outcomes = STOPPED if action == "interrupt" else ROLLED_BACK
        path = f"/threads/{run.thread_id}/runs/{run.run_id}/cancel?action={action}&wait={wait}"
        before = self.client.repeated
        with contextlib.suppress(httpx.TransportError):
            answer = await self.client.request("POST", path)
            if answer.is_success:
                run.outcomes -= SUCCESS
            elif answer.status_code == 404 and self.client.repeated == before:
                run.outcomes = SUCCESS
        await self._until_ended(run)

    async def approval(self) -> None:
        """A run stops at an interrupt, another one resumes it."""
        thread_id = str(uuid.uuid4())
        asked = await self._create(thread_id, "asks", steps=2, ask=True)
        if await self._until_ended(asked) == "success":
            resumed = await self._create(thread_id, "resumes", steps=0, command={"resume": "yes"}, input=None)
            resumed.resumes = asked.tag
            await self._until_ended(resumed)

    async def batch(self) -> None:
        """Several stateless runs at once, which leave their threads behind."""
        bodies = [self._body("batch", self._steps(), on_completion="keep") for _ in range(3)]
        answer = await self.client.request("POST", "/runs/batch", bodies)
        for body, run in zip(bodies, self._checked(answer).json(), strict=True):
            self._accept(run["run_id"], run["thread_id"], "batch", body)

    async def wait(self) -> None:
        """A run that is waited for, on a thread or without one."""
        stateless, started = self.rng.random() < 0.5, time.time()
        body = self._body("wait", self._steps(), if_not_exists="create")
        thread_id = None if stateless else str(uuid.uuid4())
        path = "/runs/wait" if stateless else f"/threads/{thread_id}/runs/wait"
        async with self.client.opened("POST", path, body, read=False) as response:
            run = self._accept(run_of(self._checked(response)), thread_id, "wait", body)
            with contextlib.suppress(httpx.TransportError):
                await response.aread()
                log = response.json().get("log")
                answer = Answered(run.run_id, started, time.time(), log, expected_log(run))
                self.records.answered.append(answer)

    async def stateless(self) -> None:
        """A run without a thread, watched live. A connection that breaks off is not taken up again."""
        body = self._body("stateless", self._steps(), stream_mode="custom")
        async with self.client.opened("POST", "/runs/stream", body, read=False) as response:
            run = self._accept(run_of(self._checked(response)), None, "stateless", body)
            with contextlib.suppress(httpx.TransportError):
                async for _ in frames_of(response):
                    pass
                if (status := await self._status(run)) in ("pending", "running"):
                    self.records.broken.append(f"the stream of {run.run_id} ended while the run was {status}")

    async def stream(self) -> None:
        """A run that is watched to its end, whatever happens to the connection."""
        thread_id = str(uuid.uuid4())
        body = self._body("stream", self._steps(), parts=self.rng.randint(1, 20))
        body |= {"stream_mode": ["custom", "values"], "stream_resumable": True, "if_not_exists": "create"}
        watched = Watched("", time.time())
        path = f"/threads/{thread_id}/runs/stream"
        async with self.client.opened("POST", path, body, read=False) as response:
            run = self._accept(run_of(self._checked(response)), thread_id, "stream", body)
            watched.run_id = run.run_id
            over = await self._read(watched, response)
        path = f"/threads/{thread_id}/runs/{run.run_id}/stream"
        while not over:
            since = {"Last-Event-ID": watched.ids[-1] if watched.ids else "-1"}
            async with self.client.opened("GET", path, headers=since, read=False) as response:
                over = await self._read(watched, response)
        watched.status = await self._status(run)
        replay = Watched(run.run_id, time.time())
        async with self.client.opened("GET", path, headers={"Last-Event-ID": "-1"}, read=False) as response:
            if await self._read(replay, response):
                watched.replayed, watched.ended = replay.ids, time.time()
                self.records.watched.append(watched)

    # --- steps of them ------------------------------------------------------------------------------------------

    async def _read(self, watched: Watched, response: httpx.Response) -> bool:
        """Take in what comes over one connection; whether it came to the stream's end."""
        watched.connections += 1
        try:
            async for frame in frames_of(response):
                watched.ids.append(frame.id or "")
                if frame.event == "custom":
                    watched.parts.append((frame.data["attempt"], frame.data["n"]))
        except httpx.TransportError:
            return False
        return True

    async def _create(
        self, thread_id: str, scenario: str, *, steps: int | None = None, ask: bool = False, **more: Any
    ) -> Accepted:
        body = self._body(scenario, self._steps() if steps is None else steps, ask=ask, if_not_exists="create") | more
        answer = await self.client.request("POST", f"/threads/{thread_id}/runs", body)
        return self._accept(self._checked(answer).json()["run_id"], thread_id, scenario, body)

    def _steps(self) -> int:
        return self.rng.randint(2, 6)

    def _body(self, scenario: str, steps: int, *, parts: int = 1, ask: bool = False, **more: Any) -> dict[str, Any]:
        tag = f"{scenario}-{len(self.records.tags)}"
        self.records.tags.add(tag)
        node = self.rng.choice(["awaiting", "awaiting", "sleeping"])
        given = work(tag, steps=steps, pause=self.rng.uniform(0.02, 0.3), parts=parts, node=node, ask=ask)
        return {"assistant_id": "journal", "input": given, "metadata": {"chaos": tag}, **more}

    def _checked(self, answer: httpx.Response) -> httpx.Response:
        if not answer.is_success:
            raise Refused(f"{answer.request.method} {answer.request.url.path}: {answer.status_code} {answer.text}")
        return answer

    def _accept(self, run_id: str, thread_id: str | None, scenario: str, body: dict[str, Any]) -> Accepted:
        given = body["input"] or {"steps": 0}
        temporary = thread_id is None
        outcomes = frozenset({"gone"}) if temporary else SUCCESS
        tag = body["metadata"]["chaos"]
        run = Accepted(run_id, thread_id, scenario, tag, given["steps"], outcomes)
        self.records.accepted[run_id] = run
        return run

    async def _until_ended(self, run: Accepted) -> str:
        """Ask about the run until it is over; its status then."""
        while (status := await self._status(run)) in ("pending", "running") and time.monotonic() < self.ends + 60:
            await asyncio.sleep(POLL_SECONDS)
        return status

    async def _status(self, run: Accepted) -> str:
        """The run's status now, `gone` when there is no row any more."""
        if run.thread_id is None:
            answer = await self.client.request("POST", "/runs/search", {"metadata": {"chaos": run.tag}})
            found = self._checked(answer).json()
            return str(found[0]["status"]) if found else "gone"
        answer = await self.client.request("GET", f"/threads/{run.thread_id}/runs/{run.run_id}")
        return "gone" if answer.status_code == 404 else str(self._checked(answer).json()["status"])


class Refused(Exception):
    """A 4xx. Only `reject` may get one."""


def expected_log(run: Accepted) -> list[str]:
    """What a run that ends with success adds to its thread's log: its input once, then each step once."""
    if run.resumes:
        return [f"{run.resumes}:yes"]
    return [f"{run.tag}:in", *(f"{run.tag}:{step + 1}" for step in range(run.steps))]
