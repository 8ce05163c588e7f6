"""/metrics, /threads/{thread_id}/runs and /runs, in the order of the API reference."""

from django.urls import path

from runs import live, metrics, search, thread_stream, views

urlpatterns = [
    path("metrics", metrics.Metrics.as_view()),
    path("threads/<str:thread_id>/runs", views.ThreadRuns.as_view()),
    path("threads/<str:thread_id>/runs/stream", live.stream_thread_run),
    path("threads/<str:thread_id>/runs/wait", live.wait_thread_run),
    path("threads/<str:thread_id>/runs/<str:run_id>", views.OneRun.as_view()),
    path("threads/<str:thread_id>/runs/<str:run_id>/join", live.join_run),
    path("threads/<str:thread_id>/runs/<str:run_id>/stream", live.join_stream),
    path("threads/<str:thread_id>/runs/<str:run_id>/cancel", live.cancel),
    path("threads/<str:thread_id>/stream", thread_stream.stream_thread),
    path("runs/stream", live.stream_stateless_run),
    path("runs/cancel", views.CancelRuns.as_view()),
    path("runs/wait", live.wait_stateless_run),
    path("runs", views.StatelessRuns.as_view()),
    path("runs/batch", views.RunBatch.as_view()),
    path("runs/search", search.RunSearch.as_view()),
    path("runs/count", search.RunCount.as_view()),
    path("runs/<str:run_id>/stream", live.join_stream),
    path("runs/<str:run_id>/retry", search.RunRetry.as_view()),
]
