"""How Django REST framework writes our dialect. Loaded by its settings, so it imports no view."""

from collections.abc import Mapping
from typing import Any, cast

from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from config import dialect


class JSONOnly(BaseContentNegotiation):
    """Every body is JSON and every answer is JSON, whatever the headers say."""

    def select_parser(self, request: Request, parsers: Any) -> BaseParser:
        """The only parser."""
        return cast(BaseParser, parsers[0])

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> tuple[Any, str]:
        """The only renderer."""
        return renderers[0], renderers[0].media_type


class JSONRenderer(BaseRenderer):
    """Compact UTF-8 in our dialect."""

    media_type = "application/json"
    format = "json"
    charset = None

    def render(self, data: Any, accepted_media_type: Any = None, renderer_context: Any = None) -> bytes:
        """The document; nothing for an answer that has no body."""
        status = renderer_context["response"].status_code if renderer_context else 200
        return b"" if data is None and status in (202, 204) else dialect.dumps(data)


class JSONParser(BaseParser):
    """Names the media type for the OpenAPI document; bodies are read by `read_body`."""

    media_type = "application/json"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Mapping[str, Any] | None = None) -> Any:
        """The document in the stream."""
        return dialect.loads(stream.read())
