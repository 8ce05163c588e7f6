"""How many bytes the items of a tenant may take: asked when a request puts one, and never of who has no limit.

A process counts a tenant's bytes now and then and adds what it puts itself in between. So a tenant passes its limit by
no more than what other processes put for it between two counts; what graphs put is counted, not refused.
"""

import threading
import time
from collections import defaultdict
from typing import Any

from django.db import connection

from accounts.limits import limits_of
from config import dialect
from config.errors import ApiError
from store.configuration import store_settings
from store.tenancy import label_of

COUNT_SECONDS = 10.0
SOONEST_SECONDS = 1.0  # where the limit is reached, and something may have been deleted
SHARE = 20  # counting takes no more than this part of a thread's time
# As they lie on the disk, which needs no value to be read. The index on prefixes is of text_pattern_ops.
COUNT = """
SELECT coalesce(sum(pg_column_size(value)), 0) FROM store
 WHERE prefix = %s::text OR prefix ~>=~ %s::text AND prefix ~<~ %s::text
"""


class StoreFull(ApiError):
    """The tenant's items take as much as they may."""

    status_code = 429
    default_detail = "The store of this tenant is full. Delete items, then try again."
    headers = {"Retry-After": "10"}


class Used:
    """What this process knows of the bytes of one tenant."""

    def __init__(self) -> None:
        self.bytes = 0
        self.counted, self.took = float("-inf"), 0.0  # seconds
        self.lock = threading.Lock()

    def admit(self, tenant: str, size: int, limit: int) -> None:
        """Let so many more bytes in. Raises StoreFull."""
        with self.lock:
            if self._is_older_than(COUNT_SECONDS):
                self._count(tenant)
            if self.bytes + size > limit and self._is_older_than(SOONEST_SECONDS):
                self._count(tenant)
            if self.bytes + size > limit:
                raise StoreFull
            self.bytes += size

    def _is_older_than(self, seconds: float) -> bool:
        return time.monotonic() - self.counted > max(seconds, SHARE * self.took)

    def _count(self, tenant: str) -> None:
        began = time.monotonic()
        label = label_of(tenant)
        with connection.cursor() as cursor:
            cursor.execute(COUNT, [label, f"{label}.", f"{label}/"])  # "/" is what follows "."
            self.bytes = int(cursor.fetchone()[0])
        self.counted = time.monotonic()
        self.took = self.counted - began


_used: defaultdict[str, Used] = defaultdict(Used)


def admit(tenant: str, value: Any) -> None:
    """Raises StoreFull when the tenant has a limit and the value no place. A project's own store has no limits."""
    limit = limits_of(tenant).store_bytes
    if limit is not None and store_settings().path is None:
        _used[tenant].admit(tenant, len(dialect.dumps(value)), limit)
