"""What a process does once before it serves: import the graphs, bring their default assistants up to date."""

import gc
import logging
from collections.abc import Callable

from accounts import authentication
from assistants.graphs import assistant_id_of, load_all
from assistants.models import Assistant, sync_default_assistants
from assistants.retries import retry_policies
from config import encryption
from config.project import project

logger = logging.getLogger(__name__)

# What apps above this one have to load or check; none is known here by name. Each raises what must stop the process.
before_serving: list[Callable[[], object]] = []


def load() -> None:
    """Import the graphs and what else the project names. Raises whatever its modules raise, and ProjectError."""
    load_all()
    retry_policies()
    authentication.check()
    encryption.handlers()
    for check in before_serving:
        check()


def start() -> None:
    """Raises as `load` does. Says what of the configuration does nothing: web alone does, not each worker."""
    for remark in project().remarks:
        logger.warning(remark)
    load()
    configs = project().default_configs
    sync_default_assistants(
        [
            Assistant(
                assistant_id=assistant_id_of(graph_id),
                graph_id=graph_id,
                name=loaded.name,
                description=loaded.entry.description,
                config=configs.get(graph_id, {}),
            )
            for graph_id, loaded in load_all().items()
        ]
    )
    spare_the_collector()


def spare_the_collector() -> None:
    """Keep what was imported out of every later garbage collection: it is most of the heap and stays anyway."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
