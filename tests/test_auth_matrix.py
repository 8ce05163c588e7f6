"""Every route, and every command of every protocol, as owner, stranger, other tenant, nobody, and without a scope.

Whoever may not see a thing gets the answer for one that is not there, nothing of it, and changes nothing about it.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid5

import httpx
import pytest

from accounts.authorizer import ACTIONS
from tests.auth_table import ABSENT, MARK, ROWS, Row, look_at, make_world, routes
from tests.conftest import ROOT, LiveServer, live_server
from tests.people import ALICE, DAVE, MALLORY, NOTHING, TRUDY, client_of

DEFAULT = str(uuid5(UUID("6ba7b821-9dad-11d1-80b4-00c04fd430c8"), "echo"))
PAIRS = [f"{resource}:{action}" for resource, actions in ACTIONS.items() for action in actions]
WORDS = {"{assistant_id}": "{assistant}", "{thread_id}": "{thread}", "{run_id}": "{run}"}
Answer = tuple[int, str]
ISSUE = """
import json
from accounts.audit import SYSTEM
from accounts.issuing import create_key
from accounts.models import Tenant
pairs = {pairs!r}
tenants = {{name: Tenant.objects.create(slug=name) for name in ("acme", "umbrella")}}
keys = {{name: create_key(SYSTEM, name, tenant=tenants[name]).text for name in tenants}}
for pair in pairs:
    scopes = [one for one in pairs if one != pair]
    keys[pair] = create_key(SYSTEM, f"without {{pair}}", tenant=tenants["acme"], scopes=scopes).text
print(json.dumps(keys))
"""


def ask(client: httpx.Client, row: Row, world: dict[str, str]) -> Answer:
    """Status and what is said, of streams that do not end in the first second."""
    path, body = row.path, None if row.body is None else json.dumps(row.body)
    for name, value in {**world, "default": DEFAULT}.items():
        path, body = path.replace(f"{{{name}}}", value), body and body.replace(f"{{{name}}}", value)
    said = b""
    timeout = httpx.Timeout(20, read=1.0 if "stream" in path or "resubscribe" in (body or "") else 20)
    with client.stream(row.method, path, content=body, headers=row.headers, timeout=timeout) as answer:
        try:
            for part in answer.iter_raw():
                said += part
        except httpx.ReadTimeout:
            pass
        return answer.status_code, said.decode()


def is_refused(answer: Answer) -> bool:
    """Whether the answer says that there is no such thing, in its protocol's way."""
    status, said = answer
    return status in (404, 409) or (status in (200, 400) and '"error"' in said)


def leaks(row: Row, who: str, answer: Answer) -> list[str]:
    """What is wrong with the answer somebody got who may not see what it is about."""
    status, said = answer
    found = [f"{row.name} shows {who} the owner's: {said[:300]}"] if MARK in said else []
    if row.foreign == ABSENT and not is_refused(answer):
        found.append(f"{row.name} answers {who} {status}: {said[:300]}")
    if status >= 500 or (row.foreign != ABSENT and status >= 400):
        found.append(f"{row.name} answers {who} {status}: {said[:300]}")
    return found


def table() -> set[tuple[str, str]]:
    """The routes the table has, under the names of the table."""
    found = {row.route for row in ROWS}
    return {(method, _named(path)) for method, path in found}


def _named(path: str) -> str:
    path = path.replace("{spent}", "{thread}").replace("{waiting}", "{run}").replace("{default}", "{assistant}")
    return path.replace("/subgraphs/x", "/subgraphs/{namespace}")


def _known(path: str) -> str:
    for name in ("assistant", "thread", "run", "cron", "endpoint", "delivery", "checkpoint"):
        path = path.replace(f"<str:{name}_id>", f"{{{name}}}")
    return path.replace("<str:namespace>", "{namespace}")


def test_the_table_has_every_route_there_is() -> None:
    assert table() == {(method, _known(path)) for method, path in routes()}


def test_the_table_knows_what_scopes_there_are() -> None:
    assert {need for row in ROWS for need in row.needs} == set(PAIRS)


# --- with an Auth object ----------------------------------------------------------------------------------------------


