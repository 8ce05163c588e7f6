"""What a process does once before it serves: import the graphs, bring their default assistants up to date."""

import gc

from assistants.graphs import assistant_id_of, load_all
from assistants.models import Assistant, sync_default_assistants
from assistants.project import project


def start() -> None:
    """Raises whatever a graph's module raises, and ProjectError."""
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
