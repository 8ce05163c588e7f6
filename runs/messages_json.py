"""The form of messages inside the values and updates of event-streaming runs. Pure functions.

Source: contract/streaming.md 8.6, rule 7.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import orjson
from langchain_core.messages import BaseMessage

from config import dialect

INTERRUPT = "__interrupt__"
ROLES = {
    "human": "human",
    "user": "human",
    "ai": "ai",
    "assistant": "ai",
    "system": "system",
    "tool": "tool",
    "function": "function",
    "remove": "remove",
}
BLOCKS = frozenset(
    {
        "text",
        "reasoning",
        "tool_call",
        "tool_call_chunk",
        "invalid_tool_call",
        "server_tool_call",
        "server_tool_call_chunk",
        "server_tool_call_result",
        "server_tool_result",
        "image",
        "audio",
        "video",
        "file",
        "non_standard",
    }
)
ATOMS = (str, int, float, bool, type(None))
Json = dict[str, Any]


def state_json(value: Any) -> Any:
    """The value of a state with its messages in their wire form and without `__interrupt__`."""
    if isinstance(value, ATOMS):
        return value
    if isinstance(value, Mapping):
        return {key: _field(key, child) for key, child in value.items() if key != INTERRUPT}
    if isinstance(value, list | tuple):
        return [_item(child) for child in value]
    plain = dialect.plain(value)
    if isinstance(value, BaseMessage):
        return _item(plain)
    return state_json(plain) if isinstance(plain, dict | list) else plain


def message_json(message: Json) -> Json:
    """The wire form of a message, given as it is written elsewhere."""
    role = ROLES[message["type"]]
    shown: Json = {"type": role, "content": _content(message)}
    if _text(message.get("id")):
        shown["id"] = message["id"]
    if _text(message.get("name")):
        shown["name"] = message["name"]
    if role in ("ai", "human") and isinstance(message.get("example"), bool):
        shown["example"] = message["example"]
    if isinstance(message.get("response_metadata"), dict) and message["response_metadata"]:
        shown["response_metadata"] = message["response_metadata"]
    if role == "tool":
        shown |= _of_tool(message)
    elif role == "ai":
        shown |= _of_ai(message)
    return shown


def _field(key: Any, value: Any) -> Any:
    """Under `messages` a single message counts too."""
    if key == "messages" and _is_message(value):
        return message_json(value)
    return state_json(value)


def _item(value: Any) -> Any:
    return message_json(value) if _is_message(value) else state_json(value)


def _is_message(value: Any) -> bool:
    if not isinstance(value, dict) or "content" not in value:
        return False
    kind = value.get("type")
    return isinstance(kind, str) and kind in ROLES


def _text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _of_tool(message: Json) -> Json:
    shown: Json = {}
    if _text(message.get("tool_call_id")):
        shown["tool_call_id"] = message["tool_call_id"]
    if message.get("status") in ("success", "error"):
        shown["status"] = message["status"]
    if message.get("artifact") is not None:
        shown["artifact"] = message["artifact"]
    return shown


def _of_ai(message: Json) -> Json:
    calls, invalid = _calls(message)
    return {**({"tool_calls": calls} if calls else {}), **({"invalid_tool_calls": invalid} if invalid else {})}


def _calls(message: Json) -> tuple[list[Json], list[Json]]:
    """Tool calls and those that cannot be made; where there are none, what the model's raw answer has."""
    calls = [_call(call) for call in _objects(message.get("tool_calls"))]
    invalid = _objects(message.get("invalid_tool_calls"))
    if calls or invalid:
        return calls, invalid
    raw = message.get("additional_kwargs")
    for call in _objects(raw.get("tool_calls") if isinstance(raw, dict) else None):
        read, error = _raw_call(call)
        (invalid if error else calls).append(read)
    return calls, invalid


def _call(call: Json) -> Json:
    shown = {"type": "tool_call", "name": call.get("name") or "", "args": call.get("args") or {}}
    return {**shown, "id": call["id"]} if _text(call.get("id")) else shown


def _raw_call(call: Json) -> tuple[Json, bool]:
    """A tool call as providers write it, and whether it is none that can be made."""
    function = call.get("function")
    named: Json = function if isinstance(function, dict) else {}
    name, text = named.get("name"), named.get("arguments")
    own = {"id": call["id"]} if _text(call.get("id")) else {}
    invalid: Json = {"type": "invalid_tool_call", "name": name, "args": text, **own}
    if not _text(name):
        return {**invalid, "error": "Incomplete tool call."}, True
    try:
        args = orjson.loads(text) if isinstance(text, str) else text
    except ValueError:
        args = None
    if not isinstance(args, dict):
        return {**invalid, "error": "Malformed args."}, True
    return {"type": "tool_call", "name": name, "args": args, **own}, False


def _objects(value: Any) -> list[Json]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _content(message: Json) -> Any:
    content = message.get("content")
    audio = _audio(message) if ROLES[message["type"]] == "ai" else []
    if isinstance(content, list):
        return [*_blocks(content), *audio]
    text = content if isinstance(content, str) else "" if content is None else dialect.dumps_text(content)
    return [{"type": "text", "text": text}, *audio] if audio else text


def _audio(message: Json) -> list[Json]:
    raw = message.get("additional_kwargs")
    audio = raw.get("audio") if isinstance(raw, dict) else None
    return [{**audio, "type": "audio"}] if isinstance(audio, dict) else []


def _blocks(content: Iterable[Any]) -> list[Json]:
    return [{"type": "text", "text": block} if isinstance(block, str) else _block(block) for block in content]


def _block(block: Any) -> Json:
    if not isinstance(block, dict):
        return {"type": "non_standard", "value": {"value": block}}
    kind = block.get("type")
    if isinstance(kind, str) and kind in BLOCKS:
        return block
    if kind == "image_url":
        image = block.get("image_url")
        return {"type": "image", "url": image.get("url") if isinstance(image, dict) else image}
    if kind == "input_audio" and isinstance(block.get("input_audio"), dict):
        audio = block["input_audio"]
        data = {"data": audio["data"]} if "data" in audio else {}
        return {"type": "audio", **data, **({"mime_type": f"audio/{audio['format']}"} if "format" in audio else {})}
    return {"type": "non_standard", "value": block}
