"""What else happens when a run ends. Apps above this one add their part; none is known here by name."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from django.db import InterfaceError, OperationalError, transaction

from runs.models import Run
from threads.models import HeadState

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ending:
    """A run that is over. `run` is its row as it is now, or as it was before it was removed."""

    run: Run
    status: str  # a terminal RunStatus, or `rollback`
    head: HeadState = field(default_factory=HeadState)  # the state it left; none for a run without checkpoints
    executed: bool = True  # False when it was cancelled while it was pending
    waits: bool = False  # its thread now waits for a person


@dataclass(frozen=True)
class Listener:
    """Who wants to hear of endings.

    `concerned` is asked at the end of every run and must cost next to nothing; `told` is called where it says yes, in
    the transaction that ends the run.
    """

    concerned: Callable[[Run], bool]
    told: Callable[[Ending], None]


listeners: list[Listener] = []


def is_awaited(run: Run) -> bool:
    """Whether anybody wants to hear of the run's end."""
    return any(listener.concerned(run) for listener in listeners)


def tell(ending: Ending) -> None:
    """Tell who wants to hear. What a listener gets wrong is logged: it must not keep the run from ending."""
    for listener in listeners:
        if listener.concerned(ending.run):
            try:
                with transaction.atomic():
                    listener.told(ending)
            except (OperationalError, InterfaceError):
                raise
            except Exception:
                logger.exception("The end of run %s was not passed on", ending.run.pk)
