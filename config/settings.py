"""Every Django setting, read from the environment. Apps read them through django.conf, never from the environment."""

import os
import socket
import sys
from pathlib import Path
from typing import Any

from psycopg.conninfo import conninfo_to_dict

from config import document, http_section
from config.environment import (
    ConfigurationError,
    env_bool,
    env_choice,
    env_float,
    env_floats,
    env_int,
    env_list,
    env_networks,
    env_str,
    env_uuid,
)
from config.look import look

# langgraph.json may set variables, so it comes before all of them; what is wrong with it is said at the start.
_HTTP: dict[str, Any] = document.early().get("http", {})
# The parts of the API that it switches off (contract/platform.md 8.5): their routes are not there.
DISABLED = http_section.disabled(_HTTP)

VERSION = "0.1.0"
BASE_DIR = Path(__file__).resolve().parent.parent
STATE_DIR = Path(env_str("WEFT_STATE_DIR", ".weft")).resolve()


def _part() -> str:
    """What this process is, by how it was started: web, worker, beat, or other."""
    words = [Path(word).name for word in sys.argv[:3]]
    if words[0] == "uvicorn":
        return "web"
    return next((word for word in words if word in ("web", "worker", "beat")), "other")


PART = _part()

# --- who may talk to us ----------------------------------------------------------------------------------------------
# `manage.py up` writes a key of its own under .weft; a deployment sets SECRET_KEY.
SECRET_KEY = env_str("SECRET_KEY", "development-only-key-never-used-outside-a-checkout-of-the-source")
DEBUG = env_bool("DEBUG")
ALLOWED_HOSTS = env_list("ALLOWED_HOSTS", "*")
CSRF_TRUSTED_ORIGINS = env_list("CSRF_TRUSTED_ORIGINS")
SECURE_COOKIES = env_bool("SECURE_COOKIES")
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_COOKIES
SECURE_SSL_REDIRECT = env_bool("SECURE_SSL_REDIRECT")
SECURE_HSTS_SECONDS = env_int("SECURE_HSTS_SECONDS", 0)
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = SECURE_HSTS_SECONDS > 0
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if env_bool("TRUST_PROXY") else None
X_FRAME_OPTIONS = "DENY"
# How callers of the API are known: "keys" (accounts/keys.py), "none" (not at all, and that is meant), or by default
# not at all and on loopback only. `auth.path` in langgraph.json wins over all of them.
WEFT_AUTH = env_choice("WEFT_AUTH", ("keys", "none"))
# For so long a process goes on to believe what it knows of a key, a revoked one included.
API_KEY_CACHE_SECONDS = env_float("API_KEY_CACHE_SECONDS", 5.0)
# How long the old secret goes on after a rotation, unless the person who rotates says otherwise.
API_KEY_OVERLAP_HOURS = env_float("API_KEY_OVERLAP_HOURS", 24.0)
# How long the audit log is kept; 0 is for ever.
AUDIT_RETENTION_DAYS = env_int("AUDIT_RETENTION_DAYS", 365)
# Django looks for its own middleware by name; ours are subclasses of the three it misses (config/middleware.py).
SILENCED_SYSTEM_CHECKS = ["security.W001", "security.W002", "security.W003"]

# A developer at LangGraph Studio gets past custom auth by a header. `manage.py up` allows it, on loopback only.
STUDIO_WITHOUT_CREDENTIALS = env_bool("STUDIO_WITHOUT_CREDENTIALS")

# --- what is installed -----------------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_celery_beat",
    "config",
    "accounts",
    "assistants",
    "store",
    "threads",
    "runs",
    "crons",
    "webhooks",
    "streaming",
    "console",
]

