"""A webhook receiver on loopback whose answers are scripted."""

import contextlib
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson

PATIENCE = 30.0


@dataclass(frozen=True)
class Reply:
    """What the receiver answers, after `pause` seconds."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b"ok"
    pause: float = 0.0


@dataclass(frozen=True)
class Received:
    """A request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float

    def json(self) -> Any:
        """The body's document."""
        return orjson.loads(self.body)


class Receiver:
    """Answers each request with the next reply of its path's script, the last one again and again."""

    def __init__(self, server: ThreadingHTTPServer, scheme: str = "http") -> None:
        self.url = f"{scheme}://127.0.0.1:{server.server_port}"
        self.requests: list[Received] = []
        self.at_once: int = 0
        self.most_at_once: int = 0
        self.scripts: dict[str, list[Reply]] = {}
        self.changed = threading.Condition()

    def script(self, path: str, *replies: Reply) -> str:
        """Set what a path answers; gives its URL."""
        self.scripts[path] = list(replies) or [Reply()]
        return self.url + path

    def to(self, path: str) -> list[Received]:
        """The requests to a path so far."""
        return [request for request in list(self.requests) if request.path == path]

    def wait_for(self, path: str, count: int = 1) -> list[Received]:
        """The first `count` requests to a path, waited for."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.to(path)) >= count, PATIENCE), self.to(path)
        return self.to(path)

    def take(self, request: Received) -> Reply:
        """Note the request; gives the reply."""
        with self.changed:
            self.requests.append(request)
            self.changed.notify_all()
            replies = self.scripts.get(request.path, [Reply()])
            return replies.pop(0) if len(replies) > 1 else replies[0]


@contextlib.contextmanager
def receiving(tls: ssl.SSLContext | None = None, port: int = 0) -> Iterator[Receiver]:
    """A receiver for as long as the block lasts; on any port that is free, if none is said."""

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            with receiver.changed:
                receiver.at_once += 1
                receiver.most_at_once = max(receiver.most_at_once, receiver.at_once)
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            headers = {name.lower(): text for name, text in self.headers.items()}
            reply = receiver.take(Received(self.path, headers, body, time.time()))
            try:
                time.sleep(reply.pause)
                with contextlib.suppress(OSError):
                    self.send_response(reply.status)
                    for name, text in reply.headers.items():
                        self.send_header(name, text)
                    self.send_header("Content-Length", str(len(reply.body)))
                    self.end_headers()
                    self.wfile.write(reply.body)
            finally:
                with receiver.changed:
                    receiver.at_once -= 1

        def log_message(self, *_: Any) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, *_: Any) -> None:
            pass

    server = Quiet(("127.0.0.1", port), Answer)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    receiver = Receiver(server, "https" if tls else "http")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def until(condition: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    """What the condition gives as soon as that is true. Raises AssertionError when it takes too long."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it takes too long"
        time.sleep(0.02)
    return found
