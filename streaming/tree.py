"""What one connection has seen of a thread's last run: the tree of its graphs, and the questions it asked."""

from typing import Any

from runs.envelopes import ROOT, RUNNING, Namespace
from streaming.translation import EVENTS_LOST, Event

Json = dict[str, Any]


class Seen:
    """Kept from the events of one connection as they pass."""

    def __init__(self) -> None:
        self.status: dict[Namespace, tuple[str, str]] = {}  # of each graph: its status and its name
        self.questions: dict[str, list[str]] = {}  # interrupt id to namespace

    def note(self, event: Event) -> None:
        """Look at an event."""
        if event.method == "lifecycle":
            params = event.params
            namespace, data = tuple(params["namespace"]), params["data"]
            if data["event"] == EVENTS_LOST:
                return
            if namespace == ROOT and data["event"] == RUNNING:
                self.status.clear()
            known = self.status.get(namespace, ("", ""))[1]
            self.status[namespace] = (data["event"], data.get("graph_name") or known)
        elif event.method == "input.requested":
            params = event.params
            self.questions[params["data"]["interrupt_id"]] = params["namespace"]

    def tree(self) -> Json | None:
        """The root and what is below it; None before any run."""
        return self._node(ROOT) if ROOT in self.status else None

    def _node(self, namespace: Namespace) -> Json:
        status, name = self.status[namespace]
        below = [child for child in self.status if len(child) == len(namespace) + 1 and child[:-1] == namespace]
        return {
            "namespace": list(namespace),
            "status": status,
            "graph_name": name,
            "children": [self._node(child) for child in below],
        }
