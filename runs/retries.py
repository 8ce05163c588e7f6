"""Whether a failed attempt is followed by another, and when. Never touches a row."""

import random

from django.conf import settings

from assistants.retries import RetryPolicy, retry_policies
from runs.models import Run
from threads.checkpointer import CheckpointerFailed


class AttemptsExhausted(Exception):
    """The server's own failures have used up a run's attempts."""

    shown_to_clients = True


def next_attempt(run: Run, error: Exception) -> float | None:
    """Seconds until the next attempt may start; None when the run has failed for good.

    Our own failures count against BG_JOB_MAX_RETRIES. What a graph raises is retried only where the project says so.
    """
    policy = _policy(run, error)
    used = run.attempt - run.handed_back
    if policy is None or used >= policy.max_attempts:
        return None
    pause = min(policy.max_seconds, policy.initial_seconds * 2.0 ** (used - 1))
    return pause * random.uniform(0.5, 1.0)  # noqa: S311 - so that not all come back at the same time


def last_error(run: Run, error: Exception) -> Exception:
    """The error a run ends with; one of ours says what an operator can do something about."""
    if not isinstance(error, CheckpointerFailed):
        return error
    exhausted = AttemptsExhausted(f"exceeded max attempts: PostgreSQL failed attempt {run.attempt} too, see the log")
    exhausted.__cause__ = error
    return exhausted


def _policy(run: Run, error: Exception) -> RetryPolicy | None:
    if isinstance(error, CheckpointerFailed):
        return RetryPolicy(max_attempts=settings.BG_JOB_MAX_RETRIES, max_seconds=30.0)
    policy = retry_policies().get(run.graph_id)
    return policy if policy and policy.covers(error) else None
