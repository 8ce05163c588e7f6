"""API keys: what a request must show, what becomes of a key, and that nobody but its owner ever sees its secret."""

import asyncio
import io
import logging
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from langgraph_sdk import get_client

from accounts import keys
from accounts.audit import SYSTEM
from accounts.authorizer import require_scope
from accounts.issuing import FORM, NotRotatable, create_key, digest_of, revoke_key, rotate_key
from accounts.keys import Keyring, Unauthenticated, VerifiedKey, presented
from accounts.models import ApiKey, AuditEntry, KeyState, Tenant
from accounts.refusals import Forbidden
from config.database import in_thread
from config.errors import Invalid
from tests import wire
from tests.conftest import ROOT, live_server

pytestmark = pytest.mark.django_db(transaction=True)
WRONG = "weft_AAAAAAAA_" + "A" * 43


@pytest.fixture(autouse=True)
def _new_keyring() -> Iterator[None]:
    keys.keyring.cache_clear()
    yield
    keys.keyring.cache_clear()


async def made(name: str = "ci", **fields: Any) -> str:
    return (await in_thread(create_key, SYSTEM, name, **fields)).text


async def verified(text: str) -> VerifiedKey:
    return await keys.keyring().verify(digest_of(text))


async def refusal(text: str) -> str:
    with pytest.raises(Unauthenticated) as refused:
        await verified(text)
    return str(refused.value.detail)


# --- what a request shows ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {"x-api-key": WRONG},
        {"authorization": f"Bearer {WRONG}"},
        {"authorization": f"bearer  {WRONG} "},
        {"x-api-key": "lsv2_pt_of_another_service", "authorization": f"Bearer {WRONG}"},
        {"x-api-key": WRONG, "authorization": "Basic YTpi"},
    ],
)
def test_a_key_comes_in_either_header(headers: dict[str, str]) -> None:
    assert presented(headers) == WRONG


@pytest.mark.parametrize("headers", [{}, {"x-api-key": ""}, {"authorization": "Basic YTpi"}, {"authorization": ""}])
def test_a_request_without_a_key_is_told_how_to_send_one(headers: dict[str, str]) -> None:
    with pytest.raises(Unauthenticated, match="x-api-key"):
        presented(headers)
    assert Unauthenticated().status_code == 401


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "weft_",
        WRONG[:-1],
        WRONG + "A",
        f"{WRONG},{WRONG}",
        WRONG.replace("A", "é"),
        "\0",
        "weft_" + "A" * 1_000_000,
    ],
)
async def test_what_has_not_the_form_of_a_key_is_refused_without_a_look_up(
    text: str, django_assert_num_queries: Any
) -> None:
    with pytest.raises(Unauthenticated, match="Invalid API key"):
        presented({"x-api-key": text})
    assert not keys.keyring()._wanted


# --- what becomes of a key --------------------------------------------------------------------------------------------


async def test_a_key_says_who_calls_for_whom_and_what_they_may() -> None:
    tenant = await in_thread(Tenant.objects.create, slug="acme")
    scope: Any = {"headers": [(b"x-api-key", (await made("ci", tenant=tenant, scopes=["store:*"])).encode())]}
    caller = await keys.caller_by_key(scope)
    assert (caller.user.display_name, caller.tenant, caller.unbound) == ("ci", "acme", False)
    assert caller.user.identity == str((await in_thread(ApiKey.objects.get)).key_id)
    require_scope(caller, "store", "put")
    with pytest.raises(Forbidden, match="threads:read"):
        require_scope(caller, "threads", "read")
    assert (await verified(await made())).caller.scopes == frozenset("*")
    caller.asked.add(("store", "put"))
    assert not (await keys.caller_by_key(scope)).asked, "what one request was asked for counts for another"


async def test_only_its_digest_is_kept() -> None:
    text = await made()
    row: Any = await in_thread(ApiKey.objects.values().get)
    secret = text.rpartition("_")[2]
    assert FORM.fullmatch(text) and row["digest"] == digest_of(text)
    assert not any(secret in str(value) for value in row.values())


async def test_a_wrong_key_is_refused_whether_its_name_is_known_or_not() -> None:
    text = await made()
    stolen_prefix = text[: -len("A" * 43)] + "A" * 43
    assert await refusal(stolen_prefix) == await refusal(WRONG) == "Invalid API key"


