"""Where PostgreSQL is, for the pools that are not Django's, and how async code reaches the ORM."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from django.conf import settings
from django.db import connection, models
from django.db.models.sql import InsertQuery
from psycopg.conninfo import make_conninfo

P = ParamSpec("P")
T = TypeVar("T")

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
    if pool:
        pool.check()


_threads = ThreadPoolExecutor(settings.DATABASE_POOL_SIZE, thread_name_prefix="orm")


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function that uses the ORM from async code: one hop to a thread, the connection given back after it."""

    def call() -> T:
        try:
            return function(*args, **kwargs)
        finally:
            connection.close()

    return await asyncio.get_running_loop().run_in_executor(_threads, call)
