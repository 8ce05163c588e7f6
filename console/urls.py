"""The console's pages, below /admin/ and before the admin's own."""

from django.urls import path

from console import assistants, audit, dashboard, doctor, inbox, jump, queue, run_page, runs, thread_actions, threads

app_name = "console"
urlpatterns = [
    path("", dashboard.page, name="dashboard"),
    path("jump/", jump.page, name="jump"),
    path("audit/", audit.page, name="audit"),
    path("audit/export.ndjson", audit.export, name="audit-export"),
    path("runs/", runs.page, name="runs"),
    path("runs/<uuid:run_id>/cancel/", run_page.cancel, name="cancel-run"),
    path("runs/<uuid:run_id>/retry/", run_page.retry, name="retry-run"),
    path("runs/<uuid:run_id>/", run_page.page, name="run-start"),
    path("runs/<uuid:run_id>/<slug:tab>/", run_page.page, name="run"),
    path("interrupts/", inbox.page, name="interrupts"),
    path("interrupts/<uuid:thread_id>/<str:interrupt_id>/", inbox.one, name="interrupt"),
    path("interrupts/<uuid:thread_id>/<str:interrupt_id>/claim/", inbox.claim, name="claim-interrupt"),
    path("interrupts/<uuid:thread_id>/<str:interrupt_id>/answer/", inbox.answer, name="answer-interrupt"),
    path("threads/", threads.page, name="threads"),
    path("threads/<uuid:thread_id>/", threads.one, name="thread"),
    path("threads/<uuid:thread_id>/edit/", thread_actions.edit, name="edit-thread"),
    path("threads/<uuid:thread_id>/run/", thread_actions.run, name="run-thread"),
    path("threads/<uuid:thread_id>/prune/", thread_actions.prune, name="prune-thread"),
    path("threads/<uuid:thread_id>/delete/", thread_actions.delete, name="delete-thread"),
    path("queue/", queue.page, name="queue"),
    path("queue/workers/<str:name>/", queue.worker, name="worker"),
    path("queue/workers/<str:name>/order/", queue.order_worker, name="order-worker"),
    path("queue/pause/", queue.pause, name="pause-queue"),
    path("queue/resume/", queue.resume, name="resume-queue"),
    path("assistants/", assistants.page, name="assistants"),
    path("assistants/<uuid:assistant_id>/", assistants.one, name="assistant"),
    path("assistants/<uuid:assistant_id>/try/", assistants.attempt, name="try-assistant"),
    path("assistants/<uuid:assistant_id>/latest/", assistants.set_latest, name="set-latest"),
    path("doctor/", doctor.page, name="doctor"),
]
