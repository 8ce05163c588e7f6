"""The admin's sidebar."""

from typing import Any

from django.http import HttpRequest
from django.urls import reverse

BEAT = "django_celery_beat.view"
HOOKS = "admin:webhooks_"


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    """unfold's groups of links, those the person may follow."""
    groups = [
        ("", [_item("Overview", "monitoring", "admin:index")]),
        (
            "Agents",
            [
                _item("Runs", "play_circle", "admin:runs_run_changelist", "runs.view_run"),
                _item("Threads", "forum", "admin:threads_thread_changelist", "threads.view_thread"),
                _item("Crons", "schedule", "admin:crons_cron_changelist", "crons.view_cron"),
                _item("Assistants", "smart_toy", "admin:assistants_assistant_changelist", "assistants.view_assistant"),
            ],
        ),
        (
            "Webhooks",
            [
                _item("Endpoints", "webhook", f"{HOOKS}webhookendpoint_changelist", "webhooks.view_webhookendpoint"),
                _item("Deliveries", "outbox", f"{HOOKS}webhookdelivery_changelist", "webhooks.view_webhookdelivery"),
            ],
        ),
        (
            "Server",
            [
                _item("Ticks", "timer", "admin:django_celery_beat_periodictask_changelist", f"{BEAT}_periodictask"),
                _item("Users", "person", "admin:auth_user_changelist", "auth.view_user"),
                _item("Groups", "group", "admin:auth_group_changelist", "auth.view_group"),
            ],
        ),
        ("Reference", [{"title": "API", "icon": "menu_book", "link": "/docs", "needs": ""}]),
    ]
    shown = ((title, [item for item in items if _may(request, item["needs"])]) for title, items in groups)
    return [{"title": title, "separator": bool(title), "items": items} for title, items in shown if items]


def _item(title: str, icon: str, route: str, needs: str = "") -> dict[str, Any]:
    return {"title": title, "icon": icon, "link": reverse(route), "needs": needs}


def _may(request: HttpRequest, needs: str) -> bool:
    return not needs or request.user.has_perm(needs)
