"""Model columns in our JSON dialect. Knows no model."""

from typing import Any

import orjson
from django.db import models
from psycopg.types.json import Jsonb

from config.dialect import dumps_text


class JSONColumn(models.JSONField):
    """A jsonb column written by `config.dialect` (messages, NaN, NUL and all) and read by orjson."""

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:
        """A jsonb parameter; SQL NULL for None in a nullable column."""
        if isinstance(value, models.expressions.Value | models.Expression):
            return super().get_db_prep_value(value, connection, prepared)
        return None if value is None and self.null else Jsonb(value, dumps=dumps_text)

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        """The document. A key transform yields text that may be JSON null."""
        return value if value is None else orjson.loads(value)

    def deconstruct(self) -> Any:
        """Migrations see a plain JSONField, which has the same column."""
        name, _, args, kwargs = super().deconstruct()
        return name, "django.db.models.JSONField", args, kwargs
