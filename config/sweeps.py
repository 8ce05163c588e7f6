"""What goes because its time is up, and the note of how much went, for people. Knows nothing of what is removed."""

import math
import time
from collections.abc import Callable

from django.db import connection

BATCH = 1000
NOTE = """
INSERT INTO config_sweep AS known (name, swept_at, removed, removed_at, total)
VALUES (%(name)s, clock_timestamp(), %(removed)s, CASE WHEN %(removed)s > 0 THEN clock_timestamp() END, %(removed)s)
ON CONFLICT (name) DO UPDATE
   SET swept_at = clock_timestamp(), total = known.total + excluded.removed,
       removed = CASE WHEN excluded.removed > 0 THEN excluded.removed ELSE known.removed END,
       removed_at = coalesce(excluded.removed_at, known.removed_at)
"""


def in_batches(remove: Callable[[int], int], seconds: float = math.inf) -> int:
    """Call `remove(most)`, which returns how many it removed, until there are no more or it takes `seconds`."""
    removed, deadline = 0, time.monotonic() + seconds
    while (count := remove(BATCH)) == BATCH and time.monotonic() < deadline:
        removed += count
    return removed + count


def note(name: str, removed: int) -> None:
    """A sweep is over: see models.Sweep."""
    with connection.cursor() as cursor:
        cursor.execute(NOTE, {"name": name, "removed": removed})
