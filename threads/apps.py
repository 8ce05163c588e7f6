"""Django's entry for the threads app."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate

from threads.checkpointer import create_tables


class ThreadsConfig(AppConfig):
    """Where state lives."""

    name = "threads"
    verbose_name = "Agents"

    def ready(self) -> None:
        """langgraph's own tables are made and upgraded with ours, by `migrate`."""
        from assistants.startup import before_serving
        from threads.own_checkpointer import check

        post_migrate.connect(create_tables, sender=self)
        before_serving.append(check)
