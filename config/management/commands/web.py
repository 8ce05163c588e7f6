"""`manage.py web`: the HTTP server alone. Needs PostgreSQL and Redis at the addresses given, starts neither."""

import logging
import signal
from typing import Any

import uvicorn
from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from config import exposure, ports, reachable
from config.environment import ConfigurationError
from config.impatience import ImpatientProtocol

DRAIN_SECONDS = 10
# Longer than clients and load balancers keep a connection they do not use (60 s at most of them), so that none sends a
# request on one that is being closed just then: it would fail, and a POST must not be sent again.
IDLE_SECONDS = 75
LARGEST_FRAME = 16 * 1024 * 1024  # bytes a WebSocket client may send at once


class Command(BaseCommand):
    """Serve until SIGTERM or SIGINT; then let open requests finish for ten seconds."""

    help = "Serve the API and the pages."
    requires_system_checks = ["timing"]

    def add_arguments(self, parser: CommandParser) -> None:
        """Where to listen."""
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
        parser.add_argument("--port", type=int, default=2024, help="port to listen on (default: %(default)s)")
        parser.add_argument("--open", action="store_true", help="let everybody do everything, on any address")
        parser.add_argument("--access-log", action="store_true", help="print a line for each request")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the server.

        Raises ConfigurationError when nobody would be asked who they are, the port is taken or PostgreSQL is away.
        """
        auth = settings.WEFT_AUTH or (exposure.NONE if options["open"] else "")
        exposure.check(options["host"], auth, settings.LANGGRAPH_CONFIG_FILE)
        listener = ports.listen(options["host"], options["port"])
        reachable.check_postgres(settings.DATABASE_URI)
        reachable.note_redis(settings.REDIS_URI)
        # uvicorn raises the signal again after its clean stop, which then is no failure.
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, lambda *_: None)
        if options["access_log"]:
            logging.getLogger("weft.access").setLevel(logging.INFO)
        config = uvicorn.Config(
            "config.asgi:application",
            loop="uvloop",
            http=ImpatientProtocol,
            ws="websockets-sansio",
            ws_max_size=min(settings.HTTP_MAX_REQUEST_BODY_BYTES, LARGEST_FRAME),
            ws_per_message_deflate=False,  # it would cost more CPU than the loopback or a LAN has bandwidth to save
            lifespan="on",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_keep_alive=IDLE_SECONDS,
            timeout_graceful_shutdown=DRAIN_SECONDS,
        )
        server = uvicorn.Server(config)
        server.run(sockets=[listener])
        if not server.started:
            raise ConfigurationError("The server did not start; its reason is above.")
