"""Encryption at rest of JSON objects and bytes: by the project's handlers, by AES, or not at all. Knows no row.

An encrypted object keeps its keys and has MARKER beside them: the context it was encrypted under. Objects in memory
are always plain, so a marker that is to be written comes from a client and is dropped. Called from threads: handlers
are asynchronous and run on the graph loop. Source: contract/platform.md 7, docs/encryption.md.
"""

import asyncio
import functools
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import orjson
from django.conf import settings
from langgraph.checkpoint.serde.base import CipherProtocol
from langgraph_sdk import Encryption
from langgraph_sdk.encryption.types import DecryptResult, EncryptionContext

from config import aes, loop
from config.aes import Undecipherable as Undecipherable
from config.loading import find
from config.project import ProjectError, project

MARKER, BLOB_MARKER = "__encryption_context__", "__blob_encryption_context__"
MARKERS = frozenset({MARKER, BLOB_MARKER})
AES_CONTEXT = {"__langgraph_encryption_type__": "aes"}
SEALED = b"sealed:"
WHOLE = "__value__"  # the only key of what stands for a value that is no object
# Never shown to handlers: what the server itself reads and looks for, in SQL too.
KEPT = frozenset(
    {
        *("thread_id", "run_id", "assistant_id", "graph_id", "checkpoint_id", "task_id", "cron_id", "a2a"),
        *("__after_seconds__", "__request_start_time_ms__", "__event_streaming_v2", "__context_provided__"),
        *("__otel_traceparent__", "__otel_tracestate__", "langgraph_version", "langgraph_api_version"),
        *("langgraph_plan", "langgraph_host", "langgraph_api_url", "langgraph_request_id", "langgraph_auth_user_id"),
        *("langgraph_auth_permissions", *MARKERS),
    }
)
KEPT_OF: Mapping[str, frozenset[str]] = {
    "run": frozenset({"recursion_limit", "max_concurrency", "temporary", "ttl"}),
    "cron": frozenset({"recursion_limit", "max_concurrency", "temporary", "ttl"}),
    "checkpoint": frozenset({"source", "step", "parents", "run_attempt"}),
}
# What AES encrypts without being told to, once it has a key.
AES_FIELDS = {
    *(("run", "input"), ("run", "command"), ("run", "document"), ("cron", "input"), ("cron", "command")),
    ("thread", "interrupts"),
}
_metadata: ContextVar[Mapping[str, Any]] = ContextVar("encryption_context")

Handler = Callable[..., Awaitable[Any]]


class EncryptionFailed(Exception):
    """A handler did not do what it must; nothing is stored."""


@functools.cache
def handlers() -> Encryption | None:
    """The project's; None when it has none. Raises ProjectError, or whatever its module raises."""
    path = project().encryption.get("path")
    if not path:
        return None
    found = find(str(path), "encryption")
    if not isinstance(found, Encryption):
        raise ProjectError(f"encryption.path: {path} is a {type(found).__name__}, not a langgraph_sdk.Encryption.")
    return found


def is_on() -> bool:
    """Whether checkpoints are encrypted."""
    return bool(settings.LANGGRAPH_AES_KEY) or asks_for_blobs()


def asks_for_blobs() -> bool:
    """Whether the project's handlers encrypt checkpoints: they need the graph loop meanwhile."""
    given = handlers()
    return bool(given and (given._blob_encryptor or given._blob_decryptor))


@contextmanager
def within(metadata: Mapping[str, Any] | None) -> Iterator[None]:
    """Within the block what is written is encrypted under this context: a request's, or that of what is executed."""
    token = _metadata.set(dict(metadata or {}))
    try:
        yield
    finally:
        _metadata.reset(token)


def context() -> dict[str, Any]:
    """What is written now is encrypted under."""
    return dict(_metadata.get({}))


# --- JSON ---------------------------------------------------------------------------------------------------------


def seal(model: str, field: str, value: Any) -> Any:
    """The value as it is stored. `model` is thread, assistant, run, cron, store or checkpoint.

    Raises EncryptionFailed.
    """
    if value is None:
        return None
    given = handlers()
    if given and given._json_encryptor:
        return _sealed_by(given._json_encryptor, model, field, value)
    if (model, field) in AES_FIELDS and settings.LANGGRAPH_AES_KEY:
        return {WHOLE: aes.encrypt_value(value), MARKER: AES_CONTEXT}
    if not isinstance(value, dict):
        return value
    named = [key for key in settings.LANGGRAPH_AES_JSON_KEYS if value.get(key) is not None]
    plain = {key: inner for key, inner in value.items() if key not in MARKERS}
    if not named:
        return plain
    return {**plain, **{key: aes.encrypt_value(plain[key]) for key in named}, MARKER: AES_CONTEXT}


def unseal(model: str, field: str, value: Any) -> Any:
    """The value that was stored, whoever encrypted it. Raises Undecipherable."""
    if not isinstance(value, dict) or MARKERS.isdisjoint(value):
        return value
    under = value.get(MARKER)
    plain = {key: inner for key, inner in value.items() if key not in MARKERS}
    if under is None:
        return plain
    if under == AES_CONTEXT:
        opened = {key: aes.decrypt_value(inner) if _is_aes(inner) else inner for key, inner in plain.items()}
    else:
        opened = _opened(model, field, plain, under)
    return opened[WHOLE] if opened.keys() == {WHOLE} else opened


