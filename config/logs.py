"""How log lines are written: text for a terminal or JSON for a collector, with what the context binds, no secrets.

Everything goes through the standard library's logging, graphs' own lines included; structlog only formats.
"""

import os
from typing import Any

import structlog
from structlog.contextvars import bind_contextvars, bound_contextvars
from structlog.typing import EventDict, Processor

from config import dialect, redaction

# What a request or a run binds is on each line logged on its behalf, in whatever thread or loop.
bind, bound = bind_contextvars, bound_contextvars

SHARED: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.PositionalArgumentsFormatter(),
    structlog.stdlib.ExtraAdder(),
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
    # Before secrets are taken out: a traceback ends with what the exception says.
    structlog.processors.format_exc_info,
]


def line_formatter(*, as_json: bool, color: bool) -> structlog.stdlib.ProcessorFormatter:
    """The formatter of the LOGGING setting. Learns the environment's secrets; graphs' structlog goes there too."""
    redaction.learn(os.environ)
    structlog.configure(
        processors=[*SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=SHARED,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            redaction.redact,
            _as_json if as_json else _for_people(color=color),
        ],
    )


def _as_json(logger: Any, method: str, line: EventDict) -> str:
    """One object a line: timestamp, level, logger, event, then the rest."""
    first = {name: line.pop(name, "") for name in ("timestamp", "level", "logger", "event")}
    return dialect.dumps_text({**first, **line})


def _for_people(*, color: bool) -> Processor:
    return structlog.dev.ConsoleRenderer(
        colors=color, exception_formatter=structlog.dev.plain_traceback, pad_event_to=0, pad_level=True
    )
