"""What workers say of themselves, and the order to be quiet that they read: in Redis, for people. No run depends on it.

A worker that is quiet claims nothing more, and stays up. It keeps to the last order it read, whatever becomes of Redis.
"""

import logging
import os
import socket
import threading
import time
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import Any

import redis
from django.conf import settings
from django.utils import timezone

from assistants.graphs import load_all
from config import dialect
from config.once import once
from runs.attempts import slots
from runs.blocking import block_watch
from runs.leases import watch

logger = logging.getLogger(__name__)
TELL_SECONDS = 2.0
GONE_SECONDS = 30  # a worker that has said nothing for so long is not shown
KEPT_SECONDS = 86400  # an order nobody reads
MOST = 200
QUIET, GO_ON = b"quiet", b"go on"


@dataclass(frozen=True)
class Worker:
    """A worker process; `age` is for how many seconds it has said nothing, by Redis's clock alone."""

    name: str
    host: str
    pid: int
    slots: int
    used: int
    quiet: bool
    draining: bool
    stalls: int
    stalled_seconds: float
    started_at: str
    version: str
    graphs: list[str] = field(default_factory=list)
    age: float = 0.0

    @property
    def state(self) -> str:
        """A word for people."""
        return "draining" if self.draining else "quiet" if self.quiet else "active"


class Presence:
    """The thread that tells. Not the one that renews leases: Redis may let it wait."""

    def __init__(self) -> None:
        self.started_at = timezone.now().isoformat()

    def tell_for_ever(self) -> None:
        """Tell, again and again, in a thread of its own."""
        threading.Thread(target=self._tell_for_ever, name="presence", daemon=True).start()

    def _tell_for_ever(self) -> None:
        while True:
            try:
                self.tell()
            except redis.RedisError as error:
                logger.debug("Nobody was told that this worker is up: %s", error)
            except Exception:
                logger.warning("Nobody was told that this worker is up", exc_info=True)
            time.sleep(TELL_SECONDS)

    def tell(self) -> None:
        """Obey what was ordered, and say what this worker is like. Raises RedisError."""
        name, now = watch().worker, time.time()
        order = _client().get(_order(name))
        if order:
            watch().quiet = order == QUIET
        with _client().pipeline(transaction=False) as pipe:
            pipe.set(_about(name), dialect.dumps(asdict(self._worker())), ex=GONE_SECONDS)
            pipe.zadd(_index(), {name: now})
            pipe.zremrangebyscore(_index(), 0, now - KEPT_SECONDS)
            pipe.execute()

    def _worker(self) -> Worker:
        mine, blocks = slots(), block_watch()
        return Worker(
            name=watch().worker,
            host=socket.gethostname(),
            pid=os.getpid(),
            slots=settings.N_JOBS_PER_WORKER,
            used=settings.N_JOBS_PER_WORKER - mine.free,
            quiet=watch().quiet,
            draining=watch().draining,
            stalls=blocks.count,
            stalled_seconds=round(blocks.seconds, 1),
            started_at=self.started_at,
            version=settings.VERSION,
            graphs=sorted(load_all()),
        )


@once
def presence() -> Presence:
    """This process's."""
    return Presence()


def present() -> list[Worker] | None:
    """The workers that spoke lately, by name, at most MOST; None when Redis does not answer."""
    try:
        names = [name.decode() for name in _client().zrevrange(_index(), 0, MOST - 1)]
        with _client().pipeline(transaction=False) as pipe:
            for name in names:
                pipe.get(_about(name))
                pipe.pttl(_about(name))
            said: list[Any] = pipe.execute()
    except redis.RedisError:
        return None
    found = [(document, left) for document, left in zip(said[::2], said[1::2], strict=True) if document and left > 0]
    workers = [Worker(**{**dialect.loads(document), "age": GONE_SECONDS - left / 1000}) for document, left in found]
    return sorted(workers, key=lambda worker: worker.name)


def order(name: str, *, quiet: bool) -> None:
    """Have a worker be quiet, or go on; it obeys within TELL_SECONDS. Raises RedisError."""
    _client().set(_order(name), QUIET if quiet else GO_ON, ex=KEPT_SECONDS)


@cache
def _client() -> Any:
    return redis.Redis.from_url(settings.REDIS_URI, socket_timeout=2, socket_connect_timeout=2)


def _index() -> str:
    return f"{settings.REDIS_KEY_PREFIX}workers"


def _about(name: str) -> str:
    return f"{settings.REDIS_KEY_PREFIX}worker:{name}"


def _order(name: str) -> str:
    return f"{settings.REDIS_KEY_PREFIX}worker-order:{name}"
