"""How a page of the console is put into its frame. Knows no page by name; console/urls.py does."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from config.errors import error_response
from config.middleware import is_page
from console.roles import Role, role_of


@dataclass(frozen=True)
class Crumb:
    """A page above the one shown."""

    title: str
    url: str


@dataclass(frozen=True)
class Page:
    """What the frame says around a page's content."""

    title: str
    crumbs: tuple[Crumb, ...] = ()
    subtitle: str = ""
    topic: str = ""  # the live topic that tells how old what is shown may be


def show(request: HttpRequest, template: str, page: Page, status: int = 200, **context: Any) -> HttpResponse:
    """Render a template that extends `console/page.html`.

    It has beside its own context `page`, `role` and, for conditions, `may_respond`, `may_operate`, `may_administer`.
    """
    role = role_of(request.user)
    frame = {
        "page": page,
        "title": page.title,
        "site_title": settings.UNFOLD["SITE_TITLE"],
        "role": role,
        "may_respond": role >= Role.RESPONDER,
        "may_operate": role >= Role.OPERATOR,
        "may_administer": role >= Role.ADMIN,
    }
    return render(request, template, {**frame, **context}, status=status)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    """403: a page that says what is missing, or JSON where no person looks."""
    if not is_page(request):
        return error_response(403, HTTPStatus.FORBIDDEN.phrase)
    reason = str(exception) or "You may not do this."
    return show(request, "console/forbidden.html", Page("Not allowed"), status=403, reason=reason)
