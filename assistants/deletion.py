"""What else happens when an assistant is deleted. Apps above this one add their part; none is known here by name."""

from collections.abc import Callable
from uuid import UUID

# Called in the deleting transaction with the assistant's id and whether its threads are to go too.
before_delete: list[Callable[[UUID, bool], None]] = []
