"""`python -m tests.chaos`: break a server for a while and see what holds. RUNS, SECONDS and SEED in the environment."""

import argparse
import asyncio
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType

import psycopg

from tests.chaos import audit, invariants, long, tree
from tests.chaos.faults import KINDS, Chaos, Fault, schedule
from tests.chaos.load import Load

CLIENTS = 40
PAUSE_SECONDS = 1.5  # between faults
REST_SECONDS = 120.0


async def endure(grown: tree.Tree, load: Load, faults: list[Fault], clients: int = CLIENTS) -> invariants.Evidence:
    """Load and faults at once; then everything is healed, comes to rest and is gathered as evidence."""
    chaos = Chaos(grown)
    async with grown.supervised():
        async with asyncio.TaskGroup() as group:
            group.create_task(load.go_on(clients))
            await chaos.reign(faults)
            await grown.heal()
        await until_at_rest(grown)
        return await asyncio.to_thread(invariants.gathered, grown, load, chaos)


async def until_at_rest(grown: tree.Tree) -> None:
    """Return when no run is in flight, or patience is over."""
    deadline = time.monotonic() + REST_SECONDS
    async with await psycopg.AsyncConnection.connect(grown.database, autocommit=True) as connection:
        while time.monotonic() < deadline:
            cursor = await connection.execute(audit.IN_FLIGHT)
            row = await cursor.fetchone()
            if row and not row[0]:
                return
            await asyncio.sleep(0.5)


def main() -> int:
    """Gives 1 when something promised does not hold."""
    options = _options()
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(10**6))
    seconds, runs = float(os.environ.get("SECONDS") or 180), int(os.environ.get("RUNS") or 10**6)
    folder, wrong = Path(tempfile.mkdtemp(prefix="weft-chaos-")), 1
    try:
        wrong = _long(folder) if options.long else _short(folder, options.only, seed, seconds, runs)
    finally:
        if options.keep or wrong:
            print(f"\nlogs are in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    return int(wrong > 0)


def _short(folder: Path, only: list[str], seed: int, seconds: float, runs: int) -> int:
    """Faults at random; gives the number of violations."""
    _limit(seconds + 400)
    print(f"seed {seed}: {seconds:g} s of faults (SEED={seed} replays them)", flush=True)
    with tree.planted(folder, tree.QUICK) as grown:
        faults = schedule(seed, seconds, sorted(grown.parts), PAUSE_SECONDS, only)
        load = Load(grown.urls, seed, runs, seconds + 5)
        evidence = asyncio.run(endure(grown, load, faults))
    found = invariants.verdicts(evidence)
    print(*(one.fault for one in evidence.inflicted), sep="\n")
    print(_summary(evidence, grown), "", invariants.table(found), "", f"seed {seed}", sep="\n")
    return sum(len(wrong) for _, wrong in found.values())


def _long(folder: Path) -> int:
    """Default leases and nodes of minutes; gives the number of promises that did not hold."""
    _limit(1500)
    with tree.planted(folder, {}) as grown:
        found = asyncio.run(long.endure(grown))
    print(found, *found.wrong(), sep="\n")
    return len(found.wrong())


def _summary(evidence: invariants.Evidence, grown: tree.Tree) -> str:
    again = sum(any(one.attempt > 1 for one in changes) for changes in evidence.of_run.values())
    surprises = [line for part in grown.parts.values() for line in part.surprises]
    lines = [
        f"{len(evidence.records.accepted)} runs accepted, {len(evidence.of_run)} made, {again} took several attempts;"
        f" {len(evidence.inflicted)} faults, {len(evidence.lives)} lives of {len(grown.parts)} processes",
        *(f"note: {line}" for line in surprises),
    ]
    return "\n".join(lines)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--long", action="store_true", help="default leases and nodes of minutes, ten minutes in all")
    words = sorted({word for kind in KINDS for word in kind.split()})
    parser.add_argument("--only", nargs="+", default=[], choices=words, help="faults whose name has one of these words")
    parser.add_argument("--keep", action="store_true", help="leave the logs there, whatever they say")
    return parser.parse_args()


def _limit(seconds: float) -> None:
    """Whatever goes wrong, this ends, and what it started with it."""
    signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(int(seconds))
    signal.signal(signal.SIGTERM, lambda signum, _: sys.exit(128 + signum))


def _too_long(_signum: int, _frame: FrameType | None) -> None:
    raise SystemExit("The chaos took too long.")


if __name__ == "__main__":
    sys.exit(main())
