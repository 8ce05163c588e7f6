"""Pools to PostgreSQL: what they give out, and what a pooler in transaction mode lets them use."""

from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.db import connection

from config.database import conninfo, in_thread


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
    options: Any = settings.DATABASES["default"]["OPTIONS"]
    given = psycopg.conninfo.conninfo_to_dict(conninfo())
    for name in ("keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout", "connect_timeout"):
        assert int(options[name]) > 0
        assert str(given[name]) == str(options[name]), "the graph loop's pool is opened otherwise"
    assert options["pool"]["max_lifetime"] > options["pool"]["max_idle"] > options["pool"]["timeout"]
