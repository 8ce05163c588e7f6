"""Django's middleware for people's pages, made to step aside on API paths, and the one that turns errors to JSON.

Django runs each of its stock middleware in a thread hop of its own under ASGI; an API request would pay for seven of
them and needs none.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from django.conf import settings
from django.contrib.auth import middleware as auth
from django.contrib.messages import middleware as messages
from django.contrib.sessions import middleware as sessions
from django.db import connection
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.middleware import clickjacking, common, csrf, security
from django.utils.deprecation import MiddlewareMixin

from config.errors import respond

POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
STRICT_POLICY = f"{POLICY}; script-src 'self'; style-src 'self'"
UNFOLD_POLICY = f"{POLICY}; script-src 'self' 'unsafe-eval'; style-src 'self' 'unsafe-inline'"


def is_page(request: HttpRequest) -> bool:
    """Whether the path belongs to people's pages, not to the API."""
    return request.path_info.startswith(settings.PAGES_PREFIXES)


class PagesOnly:
    """Mixin for a MiddlewareMixin class: API requests go straight to the next layer."""

    get_response: Callable[[HttpRequest], Any]

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if is_page(request):
            return super().__call__(request)  # type: ignore[misc,no-any-return]
        return self.get_response(request)  # type: ignore[no-any-return]


class GiveBackConnection(PagesOnly, MiddlewareMixin):
    """Puts the page's database connection back into the pool; the outermost layer, so that all others are done."""

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """After everything else; a transaction that is still open is its owner's business."""
        if not connection.in_atomic_block:
            connection.close()
        return response


class SecurityMiddleware(PagesOnly, security.SecurityMiddleware):
    """HTTPS redirect, HSTS, nosniff and referrer policy for pages."""


class SessionMiddleware(PagesOnly, sessions.SessionMiddleware):
    """Signed-in people."""


class CommonMiddleware(PagesOnly, common.CommonMiddleware):
    """Content-Length and forbidden user agents for pages."""


class CsrfViewMiddleware(PagesOnly, csrf.CsrfViewMiddleware):
    """Forms of pages. The API uses no cookies, so it has nothing to forge."""

    async def process_view(  # type: ignore[override]
        self, request: HttpRequest, callback: Any, callback_args: Any, callback_kwargs: Any
    ) -> HttpResponse | None:
        """Check pages only. Async so that Django does not wrap it in a thread hop; the check does no I/O."""
        if not is_page(request):
            return None
        return super().process_view(request, callback, callback_args, callback_kwargs)


class AuthenticationMiddleware(PagesOnly, auth.AuthenticationMiddleware):
    """`request.user` of pages."""


class MessageMiddleware(PagesOnly, messages.MessageMiddleware):
    """One-time notices of pages."""


class XFrameOptionsMiddleware(PagesOnly, clickjacking.XFrameOptionsMiddleware):
    """No page of ours inside another's frame."""


class ContentSecurityPolicyMiddleware(PagesOnly, MiddlewareMixin):
    """What a page may load and run: nothing of other hosts, nothing written into it.

    The admin's pages of rows are unfold's: its Alpine evaluates the expressions in its templates, so they get
    'unsafe-eval', and styles. No page of ours does (docs/decisions/0041).
    """

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """The strict policy for whatever is not known to be unfold's."""
        match = request.resolver_match
        unfolds = match is not None and match.app_name == "admin"
        response.headers.setdefault("Content-Security-Policy", UNFOLD_POLICY if unfolds else STRICT_POLICY)
        return response


class ErrorMiddleware(MiddlewareMixin):
    """Answers for exceptions of async views in the shape every client expects; pages keep Django's own."""

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """`{"detail": ...}` for the API, nothing for pages."""
        return None if is_page(request) else respond(exception)
