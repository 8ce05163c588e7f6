"""What an assistant's graph takes, as JSON schema. Synchronous; executes nothing."""

import functools
import logging
from typing import Any

from assistants import introspection
from assistants.graphs import Factory, load_all
from assistants.models import Assistant
from config import loop

logger = logging.getLogger(__name__)


def input_schema(assistant: Assistant) -> dict[str, Any] | None:
    """The schema of the graph's input; None when the graph cannot say, or cannot be opened."""
    try:
        if isinstance(load_all()[assistant.graph_id].source, Factory):
            return _schema_of(assistant.graph_id, assistant.config)
        return _fixed_schema(assistant.graph_id)
    except Exception:
        logger.warning("The graph of assistant %s cannot be opened", assistant.pk, exc_info=True)
        return None


@functools.cache
def _fixed_schema(graph_id: str) -> dict[str, Any] | None:
    """That of a graph no configuration changes; made once, for pydantic takes its time."""
    return _schema_of(graph_id, {})


def _schema_of(graph_id: str, config: dict[str, Any]) -> dict[str, Any] | None:
    return loop.run(introspection.input_schema(graph_id, config))
