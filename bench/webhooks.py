"""How soon a webhook leaves: from the row that ends the run to the first attempt, on an idle server."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import psycopg

from bench.measure import PAUSE_SECONDS, RUN, Measurement
from bench.report import row

# A delivery is written in the transaction that ends its run.
FIRST = """
SELECT extract(epoch FROM (attempts -> 0 ->> 'at')::timestamptz - created_at)::float8
  FROM webhooks_webhookdelivery WHERE status = 'delivered' AND tries = 1
"""


def first(bench: Measurement) -> None:
    """The time until the first attempt begins, of runs that end one after the other."""
    with _receiver() as url:
        bench.loop([["POST", "/runs/wait", {**RUN, "webhook": url}]], pause=PAUSE_SECONDS)
    with psycopg.connect(bench.server.database) as own:
        seconds = [number for (number,) in own.execute(FIRST)]
    bench.add(row("webhook: end of run to first attempt", seconds=seconds))


@contextmanager
def _receiver() -> Iterator[str]:
    """The URL of somebody on loopback who answers 200."""

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", "0")))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook"
    finally:
        server.shutdown()
        server.server_close()


SECTIONS = {"first attempt": first}
