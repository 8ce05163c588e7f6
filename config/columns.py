"""Model columns in our JSON dialect, encrypted where the project wants that. Knows no model."""

from collections.abc import Callable, Iterable
from typing import Any

import orjson
from django.db import models
from django.db.models.fields.json import KeyTransform
from psycopg.types.json import Jsonb

from config import encryption
from config.dialect import dumps_text
from config.encryption import MARKER, MARKERS

# Of these columns the parts are encrypted each by itself, and of their config again two parts; the rest is ours.
PARTS = {
    ("run", "kwargs"): ("input", "command", "context"),
    ("cron", "payload"): ("input", "command", "context", "metadata"),
}
CONFIG_PARTS = ("configurable", "metadata")


class JSONColumn(models.JSONField):
    """A jsonb column written by `config.dialect` (messages, NaN, NUL and all) and read by orjson.

    With `sealed_as`, which is the model's name for encryption handlers, what is stored is encrypted and what is read
    is plain again, raw queries included. What is looked for is compared with what is stored.
    """

    def __init__(self, *args: Any, sealed_as: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.sealed_as = sealed_as

    def get_db_prep_save(self, value: Any, connection: Any) -> Any:
        """The parameter that stores the document. Raises EncryptionFailed."""
        if self.sealed_as and not isinstance(value, models.expressions.Value | models.Expression):
            value = sealed(self.sealed_as, self.name, value)
        return super().get_db_prep_save(value, connection)

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:
        """A jsonb parameter; SQL NULL for None in a nullable column."""
        if isinstance(value, models.expressions.Value | models.Expression):
            return super().get_db_prep_value(value, connection, prepared)
        return None if value is None and self.null else Jsonb(value, dumps=dumps_text)

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        """The document, decrypted. A key transform yields text that may be JSON null. Raises Undecipherable."""
        if value is None:
            return None
        document = orjson.loads(value)
        if self.sealed_as and not isinstance(expression, KeyTransform):
            return unsealed(self.sealed_as, self.name, document)
        return document

    def deconstruct(self) -> Any:
        """Migrations see a plain JSONField, which has the same column."""
        name, _, args, kwargs = super().deconstruct()
        return name, "django.db.models.JSONField", args, kwargs


def sealed(model: str, field: str, document: Any) -> Any:
    """The document as a column of the model stores it. Raises EncryptionFailed."""
    if (model, field) not in PARTS or not isinstance(document, dict):
        return encryption.seal(model, field, document)
    made = _each(document, PARTS[model, field], encryption.seal, model)
    if isinstance(document.get("config"), dict):
        made["config"] = _config(document["config"], encryption.seal, model)
    # Whoever executes it writes under the same context.
    return {**made, MARKER: under} if (under := encryption.context()) else made


def unsealed(model: str, field: str, stored: Any) -> Any:
    """The document again; run and cron keep the context they were created in under MARKER. Raises Undecipherable."""
    if (model, field) not in PARTS or not isinstance(stored, dict):
        return encryption.unseal(model, field, stored)
    made = _each(stored, PARTS[model, field], encryption.unseal, model)
    if isinstance(stored.get("config"), dict):
        made["config"] = _config(stored["config"], encryption.unseal, model)
    return {**made, MARKER: stored[MARKER]} if MARKER in stored else made


Turn = Callable[[str, str, Any], Any]


def _each(document: dict[str, Any], names: Iterable[str], turn: Turn, model: str) -> dict[str, Any]:
    plain = {name: value for name, value in document.items() if name not in MARKERS}
    return {**plain, **{name: turn(model, name, plain[name]) for name in names if name in plain}}


def _config(config: dict[str, Any], turn: Turn, model: str) -> dict[str, Any]:
    outer = turn(model, "config", {name: value for name, value in config.items() if name not in CONFIG_PARTS})
    return {**outer, **{name: turn(model, name, config[name]) for name in CONFIG_PARTS if name in config}}
