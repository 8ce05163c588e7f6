"""The proxy that outage tests stand on does what its modes say."""

import os
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from redis import Redis
from redis.exceptions import ConnectionError, TimeoutError

from tests.proxy import Mode, Proxy, before_postgres, before_redis


@pytest.fixture
def redis() -> Iterator[tuple[Proxy, Any]]:
    with before_redis(os.environ["REDIS_URI"]) as (proxy, uri):
        client: Any = Redis.from_url(uri, socket_timeout=0.5, socket_connect_timeout=0.5, retry=None)
        assert client.ping()
        yield proxy, client
        client.close()


def test_bytes_pass_as_late_as_asked(redis: tuple[Proxy, Any]) -> None:
    proxy, client = redis
    proxy.delay = 0.1
    started = time.monotonic()
    client.set("proxied", "x" * 100_000, ex=5)
    assert time.monotonic() - started >= 0.2, "not late in both directions"
    proxy.delay = 0.0
    assert len(client.get("proxied")) == 100_000


def test_a_half_open_connection_goes_on_where_it_stopped(redis: tuple[Proxy, Any]) -> None:
    proxy, client = redis
    with client.pubsub() as listening:
        listening.subscribe("proxied")
        assert listening.get_message(timeout=5)["type"] == "subscribe"
        with proxy.being(Mode.HALF_OPEN):
            Redis.from_url(os.environ["REDIS_URI"]).publish("proxied", "late")
            assert listening.get_message(timeout=0.3) is None
        assert listening.get_message(timeout=5)["data"] == b"late"


def test_a_blackhole_takes_connections_and_those_it_saw_stay_dead(redis: tuple[Proxy, Any]) -> None:
    proxy, client = redis
    with client.pubsub() as listening:
        listening.subscribe("proxied")
        assert listening.get_message(timeout=5)["type"] == "subscribe"
        with proxy.being(Mode.BLACKHOLE), pytest.raises(TimeoutError):
            client.ping()
        assert client.ping(), "a new connection is served again"
        Redis.from_url(os.environ["REDIS_URI"]).publish("proxied", "lost")
        assert listening.get_message(timeout=0.3) is None


def test_reset_connections_fail_at_once(redis: tuple[Proxy, Any]) -> None:
    proxy, client = redis
    with proxy.being(Mode.RESET), pytest.raises(ConnectionError):
        client.ping()
    assert client.ping()


def test_postgres_is_reached_through_it() -> None:
    with before_postgres(os.environ["DATABASE_URI"]) as (proxy, uri):
        with psycopg.connect(uri) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
            proxy.reset_all()
            with pytest.raises(psycopg.OperationalError):
                connection.execute("SELECT 1")
        assert proxy.accepted == 1
