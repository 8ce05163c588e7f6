"""A graph that keeps what it is told wherever something can be kept, and the handlers that encrypt all of it."""

import json
import operator
import os
from pathlib import Path
from typing import Annotated, Any

from Crypto.Cipher import AES
from langgraph.graph import END, START, StateGraph
from langgraph.store.base import BaseStore
from langgraph.types import interrupt
from langgraph_sdk import Encryption
from langgraph_sdk.encryption.types import DecryptResult, EncryptionContext
from typing_extensions import TypedDict


class Keeping(TypedDict, total=False):
    text: str  # in langgraph's checkpoint itself
    number: int
    log: Annotated[list[str], operator.add]  # in a table of its own
    fails: bool
    asks: bool


async def _keep(state: Keeping, *, store: BaseStore) -> Keeping:
    await store.aput(("kept",), "note", {"note": state["text"]})
    item = await store.aget(("kept",), "note")
    assert item and item.value == {"note": state["text"]}
    return {"log": [item.value["note"]]}


def _end(state: Keeping) -> Keeping:
    if state.get("fails"):
        raise ValueError(state["text"])
    if state.get("asks"):
        return {"log": [interrupt({"about": state["text"]})]}
    return {"log": ["end"]}


graph = (
    StateGraph(Keeping)
    .add_node("keep", _keep)
    .add_node("end", _end)
    .add_edge(START, "keep")
    .add_edge("keep", "end")
    .add_edge("end", END)
    .compile()
)

# --- handlers -----------------------------------------------------------------------------------------------------

KEY = b"a key for tests."
encryption = Encryption()


def _noted(kind: str, ctx: EncryptionContext, keys: Any = None) -> None:
    """What was asked for, as a line of a file the test reads."""
    if path := os.environ.get("KEEPING_NOTES"):
        line = {"kind": kind, "model": ctx.model, "field": ctx.field, "metadata": ctx.metadata, "keys": keys}
        with Path(path).open("a") as notes:
            notes.write(json.dumps(line) + "\n")


def _closed(data: bytes) -> bytes:
    cipher = AES.new(KEY, AES.MODE_GCM)
    closed, tag = cipher.encrypt_and_digest(data)
    return cipher.nonce + tag + closed


def _opened(data: bytes) -> bytes:
    return AES.new(KEY, AES.MODE_GCM, nonce=data[:16]).decrypt_and_verify(data[32:], data[16:32])


@encryption.encrypt.json
async def encrypt_json(ctx: EncryptionContext, data: dict[str, Any]) -> dict[str, Any]:
    _noted("encrypt.json", ctx, sorted(data))
    if "breaks" in data:
        return {"other": 1}
    return {
        key: value if value is None or key == "shown" else "mine:" + _closed(json.dumps(value).encode()).hex()
        for key, value in data.items()
    }


@encryption.decrypt.json
async def decrypt_json(ctx: EncryptionContext, data: dict[str, Any]) -> DecryptResult[dict[str, Any]]:
    _noted("decrypt.json", ctx, sorted(data))
    plain = {
        key: json.loads(_opened(bytes.fromhex(value[5:]))) if str(value).startswith("mine:") else value
        for key, value in data.items()
    }
    return DecryptResult(plain, None)


@encryption.encrypt.blob
async def encrypt_blob(ctx: EncryptionContext, blob: bytes) -> bytes:
    _noted("encrypt.blob", ctx)
    return _closed(blob)


@encryption.decrypt.blob
async def decrypt_blob(ctx: EncryptionContext, blob: bytes) -> bytes:
    _noted("decrypt.blob", ctx)
    return _opened(blob)


@encryption.context
async def context(user: Any, ctx: EncryptionContext) -> dict[str, Any]:
    _noted("context", ctx)
    if ctx.metadata.get("tenant") == "nobody":
        raise LookupError("nobody")
    return {**ctx.metadata, "mapped": True}
