"""What goes wrong, when and for how long: a schedule drawn from a seed, and the hands that carry it out."""

import asyncio
import random
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from redis.asyncio import Redis

from tests.chaos.tree import Part, Tree
from tests.proxy import Mode

TERM_SECONDS = 60.0  # far more than any grace period here
# Kind: how often (relative), and how long at least and at most (seconds).
KINDS: dict[str, tuple[int, float, float]] = {
    "kill worker": (7, 0, 0),
    "kill web": (2, 0, 0),
    "kill beat": (1, 0, 0),
    "stop worker": (4, 0.5, 12),
    "stop web": (1, 0.5, 4),
    "stop beat": (1, 1, 6),
    "end worker": (2, 0, 0),
    "end web": (1, 0, 0),
    "flush redis": (1, 0, 0),
    "restart redis": (1, 0.2, 3),
    "restart postgres": (1, 0.2, 2),
    "kill postgres": (1, 0.2, 1),
    "half_open postgres": (2, 1, 10),
    "blackhole postgres": (2, 1, 10),
    "reset postgres": (2, 0.1, 2),
    "slow postgres": (1, 1, 5),
    "half_open redis": (1, 1, 8),
    "blackhole redis": (1, 1, 8),
    "reset redis": (2, 0.1, 2),
    "slow redis": (1, 1, 5),
}
FORGETFUL = ("flush redis", "restart redis")  # the event log is gone after these
DELAY_SECONDS = 0.05
SPARED_SECONDS = 12.0  # whoever was hit is left alone for so long, or nothing would ever be up


@dataclass(frozen=True)
class Fault:
    """`at` seconds after the start, `kind` happens to the part `target` ("" for a service) and lasts `seconds`."""

    at: float
    kind: str
    target: str
    seconds: float

    def __str__(self) -> str:
        lasting = f" for {self.seconds:.1f} s" if self.seconds else ""
        return f"{self.at:6.1f} s  {self.kind}{' of ' + self.target if self.target else ''}{lasting}"


@dataclass
class Inflicted:
    """A fault that happened, from when to when on the wall's clock. `life` is whom it hit, "" for a service."""

    fault: Fault
    life: str
    began: float
    ended: float = float("inf")


def schedule(seed: int, seconds: float, targets: list[str], pause: float, only: Sequence[str] = ()) -> list[Fault]:
    """Faults for `seconds`, `pause` seconds apart on average; of the kinds with one of the words `only`, if there are
    any. No part and no service suffers two at once, nor one right after the other.
    """
    rng = random.Random(f"faults {seed}")
    kinds = [kind for kind in KINDS if not only or set(only) & set(kind.split())]
    weights = [KINDS[kind][0] for kind in kinds]
    busy_until: dict[str, float] = {}
    faults, at = [], 0.0
    while (at := at + rng.expovariate(1 / pause)) < seconds:
        (kind,) = rng.choices(kinds, weights)
        _, least, most = KINDS[kind]
        lasts = min(rng.uniform(least, most), max(seconds - at, 0))
        target = rng.choice([name for name in targets if _fits(kind, name)] or [""])
        what = target or kind.split()[1]
        if busy_until.get(what, 0.0) <= at:
            busy_until[what] = at + lasts + SPARED_SECONDS
            faults.append(Fault(at, kind, target, lasts))
    return faults


def _fits(kind: str, part: str) -> bool:
    verb, noun = kind.split()
    if verb in ("kill", "stop", "end"):
        return part.startswith(noun)
    return verb not in ("flush", "restart")


class Chaos:
    """Carries the schedule out; `inflicted` is what really happened."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.inflicted: list[Inflicted] = []
        self.stubborn: list[str] = []  # who did not heed SIGTERM
        self.acts: dict[str, Callable[[Inflicted], Awaitable[None]]] = {
            "kill": self._kill,
            "stop": self._stop,
            "end": self._end,
            "flush": self._flush,
            "restart": self._restart,
        }

    async def reign(self, faults: list[Fault]) -> None:
        """Inflict each fault at its time, and end when the last one has ended."""
        started = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for fault in faults:
                await asyncio.sleep(max(started + fault.at - time.monotonic(), 0))
                group.create_task(self.inflict(fault))

    async def inflict(self, fault: Fault) -> None:
        """One fault from its beginning to its end."""
        part = self.tree.parts.get(fault.target)
        done = Inflicted(fault, list(part.lives)[-1] if part else "", time.time())
        self.inflicted.append(done)
        await self.acts.get(fault.kind.split()[0], self._cut_off)(done)
        done.ended = time.time()

    async def _kill(self, done: Inflicted) -> None:
        if done.fault.target:
            self._part(done).signal(signal.SIGKILL)
        else:
            # SIGQUIT is PostgreSQL's own way to die at once.
            await self._down_and_up("postgres", done.fault.seconds, signal.SIGQUIT)

    async def _stop(self, done: Inflicted) -> None:
        if self._part(done).signal(signal.SIGSTOP):
            await asyncio.sleep(done.fault.seconds)
            self._part(done).signal(signal.SIGCONT)

    async def _end(self, done: Inflicted) -> None:
        part = self._part(done)
        process = part.process
        if process is None or not part.signal(signal.SIGTERM):
            return
        deadline = time.monotonic() + TERM_SECONDS
        while process.poll() is None and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
        if process.poll() is None:
            self.stubborn.append(f"{part.name} did not end within {TERM_SECONDS:g} s of SIGTERM")
            process.kill()

    async def _flush(self, _: Inflicted) -> None:
        async with Redis.from_url(self.tree.redis.server.uri) as redis:
            await redis.flushall()

    async def _restart(self, done: Inflicted) -> None:
        await self._down_and_up(done.fault.kind.split()[1], done.fault.seconds, None)

    async def _down_and_up(self, name: str, seconds: float, signum: signal.Signals | None) -> None:
        service = self.tree.postgres if name == "postgres" else self.tree.redis
        await asyncio.to_thread(service.stop, signum)
        await asyncio.sleep(seconds)
        await service.start()

    async def _cut_off(self, done: Inflicted) -> None:
        """The part's link to a service is slow or worse."""
        mode, service = done.fault.kind.split()
        part = self._part(done)
        proxy = part.postgres if service == "postgres" else part.redis
        if mode == "slow":
            proxy.delay = DELAY_SECONDS
        else:
            await asyncio.to_thread(proxy.set, Mode(mode))
        await asyncio.sleep(done.fault.seconds)
        proxy.delay = 0.0
        await asyncio.to_thread(proxy.set, Mode.PASS)

    def _part(self, done: Inflicted) -> Part:
        return self.tree.parts[done.fault.target]


def forgetful_between(inflicted: list[Inflicted], began: float, ended: float) -> bool:
    """Whether Redis lost its memory at some time between the two."""
    return any(one.fault.kind in FORGETFUL and one.began < ended and one.ended > began for one in inflicted)
