"""Where webhooks may go: the rules for URLs and addresses, and the section of langgraph.json that changes them.

No name is looked up here but by a stub, and nothing is sent.
"""

import asyncio
import ipaddress
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from langgraph_sdk.client import LangGraphClient

from config import outbound
from config.outbound import NameNotResolved, UrlPolicy, UrlRefused, check_url, checked_addresses
from config.webhook_section import STRICT, webhook_section
from tests.wire import detail, new_thread

OPEN = UrlPolicy()
PUBLIC = "93.184.215.14"
Resolver = Callable[..., None]


@pytest.fixture
def resolves(monkeypatch: pytest.MonkeyPatch) -> Iterator[Resolver]:
    """Say what the next look-ups of any name give: an address, or several. Asserts that no more are made."""
    answers: list[tuple[str, ...]] = []

    def lookup(host: str) -> list[str]:
        try:
            return [str(ipaddress.ip_address(host))]
        except ValueError:
            assert answers, f"{host} is looked up"
            found = answers.pop(0)
            if not found:
                raise NameNotResolved from None
            return list(found)

    def resolves(*addresses: str) -> None:
        answers.append(addresses)

    monkeypatch.setattr(outbound, "lookup", lookup)
    yield resolves
    assert not answers, "not looked up"


def refusal(url: str, policy: UrlPolicy = OPEN) -> str:
    """Why the URL is refused, at submit and at send alike."""
    with pytest.raises(UrlRefused) as at_submit:
        check_url(url, policy)
    return str(at_submit.value.detail)


def test_a_public_address_is_accepted(resolves: Resolver) -> None:
    resolves(PUBLIC)
    check_url("https://hooks.example/x?y#z", OPEN)
    check_url(f"http://{PUBLIC}:8080", OPEN)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://a.example/" + "x" * 4096, "Webhook URL too long"),
        ("/noauth/hook", "Webhook must be an absolute URL"),
        ("http:///path", "Invalid webhook hostname ''"),
        ("hooks.example", "Invalid webhook hostname ''"),
        ("ftp://hooks.example/x", "Webhook host blocked: scheme 'ftp' not allowed"),
        ("http://1.2.3.4:99999/", "Webhook port 99999 not allowed"),
        ("http://localhost:8000/", "Webhook host blocked: localhost address"),
        ("http://LocalHost./", "Webhook host blocked: localhost address"),
        ("http://host.docker.internal/", "Webhook host blocked: localhost address"),
        ("http://metadata.google.internal/computeMetadata", "Webhook host blocked: cloud metadata endpoint"),
        ("http://api.default.svc.cluster.local/", "Webhook host blocked: Kubernetes internal DNS"),
        ("http://evil.example\\@127.0.0.2/", "Webhook host blocked: loopback IP range"),
    ],
    ids=lambda text: text[:40],
)
def test_a_url_is_refused_with_its_reason(resolves: Resolver, url: str, reason: str) -> None:
    assert refusal(url) == reason


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("127.0.0.2", "loopback IP range"),
        ("::1", "blocked IP range"),
        ("0.0.0.0", "blocked IP range"),
        ("169.254.169.254", "blocked IP range"),
        ("224.0.0.1", "blocked IP range"),
        ("255.255.255.255", "blocked IP range"),
        ("198.18.0.1", "blocked IP range"),
        ("fe80::1", "blocked IP range"),
        ("::ffff:93.184.215.14", "blocked IP range"),
        ("64:ff9b::7f00:1", "blocked IP range"),
        ("10.0.0.5", "private IP range"),
        ("172.31.255.255", "private IP range"),
        ("192.168.1.1", "private IP range"),
        ("100.100.100.200", "private IP range"),
        ("fd00:ec2::254", "private IP range"),
    ],
)
def test_an_address_is_refused_with_its_reason(resolves: Resolver, address: str, reason: str) -> None:
    """Unlike the reference, private ranges are refused by default (contract/platform.md trap 10)."""
    host = f"[{address}]" if ":" in address else address
    assert refusal(f"http://{host}/") == f"Webhook host blocked: {reason}"
    resolves(PUBLIC, address)
    assert refusal("http://two.example/") == f"Webhook host blocked: {reason}", "only the first address was checked"


