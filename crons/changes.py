"""Changing a cron that exists, as PATCH does, for whoever asks. Never asks whether he may; the scope says of which."""

from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from accounts.authorizer import EVERYTHING, Scope
from config.errors import NotFound
from crons.models import Cron

POLICIES = ("overlap", "catch_up", "pause_after_failures")


def patch(cron_id: UUID, raw: dict[str, Any], body: dict[str, Any], scope: Scope = EVERYTHING) -> Cron:
    """Take over what the body says; `raw` is the body as it came, for the payload. contract/platform.md 4

    Raises NotFound, and what a timetable raises that cannot be.
    """
    with transaction.atomic():
        cron = Cron.objects.within(scope).select_for_update(of=("self",)).filter(pk=cron_id).first()
        if cron is None:
            raise NotFound(f"Cron '{cron_id}' not found")
        _change(cron, raw, body)
        cron.save()
    return cron


def _change(cron: Cron, raw: dict[str, Any], body: dict[str, Any]) -> None:
    for name in ("schedule", "timezone", "end_time", *POLICIES):
        if name in body:
            setattr(cron, name, body[name])
    if "on_run_completed" in body and cron.thread_id is None:
        cron.on_run_completed = body["on_run_completed"]
    cron.metadata = {**cron.metadata, **body.get("metadata", {})}
    said = {name: value for name, value in raw.items() if value is not None or name == "end_time"}
    cron.payload = payload_of(cron, {**cron.payload, **said})
    cron.updated_at = timezone.now()
    if "schedule" in body or "timezone" in body:
        cron.next_run_date = cron.timetable.following(cron.updated_at)
    if "enabled" in body:
        cron.switch(enabled=body["enabled"])
    cron.arrange()


def payload_of(cron: Cron, given: dict[str, Any]) -> dict[str, Any]:
    """The body under its own keys; the assistant and the cron are what they are."""
    config = given.get("config") if isinstance(given.get("config"), dict) else {}
    configurable = {**((config or {}).get("configurable") or {}), "cron_id": str(cron.pk)}
    return {
        **given,
        "assistant_id": str(cron.assistant_id),
        "config": {**(config or {}), "configurable": configurable},
    }
