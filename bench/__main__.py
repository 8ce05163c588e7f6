"""`python -m bench`: start a server of its own, measure it, print one table, leave nothing behind."""

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType

from bench import auth, crons, keys, measure, report, rows, store, webhooks
from bench.measure import Measurement
from bench.server import BenchFailed, running

# Nothing here takes nearly as long.
LIMIT_SECONDS = 900
SECTIONS: dict[str, Mapping[str, Callable[[Measurement], None]]] = {
    "runs": measure.SECTIONS,
    "rows": rows.SECTIONS,
    "store": store.SECTIONS,
    "auth": auth.SECTIONS,
    "keys": keys.SECTIONS,
    "crons": crons.SECTIONS,
    "webhooks": webhooks.SECTIONS,
}


def main() -> int:
    """Measure what the command line asks for; gives 0."""
    options = _options()
    signal.signal(signal.SIGALRM, _too_long)
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, _asked_to_stop)
    signal.alarm(LIMIT_SECONDS)
    _say("starting PostgreSQL, Redis, web, worker and beat")
    if options.what == "keys":
        os.environ["WEFT_AUTH"] = "keys"
    with running(options.keep) as server:
        found = report.machine(server)
        bench = Measurement(server, measure.QUICK if options.quick else measure.FULL, [], {})
        for name, section in SECTIONS[options.what].items():
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
    parser.add_argument("what", nargs="?", choices=list(SECTIONS), default="runs", help="what is measured")
    parser.add_argument("--quick", action="store_true", help="a short version, good for a look only")
    parser.add_argument("--only", nargs="+", metavar="SECTION", help="these sections only")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="where the database stays, filled, for the next time")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    options = parser.parse_args()
    unknown = set(options.only or ()) - set(SECTIONS[options.what])
    if unknown:
        parser.error(f"{options.what} has no section {', '.join(sorted(unknown))}")
    return options


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {text} ...", file=sys.stderr, flush=True)


def _too_long(_signum: int, _frame: FrameType | None) -> None:
    raise BenchFailed(f"The measurement took longer than {LIMIT_SECONDS} seconds.")


def _asked_to_stop(signum: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + signum)


if __name__ == "__main__":
    sys.exit(main())