async def test_a_revoked_key_is_refused_within_the_time_it_is_remembered(settings: Any) -> None:
    settings.API_KEY_CACHE_SECONDS = 0.3
    text = await made()
    key = await verified(text)
    assert await in_thread(revoke_key, SYSTEM, await in_thread(ApiKey.objects.get, pk=key.key_id), "leaked")
    async with asyncio.timeout(0.3 + 2):
        while True:
            try:
                await verified(text)
            except Unauthenticated as refused:
                assert "revoked" in str(refused.detail)
                break
            await asyncio.sleep(0.02)
    assert not await in_thread(revoke_key, SYSTEM, await in_thread(ApiKey.objects.get, pk=key.key_id))


async def test_a_key_expires_though_it_is_remembered() -> None:
    text = await made(expires_at=timezone.now() + timedelta(seconds=0.5))
    await verified(text)
    await asyncio.sleep(0.6)
    assert "expired" in await refusal(text)


async def test_a_rotated_key_is_good_until_its_overlap_is_over_and_its_successor_is_the_same_caller() -> None:
    old = await made("ci", scopes=["threads:read"])
    issued = await in_thread(rotate_key, SYSTEM, await in_thread(ApiKey.objects.get), timedelta(seconds=0.5))
    before, after = await verified(old), await verified(issued.text)
    assert before.caller == after.caller
    assert before.key_id != after.key_id and issued.text != old
    await asyncio.sleep(0.6)
    assert "expired" in await refusal(old)
    await verified(issued.text)


async def test_only_an_active_key_can_be_rotated() -> None:
    await made()
    key = await in_thread(ApiKey.objects.get)
    issued = await in_thread(rotate_key, SYSTEM, key)
    with pytest.raises(NotRotatable, match="rotated"):
        await in_thread(rotate_key, SYSTEM, key)
    await in_thread(revoke_key, SYSTEM, issued.key)
    with pytest.raises(NotRotatable, match="revoked"):
        await in_thread(rotate_key, SYSTEM, issued.key)


@pytest.mark.parametrize("scopes", [[], [""], ["threads"], ["threads:put"], ["*:read"], ["threads: read"]])
def test_a_scope_that_is_none_is_refused_when_a_key_is_made(scopes: list[str]) -> None:
    with pytest.raises(Invalid):
        create_key(SYSTEM, "ci", scopes=scopes)
    assert not ApiKey.objects.exists() and not AuditEntry.objects.exists()


def test_what_is_done_to_a_key_is_in_the_audit_log() -> None:
    issued = create_key(SYSTEM, "ci")
    rotate_key(SYSTEM, issued.key)
    revoke_key(SYSTEM, issued.key, "leaked")
    history = [(entry.action, entry.reason) for entry in AuditEntry.objects.about(issued.key)]
    assert history == [("revoke", "leaked"), ("rotate", ""), ("create", "")]


# --- what a process remembers -----------------------------------------------------------------------------------------


async def test_keys_are_asked_for_together_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    find = keys.find

    def counted(digests: Any) -> Any:
        asked.append(len(digests))
        time.sleep(0.05)
        return find(digests)

    monkeypatch.setattr(keys, "find", counted)
    good, ring = await made(), Keyring()
    digests = [digest_of(good)] * 50 + [digest_of(f"wrong {number}") for number in range(1000)]
    answers = await asyncio.gather(*map(ring.verify, digests), return_exceptions=True)
    assert sum(isinstance(answer, VerifiedKey) for answer in answers) == 50
    assert sum(asked) == 1001 and len(asked) <= 4, "a query at a time, and none twice"
    await asyncio.gather(*map(ring.verify, digests), return_exceptions=True)
    assert sum(asked) == 1001, "wrong keys are remembered too"


async def test_what_is_remembered_is_bounded_and_wrong_keys_push_no_good_one_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(keys, "MOST_KEYS", 10)
    good, ring = digest_of(await made()), Keyring()
    await ring.verify(good)
    for number in range(30):
        with pytest.raises(Unauthenticated):
            await ring.verify(f"{number}")
    assert (len(ring._bad), list(ring._good)) == (10, [good])


async def test_who_leaves_takes_nobody_elses_answer_along() -> None:
    good, ring = digest_of(await made()), Keyring()
    leaving, staying = asyncio.create_task(ring.verify(good)), asyncio.create_task(ring.verify(good))
    await asyncio.sleep(0)
    leaving.cancel()
    assert (await staying).ends_at == float("inf")


async def test_too_many_look_ups_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "MOST_WAITING", 5)
    ring = Keyring()
    answers = await asyncio.gather(*(ring.verify(f"{number}") for number in range(8)), return_exceptions=True)
    assert [type(answer).__name__ for answer in answers].count("TooManyLookups") == 3


