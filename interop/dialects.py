"""The two dialects of A2A: names of methods, roles and states, and how results are wrapped. Pure functions.

Everything inside is built in the legacy words; only the protocol's own fields are said otherwise, never what a graph or
a user put into a part. Source: contract/platform.md 11.3.
"""

from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
MODERN_STATES = {
    state: f"TASK_STATE_{state.replace('-', '_').upper()}"
    for state in (
        "submitted",
        "working",
        "completed",
        "failed",
        "canceled",
        "input-required",
        "rejected",
        "auth-required",
        "unknown",
    )
}
LEGACY_STATES = {modern: legacy for legacy, modern in MODERN_STATES.items()}
MODERN_ROLES = {"user": "ROLE_USER", "agent": "ROLE_AGENT"}
LEGACY_ROLES = {modern: legacy for legacy, modern in MODERN_ROLES.items()}
TERMINAL = frozenset({"completed", "failed", "canceled", "rejected"})


@dataclass(frozen=True)
class Dialect:
    """How a client is answered, by the name of the method it called."""

    modern: bool

    def task(self, task: Json) -> Json:
        """A task object."""
        if not self.modern:
            return task
        history = [self.message(message) for message in task["history"]] if "history" in task else None
        return {
            **task,
            "status": self.status(task["status"]),
            **({} if history is None else {"history": history}),
        }

    def status(self, status: Json) -> Json:
        """A task's status."""
        if not self.modern:
            return status
        said = {**status, "state": MODERN_STATES[status["state"]]}
        return {**said, "message": self.message(status["message"])} if "message" in status else said

    def message(self, message: Json) -> Json:
        """A message object."""
        return {**message, "role": MODERN_ROLES[message["role"]]} if self.modern else message

    def sent(self, task: Json) -> Json:
        """The result of sending a message, and the first event of a stream."""
        return {"task": self.task(task)} if self.modern else task

    def event(self, event: Json) -> Json:
        """A later event of a stream. Clients of 1.0 know an event by the key that holds it, others by its `kind`."""
        if "status" in event:
            event = {**event, "status": self.status(event["status"])}
        if not self.modern:
            return event
        return {"statusUpdate" if event["kind"] == "status-update" else "artifactUpdate": event}


def legacy_state(text: Any) -> str | None:
    """A state in either spelling; None for what is none."""
    if not isinstance(text, str):
        return None
    return text if text in MODERN_STATES else LEGACY_STATES.get(text)


def legacy_role(text: Any) -> str | None:
    """A role in either spelling; None for what is none."""
    if not isinstance(text, str):
        return None
    return text if text in MODERN_ROLES else LEGACY_ROLES.get(text)
