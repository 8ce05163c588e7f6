"""Between A2A's messages and a graph's: parts to graph input, and the messages of a state to parts. Pure functions.

Source: contract/platform.md 11.3, 11.5 and 11.6.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from config import dialect
from interop.jsonrpc import INVALID_PARAMS, RpcError

Json = dict[str, Any]
BAD_CONTENT = -32005
ROLES = {"user": "human", "agent": "assistant"}
SPEAKERS = {"human": "user", "ai": "agent", "AIMessageChunk": "agent"}
KINDS = ("text", "data", "file", "raw", "url")
PROVENANCE = "a2a"  # the key of a message's additional_kwargs that says which task it belongs to


@dataclass
class Content:
    """What the parts of one message hold: text and files in order, and the data, merged."""

    blocks: list[Json] = field(default_factory=list)
    data: Json = field(default_factory=dict)

    @property
    def texts(self) -> list[str]:
        """The text parts."""
        return [block["text"] for block in self.blocks if block["type"] == "text"]


def content_of(parts: Sequence[Any]) -> Content:
    """The parts, told apart by their keys. Raises RpcError."""
    content = Content()
    for part in parts:
        kind, value = _kind(part)
        if kind == "data":
            if not isinstance(value, dict):
                raise RpcError(BAD_CONTENT, "A data part must hold an object")
            content.data |= value
        elif kind == "text":
            if not isinstance(value, str):
                raise RpcError(BAD_CONTENT, "A text part must hold text")
            content.blocks.append({"type": "text", "text": value})
        else:
            content.blocks.append(_file_block(value if kind == "file" else _as_file(part)))
    return content


def _kind(part: Any) -> tuple[str, Any]:
    """Which of its kinds a part is. Version 1.0 writes files as `raw` or `url` beside their names."""
    given = part if isinstance(part, dict) else {}
    keys = [key for key in KINDS if given.get(key) is not None]
    if len(keys) != 1:
        raise RpcError(BAD_CONTENT, "A part must have exactly one of text, data and file")
    return keys[0], part[keys[0]]


def _as_file(part: Json) -> Json:
    return {
        "bytes": part.get("raw"),
        "uri": part.get("url"),
        "mimeType": part.get("mediaType"),
        "name": part.get("filename"),
    }


def _file_block(file: Any) -> Json:
    """A content block of langchain; what a URI names is the graph's business, it is never fetched here."""
    given = [key for key in ("bytes", "uri") if isinstance(file, dict) and isinstance(file.get(key), str)]
    if len(given) != 1:
        raise RpcError(BAD_CONTENT, "A file part must have bytes or a uri")
    mime = file.get("mimeType") if isinstance(file.get("mimeType"), str) else None
    family = (mime or "").partition("/")[0]
    block: Json = {"type": family if family in ("image", "audio", "video") else "file"}
    block["base64" if given[0] == "bytes" else "url"] = file[given[0]]
    if mime:
        block["mime_type"] = mime
    if isinstance(file.get("name"), str):
        block["extras"] = {"filename": file["name"]}
    return block


def graph_input(message: Mapping[str, Any], content: Content, role: str, provenance: Json, schema: Json | None) -> Json:
    """What the run gets: data at the top level, text and files as messages. Raises RpcError."""
    if not content.blocks:
        return content.data
    fields = sorted((schema or {}).get("properties", {}))
    if "messages" not in fields:
        known = ", ".join(fields) or "none"
        text = f"The assistant's input has no 'messages': send a data part with its fields instead ({known})"
        raise RpcError(INVALID_PARAMS, text)
    frame = {"role": ROLES[role], "additional_kwargs": {PROVENANCE: provenance}}
    if len(content.texts) < len(content.blocks):
        said: list[Json] = [{**frame, "content": content.blocks, "id": message["messageId"]}]
    else:
        # One id a message: a second with the same id would replace the first.
        said = [
            {**frame, "content": text, "id": message["messageId"] + (f"-{number}" if number else "")}
            for number, text in enumerate(content.texts)
        ]
    return {**content.data, "messages": said}


# --- from a state ----------------------------------------------------------------------------------------------------


def text_part(text: str) -> Json:
    """A part of text."""
    return {"kind": "text", "text": text}


