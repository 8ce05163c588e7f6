"""What has an id and a page: the jump box finds it by the id, the audit log links to it. A page that lands changes its
kind's route here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db.models import Model
from django.urls import NoReverseMatch, reverse

from accounts.models import ApiKey
from assistants.models import Assistant
from config.admin import id_starts_with
from console.models import BulkAction
from crons.models import Cron
from runs.models import Run
from threads.models import Thread
from webhooks.models import WebhookDelivery, WebhookEndpoint

MOST = 5  # of one kind


@dataclass(frozen=True)
class Kind:
    """One kind of thing; `route` takes its id."""

    name: str
    model: type[Model]
    route: str

    @property
    def label(self) -> str:
        """`app.model`, as the audit log says it."""
        return self.model._meta.label_lower

    @property
    def permission(self) -> str:
        """What somebody needs in order to see it."""
        return f"{self.model._meta.app_label}.view_{self.model._meta.model_name}"

    def url(self, pk: object) -> str:
        """Its page."""
        return reverse(self.route, args=[pk])


@dataclass(frozen=True)
class Found:
    """A thing that was found."""

    title: str
    kind: str
    url: str


KINDS = (
    Kind("run", Run, "console:run-start"),
    Kind("thread", Thread, "console:thread"),
    Kind("assistant", Assistant, "console:assistant"),
    Kind("cron", Cron, "console:cron"),
    Kind("webhook delivery", WebhookDelivery, "console:delivery"),
    Kind("webhook endpoint", WebhookEndpoint, "console:endpoint"),
    Kind("bulk action", BulkAction, "console:bulk-action"),
    Kind("API key", ApiKey, "admin:accounts_apikey_change"),
)
_BY_LABEL = {kind.label: kind for kind in KINDS}


def find(text: str, user: Any) -> list[Found]:
    """Things the person may see whose id begins with the text, a few of each kind; one query a kind."""
    return [found for kind in KINDS if user.has_perm(kind.permission) for found in _of(kind, text)]


def url_of(label: str, pk: object) -> str:
    """The page of a thing by its model, `app.model`, and id; empty where there is none."""
    kind = _BY_LABEL.get(label)
    try:
        return kind.url(pk) if kind else ""
    except NoReverseMatch:  # what was written down is no id of a row
        return ""


def _of(kind: Kind, text: str) -> Iterator[Found]:
    name = kind.model._meta.pk.name
    rows = kind.model._default_manager.filter(id_starts_with([name], text)).order_by(f"-{name}")
    for pk in rows.values_list("pk", flat=True)[:MOST]:
        yield Found(str(pk), kind.name, kind.url(pk))
