"""Lines of several processes on one terminal, each behind its process's name. Never waits and never raises."""

import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress

COLOURS = {"weft": 36, "web": 32, "worker": 33, "beat": 35, "postgres": 34, "redis": 31}
NAME_WIDTH = 9


class Terminal:
    """Standard output, shared. Colours only where somebody sees them and NO_COLOR is unset (no-color.org)."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")

    def line(self, name: str, text: str) -> None:
        """One line of the process `name`."""
        label = f"{name:<{NAME_WIDTH}}|"
        if self.coloured:
            label = f"\x1b[{COLOURS.get(name.split('-')[0], 37)}m{label}\x1b[0m"
        self.plain(f"{label} {text}")

    def say(self, text: str) -> None:
        """One line of our own."""
        self.line("weft", text)

    def progress(self, text: str) -> None:
        """One line of our own with the seconds since the start."""
        self.say(f"{time.monotonic() - self.started:5.1f} s  {text}")

    def plain(self, text: str) -> None:
        """Text as it is. A terminal that was closed is no reason to stop stopping children."""
        with suppress(OSError, ValueError):
            sys.stdout.write(text + "\n")
            sys.stdout.flush()

    def lines_of(self, name: str) -> Callable[[str], None]:
        """Where the lines of the process `name` go."""
        return lambda text: self.line(name, text)
