"""`python -m bench`: start a server of its own, measure it, print one table, leave nothing behind."""

import argparse
import json
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from bench import measure, report, rows
from bench.measure import Measurement
from bench.server import BenchFailed, running

# Nothing here takes nearly as long.
LIMIT_SECONDS = 900


def main() -> int:
    """Measure what the command line asks for; gives 0."""
    options = _options()
    signal.signal(signal.SIGALRM, _too_long)
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, _asked_to_stop)
    signal.alarm(LIMIT_SECONDS)
    _say("starting PostgreSQL, Redis, web, worker and beat")
    with running() as server:
        found = report.machine(server)
        bench = Measurement(server, measure.QUICK if options.quick else measure.FULL, [], {})
        sections = rows.SECTIONS if options.what == "rows" else measure.SECTIONS
        for name, section in sections.items():
            if not options.only or name in options.only:
                _say(name)
                section(bench)
    remarks = measure.remarks(bench.facts)
    print("\n".join([report.header(found), "", report.table(bench.rows), "", *remarks]).rstrip())
    if options.json:
        options.json.write_text(json.dumps(report.document(found, bench.rows, bench.facts), indent=2) + "\n")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("what", nargs="?", choices=["runs", "rows"], default="runs", help="runs, or reads of many rows")
    parser.add_argument("--quick", action="store_true", help="a short version, good for a look only")
    parser.add_argument("--only", nargs="+", choices=list(measure.SECTIONS), help="these sections of `runs`")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    options = parser.parse_args()
    if options.what == "rows" and options.only:
        parser.error("--only chooses sections of `runs`")
    return options


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {text} ...", file=sys.stderr, flush=True)


def _too_long(_signum: int, _frame: FrameType | None) -> None:
    raise BenchFailed(f"The measurement took longer than {LIMIT_SECONDS} seconds.")


def _asked_to_stop(signum: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + signum)


if __name__ == "__main__":
    sys.exit(main())