async def test_its_last_use_is_written_at_most_once_a_minute_and_not_by_the_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(keys, "USE_GATHERED_SECONDS", 0.05)
    digest = digest_of(await made())
    ring = Keyring()
    await ring.verify(digest)
    assert (await in_thread(ApiKey.objects.get)).last_used_at is None
    async with asyncio.timeout(5):
        while (first := (await in_thread(ApiKey.objects.get)).last_used_at) is None:
            await asyncio.sleep(0.02)
    for again in (ring, Keyring()):  # this process, and another
        await again.verify(digest)
    await asyncio.sleep(0.3)
    assert (await in_thread(ApiKey.objects.get)).last_used_at == first
    await in_thread(ApiKey.objects.update, last_used_at=timezone.now() - timedelta(seconds=61))
    await Keyring().verify(digest)
    await asyncio.sleep(0.3)
    last = (await in_thread(ApiKey.objects.get)).last_used_at
    assert last and last > first


# --- at the terminal --------------------------------------------------------------------------------------------------


def command(*arguments: str) -> tuple[str, str]:
    out, said = io.StringIO(), io.StringIO()
    call_command("apikey", *arguments, stdout=out, stderr=said)
    return out.getvalue(), said.getvalue()


def test_the_command_makes_rotates_and_revokes() -> None:
    out, said = command("create", "ci", "--tenant=acme", "--scope=threads:read", "--days=30")
    assert FORM.fullmatch(out.strip()) and "acme" in said
    key = ApiKey.objects.get()
    assert (key.name, key.tenant, key.scopes) == ("ci", Tenant.objects.get(slug="acme"), ["threads:read"])
    assert key.expires_at and key.expires_at - timezone.now() < timedelta(days=30)
    assert key.prefix in command("list")[0] and "active" in command("list")[0]
    successor = command("rotate", key.prefix, "--overlap-hours=1")[0].strip()
    command("revoke", successor, "--reason=test")  # the whole of it is taken too
    assert ApiKey.objects.get(digest=digest_of(successor)).state == KeyState.REVOKED
    assert ApiKey.objects.get(pk=key.pk).state == KeyState.ROTATED
    for wrong in (("revoke", "weft_nothing0"), ("revoke", successor), ("create", " "), ("create", "a", "--scope=b")):
        with pytest.raises(CommandError):
            command(*wrong)


# --- nobody else sees it ----------------------------------------------------------------------------------------------


async def test_no_secret_is_logged_or_audited(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    text = await made()
    issued = await in_thread(rotate_key, SYSTEM, await in_thread(ApiKey.objects.get))
    await verified(text)
    await refusal(WRONG)
    await in_thread(revoke_key, SYSTEM, issued.key)
    written = "".join(str(entry) for entry in await in_thread(lambda: list(AuditEntry.objects.values())))
    for secret in (text, issued.text, WRONG):
        for place in (caplog.text, written, repr(issued)):
            assert secret.rpartition("_")[2] not in place
    assert re.search(r"weft_\w{8}", written)


async def test_a_server_that_asks_for_keys_lets_the_sdk_in_and_shows_no_secret(tmp_path: Path) -> None:
    with live_server(tmp_path, WEFT_AUTH="keys", LOG_LEVEL="DEBUG") as server:

        def manage(*arguments: str) -> str:
            argv = [sys.executable, "manage.py", "apikey", *arguments]
            return subprocess.check_output(argv, cwd=ROOT, env=server.environment, text=True).strip()

        full, narrow = manage("create", "full"), manage("create", "narrow", "--scope=threads:search")
        async with get_client(url=server.url, api_key=full) as client:
            thread = await client.threads.create()
            assert (await client.runs.wait(thread["thread_id"], "echo", input={"text": "hello"})) is not None
        async with httpx.AsyncClient(base_url=server.url, timeout=30) as http:
            assert (await http.get("/ok")).status_code == 200
            search = "/threads/search"
            for headers in ({}, {"x-api-key": WRONG}, {"x-api-key": "x" * 60_000}, {"authorization": "Bearer é"}):
                sent = {name.encode(): value.encode() for name, value in headers.items()}
                answer = await http.post(search, json={}, headers=sent)
                assert answer.status_code == 401 and "API key" in wire.detail(answer), headers
                assert answer.headers["WWW-Authenticate"] == "Bearer"
            bearer = {"authorization": f"Bearer {narrow}"}
            assert (await http.post(search, json={}, headers=bearer)).status_code == 200
            refusal = await http.post("/threads", json={}, headers=bearer)
            assert refusal.status_code == 403 and "threads:create" in wire.detail(refusal)
        written = server.log.read_text()
        assert "threads" in written
        for secret in (full, narrow, WRONG):
            assert secret.rpartition("_")[2] not in written
