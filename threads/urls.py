"""/threads, in the order of the API reference."""

from django.urls import path

from threads import state_views, views

urlpatterns = [
    path("threads", views.Threads.as_view()),
    path("threads/search", views.ThreadSearch.as_view()),
    path("threads/count", views.ThreadCount.as_view()),
    path("threads/prune", views.ThreadPrune.as_view()),
    path("threads/<str:thread_id>/storage", views.ThreadStorage.as_view()),
    path("threads/<str:thread_id>/state", state_views.ThreadState.as_view()),
    path("threads/<str:thread_id>/state/checkpoint", state_views.ThreadStateCheckpoint.as_view()),
    path("threads/<str:thread_id>/state/<str:checkpoint_id>", state_views.ThreadStateAt.as_view()),
    path("threads/<str:thread_id>/history", state_views.ThreadHistory.as_view()),
    path("threads/<str:thread_id>/copy", views.ThreadCopy.as_view()),
    path("threads/<str:thread_id>", views.OneThread.as_view()),
]
