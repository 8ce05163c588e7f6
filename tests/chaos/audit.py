"""Triggers that write down, inside PostgreSQL, every transition of a run and who wrote which checkpoint.

They see what no client sees: writes of processes that should have stopped, and rows that are gone at the end.
"""

from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import class_row

# `n` orders what happened on one thread: whoever comes second starts after the first has committed.
SCHEMA = """
CREATE SCHEMA chaos;
CREATE TABLE chaos.transition (
    n bigserial PRIMARY KEY, run_id text, thread_id text, tag text, old text, new text, attempt int, worker text,
    cancel_action text, created_at timestamptz, at timestamptz DEFAULT clock_timestamp());
CREATE TABLE chaos.written (
    n bigserial PRIMARY KEY, what text, thread_id text, run_id text, attempt int, writer text,
    live_run text, live_attempt int, live_worker text, at timestamptz DEFAULT clock_timestamp());

CREATE FUNCTION chaos.note_transition() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    run runs_run := CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
BEGIN
    IF TG_OP = 'UPDATE' AND (OLD.status, OLD.attempt) = (NEW.status, NEW.attempt) THEN
        RETURN NULL;
    END IF;
    INSERT INTO chaos.transition (run_id, thread_id, tag, old, new, attempt, worker, cancel_action, created_at)
    VALUES (run.run_id, run.thread_id, run.metadata->>'chaos',
            CASE WHEN TG_OP = 'INSERT' THEN '' ELSE OLD.status END,
            CASE WHEN TG_OP = 'DELETE' THEN 'gone' ELSE NEW.status END,
            run.attempt, run.worker, run.cancel_action, run.created_at);
    RETURN NULL;
END $$;
CREATE TRIGGER chaos AFTER INSERT OR UPDATE OR DELETE ON runs_run
    FOR EACH ROW EXECUTE FUNCTION chaos.note_transition();

CREATE FUNCTION chaos.note_checkpoint() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    live runs_run;
BEGIN
    SELECT * INTO live FROM runs_run WHERE thread_id = NEW.thread_id::uuid AND status = 'running';
    INSERT INTO chaos.written (what, thread_id, run_id, attempt, writer, live_run, live_attempt, live_worker)
    VALUES (TG_TABLE_NAME, NEW.thread_id, to_jsonb(NEW)->'metadata'->>'run_id',
            (to_jsonb(NEW)->'metadata'->>'run_attempt')::int, current_setting('application_name'),
            live.run_id, live.attempt, live.worker);
    RETURN NULL;
END $$;
CREATE TRIGGER chaos AFTER INSERT OR UPDATE ON checkpoints
    FOR EACH ROW EXECUTE FUNCTION chaos.note_checkpoint();
CREATE TRIGGER chaos AFTER INSERT OR UPDATE ON checkpoint_writes
    FOR EACH ROW EXECUTE FUNCTION chaos.note_checkpoint();
"""
IN_FLIGHT = "SELECT count(*) FROM runs_run WHERE status IN ('pending', 'running')"


@dataclass(frozen=True)
class Transition:
    """One change of a run's status or attempt. `old` is "" for a new row, `new` is "gone" for a deleted one."""

    n: int
    run_id: str
    thread_id: str
    tag: str | None
    old: str
    new: str
    attempt: int
    worker: str
    cancel_action: str | None
    created_at: float
    at: float


@dataclass(frozen=True)
class Written:
    """A checkpoint or a graph task's writes: whose they were, and which run was live on the thread at that moment."""

    n: int
    what: str
    thread_id: str
    run_id: str | None
    attempt: int | None
    writer: str
    live_run: str | None
    live_attempt: int | None
    live_worker: str | None
    at: float


@dataclass(frozen=True)
class CheckpointRow:
    """A root checkpoint as it is stored."""

    thread_id: str
    checkpoint_id: str
    parent: str | None
    source: str
    run_id: str | None


def install(database: str) -> None:
    """Start writing down. The tables of Weft and langgraph must be there."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(SCHEMA)


def transitions(connection: psycopg.Connection[Any]) -> list[Transition]:
    """All of them, in order."""
    return _rows(
        connection,
        Transition,
        "SELECT n, run_id, thread_id, tag, old, new, attempt, worker, cancel_action,"
        " extract(epoch FROM created_at)::float8 AS created_at, extract(epoch FROM at)::float8 AS at"
        " FROM chaos.transition ORDER BY n",
    )


def written(connection: psycopg.Connection[Any]) -> list[Written]:
    """All of them, in order."""
    return _rows(
        connection,
        Written,
        "SELECT n, what, thread_id, run_id, attempt, writer, live_run, live_attempt, live_worker,"
        " extract(epoch FROM at)::float8 AS at FROM chaos.written ORDER BY n",
    )


def checkpoints(connection: psycopg.Connection[Any]) -> list[CheckpointRow]:
    """The root graph's checkpoints that are left."""
    return _rows(
        connection,
        CheckpointRow,
        "SELECT thread_id, checkpoint_id, parent_checkpoint_id AS parent, metadata->>'source' AS source,"
        " metadata->>'run_id' AS run_id FROM checkpoints WHERE checkpoint_ns = '' ORDER BY thread_id, checkpoint_id",
    )


def logs(connection: psycopg.Connection[Any]) -> dict[str, list[str]]:
    """What each thread's row says its runs have done: thread id to `log`."""
    found = connection.execute("SELECT thread_id::text, values->'log' FROM threads_thread").fetchall()
    return {thread_id: log or [] for thread_id, log in found}


def in_flight(connection: psycopg.Connection[Any]) -> int:
    """How many runs are pending or running."""
    row = connection.execute(IN_FLIGHT).fetchone()
    return int(row[0]) if row else 0


def _rows(connection: psycopg.Connection[Any], kind: type[Any], statement: str) -> list[Any]:
    with connection.cursor(row_factory=class_row(kind)) as cursor:
        return cursor.execute(statement.encode()).fetchall()
