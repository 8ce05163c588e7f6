"""Assistants as MCP tools: names, descriptions and input schemas. Synchronous; executes nothing.

Source: contract/platform.md 10.3 and 10.4.
"""

import logging
import re
from collections.abc import Iterator
from typing import Any

from accounts.authorizer import authorize
from accounts.callers import Caller
from assistants.graphs import load_all
from assistants.models import Assistant
from assistants.visible import visible
from interop.input_schemas import input_schema
from interop.jsonrpc import INVALID_PARAMS, RpcError

logger = logging.getLogger(__name__)
PAGE = 100
CANDIDATES = 1000  # assistants a called name is looked for among, the newest first
LONGEST_NAME = 128
NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9_.-]")
MESSAGE = re.compile(r"(AI|Human|Chat|System|Function|Tool|Base|Remove)Message(Chunk)?")
REF = "#/$defs/"
# A tool may do anything its graph does, so nothing is promised.
ANNOTATIONS = {"readOnlyHint": False, "destructiveHint": False, "idempotentHint": False, "openWorldHint": True}


def tool_name(name: str) -> str:
    """The assistant's name as MCP allows it: "Nice Name" is Nice_Name."""
    return NOT_IN_A_NAME.sub("", re.sub(r"\s+", "_", name.strip()))[:LONGEST_NAME]


def list_tools(caller: Caller, cursor: Any) -> dict[str, Any]:
    """The page of tools at `cursor`, an offset as number or text; what is none of these means the start."""
    offset = _offset(cursor)
    rows = list(_assistants(caller, PAGE, offset)[offset : offset + PAGE])
    tools: dict[str, dict[str, Any]] = {}
    for assistant in rows:
        if not _readable(caller, assistant):
            continue
        name = tool_name(assistant.name)
        if name in tools:
            logger.warning("Assistant %s is no tool: another one is called %s too", assistant.pk, name)
        elif name and (schema := input_schema(assistant)) is not None:
            tools[name] = _tool(name, assistant, simplified(schema))
    page: dict[str, Any] = {"tools": list(tools.values())}
    return {**page, "nextCursor": str(offset + PAGE)} if len(rows) == PAGE else page


def find_tool(caller: Caller, name: Any) -> Assistant:
    """The assistant behind a tool's name. Raises RpcError when there is none, or more than one."""
    rows = _assistants(caller, CANDIDATES, 0)[:CANDIDATES]
    found: list[Assistant] = [row for row in rows if name and tool_name(row.name) == name]
    if not found:
        raise RpcError(INVALID_PARAMS, f"Unknown tool: {name}")
    if len(found) > 1:
        raise RpcError(INVALID_PARAMS, "Multiple tools found with the same name.")
    return found[0]


def _assistants(caller: Caller, limit: int, offset: int) -> Any:
    """Those the caller may find. Raises what `authorize` raises."""
    asked: dict[str, Any] = {"graph_id": None, "metadata": {}, "limit": limit, "offset": offset}
    rows = visible(authorize(caller, "assistants", "search", asked)).matching(metadata=asked["metadata"])
    return rows.filter(graph_id__in=list(load_all())).order_by("-created_at", "assistant_id")


def _readable(caller: Caller, assistant: Assistant) -> bool:
    """Whether the caller may read what a tool's description tells. Raises what `authorize` raises."""
    scope = authorize(caller, "assistants", "read", {"assistant_id": assistant.pk})
    return scope.filter is None or visible(scope).filter(pk=assistant.pk).exists()


def _offset(cursor: Any) -> int:
    try:
        return min(max(int(cursor), 0), 2**31)
    except (TypeError, ValueError, OverflowError):
        return 0


def _tool(name: str, assistant: Assistant, schema: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "title": assistant.name,
        "description": assistant.description or f"Tool based on the {assistant.name} assistant",
        "inputSchema": schema,
        "annotations": ANNOTATIONS,
    }


# --- schemas --------------------------------------------------------------------------------------------------------


def simplified(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema as a model can fill it in: a list of messages becomes the text a user would say."""
    messages = {name for name in schema.get("$defs", {}) if MESSAGE.fullmatch(name)}
    properties = schema.get("properties", {})
    if messages:
        properties = {name: _said(name, part, messages) for name, part in properties.items()}
    rest = {key: part for key, part in schema.items() if key not in ("$defs", "properties")}
    whole = {**rest, "type": "object", "properties": properties}
    used = _reachable(whole, schema.get("$defs", {}))
    return {**whole, "$defs": used} if used else whole


def _said(name: str, part: Any, messages: set[str]) -> Any:
    lists = [option for option in (part, *part.get("anyOf", ())) if option.get("type") == "array"]
    if not any(messages & set(_references(option.get("items", {}))) for option in lists):
        return part
    title = part.get("title", name.replace("_", " ").title())
    return {"type": "string", "title": title, "description": "The user message to send to the agent."}


def _references(schema: Any) -> Iterator[str]:
    """The names of the definitions a schema refers to."""
    if isinstance(schema, dict):
        target = schema.get("$ref")
        if isinstance(target, str) and target.startswith(REF):
            yield target.removeprefix(REF)
    parts = schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ()
    for part in parts:
        yield from _references(part)


def _reachable(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """The definitions the schema needs, and those they need."""
    found: set[str] = set()
    waiting = list(_references(schema))
    while waiting:
        name = waiting.pop()
        if name in definitions and name not in found:
            found.add(name)
            waiting += _references(definitions[name])
    return {name: part for name, part in definitions.items() if name in found}
