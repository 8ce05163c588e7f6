"""What a graph looks like from outside: drawing, schemas, subgraphs. Runs on the graph loop, executes no node.

Source: contract/core.md 3.13 to 3.15.
"""

from typing import Any

from langgraph.pregel import Pregel
from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaMode

from assistants.graphs import open_graph
from config.errors import Invalid

AnyGraph = Pregel[Any, Any, Any, Any]
INTERNAL_CONFIG = ("checkpoint_id", "checkpoint_ns", "thread_id")
OUTPUT: JsonSchemaMode = "serialization"


async def drawing(graph_id: str, config: dict[str, Any], xray: bool | int) -> dict[str, Any]:
    """The graph's nodes and edges. Raises Invalid when it cannot be drawn."""
    async with open_graph(graph_id, config, access="assistants.read") as graph:
        try:
            drawn = await graph.aget_graph(xray=xray)
        except NotImplementedError:
            raise Invalid("The graph does not support visualization") from None
        document: dict[str, Any] = drawn.to_json()
    for node in document["nodes"]:
        if isinstance(node.get("data"), dict):
            node["data"].pop("id", None)
    return document


async def schemas(graph_id: str, config: dict[str, Any]) -> dict[str, Any]:
    """The five schemas of the graph, and its id."""
    async with open_graph(graph_id, config, access="assistants.read") as graph:
        return {"graph_id": graph_id, **graph_schemas(graph)}


async def input_schema(graph_id: str, config: dict[str, Any]) -> dict[str, Any] | None:
    """What the graph takes; None when it cannot say."""
    async with open_graph(graph_id, config, access="assistants.read") as graph:
        schema: dict[str, Any] | None = _or_none(graph.get_input_jsonschema)
        return schema


async def subgraphs(
    graph_id: str, config: dict[str, Any], namespace: str | None, *, recurse: bool
) -> dict[str, dict[str, Any]]:
    """Schemas of the subgraphs by namespace."""
    async with open_graph(graph_id, config, access="assistants.read") as graph:
        found = graph.aget_subgraphs(namespace=namespace, recurse=recurse)
        return {name: graph_schemas(subgraph) async for name, subgraph in found}


def graph_schemas(graph: Any) -> dict[str, Any]:
    """input, output, state, config and context schema; null where the graph cannot give one."""
    return {
        "input_schema": _or_none(graph.get_input_jsonschema),
        "output_schema": _or_none(graph.get_output_jsonschema),
        "state_schema": _or_none(lambda: _state_schema(graph)),
        "config_schema": _or_none(lambda: _config_schema(graph)),
        "context_schema": _or_none(graph.get_context_jsonschema),
    }


def _or_none(make: Any) -> Any:
    # pydantic raises errors of many kinds for types it has no schema for; each schema stands for itself.
    try:
        return make()
    except Exception:
        return None


def _state_schema(graph: AnyGraph) -> dict[str, Any]:
    properties, definitions = {}, {}
    for name in graph.stream_channels_list:
        schema = TypeAdapter(graph.channels[name].UpdateType).json_schema(mode=OUTPUT)  # type: ignore[union-attr]
        definitions.update(schema.pop("$defs", {}))
        properties[name] = {**schema, "default": None, "title": name.replace("_", " ").title()}
    document = {"title": f"{graph.get_name()}_state", "type": "object", "properties": properties}
    return {"$defs": definitions, **document} if definitions else document


def _config_schema(graph: AnyGraph) -> dict[str, Any]:
    """The configurable part only, without what the server sets."""
    whole = graph.config_schema().model_json_schema()
    name = whole.get("properties", {}).get("configurable", {}).get("$ref", "").rpartition("/")[2]
    configurable = whole.get("$defs", {}).get(name)
    if configurable is None:
        return {}
    properties = {k: v for k, v in configurable.get("properties", {}).items() if k not in INTERNAL_CONFIG}
    if not properties:
        return {}
    others = {k: v for k, v in whole["$defs"].items() if k != name}
    return {**({"$defs": others} if others else {}), **configurable, "properties": properties}
