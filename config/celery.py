"""The Celery application: `celery -A config.celery`. Owns wiring only; tasks live in the apps."""

import logging
import os
from typing import Any

from celery import Celery
from celery.signals import setup_logging

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("weft")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@setup_logging.connect
def log_as_everywhere(**_: Any) -> None:
    """Logging is set up by Django; Celery would raise its level. What graphs print becomes lines of the log."""
    app.log.redirect_stdouts(loglevel=logging.INFO, name="stdout")
