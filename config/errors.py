"""Errors as clients see them: `{"detail": "<text>"}` and a status. Owns the shape; never decides when one is raised."""

import logging
from http import HTTPStatus
from typing import Any

import psycopg
from django.core.exceptions import PermissionDenied
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from langgraph.errors import EmptyInputError, InvalidUpdateError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from rest_framework.exceptions import APIException, MethodNotAllowed, ValidationError

from config import dialect

logger = logging.getLogger(__name__)
UNAVAILABLE = (
    OperationalError,
    InterfaceError,
    psycopg.OperationalError,  # from the pool of the graph loop, which is not Django's
    psycopg.InterfaceError,
    RedisConnectionError,
    RedisTimeoutError,
)


class ApiError(APIException):
    """An answer other than success. Subclasses set `status_code` and `default_detail`."""


class BadRequest(ApiError):
    """The request is well formed but asks for something that cannot be."""

    status_code = 400
    default_detail = "Bad Request"


class NotFound(ApiError):
    """No such row, or none the caller may see."""

    status_code = 404
    default_detail = "Not Found"


class Conflict(ApiError):
    """The state of the row forbids the request."""

    status_code = 409
    default_detail = "Conflict"


class Invalid(ApiError):
    """The body, the path or a query parameter breaks its schema."""

    status_code = 422
    default_detail = "Unprocessable Entity"


def error_response(status: int, detail: str, headers: dict[str, str] | None = None) -> HttpResponse:
    """`{"detail": detail}` with `status`."""
    body = dialect.dumps({"detail": detail or "unknown error"})
    return HttpResponse(body, status=status, content_type="application/json", headers=headers)


def without_body(status: int) -> HttpResponse:
    """An answer that has neither body nor content type."""
    response = HttpResponse(status=status)
    del response["Content-Type"]
    return response


def respond(error: Exception) -> HttpResponse:
    """The answer for any exception that left a view; a programming error is logged and answered 500."""
    if isinstance(error, ValidationError):
        return error_response(422, first_problem(error.detail))
    if isinstance(error, MethodNotAllowed):
        return error_response(405, "Method Not Allowed")
    if isinstance(error, APIException):
        return error_response(error.status_code, str(error.detail), getattr(error, "headers", None))
    if isinstance(error, Http404):
        return error_response(404, "Not Found")
    if isinstance(error, PermissionDenied):
        return error_response(403, str(error) or "Forbidden")
    if isinstance(error, InvalidUpdateError | EmptyInputError):
        return error_response(400, str(error))
    if isinstance(error, UNAVAILABLE):
        logger.warning("A service did not answer: %s", error)
        return error_response(503, "The database or Redis is not available. Try again.", {"Retry-After": "1"})
    logger.error("A view failed", exc_info=error)
    return error_response(500, "Internal Server Error")


def drf_exception_handler(error: Exception, context: dict[str, Any]) -> HttpResponse:
    """The same answers for views of Django REST framework."""
    response = respond(error)
    if isinstance(error, MethodNotAllowed):
        response["Allow"] = ", ".join(context["view"].allowed_methods)
    return response


def first_problem(detail: Any, path: str = "") -> str:
    """The first message of DRF's nested error detail, led by the dotted path of the value it is about."""
    if isinstance(detail, dict):
        key, nested = next(iter(detail.items()))
        return first_problem(nested, path if key == "non_field_errors" else f"{path}.{key}".strip("."))
    if isinstance(detail, list):
        nested = next((part for part in detail if part), "invalid")
        return first_problem(nested, path)
    return f"{path}: {detail}" if path else str(detail)


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """404 for paths no route matches."""
    return error_response(404, "Not Found")


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """400 for requests Django itself refuses."""
    return error_response(400, HTTPStatus.BAD_REQUEST.phrase)


def server_error(request: HttpRequest) -> HttpResponse:
    """500 for what failed outside every view."""
    return error_response(500, HTTPStatus.INTERNAL_SERVER_ERROR.phrase)
