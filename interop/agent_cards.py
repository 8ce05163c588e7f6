"""Agent cards: what an assistant is as an A2A agent. Source: contract/platform.md 11.1."""

from typing import Any
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest

from accounts.authorizer import authorize
from accounts.callers import Caller
from assistants.graphs import load_all
from assistants.models import Assistant
from assistants.visible import visible
from config.errors import Invalid
from config.rest import parse_uuid
from interop.input_schemas import input_schema
from interop.jsonrpc import INVALID_PARAMS, RpcError

Json = dict[str, Any]
MODES = ["application/json", "text/plain"]
SCOPE_HEADER = "LangGraph-A2A-History-Scope"
HISTORY_SCOPE = {
    "uri": "https://langchain.com/a2a/extensions/history-scope/v1",
    "description": "Whether the history of a task is that of the task or of its whole context.",
    "required": False,
    "params": {
        "header": SCOPE_HEADER,
        "values": ["context", "task"],
        "default": "context",
        "methods": ["SendMessage", "GetTask", "ListTasks"],
    },
}


def find_agent(caller: Caller, text: str) -> Assistant:
    """The assistant with the id, if the caller may read it; graph ids name no agent.

    Raises RpcError and what `authorize` raises.
    """
    try:
        wanted: UUID = parse_uuid(text, "assistant ID")
    except Invalid as error:
        raise RpcError(INVALID_PARAMS, str(error.detail)) from None
    scope = authorize(caller, "assistants", "read", {"assistant_id": wanted})
    found = visible(scope).filter(assistant_id=wanted, graph_id__in=list(load_all())).first()
    if found is None:
        raise RpcError(INVALID_PARAMS, f"Assistant {wanted} not found")
    return found


def agent_card(assistant: Assistant, base: str) -> Json:
    """The card; `base` is this server's public address. Raises RpcError when the assistant's own modes are no modes."""
    url, own = f"{base}/a2a/{assistant.assistant_id}", assistant.metadata.get("a2a")
    modes = {name: _modes(own, name) for name in ("input_modes", "output_modes")}
    description = assistant.description or f"{assistant.name} assistant"
    schema = input_schema(assistant) or {}
    fields = sorted(schema.get("properties", {}))
    skill = {
        "id": f"{assistant.assistant_id}-main",
        "name": f"{assistant.name} Capabilities",
        "description": description,
        "tags": ["assistant", "langgraph"],
        "examples": [],
        "inputModes": modes["input_modes"],
        "outputModes": modes["output_modes"],
        "metadata": {
            "inputSchema": {
                "required": schema.get("required", []),
                "properties": fields,
                "supportsA2A": "messages" in fields,
            }
        },
    }
    return {
        "name": assistant.name,
        "description": description,
        "url": url,
        "supportedInterfaces": [{"url": url, "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}],
        "capabilities": {
            "streaming": True,
            "pushNotifications": False,
            "stateTransitionHistory": False,
            "extensions": [HISTORY_SCOPE],
        },
        "defaultInputModes": modes["input_modes"],
        "defaultOutputModes": modes["output_modes"],
        "skills": [skill],
        "version": settings.VERSION,
    }


def base_of(request: HttpRequest) -> str:
    """This server's address as the client sees it, without a slash at its end."""
    if settings.LANGGRAPH_API_URL:
        return str(settings.LANGGRAPH_API_URL).rstrip("/")
    forwarded = request.headers.get("X-Forwarded-Proto", "").split(",")[0].strip().lower()
    scheme = forwarded if forwarded in ("http", "https") else request.scheme
    return f"{scheme}://{request.get_host()}{request.META.get('SCRIPT_NAME', '').rstrip('/')}"


def _modes(own: Any, name: str) -> list[str]:
    if not isinstance(own, dict) or own.get(name) is None:
        return MODES
    found = own[name]
    if not isinstance(found, list) or not found or not all(isinstance(mode, str) and mode for mode in found):
        raise RpcError(INVALID_PARAMS, f"The assistant's metadata.a2a.{name} must be a non-empty array of strings")
    return found
