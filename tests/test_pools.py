"""Pools to PostgreSQL: what they give out, and what a pooler in transaction mode lets them use."""

from typing import Any
from uuid import uuid4

import psycopg
import pytest
from django.conf import settings as configured
from django.db import connection
from django.test import override_settings

from config import loop
from config.database import conninfo, in_thread, open_pool
from threads.checkpointer import Saver


@pytest.mark.django_db(transaction=True)
async def test_a_connection_postgres_has_ended_is_not_given_out() -> None:
    def pid() -> int:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            return int(cursor.fetchone()[0])

    ended = await in_thread(pid)
    with psycopg.connect(conninfo(), autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [ended])
    assert await in_thread(pid) != ended


def test_connections_notice_a_peer_that_is_gone_and_do_not_live_for_ever() -> None:
    options: Any = configured.DATABASES["default"]["OPTIONS"]
    given = psycopg.conninfo.conninfo_to_dict(conninfo())
    for name in ("keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout", "connect_timeout"):
        assert int(options[name]) > 0
        assert str(given[name]) == str(options[name]), "the graph loop's pool is opened otherwise"
    assert options["pool"]["max_lifetime"] > options["pool"]["max_idle"] > options["pool"]["timeout"]


@pytest.mark.django_db
@pytest.mark.parametrize(("pooling", "prepared"), [(True, False), (False, True)], ids=["pooler", "direct"])
def test_behind_a_pooler_in_transaction_mode_nothing_is_prepared(pooling: bool, prepared: bool) -> None:
    async def prepared_statements() -> int:
        pool = await open_pool(max_size=1)
        try:
            config: Any = {"configurable": {"thread_id": str(uuid4()), "checkpoint_ns": ""}}
            for _ in range(10):
                assert await Saver(pool).aget_tuple(config) is None
            async with pool.connection() as own:
                cursor = await own.execute("SELECT count(*) AS count FROM pg_prepared_statements", prepare=False)
                row = await cursor.fetchone()
                return int(row["count"]) if row else 0
        finally:
            await pool.close()

    with override_settings(DATABASE_TRANSACTION_POOLING=pooling):
        assert bool(loop.run(prepared_statements())) is prepared