# What getaddrinfo makes of a host is what is checked and connected to, so every spelling of an address is seen through.
INSIDE = [
    # 127.0.0.1, in numbers of other bases and lengths
    "http://2130706433/",
    "http://0x7f000001/",
    "http://017700000001/",
    "http://0x7f.0.0.1/",
    "http://0177.0.0.1/",
    "http://0x7f.0x0.0x0.0x1/",
    "http://127.1/",
    "http://127.0.1/",
    "http://127.65535/",
    "http://0x7f.1/",
    "http://00000177.1/",
    "http://127.0.0.1./",
    # 0.0.0.0, which connects to loopback
    "http://0/",
    "http://0x0/",
    "http://0.0/",
    "http://0.0.0.0./",
    # the metadata service
    "http://2852039166/",
    "http://0xa9fea9fe/",
    "http://0251.0376.0251.0376/",
    "http://169.16689662/",
    "http://0xa9.0xfe.0xa9.0xfe/",
    "http://169.254.43518/",
    # private ranges
    "http://167772165/",
    "http://0xc0a80101/",
    "http://192.168.257/",
    "http://012.1/",
    "http://172.16.1/",
    "http://100.64.1/",
    # IPv6: loopback, mapped, compatible, translated, local
    "http://[::1]/",
    "http://[0:0:0:0:0:0:0:1]/",
    "http://[0000:0000:0000:0000:0000:0000:0000:0001]/",
    "http://[::]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[0:0:0:0:0:ffff:127.0.0.1]/",
    "http://[::127.0.0.1]/",
    "http://[::ffff:10.0.0.5]/",
    "http://[::ffff:169.254.169.254]/",
    "http://[64:ff9b::127.0.0.1]/",
    "http://[64:ff9b::a9fe:a9fe]/",
    "http://[64:ff9b:1::7f00:1]/",
    "http://[fe80::1]/",
    "http://[fe80::1%25lo]/",
    "http://[fe80::1%25eth0]/",
    "http://[::1%25lo]/",
    "http://[fc00::1]/",
    "http://[fd12:3456:789a::1]/",
    "http://[fd00:ec2::254]/",
    "http://[ff02::1]/",
    "http://[2002:7f00:1::]/",
    "http://[2002:a9fe:a9fe::]/",
    "http://[2001:0:1:2:3:4:80ff:fffe]/",
    # user names that look like hosts, and what some parsers take for the end of one
    "http://hooks.example@127.0.0.1/",
    "http://hooks.example:80@127.0.0.1/",
    "http://hooks.example%40127.0.0.1@10.0.0.5/",
    "http://hooks.example\\@127.0.0.1/",
    "http://127.0.0.1:80\\@hooks.example/",
    "http://127.0.0.1#@hooks.example/",
    "http://127.0.0.1?@hooks.example/",
    "http://127.0.0.1/@hooks.example",
    "http://127.0.0.1%2f@hooks.example/",
    "http://127.0.0.1%00.hooks.example/",
    "http://127.0.0.1 .hooks.example/",
    # letters, digits and dots of other scripts
    "http://127。0。0。1/",
    "http://127.0.0.1/",
    "http://１２７.０.０.１/",
    "http://①②⑦.⓪.⓪.①/",
    "http://ｌｏｃａｌｈｏｓｔ/",
    "http://locaⓁhost/",
    "http://localhost。/",
    "http://%6c%6f%63%61%6c%68%6f%73%74/",
    "http://%31%32%37.0.0.1/",
    # names
    "http://LOCALHOST/",
    "http://localhost.localdomain./",
    "http://METADATA.google.internal./",
    "http://instance-data/latest/meta-data",
    "http://kubernetes.default.svc.cluster.local./",
    # schemes and spaces
    "HTTP://127.0.0.1/",
    "http:127.0.0.1/",
    "http:/127.0.0.1/",
    "//127.0.0.1/",
    "http:///127.0.0.1/",
    "\thttp://127.0.0.1/",
    " http://127.0.0.1/",
    "http://127.0.0.1\r\nHost: hooks.example/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:6379/_INFO",
    "dict://127.0.0.1:11211/stats",
    "unix:///var/run/docker.sock",
    "javascript:alert(1)",
    "http+unix://%2Fvar%2Frun%2Fdocker.sock/info",
]