# The middleware of people's pages steps aside for API paths: see config/middleware.py.
MIDDLEWARE = [
    "config.middleware.GiveBackConnection",
    "config.middleware.SecurityMiddleware",
    "config.middleware.SessionMiddleware",
    "config.middleware.CommonMiddleware",
    "config.middleware.CsrfViewMiddleware",
    "config.middleware.AuthenticationMiddleware",
    "config.middleware.MessageMiddleware",
    "config.middleware.XFrameOptionsMiddleware",
    "config.middleware.ContentSecurityPolicyMiddleware",
    "config.middleware.ErrorMiddleware",
]
PAGES_PREFIXES = ("/admin/",)

ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"
APPEND_SLASH = False
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
# Everything is below it, but for /, /ok and /metrics, which are at both places.
MOUNT_PREFIX = http_section.mount_prefix(_HTTP)
STATIC_PATH = "/static/"  # below the prefix
STATIC_URL = f"{MOUNT_PREFIX}{STATIC_PATH}"
STATIC_ROOT = STATE_DIR / "static"
STATICFILES_DIRS = [BASE_DIR / "static"] if (BASE_DIR / "static").is_dir() else []
# A role gives permissions of Django's: console/roles.py.
AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend", "console.roles.RoleBackend"]
LOGIN_URL, LOGIN_REDIRECT_URL = f"{MOUNT_PREFIX}/admin/login/", f"{MOUNT_PREFIX}/admin/"
UNFOLD = look(VERSION, STATIC_URL, f"{MOUNT_PREFIX}/docs")
LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_TZ = True

# --- PostgreSQL ------------------------------------------------------------------------------------------------------
# `manage.py up` sets DATABASE_URI to its embedded server when nobody else has.
DATABASE_URI = env_str("DATABASE_URI", env_str("POSTGRES_URI", "postgresql://localhost/weft"))
DATABASE_POOL_SIZE = env_int("LANGGRAPH_POSTGRES_POOL_MAX_SIZE", 20, least=2)
# Of each of a process's two pools, Django's and the graph loop's. All in seconds.
DATABASE_POOL: dict[str, Any] = {
    "min_size": 1,
    "max_size": DATABASE_POOL_SIZE,
    "timeout": 10,
    "max_idle": 300,
    "max_lifetime": 1800,
}
# PostgreSQL counts as away when it says nothing for so long.
DATABASE_SILENT_SECONDS = env_float("DATABASE_SILENT_SECONDS", 5.0)
# For a pooler such as pgbouncer in transaction mode: nothing that a connection would have to remember.
DATABASE_TRANSACTION_POOLING = env_bool("DATABASE_TRANSACTION_POOLING")
# A peer that is gone without a word is noticed within 30 s of silence, or 15 s of a statement it does not take.
# PostgreSQL's own parameters: DATABASE_URI may say otherwise.
DATABASE_CONNECTIONS = {
    "connect_timeout": 5,
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}


def _shown_as() -> str:
    """This process, as PostgreSQL shows it to operators and to `manage.py doctor`."""
    return f"weft {PART} {os.getpid()}@{socket.gethostname()}"[:63]


def _database(uri: str) -> dict[str, Any]:
    try:
        parts = conninfo_to_dict(uri)
    except Exception as error:
        raise ConfigurationError(f"DATABASE_URI is not a PostgreSQL address: {error}") from None
    return {
        "ENGINE": "config.postgresql",
        "NAME": str(parts.pop("dbname", "weft")),
        "USER": str(parts.pop("user", "")),
        "PASSWORD": str(parts.pop("password", "")),
        "HOST": str(parts.pop("host", "")),
        "PORT": str(parts.pop("port", "")),
        "OPTIONS": {**DATABASE_CONNECTIONS, "application_name": _shown_as(), **parts, "pool": DATABASE_POOL},
        "DISABLE_SERVER_SIDE_CURSORS": DATABASE_TRANSACTION_POOLING,
    }


DATABASES = {"default": _database(DATABASE_URI)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Redis: the bell for Celery, the event log, the Channels layer ---------------------------------------------------
REDIS_URI = env_str("REDIS_URI_CUSTOM", env_str("REDIS_URI", "redis://localhost:6379/0"))
REDIS_KEY_PREFIX = env_str("REDIS_KEY_PREFIX", "weft:")
CHANNEL_PREFIX = f"{REDIS_KEY_PREFIX}asgi"
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [REDIS_URI], "prefix": CHANNEL_PREFIX},
    },
}

