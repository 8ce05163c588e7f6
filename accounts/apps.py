"""Django's entry for the accounts app."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """Who is calling, what they may do, and what was done."""

    name = "accounts"
    verbose_name = "Access"