async def seal_on_loop(model: str, field: str, value: Any) -> Any:
    """`seal` for code on the graph loop, which a handler needs meanwhile."""
    given = handlers()
    if given and given._json_encryptor:
        return await asyncio.to_thread(seal, model, field, value)
    return seal(model, field, value)


async def unseal_on_loop(model: str, field: str, value: Any) -> Any:
    """`unseal` for code on the graph loop."""
    if isinstance(value, dict) and MARKER in value and value[MARKER] != AES_CONTEXT:
        return await asyncio.to_thread(unseal, model, field, value)
    return unseal(model, field, value)


def _sealed_by(encryptor: Handler, model: str, field: str, value: Any) -> dict[str, Any]:
    whole = value if isinstance(value, dict) and value.keys() != {WHOLE} else {WHOLE: value}
    kept = {key: inner for key, inner in whole.items() if _is_kept(model, key)}
    shown = {key: inner for key, inner in whole.items() if key not in kept}
    if not shown:
        return {key: inner for key, inner in kept.items() if key not in MARKERS}
    under = EncryptionContext(model=model, field=field, metadata=context())
    made = _ask(encryptor, under, shown)
    if not isinstance(made, dict) or made.keys() != shown.keys():
        raise EncryptionFailed(f"The JSON encryptor changed the keys of {model}.{field}; it may change values only")
    return {**{key: inner for key, inner in kept.items() if key not in MARKERS}, **made, MARKER: under.metadata}


def _opened(model: str, field: str, plain: dict[str, Any], under: Any) -> dict[str, Any]:
    given = handlers()
    if given is None or given._json_decryptor is None:
        raise Undecipherable(f"{model}.{field} is encrypted, and encryption.path gives no JSON decryptor")
    shown = {key: inner for key, inner in plain.items() if not _is_kept(model, key)}
    told = EncryptionContext(model=model, field=field, metadata=dict(under) if isinstance(under, dict) else {})
    opened = _plaintext(_ask(given._json_decryptor, told, shown))
    return {**plain, **opened}


def _is_kept(model: str, key: str) -> bool:
    return key in KEPT or key in KEPT_OF.get(model, ()) or key.startswith("__pregel_")


def _is_aes(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(aes.PREFIX)


def _plaintext(answer: Any) -> Any:
    """A handler may also suggest what to store instead; it is stored when the row is written next."""
    return answer.plaintext if isinstance(answer, DecryptResult) else answer


def _ask(handler: Handler, under: EncryptionContext, data: Any) -> Any:
    """What the handler answers, on the graph loop; whoever runs there must come here by a thread."""
    if threading.get_ident() == loop.thread_of(loop.graph_loop()):
        raise RuntimeError("An encryption handler was to be waited for on the loop it needs")
    return loop.run(_asked(handler, under, data))


async def _asked(handler: Handler, under: EncryptionContext, data: Any) -> Any:
    return await handler(under, data)


# --- bytes --------------------------------------------------------------------------------------------------------


class Cipher(CipherProtocol):
    """Encrypts checkpoints, for langgraph's EncryptedSerializer; reads what any of us has encrypted."""

    def encrypt(self, plaintext: bytes) -> tuple[str, bytes]:
        """The name of the cipher, which is kept beside the bytes, and the bytes."""
        given = handlers()
        if given is None or given._blob_encryptor is None:
            return "aes", aes.encrypt(plaintext)
        under = EncryptionContext(model="checkpoint", field="blob", metadata=context())
        head = orjson.dumps(under.metadata)
        return "custom", len(head).to_bytes(4) + head + bytes(_ask(given._blob_encryptor, under, plaintext))

    def decrypt(self, ciphername: str, ciphertext: bytes) -> bytes:
        """The bytes again. Raises Undecipherable."""
        if ciphername == "aes":
            return aes.decrypt(ciphertext)
        given = handlers()
        if ciphername != "custom" or given is None or given._blob_decryptor is None:
            raise Undecipherable(f"A checkpoint is encrypted ({ciphername}), and nothing here decrypts it")
        start = 4 + int.from_bytes(ciphertext[:4])
        under = EncryptionContext(model="checkpoint", field="blob", metadata=orjson.loads(ciphertext[4:start]))
        return bytes(_plaintext(_ask(given._blob_decryptor, under, ciphertext[start:])))


def seal_bytes(plain: bytes) -> bytes:
    """Bytes that are not those of a checkpoint, as they are stored."""
    if not is_on():
        return plain
    name, data = Cipher().encrypt(plain)
    return SEALED + name.encode() + b":" + data


def unseal_bytes(stored: bytes) -> bytes:
    """The bytes again; what was stored plain may not begin with SEALED. Raises Undecipherable."""
    if not stored.startswith(SEALED):
        return stored
    name, _, data = stored.removeprefix(SEALED).partition(b":")
    return Cipher().decrypt(name.decode(), data)
