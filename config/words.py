"""Lengths of time and ids as people read them."""

from datetime import timedelta


def span(length: timedelta | None) -> str:
    """A length of time in the two largest units that matter: 35 ms, 2.1 s, 4 min 10 s, 3 h 5 min, 2 d 4 h."""
    if length is None:
        return "–"
    seconds = max(length.total_seconds(), 0.0)
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    for unit, size, lower, lower_size in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if whole >= size:
            rest = whole % size // lower_size
            return f"{whole // size} {unit} {rest} {lower}" if rest else f"{whole // size} {unit}"
    return f"{whole} s"


def tail(text: object) -> str:
    """The end of an id, which tells those of one minute apart better than their beginning."""
    return f"…{str(text)[-12:]}"
