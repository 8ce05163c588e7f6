"""What the part that closes a run says to whoever follows its thread. Pure. Source: contract/streaming.md 8.6."""

from dataclasses import dataclass
from typing import Any

from runs.models import CancelAction, Run, RunStatus


@dataclass(frozen=True)
class Closing:
    """How a run ended. `asks` says its thread waits for answers."""

    status: str
    error: dict[str, str] | None = None
    asks: bool = False
    announced: bool = False  # its viewers know already: it wrote `interrupted` when it asked
    started: bool = True

    def said_of(self, run: Run) -> dict[str, Any]:
        """`{status, graph_name}`, and what else there is to say."""
        said: dict[str, Any] = {"status": lifecycle_status(self.status, asks=self.asks), "graph_name": run.graph_id}
        if said["status"] == "failed" and self.error:
            said["error"] = error_text(self.error)
        flags = {"announced": self.announced, "waited": not self.started}
        return said | {name: True for name, flag in flags.items() if flag}


def error_text(error: dict[str, str]) -> str:
    """What went wrong, as one line; a timeout has no words but its name."""
    return error["message"] or error["error"]


def lifecycle_status(status: str, *, asks: bool) -> str:
    """A run's terminal status as followers of its thread know it: completed, failed or interrupted."""
    if status == RunStatus.SUCCESS:
        return "interrupted" if asks else "completed"
    return "interrupted" if status in (RunStatus.INTERRUPTED, CancelAction.ROLLBACK) else "failed"
