"""Holding back all runs of the server, and letting them go. What runs goes on; what comes in is accepted and waits.

Claims look at the row themselves (MAY_BEGIN in models.py). After a resume the pickers find what waits within seconds.
"""

from runs.models import Pause


def current() -> Pause | None:
    """Who holds the queue, since when and why; None while runs begin."""
    return Pause.objects.first()


def pause(person: str, reason: str) -> bool:
    """From the commit on no claim that begins is granted. False when the queue was paused already."""
    _, made = Pause.objects.get_or_create(only=True, defaults={"person": person, "reason": reason})
    return made


def resume() -> bool:
    """False when the queue was not paused."""
    return bool(Pause.objects.all().delete()[0])
