"""Where PostgreSQL is, for the pools that are not Django's, and how async code reaches the ORM."""

import asyncio
import select
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from contextvars import copy_context
from typing import Any, ParamSpec, TypeVar

import psycopg
from django.conf import settings
from django.db import connection, models
from django.db.models.sql import InsertQuery
from psycopg import AsyncConnection
from psycopg.conninfo import make_conninfo
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool

from config import outage

P = ParamSpec("P")
T = TypeVar("T")
AsyncPool = AsyncConnectionPool[AsyncConnection[DictRow]]

NAMES = {"NAME": "dbname", "USER": "user", "PASSWORD": "password", "HOST": "host", "PORT": "port"}
NOT_LIBPQ = {"pool", "isolation_level", "server_side_binding", "assume_role", "prepare_threshold"}


def conninfo() -> str:
    """The address of the database Django uses right now, the test database included, in libpq's form."""
    given = connection.settings_dict
    parts = {libpq: given[name] for name, libpq in NAMES.items() if given.get(name)}
    options = {name: value for name, value in given["OPTIONS"].items() if name not in NOT_LIBPQ}
    return make_conninfo(**options, **parts)


def insert_together(*rows: models.Model) -> None:
    """Insert rows of several tables in one statement, the last may refer to the first: one round trip, no transaction
    to open and close. Their ids and defaults must be set. Raises IntegrityError, and then inserts none.
    """
    statements, parameters = [], []
    for row in rows:
        query = InsertQuery(type(row))
        query.insert_values(row._meta.local_concrete_fields, [row])
        ((statement, values),) = query.get_compiler(connection=connection).as_sql()
        statements.append(statement)
        parameters += values
    named = ", ".join(f"row_{number} AS ({statement})" for number, statement in enumerate(statements[:-1]))
    with connection.cursor() as cursor:
        cursor.execute(f"WITH {named} {statements[-1]}", parameters)
    for row in rows:
        row._state.adding = False


def drop_dead_connections() -> None:
    """Close what the pool holds from before PostgreSQL went away; else each would fail whoever gets it next."""
    pool = connection.pool  # type: ignore[attr-defined]
    if pool and not pool.closed:
        pool.check()


def was_closed(idle: psycopg.Connection[Any] | psycopg.AsyncConnection[Any]) -> bool:
    """Whether PostgreSQL has closed the connection, or said something unasked, while nobody used it.

    An idle connection has nothing to read, so this asks nothing over the network.
    """
    if idle.closed:
        return True
    poll = select.poll()
    poll.register(idle.fileno(), select.POLLIN)
    return bool(poll.poll(0))


async def open_pool(**options: Any) -> AsyncPool:
    """A pool for the running loop beside Django's, of the same size and limits; its connections commit by themselves.

    It tests a connection when it gives it out, so a restart of PostgreSQL fails nobody. `options` are psycopg_pool's,
    where they differ from DATABASE_POOL.
    """
    pool: AsyncPool = AsyncConnectionPool(
        conninfo(),
        connection_class=AsyncConnection[DictRow],
        kwargs={"autocommit": True, "prepare_threshold": prepare_threshold(), "row_factory": dict_row},
        check=_check,
        open=False,
        **{**settings.DATABASE_POOL, **options},
    )
    await pool.open()
    return pool


@asynccontextmanager
async def alone(name: str) -> AsyncIterator[None]:
    """Run the block in one process of the deployment at a time; whoever dies lets the next in. Raises OperationalError.

    The lock lasts as long as a transaction, so a pooler of transactions may be in between.
    """
    async with await AsyncConnection.connect(conninfo()) as held:
        await held.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [name])
        yield


def prepare_threshold() -> int | None:
    """When psycopg prepares a statement outside the ORM: at its first use, or never."""
    return None if settings.DATABASE_TRANSACTION_POOLING else 0


async def _check(idle: AsyncConnection[DictRow]) -> None:
    """Raise when PostgreSQL has closed the connection meanwhile."""
    if was_closed(idle):
        await AsyncConnectionPool.check_connection(idle)
    outage.hang_up_at_loss(idle)


_threads = ThreadPoolExecutor(settings.DATABASE_POOL_SIZE, thread_name_prefix="orm")


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function that uses the ORM from async code: one hop to a thread, the connection given back after it.

    Raises OperationalError at once while PostgreSQL is away, however many threads still wait for it.
    """
    outage.refuse_while_away()

    def call() -> T:
        try:
            return function(*args, **kwargs)
        finally:
            connection.close()

    # With the context: what the thread logs is logged for the same request.
    return await asyncio.get_running_loop().run_in_executor(_threads, copy_context().run, call)
