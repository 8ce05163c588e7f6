"""Crons, in the order of the API reference; the last three are ours."""

from django.urls import path

from crons import views

urlpatterns = [
    path("threads/<str:thread_id>/runs/crons", views.ThreadCrons.as_view()),
    path("runs/crons", views.Crons.as_view()),
    path("runs/crons/search", views.CronSearch.as_view()),
    path("runs/crons/count", views.CronCount.as_view()),
    path("runs/crons/preview", views.CronPreview.as_view()),
    path("runs/crons/<str:cron_id>", views.OneCron.as_view()),
    path("runs/crons/<str:cron_id>/run", views.CronRun.as_view()),
    path("runs/crons/<str:cron_id>/next", views.CronNext.as_view()),
]