def test_nobody_sees_or_changes_what_another_owns(owned: LiveServer, capsys: pytest.CaptureFixture[str]) -> None:
    callers = {"stranger": MALLORY, "other tenant": TRUDY, "without permission": NOTHING, "nobody": None}
    wrong, count = [], 0
    with client_of(owned, ALICE) as alice:
        world = make_world(alice)
        before = look_at(alice, world)
        for who, token in callers.items():
            with client_of(owned, token) as client:
                for row in ROWS:
                    count += 1
                    wrong += _verdict(row, who, ask(client, row, world))
        assert look_at(alice, world) == before
    _summary(capsys, "Auth object", count, wrong)


def _verdict(row: Row, who: str, answer: Answer) -> list[str]:
    if who == "nobody":
        return [] if answer[0] == 401 else [f"{row.name} answers nobody {answer}"]
    if who == "without permission" and row.needs:
        refused = answer[0] == 403 or is_refused(answer)
        return [] if refused and MARK not in answer[1] else [f"{row.name} answers without permission {answer}"]
    return leaks(row, who, answer) if who != "without permission" else []


@pytest.mark.parametrize("who", [ALICE, DAVE])
def test_the_owner_may_do_all_of_it(owned: LiveServer, who: str) -> None:
    wrong = []
    with client_of(owned, who) as owner:
        world = make_world(owner)
        for row in ROWS:
            here = make_world(owner) if row.spends else world
            status, said = ask(owner, row, here)
            asks = isinstance(row.body, dict) and str(row.body.get("method", "")).startswith(("input", "subs", "agent"))
            fails = '"jsonrpc"' in said and '"error"' in said
            taken = status == 409 and (row.path == "/assistants" or "being sent right now" in said)
            if (status >= 300 or (fails and not asks)) and not taken:
                wrong.append(f"{row.name} answers its owner {status}: {said[:300]}")
    assert not wrong, "\n".join(wrong)


# --- with API keys ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LiveServer, dict[str, str]]]:
    """A server that asks for keys, and keys: one of each of two tenants, and one without each scope."""
    folder: Path = tmp_path_factory.mktemp("keyed")
    with live_server(folder, WEFT_AUTH="keys") as server:
        script = ISSUE.format(pairs=PAIRS)
        made = subprocess.run(
            [sys.executable, "manage.py", "shell", "--no-imports", "-c", script],
            cwd=ROOT,
            env=server.environment,
            capture_output=True,
            text=True,
            check=True,
        )
        yield server, json.loads(made.stdout.strip().splitlines()[-1])


def key_client(keyed: tuple[LiveServer, dict[str, str]], name: str) -> httpx.Client:
    server, keys = keyed
    return httpx.Client(base_url=server.url, headers={"x-api-key": keys[name]}, timeout=30)


def test_no_tenant_sees_or_changes_what_another_has(
    keyed: tuple[LiveServer, dict[str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = []
    with key_client(keyed, "acme") as owner, key_client(keyed, "umbrella") as other:
        world = make_world(owner)
        before = look_at(owner, world)
        for row in ROWS:
            wrong += leaks(row, "another tenant's key", ask(other, row, world))
        assert look_at(owner, world) == before
    _summary(capsys, "API keys, tenants", len(ROWS), wrong)


def test_no_key_does_what_it_has_no_scope_for(
    keyed: tuple[LiveServer, dict[str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    wrong, count = [], 0
    with key_client(keyed, "acme") as owner:
        world = make_world(owner)
        before = look_at(owner, world)
        for row in ROWS:
            for need in row.needs:
                count += 1
                with key_client(keyed, need) as client:
                    status, said = ask(client, row, world)
                refused = status == 403 or (status == 200 and '"error"' in said and f"lacks the scope {need}" in said)
                if not refused or MARK in said:
                    wrong.append(f"{row.name} without {need} answers {status}: {said[:300]}")
        assert look_at(owner, world) == before
    _summary(capsys, "API keys, scopes", count, wrong)


def _summary(capsys: pytest.CaptureFixture[str], what: str, count: int, wrong: list[str]) -> None:
    with capsys.disabled():
        sys.stdout.write(
            f"\n{what}: {len(ROWS)} requests of {len(routes())} routes, {count} refusals, {len(wrong)} leaks\n"
        )
    assert not wrong, "\n".join(wrong)