# --- Celery: carries run ids only; the row is the truth --------------------------------------------------------------
CELERY_BROKER_URL = REDIS_URI.replace("unix://", "redis+socket://", 1)
# A Redis that hangs holds a thread that rings up for no longer; requests never wait for it (runs/ringing.py).
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "global_keyprefix": REDIS_KEY_PREFIX,
    "ack_emulation": False,
    "socket_timeout": 3,
    "socket_connect_timeout": 3,
    "socket_keepalive": True,
    # How often the worker asks whether the connection it listens on still has somebody at its other end.
    "health_check_interval": 5,
}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None  # without Redis a worker finds its runs in the table
CELERY_TASK_IGNORE_RESULT = True
# A worker takes no more messages than it has threads; the broker's own redelivery stays out of it (see above).
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_DEFAULT_QUEUE = "runs"
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False
CELERY_BEAT_SCHEDULER = "config.ticks.TickScheduler"
CELERY_TIMEZONE = "UTC"
RUN_SWEEP_SECONDS = env_float("RUN_SWEEP_SECONDS", 2.0)
CELERY_BEAT_SCHEDULE = {
    "sweep runs": {"task": "runs.sweep", "schedule": RUN_SWEEP_SECONDS},
    "fire due crons": {"task": "crons.fire", "schedule": env_float("CRON_SCHEDULER_SLEEP_TIME", 1.0)},
    "forget old firings": {"task": "crons.forget", "schedule": 300.0},
    "sweep expired threads": {"task": "threads.sweep", "schedule": env_float("EXPIRY_SWEEP_SECONDS", 60.0)},
    "sweep expired items": {"task": "store.sweep", "schedule": env_float("EXPIRY_SWEEP_SECONDS", 60.0)},
    "send due webhooks": {"task": "webhooks.tick", "schedule": env_float("WEBHOOK_TICK_SECONDS", 2.0)},
    "forget old webhooks": {"task": "webhooks.forget", "schedule": 3600.0},
    "forget old audit entries": {"task": "accounts.forget_audit", "schedule": 3600.0},
    "roll up runs": {"task": "console.roll_up", "schedule": env_float("ROLL_UP_SECONDS", 10.0)},
    "measure threads": {"task": "console.measure", "schedule": env_float("MEASURE_SECONDS", 300.0)},
    "act on many runs": {"task": "console.bulk", "schedule": 1.0},
    "forget idempotent answers": {"task": "config.forget_idempotent_answers", "schedule": 3600.0},
}

# --- encryption at rest: docs/encryption.md --------------------------------------------------------------------------
LANGGRAPH_AES_KEY = env_str("LANGGRAPH_AES_KEY").encode()
if LANGGRAPH_AES_KEY and len(LANGGRAPH_AES_KEY) not in (16, 24, 32):
    raise ConfigurationError("LANGGRAPH_AES_KEY must have 16, 24 or 32 bytes.")
LANGGRAPH_AES_JSON_KEYS = tuple(env_list("LANGGRAPH_AES_JSON_KEYS"))
if LANGGRAPH_AES_JSON_KEYS and not LANGGRAPH_AES_KEY:
    raise ConfigurationError("LANGGRAPH_AES_JSON_KEYS needs LANGGRAPH_AES_KEY.")
if any(key.startswith("langgraph_") for key in LANGGRAPH_AES_JSON_KEYS):
    raise ConfigurationError("LANGGRAPH_AES_JSON_KEYS cannot name keys of the server (langgraph_...).")

