"""How a request is turned away: who is calling is not known, or may not do what is asked."""

from typing import Any

from config.errors import ApiError


class Refused(ApiError):
    """Authentication or a resource handler said no, with a status of its own choice."""

    def __init__(self, status: int, detail: Any, headers: dict[str, str] | None = None) -> None:
        super().__init__(str(detail))
        self.status_code, self.headers = status, headers or {}


class Forbidden(ApiError):
    """The caller may not do that."""

    status_code = 403
    default_detail = "Forbidden"


class ServerFailed(ApiError):
    """A resource handler gave an answer nobody can use."""

    status_code = 500
