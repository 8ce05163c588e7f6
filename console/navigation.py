"""The sidebar of the console and of the admin's pages of rows: one list of entries. A page that lands adds its line."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from console.roles import Role, role_of


@dataclass(frozen=True)
class Entry:
    """A link for those with the role; to pages of rows, `permission` says who else may follow it."""

    group: str
    title: str
    icon: str  # a name of Material Symbols
    route: str
    needs: Role = Role.VIEWER
    permission: str = ""

    def is_for(self, user: Any) -> bool:
        """Whether the person may follow it."""
        if self.permission:
            return bool(user.has_perm(self.permission))
        return role_of(user) >= self.needs


@dataclass(frozen=True)
class Link:
    """An entry as it is shown to somebody."""

    title: str
    icon: str
    url: str
    current: bool


def _rows(group: str, title: str, icon: str, label: str) -> Entry:
    """An entry that leads to the admin's page of rows of a model, `app.model`."""
    app, model = label.split(".")
    return Entry(group, title, icon, f"admin:{app}_{model}_changelist", permission=f"{app}.view_{model}")


OPERATE, BUILD, GOVERN = "Operate", "Build", "Govern"
ENTRIES = (
    Entry(OPERATE, "Dashboard", "monitoring", "console:dashboard", Role.NONE),
    Entry(OPERATE, "Runs", "play_circle", "console:runs"),
    Entry(OPERATE, "Queue & workers", "conveyor_belt", "console:queue"),
    Entry(OPERATE, "Interrupts", "front_hand", "console:interrupts"),
    Entry(OPERATE, "Crons", "schedule", "console:crons"),
    Entry(OPERATE, "Webhooks", "webhook", "console:webhooks"),
    Entry(OPERATE, "Deliveries", "outbox", "console:deliveries"),
    Entry(BUILD, "Playground", "science", "console:playground"),
    Entry(BUILD, "Assistants", "smart_toy", "console:assistants"),
    Entry(BUILD, "Threads", "forum", "console:threads"),
    Entry(BUILD, "Store", "inventory_2", "console:store"),
    _rows(GOVERN, "API keys", "key", "accounts.apikey"),
    _rows(GOVERN, "Tenants", "apartment", "accounts.tenant"),
    Entry(GOVERN, "Audit log", "history", "console:audit", Role.OPERATOR),
    Entry(GOVERN, "Storage & retention", "database", "console:storage"),
    Entry(GOVERN, "Settings & doctor", "health_and_safety", "console:doctor"),
    _rows(GOVERN, "Users", "person", "auth.user"),
    _rows(GOVERN, "Roles", "group", "auth.group"),
    _rows(GOVERN, "Ticks", "timer", "django_celery_beat.periodictask"),
)


def groups(request: HttpRequest) -> list[tuple[str, list[Link]]]:
    """The groups of links the person may follow; the current page is the one with the longest path that fits."""
    found = [(entry, reverse(entry.route)) for entry in ENTRIES if entry.is_for(request.user)]
    index = reverse("admin:index")
    fitting = [url for _, url in found if request.path == url or (url != index and request.path.startswith(url))]
    current = max(fitting, key=len, default="")
    return list(_grouped((entry.group, Link(entry.title, entry.icon, url, url == current)) for entry, url in found))


def _grouped(links: Iterator[tuple[str, Link]]) -> Iterator[tuple[str, list[Link]]]:
    shown: dict[str, list[Link]] = {OPERATE: [], BUILD: [], GOVERN: []}
    for group, link in links:
        shown[group].append(link)
    return ((group, links_) for group, links_ in shown.items() if links_)
