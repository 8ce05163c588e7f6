"""Django's entry for the store app."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class StoreConfig(AppConfig):
    """Long-term memory."""

    name = "store"
    verbose_name = "Agents"

    def ready(self) -> None:
        """langgraph's own tables are made and upgraded with ours, by `migrate`."""
        from assistants.startup import before_serving
        from store.configuration import store_settings
        from store.tables import check_tables, create_tables

        post_migrate.connect(create_tables, sender=self)
        before_serving.extend([store_settings, check_tables])
