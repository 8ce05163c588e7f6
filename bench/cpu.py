"""CPU seconds of whole process trees, from /proc. Linux only."""

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

TICK = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class _Process:
    parent: int
    seconds: float


def used(roots: Mapping[str, int]) -> dict[str, float]:
    """CPU seconds (user and system) so far of each named process, its living descendants and those that ended."""
    processes = dict(_all_processes())
    children: dict[int, list[int]] = defaultdict(list)
    for pid, process in processes.items():
        children[process.parent].append(pid)

    def total(pid: int) -> float:
        return processes[pid].seconds + sum(total(child) for child in children[pid])

    return {name: total(pid) for name, pid in roots.items()}


def difference(after: Mapping[str, float], before: Mapping[str, float]) -> dict[str, float]:
    """Seconds used between two answers of `used`."""
    return {name: after[name] - before[name] for name in after}


def _all_processes() -> Iterable[tuple[int, _Process]]:
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                yield int(entry.name), _parse(Path(entry.path, "stat").read_text())
            except OSError:
                continue  # it ended meanwhile; its parent has its time


def _parse(line: str) -> _Process:
    """Fields of proc(5): ppid is the 4th; utime, stime, cutime, cstime are the 14th to 17th."""
    fields = line.rpartition(")")[2].split()
    return _Process(int(fields[1]), sum(map(int, fields[11:15])) * TICK)