@pytest.mark.parametrize("url", INSIDE)
def test_no_spelling_leads_inside(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Refused at submit and at send; numbers are read by the system's own resolver, names are known to nobody."""

    def lookup(host: str) -> list[str]:
        try:
            found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        except (OSError, ValueError):
            raise NameNotResolved from None
        return [str(address[0]) for *_, address in found]

    monkeypatch.setattr(outbound, "lookup", lookup)
    refusal(url)
    with pytest.raises(UrlRefused):
        asyncio.run(checked_addresses(url, OPEN))


def test_what_leads_inside_is_tried_in_many_ways() -> None:
    assert len(set(INSIDE)) >= 60


def test_a_name_dns_does_not_know_is_refused(resolves: Resolver) -> None:
    resolves()
    assert refusal("http://nowhere.example/") == "Webhook host blocked: DNS resolution failed"


def test_private_addresses_may_be_allowed_and_metadata_addresses_may_not(resolves: Resolver) -> None:
    inside = replace(OPEN, disable_private_ips=False)
    check_url("http://10.0.0.5/", inside)
    assert refusal("http://100.100.100.200/", inside) == "Webhook host blocked: cloud metadata endpoint"
    assert refusal("http://[fd00:ec2::254]/", inside) == "Webhook host blocked: cloud metadata endpoint"


def test_loopback_may_be_allowed(resolves: Resolver) -> None:
    here = replace(OPEN, disable_loopback=False)
    check_url("http://localhost/", here)
    check_url("http://127.0.0.2/", here)
    assert refusal("/relative", here) == "Webhook must be an absolute URL"


def test_allowed_domains_are_exact_or_subdomains_and_need_no_look_up(resolves: Resolver) -> None:
    policy = replace(OPEN, allowed_domains=("hooks.example", "*.corp.example"))
    check_url("http://hooks.example/", policy)
    check_url("http://a.b.corp.example/", policy)
    for other in ("corp.example", "ahooks.example", "x.hooks.example", "10.0.0.1"):
        assert refusal(f"http://{other}/", policy) == "Webhook domain not allowed"


def test_ports_and_https_may_be_demanded(resolves: Resolver) -> None:
    policy = replace(OPEN, require_https=True, allowed_ports=(443, 8443))
    check_url(f"https://{PUBLIC}/", policy)
    check_url(f"https://{PUBLIC}:8443/", policy)
    assert refusal(f"http://{PUBLIC}/", policy) == "Webhook must use https"
    assert refusal(f"https://{PUBLIC}:444/", policy) == "Webhook port 444 not allowed"


def test_an_operator_may_allow_hosts_and_networks(resolves: Resolver, settings: Any) -> None:
    settings.WEBHOOK_ALLOWED_NETWORKS = (ipaddress.ip_network("10.1.0.0/16"),)
    settings.WEBHOOK_ALLOWED_HOSTS = ["hooks.svc.cluster.local"]
    check_url("http://10.1.2.3/", OPEN)
    check_url("http://hooks.svc.cluster.local/", OPEN)
    assert refusal("http://10.2.0.1/") == "Webhook host blocked: private IP range"
    assert refusal("http://other.svc.cluster.local/") == "Webhook host blocked: Kubernetes internal DNS"


def test_what_is_checked_when_sending_is_looked_up_once(resolves: Resolver) -> None:
    resolves(PUBLIC)
    assert asyncio.run(checked_addresses("http://hooks.example/", OPEN)) == [PUBLIC]
    resolves(PUBLIC, "10.0.0.5")
    with pytest.raises(UrlRefused) as refused:
        asyncio.run(checked_addresses("http://hooks.example/", OPEN))
    assert refused.value.address == "10.0.0.5"


def test_a_name_server_that_hangs_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    answered = threading.Event()

    def hang(host: str) -> list[str]:
        answered.wait(10)
        return [PUBLIC]

    monkeypatch.setattr(outbound, "DNS_SECONDS", 0.05)
    monkeypatch.setattr(outbound, "lookup", hang)
    try:
        assert refusal("http://slow.example/") == "Webhook host blocked: DNS resolution failed"
        with pytest.raises(NameNotResolved):
            asyncio.run(checked_addresses("http://slow.example/", OPEN))
    finally:
        answered.set()


# --- langgraph.json ---------------------------------------------------------------------------------------------------


def test_any_url_key_makes_https_a_must() -> None:
    """contract/platform.md 5.3"""
    assert webhook_section({}, {}).policy == OPEN
    assert webhook_section({"url": {}}, {}).policy == OPEN
    assert webhook_section({"url": {"disable_private_ips": False}}, {}).policy == replace(
        STRICT, disable_private_ips=False
    )


def test_headers_are_filled_in_from_the_environment() -> None:
    section = {"headers": {"Authorization": "a-${{ env.LG_WEBHOOK_TOKEN }}-${{env.LG_WEBHOOK_B}}"}}
    found = webhook_section(section, {"LG_WEBHOOK_TOKEN": "t", "LG_WEBHOOK_B": "b"})
    assert found.headers == {"Authorization": "a-t-b"}
    assert webhook_section({"env_prefix": "", "headers": {"x": "${{ env.HOME }}"}}, {"HOME": "h"}).headers == {"x": "h"}


@pytest.mark.parametrize(
    "section",
    [
        {"headers": {"x": "${{ env.OTHER }}"}},
        {"headers": {"x": "${{ env.LG_WEBHOOK_UNSET }}"}},
        {"headers": {"x": "${{ secrets.LG_WEBHOOK_A }}"}},
        {"headers": {"x": "${{ env.LG_WEBHOOK_A.B }}"}},
        {"headers": {"x": 1}},
        {"env_prefix": None},
        {"allowed_fields": ["status", "langsmith_session_name"]},
        {"url": {"allowed_domains": ["a.*.example"]}},
        {"url": {"allowed_domains": "a.example"}},
        {"url": {"require_https": "yes"}},
        {"url": {"allowed_ports": ["443"]}},
    ],
    ids=str,
)
def test_a_section_that_cannot_be_used_stops_the_start(section: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        webhook_section(section, {"LG_WEBHOOK_A": "a", "OTHER": "o"})


# --- at submit --------------------------------------------------------------------------------------------------------

ON_THREAD = ("/threads/{}/runs", "/threads/{}/runs/stream", "/threads/{}/runs/wait")
ALONE = ("/runs", "/runs/stream", "/runs/wait")


@pytest.mark.parametrize("path", [*ON_THREAD, *ALONE, "/runs/batch"])
async def test_a_bad_webhook_is_422_and_creates_nothing(
    sdk: LangGraphClient, http: httpx.AsyncClient, path: str
) -> None:
    thread_id, mark = await new_thread(sdk), {"mark": uuid.uuid4().hex}
    body = {"assistant_id": "echo", "webhook": "http://localhost:1/", "metadata": mark}
    sent: Any = [{**body, "webhook": None}, body] if path.endswith("batch") else body
    answer = await http.post(path.format(thread_id), json=sent)
    assert answer.status_code == 422
    assert detail(answer) == "Webhook host blocked: localhost address"
    assert (await http.post("/runs/count", json={"metadata": mark})).json() == 0
    assert (await sdk.threads.get(thread_id))["status"] == "idle"


async def test_a_bad_webhook_is_seen_before_the_thread_is_looked_for(http: httpx.AsyncClient) -> None:
    """contract/core.md 5.3"""
    missing = "/threads/00000000-0000-0000-0000-000000000001/runs"
    answer = await http.post(missing, json={"assistant_id": "echo", "webhook": "/x"})
    assert (answer.status_code, detail(answer)) == (422, "Webhook must be an absolute URL")
