"""What must hold between settings that tell times, checked before a process serves. Each alone may be any number."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning

LOOK_SECONDS = 1.0  # how often a worker looks after its leases when no bell rings
LONG_GRACE_SECONDS = 3600


def check_times(**_: Any) -> list[CheckMessage]:
    """Django's system check `timing`."""
    lease, renewal = settings.RUN_LEASE_SECONDS, settings.RUN_LEASE_RENEWAL_SECONDS
    sweep, grace = settings.RUN_SWEEP_SECONDS, settings.BG_JOB_SHUTDOWN_GRACE_PERIOD_SECS
    found: list[CheckMessage] = []
    if renewal * 2 >= lease:
        found.append(
            Error(
                f"RUN_LEASE_RENEWAL_SECONDS ({renewal:g}) must be less than half of RUN_LEASE_SECONDS ({lease:g}).",
                hint="One renewal that fails must not cost a worker its runs.",
                id="runs.E001",
            )
        )
    elif renewal + LOOK_SECONDS >= lease:
        found.append(
            Error(
                f"RUN_LEASE_SECONDS ({lease:g}) must be more than RUN_LEASE_RENEWAL_SECONDS ({renewal:g}) and"
                f" {LOOK_SECONDS:g} s, which is how often a worker looks whether a renewal is due.",
                hint="Leases of less than 3 seconds serve tests only.",
                id="runs.E002",
            )
        )
    if sweep > lease:
        found.append(
            Error(
                f"RUN_SWEEP_SECONDS ({sweep:g}) must not be more than RUN_LEASE_SECONDS ({lease:g}).",
                hint="A dead worker's runs wait for their lease to end and then for the next sweep.",
                id="runs.E003",
            )
        )
    if grace > LONG_GRACE_SECONDS:
        found.append(
            Warning(
                f"BG_JOB_SHUTDOWN_GRACE_PERIOD_SECS ({grace:g}) is more than an hour.",
                hint="A worker that is asked to end may take so long; whoever asks must wait or kills it.",
                id="runs.W001",
            )
        )
    if settings.RESUMABLE_STREAM_TTL_SECONDS <= settings.HEARTBEAT_SECONDS:
        found.append(
            Warning(
                f"RESUMABLE_STREAM_TTL_SECONDS ({settings.RESUMABLE_STREAM_TTL_SECONDS}) is not more than the"
                f" {settings.HEARTBEAT_SECONDS:g} s between heartbeats.",
                hint="A client that reconnects finds its run's last events gone.",
                id="runs.W002",
            )
        )
    return found
