"""A thread's checkpoints as a rail of branches: which lane each is on, and the lines to draw. Pure functions."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

LANES = 6  # branches drawn side by side; further ones share the last
APART, HEIGHT, DOT = 16, 48, 17  # pixels: between two lanes, of a row, from a row's top to its dot


@dataclass(frozen=True)
class Step:
    """A checkpoint on the rail. `lane` is the branch it is on, 0 the one that leads to the newest.

    `lines` are the rail's paths through its row, `width` pixels of lanes.
    """

    checkpoint_id: str
    state: dict[str, Any]
    lane: int
    forks: bool  # more than one checkpoint follows it
    lines: tuple[str, ...]
    width: int

    @property
    def x(self) -> int:
        """Where its dot is."""
        return _x(self.lane)

    @property
    def source(self) -> str:
        """What wrote it: input, loop, update or fork."""
        return str((self.state.get("metadata") or {}).get("source", ""))

    @property
    def number(self) -> Any:
        """The graph's count of supersteps."""
        return (self.state.get("metadata") or {}).get("step")

    @property
    def next(self) -> list[str]:
        """The nodes that follow."""
        return list(self.state.get("next") or ())

    @property
    def created(self) -> datetime | None:
        """When it was written."""
        text = self.state.get("created_at")
        return datetime.fromisoformat(text) if text else None


def rail(states: Sequence[dict[str, Any]]) -> list[Step]:
    """The checkpoints, newest first, each on its branch: a checkpoint is on the lane of the newest that follows it."""
    lanes: dict[str, int] = {}
    open_lines: list[tuple[int, str]] = []  # lanes that go on downwards, and the checkpoint they lead to
    rows: list[tuple[dict[str, Any], int, bool, tuple[str, ...]]] = []
    for one in states:
        name, parent = name_of(one), parent_of(one)
        lane = lanes.setdefault(name, min(len({*lanes.values()}), LANES - 1))
        if parent:
            lanes.setdefault(parent, lane)
        arriving = [start for start, wanted in open_lines if wanted == name]
        passing = [(start, wanted) for start, wanted in open_lines if wanted != name]
        lines = tuple(_line(lane, arriving, {start for start, _ in passing}, goes_on=bool(parent)))
        open_lines = [*passing, (lane, parent)] if parent else passing
        rows.append((one, lane, len(arriving) > 1, lines))
    width = _x(max((lane for _, lane, _, _ in rows), default=0)) + APART // 2
    return [Step(name_of(one), one, lane, forks, lines, width) for one, lane, forks, lines in rows]


def _line(lane: int, arriving: Sequence[int], passing: set[int], *, goes_on: bool) -> list[str]:
    """Paths of a row: what passes it by, what comes to its dot from above, and what goes on from there."""
    end = _x(lane)
    paths = [f"M{_x(other)} 0V{HEIGHT}" for other in sorted(passing)]
    paths += [f"M{_x(start)} 0C{_x(start)} {DOT} {end} 0 {end} {DOT}" for start in sorted({*arriving})]
    return [*paths, f"M{end} {DOT}V{HEIGHT}"] if goes_on else paths


def _x(lane: int) -> int:
    return APART // 2 + APART * lane


def name_of(one: dict[str, Any]) -> str:
    """The checkpoint's id."""
    return str(one["checkpoint"]["checkpoint_id"])


def parent_of(one: dict[str, Any]) -> str:
    """The id of the checkpoint before it, or nothing."""
    return str((one.get("parent_checkpoint") or {}).get("checkpoint_id") or "")
