"""Knows whether PostgreSQL answers, from one empty statement a second in a thread and connection of its own.

While it does not, requests are refused at once instead of queueing for connections, and whoever waits is let go.
"""

import logging
import os
import select
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import psycopg
from django.conf import settings
from psycopg.abc import PQGen

T = TypeVar("T")
Connection = psycopg.Connection[Any] | psycopg.AsyncConnection[Any]

logger = logging.getLogger(__name__)
BEAT_SECONDS = 1.0
RETRY_SECONDS = 0.25

_away = threading.Event()
_at_loss: list[Callable[[], object]] = []
_in_use: WeakKeyDictionary[Connection, int] = WeakKeyDictionary()  # and the inodes of their sockets
_in_use_lock = threading.Lock()


def refuse_while_away() -> None:
    """Raises psycopg's OperationalError while PostgreSQL is known not to answer."""
    if _away.is_set():
        raise psycopg.OperationalError("PostgreSQL is away")


def at_loss(release: Callable[[], object]) -> None:
    """Have `release` called, perhaps more than once, when PostgreSQL is lost; from another thread, it may not wait."""
    _at_loss.append(release)


def hang_up_at_loss(connection: Connection) -> None:
    """Have whoever waits on the connection fail when PostgreSQL is lost. To say it again costs nothing."""
    if connection in _in_use:
        return
    with _in_use_lock, suppress(OSError, psycopg.Error):
        _in_use[connection] = os.fstat(connection.fileno()).st_ino


@cache
def watch(conninfo: str) -> None:
    """Start the thread, once a process. Processes that are not servers do without, and wait."""
    threading.Thread(target=_beat_for_ever, args=(conninfo,), name="postgres-watch", daemon=True).start()


class _Heart(psycopg.Connection[Any]):
    """A connection on which no answer is waited for longer than DATABASE_SILENT_SECONDS."""

    def wait(self, gen: PQGen[T], interval: float = BEAT_SECONDS, timeout: float | None = None) -> T:
        return super().wait(gen, interval, settings.DATABASE_SILENT_SECONDS)


def _beat_for_ever(conninfo: str) -> None:
    while True:
        try:
            _beat(conninfo)
        except psycopg.Error as error:
            _lose(error)
            time.sleep(RETRY_SECONDS)
        except Exception:
            logger.exception("PostgreSQL cannot be watched")
            time.sleep(BEAT_SECONDS)


def _beat(conninfo: str) -> None:
    """Ask for as long as PostgreSQL answers. Raises psycopg's errors when it cannot be reached or says nothing.

    Returns when only this connection ended: that PostgreSQL restarts shows when it takes no new one.
    """
    seconds = max(2, round(settings.DATABASE_SILENT_SECONDS))
    heart = _Heart.connect(conninfo, autocommit=True, prepare_threshold=None, connect_timeout=seconds)
    asked = time.monotonic()
    try:
        while True:
            asked = time.monotonic()
            heart.execute("")
            _find()
            select.select([heart], [], [], BEAT_SECONDS)  # readable at once when PostgreSQL closes it
    except psycopg.OperationalError:
        if time.monotonic() - asked >= settings.DATABASE_SILENT_SECONDS:
            raise
    finally:
        heart.close()


def _lose(error: Exception) -> None:
    if not _away.is_set():
        logger.warning("PostgreSQL is away, requests are refused: %s", error)
        _away.set()
    for release in _at_loss:
        release()
    with _in_use_lock:
        in_use = list(_in_use.items())
    for connection, inode in in_use:
        _hang_up(connection, inode)


def _find() -> None:
    if _away.is_set():
        logger.warning("PostgreSQL is back")
        _away.clear()


def _hang_up(connection: Connection, inode: int) -> None:
    """Only the socket: the connection itself belongs to the thread that waits on it and finds it closed."""
    with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as line:
        # Its thread may have closed it just now, and the number may be that of a client's connection by now.
        if os.fstat(line.fileno()).st_ino == inode:
            line.shutdown(socket.SHUT_RDWR)
