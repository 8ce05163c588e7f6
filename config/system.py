"""The system endpoints: /ok, /info. Source: contract/platform.md 1."""

from django.conf import settings
from django.db import connection
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from langgraph.version import __version__ as langgraph_version
from redis import Redis
from rest_framework.request import Request
from rest_framework.response import Response

from config.errors import UNAVAILABLE, BadRequest
from config.rest import Endpoint


class Ok(Endpoint):
    """GET /ok and GET /"""

    @extend_schema(
        operation_id="get_ok",
        parameters=[OpenApiParameter("check_db", OpenApiTypes.INT)],
        responses=OpenApiTypes.OBJECT,
    )
    def get(self, request: Request) -> Response:
        """Whether the server is up; with `check_db=1` also whether PostgreSQL and Redis answer."""
        text = request.query_params.get("check_db", "0")
        try:
            probing = int(text) != 0
        except ValueError:
            raise BadRequest(f"invalid literal for check_db: {text!r}") from None
        services = {
            "postgres": _probe(_postgres_answers) if probing else "skipped",
            "redis": _probe(_redis_answers) if probing else "skipped",
        }
        healthy = "unhealthy" not in services.values()
        return Response({"ok": healthy, "services": services}, status=200 if healthy else 500)


class Alive(Endpoint):
    """GET /ok where nobody is to learn more (`http.disable_meta`)."""

    def get(self, request: Request) -> Response:
        """That the server is up."""
        return Response({"ok": True})


def _probe(answers: object) -> str:
    try:
        answers()  # type: ignore[operator]
    except UNAVAILABLE:
        return "unhealthy"
    return "healthy"


def _postgres_answers() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def _redis_answers() -> None:
    with Redis.from_url(settings.REDIS_URI, socket_timeout=3, socket_connect_timeout=3) as client:
        client.ping()


class Info(Endpoint):
    """GET /info"""

    @extend_schema(operation_id="get_info", responses=OpenApiTypes.OBJECT)
    def get(self, request: Request) -> Response:
        """Version and features."""
        return Response(
            {
                "version": settings.VERSION,
                "langgraph_py_version": langgraph_version,
                "flags": {
                    "assistants": True,
                    "crons": True,
                    "langsmith": False,
                    "langsmith_tracing_replicas": True,
                    "langsmith_tracing_session_on_runs": True,
                },
                "host": settings.HOST,
            }
        )
