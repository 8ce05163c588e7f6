"""/store, in the order of the API reference."""

from django.urls import path

from store import views

urlpatterns = [
    path("store/items", views.Items.as_view()),
    path("store/items/search", views.ItemSearch.as_view()),
    path("store/namespaces", views.Namespaces.as_view()),
]
