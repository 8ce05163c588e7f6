"""The variables of other servers that do nothing here, and what is said when one is set.

Source: contract/platform.md 12 and 8.2. One that some reader asks for (config/environment.py) is not spoken of.
"""

import os
from collections.abc import Mapping

from config.environment import FALSE, ConfigurationError, readings

_REDIS = "connections give up after 5 s and are looked after every 15 s"
_MONGO = "checkpoints are in PostgreSQL, or where checkpointer.path puts them"
_LANGSMITH = "nobody's key is checked by LangSmith"
_METRICS = "figures are not pushed: GET /metrics has them"
WITHOUT_EFFECT: Mapping[str, str] = {
    "DISABLE_TRUSTSTORE": "certificates are checked against Python's own store",
    "PORT": "`manage.py web --port` says where to listen",
    "REDIS_CLUSTER": "a cluster is not supported",
    "REDIS_MAX_CONNECTIONS": "each process opens what it needs, which is few",
    "REDIS_CONNECT_TIMEOUT": _REDIS,
    "REDIS_HEALTH_CHECK_INTERVAL": _REDIS,
    "LANGGRAPH_POSTGRES_EXTENSIONS": "pgvector is used where store.index asks for it, and no other",
    "LS_DEFAULT_CHECKPOINTER_BACKEND": _MONGO,
    "LS_MONGODB_URI": _MONGO,
    "MONGODB_URI": f"{_MONGO} (your own code may read it)",
    "STATS_INTERVAL_SECS": "figures are read when somebody asks",
    "RUN_STATS_CACHE_SECONDS": "figures are read when somebody asks",
    "CRON_SCHEDULER_BATCH_SIZE": "a tick fires what is due, 500 at most",
    "FF_CRONS_ENABLED": "crons fire where `manage.py beat` runs",
    "LANGSMITH_AUTH_ENDPOINT": _LANGSMITH,
    "LANGSMITH_AUTH_VERIFY_TENANT_ID": _LANGSMITH,
    "LANGSMITH_CONTROL_PLANE_API_KEY": _LANGSMITH,
    "LANGGRAPH_STORE_BACKEND": "the store is PostgreSQL's, or store.path's",
    "METRIC_MAX_EMITTING_TIER": "all metrics are shown",
    "EXPOSE_INTERNAL_METRICS_PROMETHEUS": "all metrics are shown",
    "LANGGRAPH_METRICS_ENABLED": _METRICS,
    "LANGGRAPH_METRICS_ENDPOINT": _METRICS,
    "A2A_A2UI_ENABLED": "A2UI is not served",
    "A2A_A2UI_TOOL_CALL_RESULTS": "A2UI is not served",
    "LANGGRAPH_UI_BUNDLER": "pages made of JavaScript are not served",
}
# Whoever sets one of these counts on a protection; without it nothing must be served.
PROTECTING: Mapping[str, str] = {
    "LANGGRAPH_AUTH_TYPE": "only 'noop' is known here, and the server would be open to everybody",
}


def remarks() -> list[str]:
    """A sentence for each variable that is set and does nothing. Raises ConfigurationError for a missing protection."""
    for name, why in PROTECTING.items():
        if name not in readings and os.environ.get(name, "").lower() not in ("", "noop"):
            raise ConfigurationError(f"{name} cannot be honoured: {why}.")
    return [f"{name} has no effect here: {why}." for name, why in WITHOUT_EFFECT.items() if _is_set(name)]


def _is_set(name: str) -> bool:
    return name not in readings and os.environ.get(name, "").lower() not in FALSE