# --- the graphs and how they run -------------------------------------------------------------------------------------
LANGGRAPH_CONFIG_FILE = document.config_file()
LANGGRAPH_API_URL = env_str("LANGGRAPH_API_URL")
# langgraph reads it too; here it is only looked at before anything starts.
DEFAULT_RECURSION_LIMIT = env_int("LANGGRAPH_DEFAULT_RECURSION_LIMIT", 10_007, least=1)
# What /info says of where this server is (contract/platform.md 1.2).
HOST = {
    "kind": "byoc" if env_str("LANGSMITH_HOST_PROJECT_ID") else "self-hosted",
    "project_id": env_uuid("LANGSMITH_HOST_PROJECT_ID"),
    "host_revision_id": env_str("LANGSMITH_HOST_REVISION_ID") or None,
    "revision_id": env_str("LANGSMITH_LANGGRAPH_API_REVISION") or None,
    "tenant_id": env_uuid("LANGSMITH_TENANT_ID"),
}
N_JOBS_PER_WORKER = env_int("N_JOBS_PER_WORKER", 10)
BG_JOB_TIMEOUT_SECS = env_float("BG_JOB_TIMEOUT_SECS", 86400.0)
BG_JOB_MAX_RETRIES = env_int("BG_JOB_MAX_RETRIES", 3, least=1)
BG_JOB_SHUTDOWN_GRACE_PERIOD_SECS = env_float("BG_JOB_SHUTDOWN_GRACE_PERIOD_SECS", 180.0)
BG_JOB_ISOLATED_LOOPS = env_bool("BG_JOB_ISOLATED_LOOPS")
RUN_THREADS = env_int("RUN_THREADS", 32, least=1)
# A node that keeps its loop from turning for longer is reported on its run; 0 reports none.
BLOCKED_LOOP_MILLISECONDS = env_int("BLOCKED_LOOP_MILLISECONDS", 1000)
# Runs that may wait for a worker, on the whole server and on one thread; 0 is no limit. See runs/queue_limit.py.
MAX_PENDING_RUNS = env_int("MAX_PENDING_RUNS", 0)
MAX_PENDING_RUNS_PER_THREAD = env_int("MAX_PENDING_RUNS_PER_THREAD", 0)
RUN_LEASE_SECONDS = env_float("RUN_LEASE_SECONDS", 30.0)
RUN_LEASE_RENEWAL_SECONDS = env_float("RUN_LEASE_RENEWAL_SECONDS", 10.0)

# --- streams ---------------------------------------------------------------------------------------------------------
RESUMABLE_STREAM_TTL_SECONDS = env_int("RESUMABLE_STREAM_TTL_SECONDS", 120, least=1)
EVENT_LOG_MAX_LENGTH = env_int("EVENT_LOG_MAX_LENGTH", 100_000, least=100)
# By default as old as the first part of a run can be while the run can still be replayed.
EVENT_LOG_MAX_AGE_SECONDS = env_float("EVENT_LOG_MAX_AGE_SECONDS", BG_JOB_TIMEOUT_SECS + RESUMABLE_STREAM_TTL_SECONDS)
EVENT_LOG_COMPRESS_BYTES = env_int("EVENT_LOG_COMPRESS_BYTES", 16_384, least=1)
MAX_STREAM_CHUNK_SIZE_BYTES = env_int("MAX_STREAM_CHUNK_SIZE_BYTES", 128 * 1024 * 1024, least=1024)
STREAM_SEND_TIMEOUT_SECONDS = env_float("STREAM_SEND_TIMEOUT_SECONDS", 60.0)
HEARTBEAT_SECONDS = 5.0
EVENT_STREAMING = env_bool("FF_V2_EVENT_STREAMING", default=True) and "event_streaming" not in DISABLED

# --- A2A -------------------------------------------------------------------------------------------------------------
# The agent whose card is shown where nobody says which.
DEFAULT_A2A_ASSISTANT_ID = env_str("DEFAULT_A2A_ASSISTANT_ID")
# Whose results a task's history shows; all tools' unless they are named.
A2A_ALLOWED_TOOL_CALL_RESULTS = frozenset(env_list("A2A_ALLOWED_TOOL_CALL_RESULTS")) or None

# --- the store -------------------------------------------------------------------------------------------------------
STORE_MAX_VALUE_BYTES = env_int("STORE_MAX_VALUE_BYTES", 8_388_608, least=1)

# --- webhooks --------------------------------------------------------------------------------------------------------
# Where they may go though the rules forbid it (config/outbound.py): host names, `*.` for subdomains, and networks.
# Failures in a row, without a success for a day, that pause a cron which names no limit of its own; 0: none do.
CRON_PAUSE_AFTER_FAILURES = env_int("CRON_PAUSE_AFTER_FAILURES", 10)
WEBHOOK_ALLOWED_HOSTS = env_list("WEBHOOK_ALLOWED_HOSTS")
WEBHOOK_ALLOWED_NETWORKS = env_networks("WEBHOOK_ALLOWED_NETWORKS")
# What signs deliveries to the URLs runs were given (endpoints have secrets of their own); all of them do at once.
WEBHOOK_SECRETS = env_list("WEBHOOK_SECRETS")
WEBHOOK_TIMEOUT_SECS = env_float("WEBHOOK_TIMEOUT_SECS", 30.0)
# Pauses between attempts, in seconds: ten attempts over three days.
WEBHOOK_RETRY_SECONDS = env_floats("WEBHOOK_RETRY_SECONDS", "5,300,1800,7200,18000,36000,50400,72000,86400")
WEBHOOK_RETENTION_DAYS = env_float("WEBHOOK_RETENTION_DAYS", 30.0)
WEBHOOK_MAX_BODY_BYTES = env_int("WEBHOOK_MAX_BODY_BYTES", 4_194_304, least=10_000)

