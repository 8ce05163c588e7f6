"""The jump box: from an id, or how it begins, to the page of what has it. Changes nothing."""

from dataclasses import asdict

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse

from console.kinds import find
from console.pages import Page, show
from console.roles import needs

SHORTEST = 6  # characters; fewer would find too much


@needs("viewer")
def page(request: HttpRequest) -> HttpResponse:
    """/admin/jump/?q=: JSON for scripts; for people the page of the one thing found, or a choice."""
    text = request.GET.get("q", "").strip()
    found = find(text, request.user) if len(text) >= SHORTEST else []
    if "application/json" in request.headers.get("Accept", ""):
        return JsonResponse({"found": [asdict(one) for one in found]})
    if len(found) == 1:
        return HttpResponseRedirect(found[0].url)
    return show(request, "console/jump.html", Page("Jump"), found=found, text=text, shortest=SHORTEST)
