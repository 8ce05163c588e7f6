"""What the pages of webhooks count: one query each, bounded however many deliveries there are. Changes nothing."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from console.figures import MOST

COUNTED = 1000  # deliveries of an endpoint, its newest of a day
TIMED = 200  # of those, whose time is looked at
DAY = timedelta(hours=24)

# Reads an index on the endpoint and the time, from its end and no further than COUNTED.
OF_ENDPOINTS = """
SELECT wanted.endpoint_id, seen.*
  FROM unnest(%(ids)s::uuid[]) AS wanted (endpoint_id), LATERAL (
    SELECT count(*) FILTER (WHERE status = 'delivered'),
           count(*) FILTER (WHERE status = 'failed'),
           count(*) FILTER (WHERE status = 'pending' AND tries > 0),
           count(*) FILTER (WHERE status = 'pending' AND tries = 0),
           percentile_disc(0.95) WITHIN GROUP (ORDER BY milliseconds),
           (array_agg(delivery_id ORDER BY number) FILTER (WHERE failure <> ''))[1],
           (array_agg(failure ORDER BY number) FILTER (WHERE failure <> ''))[1],
           (array_agg(created_at ORDER BY number) FILTER (WHERE failure <> ''))[1]
      FROM (SELECT delivery_id, status, tries, failure, created_at, number,
                   CASE WHEN number <= %(timed)s THEN (attempts->-1->>'milliseconds')::int END AS milliseconds
              FROM (SELECT delivery_id, status, tries, failure, created_at, attempts,
                           row_number() OVER (ORDER BY created_at DESC) AS number
                      FROM webhooks_webhookdelivery AS delivery
                     WHERE delivery.endpoint_id = wanted.endpoint_id AND created_at > %(day)s
                     ORDER BY created_at DESC LIMIT %(counted)s) AS newest) AS recent) AS seen
"""
OF_ALL = """
SELECT (SELECT count(*) FROM (SELECT FROM webhooks_webhookdelivery
         WHERE status = 'failed' AND created_at > %(day)s LIMIT %(most)s) AS failed),
       count(*) FILTER (WHERE tries = 0), count(*) FILTER (WHERE tries > 0)
  FROM (SELECT tries FROM webhooks_webhookdelivery WHERE status = 'pending' LIMIT %(most)s) AS pending
"""


class EndpointDay(NamedTuple):
    """The last day of an endpoint, its newest COUNTED deliveries; `slow` is the 95th percentile of TIMED, in ms."""

    delivered: int = 0
    failed: int = 0
    retrying: int = 0
    untried: int = 0
    slow: int | None = None
    failure_id: UUID | None = None
    failure: str = ""
    failed_at: datetime | None = None

    @property
    def tried(self) -> int:
        """How many were sent at least once."""
        return self.delivered + self.failed + self.retrying

    @property
    def share(self) -> float | None:
        """Of those that were tried, which part has arrived; None where none was."""
        return self.delivered / self.tried if self.tried else None

    @property
    def is_cut(self) -> bool:
        """Whether there were more than are counted."""
        return self.tried + self.untried >= COUNTED


class Outbox(NamedTuple):
    """All receivers together; console.figures.MOST means so many or more."""

    failed: int  # in the last day
    untried: int
    retrying: int


def days(ids: Iterable[UUID], now: datetime) -> dict[UUID, EndpointDay]:
    """The last day of each endpoint."""
    arguments = {"ids": list(ids), "day": now - DAY, "counted": COUNTED, "timed": TIMED}
    return {row[0]: EndpointDay(*row[1:]) for row in _rows(OF_ENDPOINTS, arguments)}


def outbox(now: datetime) -> Outbox:
    """What waits and what failed."""
    return Outbox(*_rows(OF_ALL, {"day": now - DAY, "most": MOST})[0])


def _rows(statement: str, arguments: dict[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, arguments)
        return list(cursor.fetchall())
