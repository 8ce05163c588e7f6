"""One attempt: connect to a checked address, send, and say how it went. Touches no row.

A receiver that has moved says so by 307 or 308; where it leads is checked and pinned like the URL itself.
"""

import asyncio
import ssl
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from email.utils import parsedate_to_datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpx
from django.conf import settings
from django.utils import timezone

from config.outbound import NameNotResolved, UrlPolicy, UrlRefused, checked_addresses

ANSWER_BYTES = 4096
BODY_SECONDS = 5.0  # for what of the answer is kept, once its status is known
CONNECT_SECONDS = 5.0
ADDRESSES_TRIED = 3
GONE = 410
SAME_REQUEST = (307, 308)  # redirects by which a POST stays one
MOST_REDIRECTS = 5


class RedirectRefused(Exception):
    """A redirect leads where no request may follow, whatever is there."""


@dataclass
class Attempt:
    """How an attempt went. `failure` is empty on success; docs/webhooks.md names the others."""

    url: str
    redirects: list[str] = field(default_factory=list)  # where it was sent on to
    at: str = field(default_factory=lambda: timezone.now().isoformat())
    milliseconds: int = 0
    status: int | None = None
    failure: str = ""
    detail: str = ""
    answer: str = ""  # the first ANSWER_BYTES
    request_headers: dict[str, str] = field(default_factory=dict)
    answer_headers: dict[str, str] = field(default_factory=dict)
    retry_after: float | None = None  # seconds

    def document(self) -> dict[str, Any]:
        """As it is kept."""
        return asdict(self)


class PinnedTransport(httpx.AsyncBaseTransport):
    """Connects to an address that was checked, not to whatever a second look-up would say.

    Host header, SNI and the name in the certificate stay those of the URL. Every request has a connection of its own:
    one that was opened for a name must not carry requests for another.
    """

    def __init__(self, policy: UrlPolicy) -> None:
        self.policy = policy
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        self.inner = httpx.AsyncHTTPTransport(verify=httpx.create_ssl_context(), limits=limits)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send it. Raises UrlRefused, and what httpx raises."""
        addresses = await checked_addresses(str(request.url), self.policy)
        extensions = {**request.extensions, "sni_hostname": request.url.raw_host.decode("ascii")}
        for address in addresses[:ADDRESSES_TRIED]:
            pinned = httpx.Request(
                request.method,
                request.url.copy_with(host=address),
                headers=request.headers,
                stream=request.stream,
                extensions=extensions,
            )
            try:
                return await self.inner.handle_async_request(pinned)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                failed = error
        raise failed

    async def aclose(self) -> None:
        """Close what is open."""
        await self.inner.aclose()


def client(policy: UrlPolicy) -> httpx.AsyncClient:
    """What sends. No proxy, no cookies, no redirect that `send` has not looked at."""
    timeout = httpx.Timeout(settings.WEBHOOK_TIMEOUT_SECS, connect=min(CONNECT_SECONDS, settings.WEBHOOK_TIMEOUT_SECS))
    none = CookieJar(DefaultCookiePolicy(allowed_domains=()))  # httpx would send one receiver's to all of its host
    return httpx.AsyncClient(
        transport=PinnedTransport(policy), timeout=timeout, trust_env=False, follow_redirects=False, cookies=none
    )


async def send(
    sender: httpx.AsyncClient, url: str, body: bytes, headers: dict[str, str], secret: dict[str, str]
) -> Attempt:
    """POST the body; takes WEBHOOK_TIMEOUT_SECS and a little more at most. Never raises but for cancellation.

    `secret` headers are for the URL's own origin; no redirect carries them to another.
    """
    attempt, started = Attempt(url), time.monotonic()
    try:
        async with asyncio.timeout(settings.WEBHOOK_TIMEOUT_SECS):
            response = await _sent(sender, attempt, body, headers, secret)
        await _take(attempt, response)
    except Exception as error:
        attempt.failure, attempt.detail = _name_of(error), _detail_of(error)
    attempt.milliseconds = round((time.monotonic() - started) * 1000)
    return attempt


async def _sent(
    sender: httpx.AsyncClient, attempt: Attempt, body: bytes, headers: dict[str, str], secret: dict[str, str]
) -> httpx.Response:
    """The answer to the request, of the last receiver it was sent on to. Raises RedirectRefused."""
    first = target = httpx.URL(attempt.url)
    while True:
        allowed = secret if _origin(target) == _origin(first) else {}
        request = sender.build_request("POST", target, content=body, headers={**allowed, **headers})
        attempt.request_headers = dict(request.headers)
        response = await sender.send(request, stream=True)
        if response.status_code not in SAME_REQUEST or "location" not in response.headers:
            return response
        await response.aclose()
        target = _onward(target, response.headers["location"])
        attempt.redirects.append(str(target)[:1000])
        if len(attempt.redirects) > MOST_REDIRECTS:
            raise RedirectRefused(f"more than {MOST_REDIRECTS} redirects")


def _onward(url: httpx.URL, location: str) -> httpx.URL:
    """Where a redirect leads; httpx has seen that it is a URL. Raises RedirectRefused where it gives up TLS."""
    target = url.join(location)
    if url.scheme == "https" and target.scheme != "https":
        raise RedirectRefused(f"from https to {str(target)[:1000]}")
    return target


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


async def _take(attempt: Attempt, response: httpx.Response) -> None:
    """The answer: its status decides, of its body only the beginning is read."""
    attempt.status = response.status_code
    attempt.answer_headers = {name: text[:1000] for name, text in list(response.headers.items())[:50]}
    attempt.retry_after = _seconds(response.headers.get("retry-after", ""))
    if response.is_redirect:
        attempt.failure, attempt.detail = "redirected", f"to {response.headers.get('location', '')[:1000]}"
    elif attempt.status == GONE:
        attempt.failure = "gone"
    elif not response.is_success:
        attempt.failure = "bad_status"
    read = b""
    try:
        with suppress(httpx.HTTPError, TimeoutError):
            async with asyncio.timeout(BODY_SECONDS):
                async for chunk in response.aiter_raw(ANSWER_BYTES):
                    read += chunk
                    if len(read) >= ANSWER_BYTES:
                        break
    finally:
        with suppress(httpx.HTTPError):
            await response.aclose()
    attempt.answer = read[:ANSWER_BYTES].decode("utf-8", "replace")


def _seconds(retry_after: str) -> float | None:
    """What `Retry-After` asks for: seconds, or a date."""
    if retry_after.strip().isdigit():
        return float(retry_after.strip()[:9])
    try:
        when = parsedate_to_datetime(retry_after)
        return max((when - timezone.now()).total_seconds(), 0.0)
    except (ValueError, TypeError):
        return None


def _name_of(error: Exception) -> str:
    """The failure's name, by what is behind httpx's error."""
    causes = list(_chain(error))
    for kind, name in (
        (RedirectRefused, "redirected"),
        (NameNotResolved, "dns_lookup_failed"),
        (UrlRefused, "blocked_address"),
        ((TimeoutError, httpx.TimeoutException), "timed_out"),
        (ssl.SSLError, "tls_failed"),
        (ConnectionRefusedError, "connection_refused"),
        (httpx.ConnectError, "connection_failed"),
        (httpx.TransportError, "connection_lost"),
    ):
        if any(isinstance(cause, kind) for cause in causes):
            return name
    return "not_sent"


def _chain(error: BaseException | None) -> Any:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _detail_of(error: Exception) -> str:
    if isinstance(error, UrlRefused):
        return f"{error.detail} ({error.address})" if error.address else str(error.detail)
    return f"{type(error).__name__}: {error}"[:500]
