"""Whether PostgreSQL and Redis answer at the addresses given, said in one sentence when they do not."""

import logging

import psycopg
import redis
from psycopg.conninfo import conninfo_to_dict

from config.environment import ConfigurationError

logger = logging.getLogger(__name__)
ANSWER_SECONDS = 5


class Unreachable(ConfigurationError):
    """A server somebody named does not answer. The message never holds a password."""


def check_postgres(uri: str) -> None:
    """Connect once. Raises Unreachable after at most about five seconds for each address the name stands for."""
    try:
        psycopg.connect(uri, connect_timeout=ANSWER_SECONDS).close()
    except psycopg.Error as error:
        parts = conninfo_to_dict(uri)
        host = f"{parts.get('host') or 'localhost'}:{parts.get('port') or 5432}"
        raise Unreachable(f"PostgreSQL at {host} (DATABASE_URI) does not answer: {_reason(error)}") from None


def note_redis(uri: str) -> None:
    """Ping once, and warn when it does not answer: runs are executed without it. Raises as `check_redis` does else."""
    try:
        check_redis(uri)
    except Unreachable as error:
        logger.warning("%s; going on without it, live streams wait until it does", error)


def check_redis(uri: str) -> None:
    """Ping once. Raises ConfigurationError, or Unreachable after at most about five seconds."""
    try:
        client = redis.Redis.from_url(uri, socket_timeout=ANSWER_SECONDS, socket_connect_timeout=ANSWER_SECONDS)
    except ValueError as error:
        raise ConfigurationError(f"REDIS_URI is not a Redis address: {error}") from None
    try:
        client.ping()
    except redis.RedisError as error:
        where = client.connection_pool.connection_kwargs
        host = where.get("path") or f"{where.get('host', 'localhost')}:{where.get('port', 6379)}"
        raise Unreachable(f"Redis at {host} (REDIS_URI) does not answer: {_reason(error)}") from None
    finally:
        client.close()


def _reason(error: Exception) -> str:
    """The end of the first line; libpq puts "connection to server at ... failed: " before it, more than once."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rpartition("failed: ")[2] if lines else type(error).__name__
