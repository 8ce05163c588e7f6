"""Settings & doctor: what is wrong with the installation and how it is cured, and what settings are in effect.

The same as `manage.py doctor` says. Changes nothing.
"""

from collections.abc import Iterator

from django.db import OperationalError
from django.http import HttpRequest, HttpResponse
from redis.exceptions import RedisError

from console import configuration
from console.diagnosis import Finding, examine
from console.pages import Page, show
from console.roles import needs


@needs("viewer")
def page(request: HttpRequest) -> HttpResponse:
    """/admin/doctor/; for admins with the settings, with `?defaults=1` also those nobody gave."""
    findings = sorted(_findings(), key=_rank)
    wrong = sum(bool(finding.cure) and finding.serious for finding in findings)
    subtitle = "Nothing is wrong" if not wrong else f"{wrong} {'thing is' if wrong == 1 else 'things are'} wrong"
    defaults = bool(request.GET.get("defaults"))
    return show(
        request,
        "console/doctor.html",
        Page("Settings & doctor", subtitle=subtitle),
        findings=findings,
        settings=list(configuration.effective(defaults=defaults)),
        remarks=configuration.remarks(),
        defaults=defaults,
    )


def _findings() -> Iterator[Finding]:
    try:
        yield from examine()
    except (OperationalError, RedisError) as error:
        yield Finding(type(error).__name__, str(error), "What comes after it could not be looked at: see the log.")


def _rank(finding: Finding) -> int:
    """Serious ones first, what is right last."""
    return 2 if not finding.cure else 0 if finding.serious else 1