# --- HTTP ------------------------------------------------------------------------------------------------------------
HTTP_MAX_REQUEST_BODY_BYTES = env_int("HTTP_MAX_REQUEST_BODY_BYTES", 314_572_800, least=1)
# The limit above is kept while the body arrives (config/http.py); Django's own would answer 400 instead of 413.
DATA_UPLOAD_MAX_MEMORY_SIZE = None
CORS_ALLOW_ORIGINS = env_list("CORS_ALLOW_ORIGINS", "*")
CORS_CONFIG_OPTIONS = http_section.cors_options(_HTTP)
# Whether pages of the internet may reach this server at a private address, as a studio does: browsers ask.
ALLOW_PRIVATE_NETWORK = env_bool("ALLOW_PRIVATE_NETWORK")

REST_FRAMEWORK = {
    "DEFAULT_RENDERER_CLASSES": ["config.rendering.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["config.rendering.JSONParser"],
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": [],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "config.rendering.JSONOnly",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "config.errors.drf_exception_handler",
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Weft",
    "DESCRIPTION": "An open, self-hosted agent server.",
    "VERSION": VERSION,
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SORT_OPERATIONS": False,
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "COMPONENT_SPLIT_PATCH": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": f"{STATIC_URL}weft/favicon.svg",
    "SWAGGER_UI_SETTINGS": {"deepLinking": True, "persistAuthorization": True, "defaultModelsExpandDepth": 0},
    "POSTPROCESSING_HOOKS": [
        "runs.schema.add_live_routes",
        "streaming.schema.add_routes",
        "runs.schema.add_examples",
        "store.schema.describe_items",
        "interop.schema.add_routes",
        "assistants.schema.name_graphs",
        "config.schema.finish",
        "config.project_schema.add_project",
    ],
}

# --- metrics: docs/observability.md ----------------------------------------------------------------------------------
METRIC_PREFIX = env_str("METRIC_PREFIX", "lg_api_")
# Where the server's processes on this machine count; None in all other processes, which count for themselves.
METRICS_DIR = None if PART == "other" else Path(env_str("METRICS_DIR", str(STATE_DIR / "metrics"))).resolve()

# --- traces: docs/observability.md -----------------------------------------------------------------------------------
# The addresses themselves are read by OpenTelemetry's own code.
OTEL_EXPORTS = bool(env_str("OTEL_EXPORTER_OTLP_ENDPOINT", env_str("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")))
OTEL_ENABLED = PART != "other" and env_bool("OTEL_ENABLED", default=OTEL_EXPORTS)

# --- the log: docs/observability.md ----------------------------------------------------------------------------------
LOG_JSON = env_bool("LOG_JSON")
# Only for somebody who looks: lines that go to a file or a collector stay plain.
LOG_COLOR = env_bool("LOG_COLOR", default=True) and sys.stderr.isatty()
# A line for each request. Where lines are collected it is missed when it is not there, at a terminal it is in the way.
ACCESS_LOG = env_bool("ACCESS_LOG", default=LOG_JSON)
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"()": "config.logs.line_formatter", "as_json": LOG_JSON, "color": LOG_COLOR}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": env_str("LOG_LEVEL", "INFO").upper()},
    "loggers": {
        "httpx": {"level": "WARNING"},
        "celery": {"level": "WARNING"},
        "django.request": {"level": "ERROR"},
        "weft.access": {"level": "NOTSET" if ACCESS_LOG else "WARNING"},
    },
}

# LangSmith tracing would send data off the machine; it stays off unless somebody asks for it by its own variables.
if not any(env_str(f"{maker}_TRACING{version}") for maker in ("LANGCHAIN", "LANGSMITH") for version in ("_V2", "")):
    os.environ["LANGSMITH_TRACING"] = "false"
