"""How late a cron fires: one alone, and ten thousand that are due in the same second, with three beats ticking."""

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from uuid import UUID

import psycopg

from bench.measure import QUICK, Measurement
from bench.report import row
from bench.server import ROOT, BenchFailed
from config import processes
from config.processes import Program

MANY, QUICK_MANY, SLOTS = 10_000, 500, 20
BEATS = 3
START_SECONDS = 6.0
LIMIT_SECONDS = 400.0
LATENESS = "SELECT extract(epoch FROM created_at - slot)::float8 FROM crons_firing WHERE cron_id = %s"
SOON = "SELECT date_trunc('second', clock_timestamp()) + interval '2 seconds'"
COLUMNS = "SELECT attname FROM pg_attribute WHERE attrelid = 'crons_cron'::regclass AND attnum > 0"
COPIES = """
INSERT INTO crons_cron ({columns}) SELECT {values} FROM generate_series(1, %(count)s) AS n,
    (SELECT * FROM crons_cron WHERE cron_id = %(cron)s) AS original
"""
CHANGED = {"cron_id": "gen_random_uuid()", "next_run_date": "%(slot)s", "due_at": "%(slot)s"}
FIRED = """
SELECT count(*), count(DISTINCT cron_id), count(DISTINCT run_id),
       coalesce(extract(epoch FROM max(created_at) - min(slot)), 0)::float8
  FROM crons_firing WHERE slot = %s AND outcome = 'fired'
"""


def alone(bench: Measurement) -> None:
    """The time from a slot to its run, of a cron that fires every second on an idle server."""
    cron = _new(bench, "* * * * * *")
    time.sleep(3 if bench.scale is QUICK else SLOTS)
    with psycopg.connect(bench.server.database, autocommit=True) as own:
        own.execute("UPDATE crons_cron SET enabled = false, due_at = NULL WHERE cron_id = %s", [cron])
        late = [seconds for (seconds,) in own.execute(LATENESS, [cron])]
    bench.add(row("a cron alone: slot to run", seconds=late))


def together(bench: Measurement) -> None:
    """Ten thousand due at once: how long until the last has its run, each exactly one."""
    original, count = _new(bench, "0 0 1 1 *"), QUICK_MANY if bench.scale is QUICK else MANY
    with psycopg.connect(bench.server.database, autocommit=True) as own, _more_beats(bench):
        names = [str(name) for (name,) in own.execute(COLUMNS)]
        values = ", ".join(CHANGED.get(name, name) for name in names)
        ((slot,),) = own.execute(SOON).fetchall()
        copies = COPIES.format(columns=", ".join(names), values=values)
        own.execute(copies, {"slot": slot, "count": count, "cron": original})
        fired = _until_fired(own, slot, count)
    bench.add(row(f"{count:,} crons due at once, {BEATS} beats: runs created", rate=count / fired))
    bench.facts["crons_seconds"] = fired


def _until_fired(own: psycopg.Connection[Any], slot: Any, count: int) -> float:
    """Seconds from the slot to the last run. Raises BenchFailed when one is missing or there are two."""
    deadline, numbers = time.monotonic() + LIMIT_SECONDS, [0]
    while numbers[0] < count and time.monotonic() < deadline:
        time.sleep(0.5)
        ((*numbers, seconds),) = own.execute(FIRED, [slot]).fetchall()
    if numbers != [count, count, count]:
        raise BenchFailed(f"{numbers} firings, crons and runs instead of {count}")
    return float(seconds)


@contextmanager
def _more_beats(bench: Measurement) -> Iterator[None]:
    """As many beats as BEATS says, the server's own counted."""
    with ExitStack() as stack, (bench.server.state / "beats.log").open("ab") as log:
        for number in range(1, BEATS):
            beat = Program(f"beat{number}", (sys.executable, str(ROOT / "manage.py"), "beat"), grace=15.0)
            stack.callback(processes.stop, processes.launch(beat, log), beat)
        time.sleep(START_SECONDS)
        yield


def _new(bench: Measurement, schedule: str) -> UUID:
    body = {"assistant_id": "one", "input": {"text": "hello"}, "schedule": schedule}
    bench.loop([["POST", "/runs/crons", body]], count=1, warm_up=0)
    with psycopg.connect(bench.server.database) as own:
        found = own.execute("SELECT cron_id FROM crons_cron ORDER BY created_at DESC LIMIT 1").fetchone()
    assert found
    return UUID(str(found[0]))


# In the order in which they run.
SECTIONS = {"alone": alone, "together": together}
