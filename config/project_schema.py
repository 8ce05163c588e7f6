"""The OpenAPI document as this project has it: without what is switched off, with what the project's own app adds."""

import re
from typing import Any

from django.conf import settings
from django.urls import Resolver404, resolve
from starlette.routing import Mount
from starlette.schemas import SchemaGenerator

from config import custom_app
from config.project import project
from config.schema import Document

SOME_ID = "00000000-0000-0000-0000-000000000000"


def add_project(result: Document, generator: Any, request: Any, public: bool) -> Document:
    """drf-spectacular's hook, the last of all. Source: contract/platform.md 1.5."""
    result["paths"] = {path: item for path, item in result["paths"].items() if _is_served(path)}
    if "webhooks" in settings.DISABLED:
        _forget_property(result, "webhook")
    if address := settings.LANGGRAPH_API_URL or settings.MOUNT_PREFIX:
        result["servers"] = [{"url": address}]
    if section := project().auth.get("openapi"):
        _add_security(result, section)
    if app := custom_app.load():
        _merge(result, _document_of(app))
    _keep_used_tags(result)
    return result


def _is_served(path: str) -> bool:
    try:
        resolve(re.sub(r"{\w+}", SOME_ID, path))
    except Resolver404:
        return False
    return True


def _forget_property(result: Document, name: str) -> None:
    for schema in result["components"]["schemas"].values():
        schema.get("properties", {}).pop(name, None)


def _add_security(result: Document, section: dict[str, Any]) -> None:
    schemes = section.get("securitySchemes") or section.get("security_schemes") or {}
    result["components"].setdefault("securitySchemes", {}).update(schemes)
    if "security" in section:
        result["security"] = section["security"]
    for path, methods in section.get("paths", {}).items():
        for method, operation in methods.items():
            known = result["paths"].get(path, {}).get(method)
            if known is not None and "security" in operation:
                known["security"] = operation["security"]


def _document_of(app: Any) -> Document:
    """FastAPI describes itself; of Starlette's routes what stands behind `---` in their docstrings counts."""
    if hasattr(app, "openapi"):
        document: Document = app.openapi()
        return document
    return SchemaGenerator({}).get_schema([route for route in app.routes if not isinstance(route, Mount)])


def _merge(result: Document, custom: Document) -> None:
    """Operations and components of the project's own win."""
    for path, item in custom.get("paths", {}).items():
        result["paths"][path] = {**result["paths"].get(path, {}), **item}
    for kind, named in custom.get("components", {}).items():
        result["components"][kind] = {**result["components"].get(kind, {}), **named}
    result["tags"] = [*result.get("tags", []), *custom.get("tags", [])]
    if "security" in custom:
        result["security"] = custom["security"]


def _keep_used_tags(result: Document) -> None:
    used = {tag for item in result["paths"].values() for one in item.values() for tag in _tags_of(one)}
    result["tags"] = [tag for tag in result.get("tags", []) if tag["name"] in used]


def _tags_of(operation: Any) -> list[str]:
    return operation.get("tags", []) if isinstance(operation, dict) else []
