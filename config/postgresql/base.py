"""The backend Django loads by this module's name: its pool gives out no dead connection, and none during an outage."""

from typing import Any

from django.db.backends.postgresql import base

from config import outage
from config.database import was_closed


class DatabaseWrapper(base.DatabaseWrapper):
    """Connections from one pool a process."""

    def get_new_connection(self, conn_params: Any) -> Any:
        """A connection PostgreSQL has not closed meanwhile. Raises OperationalError, at once while it is away."""
        outage.refuse_while_away()
        while was_closed(found := super().get_new_connection(conn_params)):
            # Django itself can only ask over the network, for every request.
            found.close()
            found._pool.putconn(found)
        outage.hang_up_at_loss(found)
        return found

    @classmethod
    def drop_pools(cls) -> None:
        """Fail whoever waits for a connection; the next one who asks makes a new pool."""
        pools: dict[str, Any] = cls._connection_pools  # type: ignore[attr-defined]
        while pools:
            pools.popitem()[1].close(timeout=0)


outage.at_loss(DatabaseWrapper.drop_pools)
