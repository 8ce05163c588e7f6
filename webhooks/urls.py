"""/webhooks"""

from django.urls import path

from webhooks import views

urlpatterns = [
    path("webhooks/endpoints", views.Endpoints.as_view()),
    path("webhooks/endpoints/search", views.EndpointSearch.as_view()),
    path("webhooks/endpoints/<str:endpoint_id>", views.OneEndpoint.as_view()),
    path("webhooks/endpoints/<str:endpoint_id>/rotate", views.EndpointSecret.as_view()),
    path("webhooks/endpoints/<str:endpoint_id>/test", views.EndpointTest.as_view()),
    path("webhooks/endpoints/<str:endpoint_id>/redeliver", views.EndpointRedelivery.as_view()),
    path("webhooks/deliveries/search", views.DeliverySearch.as_view()),
    path("webhooks/deliveries/<str:delivery_id>", views.OneDelivery.as_view()),
    path("webhooks/deliveries/<str:delivery_id>/redeliver", views.DeliveryAgain.as_view()),
]