def data_part(data: Any) -> Json:
    """A part of data."""
    return {"kind": "data", "data": data}


def answer_parts(values: Any, sent_ids: Iterable[str]) -> list[Json]:
    """What a turn answers: its last agent message with content; of a state without messages, the state as JSON."""
    messages = _messages(values)
    sent = tuple(sent_ids)
    start = next((place for place in range(len(messages) - 1, -1, -1) if _is_sent(messages[place], sent)), -1)
    for message in reversed(messages[start + 1 :]):
        if SPEAKERS.get(str(message.get("type"))) == "agent" and (parts := content_parts(message.get("content"))):
            return parts
    return [text_part(dialect.dumps_text(values if values is not None else {}))]


def _is_sent(message: Json, sent: tuple[str, ...]) -> bool:
    return bool(sent) and any(message.get("id") == found for found in sent)


def content_parts(content: Any) -> list[Json]:
    """The parts of a message's content, text or blocks; blocks that say nothing to others (reasoning) are left out."""
    if isinstance(content, str):
        return [text_part(content)] if content else []
    parts: list[Json] = []
    for block in content if isinstance(content, list) else ():
        if isinstance(block, str) and block:
            parts.append(text_part(block))
        elif isinstance(block, dict) and block.get("type") == "text" and block.get("text"):
            parts.append(text_part(str(block["text"])))
        elif isinstance(block, dict) and block.get("type") in ("image", "audio", "video", "file"):
            parts += _file_part(block)
    return parts


def _file_part(block: Json) -> list[Json]:
    source = {"bytes": block.get("base64"), "uri": block.get("url")}
    file = {key: value for key, value in source.items() if isinstance(value, str)}
    if not file:
        return []
    name = (block.get("extras") or {}).get("filename")
    more = {"mimeType": block.get("mime_type"), "name": name}
    return [{"kind": "file", "file": {**file, **{key: value for key, value in more.items() if value}}}]


def history(
    values: Any, *, context_id: str, starts: Mapping[str, str], task_id: str | None, tools: frozenset[str] | None
) -> list[Json]:
    """The messages of a state as A2A shows them, oldest first; of one task, or of all when `task_id` is None.

    `starts` maps the message a task began with to the task; `tools` names those whose results are shown, None all.
    """
    called: dict[str, str] = {}
    shown: list[Json] = []
    task: str | None = None
    for number, message in enumerate(_messages(values)):
        kind = str(message.get("type"))
        task = _task_of(message, starts) if kind == "human" else task
        called |= {str(call.get("id")): str(call.get("name")) for call in message.get("tool_calls") or ()}
        parts = _said(message, kind, called, tools) if task_id in (None, task) else []
        if parts:
            spoken = {
                "kind": "message",
                "role": SPEAKERS.get(kind, "agent"),
                "messageId": str(message.get("id") or f"{context_id}-{number}"),
                "contextId": context_id,
            }
            shown.append({**spoken, **({"taskId": task} if task else {}), "parts": parts})
    return shown


def _task_of(message: Json, starts: Mapping[str, str]) -> str | None:
    """The task a user's message belongs to: what follows it belongs there too."""
    origin = (message.get("additional_kwargs") or {}).get(PROVENANCE)
    if not isinstance(origin, dict):
        return None
    found = origin.get("task_id") or starts.get(str(origin.get("task_start_id")))
    return found if isinstance(found, str) else None


def _said(message: Json, kind: str, called: Mapping[str, str], allowed: frozenset[str] | None) -> list[Json]:
    """Its parts; nothing for system messages and for results of tools nobody is seen to have called."""
    if kind in SPEAKERS:
        return content_parts(message.get("content"))
    call = str(message.get("tool_call_id"))
    if kind != "tool" or call not in called or (allowed is not None and called[call] not in allowed):
        return []
    result = {
        "toolCallId": call,
        "content": message.get("content"),
        "name": message.get("name") or called[call],
        "status": message.get("status") or "success",
    }
    return [data_part({"tool_results": [result]})]


def _messages(values: Any) -> list[Json]:
    found = values.get("messages") if isinstance(values, dict) else None
    return [message for message in found if isinstance(message, dict)] if isinstance(found, list) else []
