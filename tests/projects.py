"""What this process keeps of the project it serves, for tests that give it another one."""

from accounts.custom import custom_auth
from assistants import graphs
from assistants.retries import retry_policies
from config import custom_app, encryption, headers
from config.project import project
from store.configuration import store_settings
from threads.own_checkpointer import serializer

READ_ONCE = (
    project,
    graphs.load_all,
    graphs.default_assistant_ids,
    retry_policies,
    custom_app.load,
    custom_auth,
    encryption.handlers,
    headers._passes,
    serializer,
    store_settings,
)


def forget() -> None:
    """Let the project, and all that was read from it, be read anew."""
    for known in READ_ONCE:
        known.cache_clear()
