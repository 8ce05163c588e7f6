"""Where this server may send requests to: the rules for URLs, and for the addresses behind their names.

Sends nothing; only asks DNS. Source: contract/platform.md 5.2 and 5.3.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotInTime
from dataclasses import dataclass

import httpx
from django.conf import settings

from config.errors import Invalid

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
DNS_SECONDS = 5.0
LOCAL_NAMES = {"localhost", "localhost.localdomain", "host.docker.internal"}
METADATA_NAMES = {"metadata.google.internal", "metadata.amazonaws.com", "metadata", "instance-data"}
METADATA_ADDRESSES = {
    ipaddress.ip_address(text) for text in ("169.254.169.254", "169.254.170.2", "100.100.100.200", "fd00:ec2::254")
}


def _networks(*texts: str) -> list[Network]:
    return [ipaddress.ip_network(text) for text in texts]


# Of no use to a receiver on the internet, whatever the policy; the IPv6 ones that wrap an IPv4 address among them.
NEVER = _networks(
    *("169.254.0.0/16", "0.0.0.0/8", "192.0.0.0/24", "192.0.2.0/24", "198.18.0.0/15", "198.51.100.0/24"),
    *("203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4", "fe80::/10", "ff00::/8", "::ffff:0:0/96", "::/96"),
    *("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "fec0::/10"),
)
LOOPBACK = _networks("127.0.0.0/8", "::1/128")
PRIVATE = _networks("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")

# A name server that hangs holds up these threads, never a web request or a sender for longer than DNS_SECONDS.
_resolvers = ThreadPoolExecutor(32, thread_name_prefix="dns")


class UrlRefused(Invalid):
    """A request must not go there. `address` is the one that breaks the rules, for operators only."""

    def __init__(self, detail: str, address: str = "") -> None:
        super().__init__(detail)
        self.address = address


class NameNotResolved(UrlRefused):
    """DNS knows no address for the host, or does not answer."""

    def __init__(self) -> None:
        super().__init__("Webhook host blocked: DNS resolution failed")


@dataclass(frozen=True)
class UrlPolicy:
    """Which URLs are accepted. Unlike the reference's, private addresses are refused unless it says otherwise."""

    require_https: bool = False
    max_url_length: int = 4096
    allowed_domains: tuple[str, ...] = ()
    allowed_ports: tuple[int, ...] = ()
    disable_loopback: bool = True
    disable_private_ips: bool = True


def check_url(url: str, policy: UrlPolicy) -> None:
    """Refuse a URL that requests must not be sent to. Asks DNS, for DNS_SECONDS at most. Raises UrlRefused."""
    host = _checked_host(url, policy)
    if not _is_trusted(host, policy):
        _check_name(host, policy)
        try:
            _check_addresses(_looked_up(host).result(DNS_SECONDS), policy)
        except NotInTime:
            raise NameNotResolved from None


async def checked_addresses(url: str, policy: UrlPolicy) -> list[str]:
    """The addresses to connect to for the URL, looked up once, every one of them checked. Raises UrlRefused."""
    host = _checked_host(url, policy)
    trusted = _is_trusted(host, policy)
    if not trusted:
        _check_name(host, policy)
    try:
        async with asyncio.timeout(DNS_SECONDS):
            addresses = await asyncio.wrap_future(_looked_up(host))
    except TimeoutError:
        raise NameNotResolved from None
    if not trusted:
        _check_addresses(addresses, policy)
    return addresses


def lookup(host: str) -> list[str]:
    """The addresses of a host name, or the address itself. Raises NameNotResolved."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, ValueError):
        raise NameNotResolved from None
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def _looked_up(host: str) -> "Future[list[str]]":
    return _resolvers.submit(lookup, host)


def _checked_host(url: str, policy: UrlPolicy) -> str:
    """The host of a URL that is well formed and fits the policy, as DNS knows it."""
    if len(url) > policy.max_url_length:
        raise UrlRefused("Webhook URL too long")
    if url.startswith("/"):
        raise UrlRefused("Webhook must be an absolute URL")
    try:
        # Parsed by what sends, so that nobody can show us one host and the sender another.
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, ValueError) as error:
        raise UrlRefused(f"Invalid webhook URL: {error}") from None
    if policy.require_https and parsed.scheme != "https":
        raise UrlRefused("Webhook must use https")
    port = parsed.port or (443 if parsed.scheme == "https" else 80)
    if not 0 < port < 65536 or (policy.allowed_ports and port not in policy.allowed_ports):
        raise UrlRefused(f"Webhook port {port} not allowed")
    host = parsed.raw_host.decode("ascii").strip("[]").rstrip(".").lower()
    if not host:
        raise UrlRefused("Invalid webhook hostname ''")
    if policy.allowed_domains and not _is_named(host, policy.allowed_domains):
        raise UrlRefused("Webhook domain not allowed")
    if parsed.scheme not in ("http", "https"):
        raise UrlRefused(f"Webhook host blocked: scheme '{parsed.scheme}' not allowed")
    return host


def _is_named(host: str, names: Iterable[str]) -> bool:
    """Whether the host is one of the names, or a subdomain of one that starts with `*.`."""
    return any(host.endswith(name[1:]) if name.startswith("*.") else host == name for name in map(str.lower, names))


def _is_trusted(host: str, policy: UrlPolicy) -> bool:
    """Whether an operator has named the host, and so its addresses may be any."""
    if host in LOCAL_NAMES and not policy.disable_loopback:
        return True
    return _is_named(host, (*policy.allowed_domains, *settings.WEBHOOK_ALLOWED_HOSTS))


def _check_name(host: str, policy: UrlPolicy) -> None:
    if host in LOCAL_NAMES and policy.disable_loopback:
        raise UrlRefused("Webhook host blocked: localhost address")
    if host in METADATA_NAMES:
        raise UrlRefused("Webhook host blocked: cloud metadata endpoint")
    if host.endswith(".svc.cluster.local"):
        raise UrlRefused("Webhook host blocked: Kubernetes internal DNS")


def _check_addresses(texts: list[str], policy: UrlPolicy) -> None:
    for text in texts:
        reason = _reason_against(ipaddress.ip_address(text), policy)
        if reason:
            raise UrlRefused(f"Webhook host blocked: {reason}", address=text)


def _reason_against(address: Address, policy: UrlPolicy) -> str:
    """Why no request may go to the address; "" when one may."""
    if _is_in(address, settings.WEBHOOK_ALLOWED_NETWORKS):
        return ""
    if _is_in(address, NEVER):
        return "blocked IP range"
    if policy.disable_loopback and _is_in(address, LOOPBACK):
        return "loopback IP range"
    if policy.disable_private_ips and _is_in(address, PRIVATE):
        return "private IP range"
    return "cloud metadata endpoint" if address in METADATA_ADDRESSES else ""


def _is_in(address: Address, networks: Iterable[Network]) -> bool:
    return any(address in network for network in networks)
