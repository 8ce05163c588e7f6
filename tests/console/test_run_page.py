"""A run's page without a browser: where its error was raised, and when a model first spoke."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.utils import timezone

from runs.models import Run, RunTimeline
from threads.models import Thread

pytestmark = pytest.mark.django_db
OWN = {"file": "agent.py", "line": 1234, "name": "answer", "code": "1 / 0 if x < 1 else 1", "own": True}
LIBRARY = {"file": "langgraph/pregel/retry.py", "line": 42, "name": "run", "code": "", "own": False}


def test_an_errors_own_lines_come_first_and_the_first_token_is_told(client: Client) -> None:
    viewer = User.objects.create_user("looker", is_staff=True)
    viewer.groups.set(Group.objects.filter(name="viewer"))
    client.force_login(viewer)
    now, thread = timezone.now(), Thread.objects.create()
    config = {"configurable": {"graph_id": "chat"}}
    run = Run.objects.create(
        thread=thread,
        assistant_id=thread.pk,
        status="error",
        error={"error": "ZeroDivisionError", "message": "division by zero"},
        kwargs={"config": config},
        attempt=2,
        started_at=now - timedelta(seconds=3),
        ended_at=now,
    )
    raised = {"error": "ZeroDivisionError", "frames": [OWN, LIBRARY]}
    spans = [{"number": 1, "kind": "model", "name": "m", "begin": 5.0, "first": 125.0, "end": 900.0, "status": "done"}]
    RunTimeline.objects.create(run=run, attempt=1, document={"attempt": 1, "spans": []})
    RunTimeline.objects.create(run=run, attempt=2, document={"attempt": 2, "spans": spans, "raised": raised})
    page = client.get(f"/admin/runs/{run.pk}/timeline/").content.decode()
    assert page.index("agent.py:1234") < page.index("langgraph/pregel/retry.py:42")
    assert "1 / 0 if x &lt; 1 else 1" in page and "1 frame of libraries" in page
    assert "<dt>First token</dt><dd>125 ms</dd>" in page
    Run.objects.filter(pk=run.pk).update(error={"error": "TimeoutError", "message": "no"})
    assert "agent.py" not in client.get(f"/admin/runs/{run.pk}/timeline/").content.decode(), "of another error"
