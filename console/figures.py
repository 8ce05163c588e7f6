"""What the dashboard counts: each query is bounded however many rows there are. Changes nothing."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import connection

from assistants.graphs import load_all

MOST = 10_000  # rows of one kind that are counted
RECENT_FAILURES = 500
CAUSES = 6
LONGEST_MESSAGE = 200

# Each part reads one index of its own, and no further than it must.
QUEUE = """
SELECT (SELECT count(*) FROM (SELECT FROM runs_run
         WHERE status = 'pending' AND created_at <= %(now)s LIMIT %(most)s) AS due),
       (SELECT count(*) FROM (SELECT FROM runs_run
         WHERE status = 'pending' AND created_at > %(now)s LIMIT %(most)s) AS delayed),
       (SELECT count(*) FROM (SELECT FROM runs_run WHERE status = 'running' LIMIT %(most)s) AS running),
       (SELECT count(*) FROM (SELECT FROM runs_run
         WHERE status = 'running' AND lease_expires_at < %(now)s LIMIT %(most)s) AS lost),
       (SELECT created_at FROM runs_run WHERE status = 'pending' AND created_at <= %(now)s
         ORDER BY created_at LIMIT 1),
       EXISTS (SELECT FROM runs_pause)
"""
# The graphs of assistants are looked up one after the other in their index, however many assistants there are.
ASIDE = """
WITH RECURSIVE graphs AS (
    (SELECT graph_id FROM assistants_assistant ORDER BY graph_id LIMIT 1)
    UNION ALL
    SELECT (SELECT graph_id FROM assistants_assistant WHERE graph_id > graphs.graph_id ORDER BY graph_id LIMIT 1)
      FROM graphs WHERE graph_id IS NOT NULL)
SELECT (SELECT count(*) FROM (SELECT FROM threads_thread WHERE status = 'interrupted' LIMIT %(most)s) AS asked),
       (SELECT created_at FROM threads_thread WHERE status = 'interrupted' ORDER BY created_at LIMIT 1),
       (SELECT count(*) FROM (SELECT FROM webhooks_webhookdelivery
         WHERE status = 'failed' AND created_at > %(day)s LIMIT %(most)s) AS undelivered),
       (SELECT count(*) FROM (SELECT FROM webhooks_webhookendpoint
         WHERE NOT enabled AND notice <> '' LIMIT %(most)s) AS disabled),
       (SELECT count(*) FROM (SELECT FROM crons_cron WHERE paused_at IS NOT NULL LIMIT %(most)s) AS paused),
       (SELECT start FROM console_rollup WHERE grain = 'minute' ORDER BY start DESC LIMIT 1),
       (SELECT array_agg(graph_id) FROM graphs WHERE graph_id <> ALL(%(served)s)),
       EXISTS (SELECT FROM runs_run) OR EXISTS (SELECT FROM runs_statelessend)
         OR EXISTS (SELECT FROM console_rollup WHERE grain = 'hour' AND success + error + timeout + interrupted > 0)
"""
BY_CAUSE = """
SELECT name, count(*), max(ended_at),
       coalesce((array_agg(run_id::text ORDER BY created_at DESC) FILTER (WHERE run_id IS NOT NULL))[1], ''),
       left(coalesce((array_agg(message ORDER BY created_at DESC) FILTER (WHERE message <> ''))[1], ''), %(longest)s)
  FROM ((SELECT run_id, coalesce(error->>'error', 'Error') AS name, error->>'message' AS message, ended_at, created_at
           FROM runs_run
          WHERE error IS NOT NULL AND status IN ('error', 'timeout') AND created_at > %(hour)s
          ORDER BY created_at DESC LIMIT %(recent)s)
        UNION ALL
        (SELECT NULL, error, '', ended_at, created_at FROM runs_statelessend
          WHERE error <> '' AND ended_at > %(hour)s ORDER BY ended_at DESC LIMIT %(recent)s)) AS failed
 GROUP BY 1 ORDER BY 2 DESC, 3 DESC LIMIT %(causes)s
"""


@dataclass(frozen=True)
class Queue:
    """What waits and what runs; MOST means so many or more. `lost` runs have a lease that ran out: the sweeper takes
    them back in seconds. `oldest` is when the first that is due could have started.
    """

    due: int
    delayed: int
    running: int
    lost: int
    oldest: datetime | None
    paused: bool = False


class Aside(NamedTuple):
    """What waits for people. `rolled_up` is the last minute in the roll-up; `lost_graphs` have assistants, but are not
    the project's any more; `any_runs`, whether there ever were any.
    """

    asked: int
    asked_since: datetime | None
    undelivered: int
    disabled_endpoints: int
    paused_crons: int
    rolled_up: datetime | None
    lost_graphs: list[str] | None
    any_runs: bool


@dataclass(frozen=True)
class Cause:
    """Why runs failed in the last hour: the error's class, how many, and the latest of them that left its row."""

    error: str
    count: int
    ended: datetime | None
    run_id: str
    message: str


def queue(now: datetime) -> Queue:
    """What waits and what runs."""
    return Queue(*_rows(QUEUE, now)[0])


def aside(now: datetime) -> Aside:
    """What waits for people."""
    return Aside(*_rows(ASIDE, now)[0])


def causes(now: datetime) -> list[Cause]:
    """Of the last failures of the last hour, the most frequent first."""
    return [Cause(*row) for row in _rows(BY_CAUSE, now, recent=RECENT_FAILURES)]


def _rows(statement: str, now: datetime, recent: int = 0) -> list[tuple[Any, ...]]:
    arguments: dict[str, Any] = {
        "now": now,
        "hour": now - timedelta(hours=1),
        "day": now - timedelta(days=1),
        "most": MOST,
        "recent": recent,
        "causes": CAUSES,
        "served": list(load_all()),
        "longest": LONGEST_MESSAGE,
    }
    with connection.cursor() as cursor:
        cursor.execute(statement, arguments)
        return list(cursor.fetchall())
