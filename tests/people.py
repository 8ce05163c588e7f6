"""Clients of the server with an Auth object, one for each of its users, and what its handlers were asked."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import orjson

from tests.conftest import LiveServer

ALICE, BOB, CAROL, DAVE = "alice", "bob", "carol", "dave"  # carol and dave are of tenant acme, the others of none
MALLORY, TRUDY = "mallory", "trudy"  # of no tenant and of acme, for one module: they own nothing when it begins
NOTHING = "alice/nothing"  # alice, with a permission for nothing at all


def headers_of(token: str | None) -> dict[str, str]:
    """What says who is calling; nothing for nobody."""
    return {"Authorization": f"Bearer {token}"} if token else {}


def client_of(server: LiveServer, token: str | None) -> httpx.Client:
    """A plain client."""
    return httpx.Client(base_url=server.url, headers=headers_of(token), timeout=30)


@contextmanager
def asked(server: LiveServer) -> Iterator[list[dict[str, Any]]]:
    """What handlers are asked within the block, filled in at its end."""
    record = Path(server.environment["AUTH_RECORD"])
    before = record.stat().st_size if record.exists() else 0
    lines: list[dict[str, Any]] = []
    yield lines
    with record.open("rb") as file:
        file.seek(before)
        lines += [orjson.loads(line) for line in file]


def pairs(lines: list[dict[str, Any]]) -> list[tuple[str, list[str]]]:
    """`resource.action` and the keys of the value, in order."""
    return [(f"{line['resource']}.{line['action']}", sorted(line["value"])) for line in lines]
