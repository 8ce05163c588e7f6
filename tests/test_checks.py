"""Settings that tell times must fit together, or nothing starts."""

import os
import subprocess
import sys
from typing import Any

import pytest

from runs.checks import check_times
from tests.conftest import ROOT


def found(settings: Any, **given: float) -> list[str]:
    for name, value in given.items():
        setattr(settings, name, value)
    return [str(message.id) for message in check_times()]


def test_the_defaults_fit_together(settings: Any) -> None:
    assert found(settings) == []


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"RUN_LEASE_SECONDS": 20.0, "RUN_LEASE_RENEWAL_SECONDS": 10.0}, ["runs.E001"]),
        ({"RUN_LEASE_SECONDS": 20.1, "RUN_LEASE_RENEWAL_SECONDS": 10.0}, []),
        ({"RUN_LEASE_SECONDS": 1.5, "RUN_LEASE_RENEWAL_SECONDS": 0.5, "RUN_SWEEP_SECONDS": 1.0}, ["runs.E002"]),
        ({"RUN_LEASE_SECONDS": 1.6, "RUN_LEASE_RENEWAL_SECONDS": 0.5, "RUN_SWEEP_SECONDS": 1.0}, []),
        ({"RUN_SWEEP_SECONDS": 31.0}, ["runs.E003"]),
        ({"RUN_SWEEP_SECONDS": 30.0}, []),
        ({"BG_JOB_SHUTDOWN_GRACE_PERIOD_SECS": 3601.0}, ["runs.W001"]),
        ({"BG_JOB_SHUTDOWN_GRACE_PERIOD_SECS": 3600.0}, []),
        ({"RESUMABLE_STREAM_TTL_SECONDS": 5}, ["runs.W002"]),
        ({"RESUMABLE_STREAM_TTL_SECONDS": 6}, []),
    ],
    ids=lambda value: "" if isinstance(value, list) else "-".join(f"{name}={given:g}" for name, given in value.items()),
)
def test_each_rule_has_its_edge(given: dict[str, float], wanted: list[str], settings: Any) -> None:
    assert found(settings, **given) == wanted


@pytest.mark.parametrize("command", ["web", "worker", "beat", "prepare"])
def test_no_process_starts_with_settings_that_cannot_work(command: str) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", command],
        env={**os.environ, "RUN_LEASE_SECONDS": "10", "RUN_LEASE_RENEWAL_SECONDS": "9"},
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
    )
    assert done.returncode == 1
    assert "RUN_LEASE_RENEWAL_SECONDS (9) must be less than half of RUN_LEASE_SECONDS (10)." in done.stderr
