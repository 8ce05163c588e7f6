"""Which assistants a caller sees. Rows and graphs meet here: the graphs' own assistants belong to all tenants.

Source: contract/core.md 3.2, contract/platform.md 6.4.
"""

from uuid import UUID

from django.db.models import Q

from accounts.authorizer import EVERYTHING, Scope, authorize
from accounts.callers import Caller
from assistants.graphs import default_assistant_ids
from assistants.models import Assistant, AssistantQuerySet


def visible(scope: Scope) -> AssistantQuerySet:
    """Those the scope lets read and run. A handler's filter holds for the graphs' own too, as the protocol has it."""
    if scope == EVERYTHING:
        return Assistant.objects.all()
    shared = Q(assistant_id__in=list(default_assistant_ids().values()))
    return Assistant.objects.filter(Q(tenant=scope.tenant) | shared).within(Scope(filter=scope.filter))


def may_run(caller: Caller, assistant_id: UUID) -> bool:
    """Whether the caller may have a run or a cron of it; nobody is asked about the graphs' own.

    Raises what `authorize` does.
    """
    if assistant_id in default_assistant_ids().values():
        return True
    scope = authorize(caller, "assistants", "read", {"assistant_id": assistant_id})
    return scope == EVERYTHING or visible(scope).filter(pk=assistant_id).exists()
