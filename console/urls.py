"""The console's pages, below /admin/ and before the admin's own."""

from django.urls import path

from console import audit, dashboard, doctor, jump

app_name = "console"
urlpatterns = [
    path("", dashboard.page, name="dashboard"),
    path("jump/", jump.page, name="jump"),
    path("audit/", audit.page, name="audit"),
    path("audit/export.ndjson", audit.export, name="audit-export"),
    path("doctor/", doctor.page, name="doctor"),
]
