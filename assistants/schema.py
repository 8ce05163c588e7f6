"""The registered graphs in the OpenAPI document, so that a client sees what it can ask for."""

from typing import Any

from config.project import project
from config.schema import Document

NAMING = ("Assistant", "AssistantCreate", "AssistantPatch")


def name_graphs(result: Document, generator: Any, request: Any, public: bool) -> Document:
    """drf-spectacular's hook: `graph_id` is one of the graphs this server has."""
    schemas = result.get("components", {}).get("schemas", {})
    for name in NAMING:
        if name in schemas:
            schemas[name]["properties"]["graph_id"]["enum"] = list(project().graphs)
    return result
