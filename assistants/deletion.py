"""What else happens when an assistant is deleted. Apps above this one add their part; none is known here by name."""

from collections.abc import Callable
from uuid import UUID

from accounts.callers import Caller

# Called in the deleting transaction with the assistant's id, whether its threads are to go too, and who asks.
before_delete: list[Callable[[UUID, bool, Caller], None]] = []
