"""/assistants, in the order of the API reference."""

from django.urls import path

from assistants import views

urlpatterns = [
    path("assistants", views.Assistants.as_view()),
    path("assistants/search", views.AssistantSearch.as_view()),
    path("assistants/count", views.AssistantCount.as_view()),
    path("assistants/<str:assistant_id>", views.OneAssistant.as_view()),
    path("assistants/<str:assistant_id>/graph", views.AssistantGraph.as_view()),
    path("assistants/<str:assistant_id>/subgraphs", views.AssistantSubgraphs.as_view()),
    path("assistants/<str:assistant_id>/subgraphs/<str:namespace>", views.AssistantSubgraphsIn.as_view()),
    path("assistants/<str:assistant_id>/schemas", views.AssistantSchemas.as_view()),
    path("assistants/<str:assistant_id>/versions", views.AssistantVersions.as_view()),
    path("assistants/<str:assistant_id>/latest", views.AssistantLatest.as_view()),
]
