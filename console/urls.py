"""The console's pages, below /admin/ and before the admin's own."""

from django.urls import path

from console import dashboard, doctor

app_name = "console"
urlpatterns = [
    path("", dashboard.page, name="dashboard"),
    path("doctor/", doctor.page, name="doctor"),
]
